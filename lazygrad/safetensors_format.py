"""The safetensors format: 8 bytes of header length, a JSON header, the data. Takes and returns arrays by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from lazygrad.dtype import (
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    from_numpy,
    int8,
    int16,
    int32,
    int64,
    uint8,
)

Array = np.ndarray[Any, Any]

CODES = {
    bool_: "BOOL",
    uint8: "U8",
    int8: "I8",
    int16: "I16",
    int32: "I32",
    int64: "I64",
    float16: "F16",
    bfloat16: "BF16",
    float32: "F32",
    float64: "F64",
}
DTYPES = {code: dtype for dtype, code in CODES.items()}
METADATA = "__metadata__"  # the one name that no array can have
LARGEST_HEADER = 100 * 1024 * 1024  # the limit of the safetensors library


def write_safetensors(arrays: Mapping[str, Array], metadata: Mapping[str, str], file: IO[bytes]) -> None:
    """Write arrays by name. Wide dtypes come first, so that everything is aligned."""
    rows: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    start = 0
    for name in order:
        array = arrays[name]
        code = CODES[from_numpy(array.dtype)]
        rows[name] = {
            "dtype": code,
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
    header = json.dumps(rows, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for name in order:
        file.write(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)


def read_safetensors(data: Any) -> tuple[dict[str, Array], dict[str, str]]:
    """(arrays by name, metadata) out of the bytes of a file; the arrays are views of them.

    ValueError for anything that isn't well formed: offsets outside, sizes that don't agree, overlaps.
    """
    if len(data) < 8:
        raise ValueError("not a safetensors file: too short")
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, LARGEST_HEADER):
        raise ValueError("not a safetensors file: its header is longer than the file")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except ValueError as error:
        raise ValueError(f"not a safetensors file: bad header ({error})") from None
    metadata = header.pop(METADATA, {})
    body = memoryview(data)[8 + length :]
    arrays = {name: _array(name, row, body) for name, row in header.items()}
    return arrays, metadata


def _array(name: str, row: dict[str, Any], body: memoryview) -> Array:
    dtype = DTYPES.get(row["dtype"])
    if dtype is None:
        raise ValueError(f"safetensors: {name} has dtype {row['dtype']}, which lazygrad does not have")
    start, stop = row["data_offsets"]
    shape = tuple(row["shape"])
    size = math.prod(shape) * dtype.itemsize
    if not 0 <= start <= stop <= len(body) or stop - start != size or any(n < 0 for n in shape):
        raise ValueError(f"safetensors: the entry of {name} does not fit the file")
    return np.frombuffer(body[start:stop], np.uint8).view(dtype.numpy).reshape(shape)
