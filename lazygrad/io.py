"""Saving and loading: takes nested Python objects with tensors in them, writes safetensors, and back.

The tensors lie in the file under the path that leads to them ("model.0.weight"), so any reader of safetensors
finds them; what surrounds them is JSON in the metadata. Loading runs no code from the file. Checkpoints in
torch's own zip format are read by torch_checkpoint.py.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from lazygrad.device import CPU, Device
from lazygrad.device import device as parse_device
from lazygrad.dtype import (
    DType,
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
    named,
    uint8,
)
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import flush, wrap
from lazygrad.tensor.creation import from_array
from lazygrad.tensor.size import Size
from lazygrad.torch_checkpoint import is_torch_checkpoint, read_torch_checkpoint

Array = np.ndarray[Any, Any]
File = str | os.PathLike[str] | IO[bytes]

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
STRUCTURE = "lazygrad_structure"
LARGEST_HEADER = 100 * 1024 * 1024  # the limit of the safetensors library


# -- the safetensors format: 8 bytes of header length, a JSON header, the data ------------------------
def write_safetensors(arrays: Mapping[str, Array], metadata: Mapping[str, str], file: IO[bytes]) -> None:
    """Write arrays by name. Wide dtypes come first, so that everything is aligned."""
    rows: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
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
    metadata = header.pop("__metadata__", {})
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


# -- objects to (JSON, arrays) and back ---------------------------------------------------------------
class Encoder:
    """Takes an object, gathers its arrays by path; `encode` returns what JSON keeps of it."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}

    def _name(self, value: Any, path: tuple[str, ...], table: dict[str, Any]) -> str:
        if id(value) in self._names:
            return self._names[id(value)]
        base = name = ".".join(path) or "value"
        number = 1
        while name in self.tensors or name in self.arrays:
            number += 1
            name = f"{base}#{number}"
        table[name] = value
        self._names[id(value)] = name
        return name

    def encode(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        if value is None or isinstance(value, (bool, str)) or type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Tensor):
            kind = "parameter" if isinstance(value, Parameter) else "tensor"
            return {kind: self._name(value, path, self.tensors), "requires_grad": value.requires_grad}
        if isinstance(value, np.ndarray):
            return {"array": self._name(value, path, self.arrays)}
        if isinstance(value, (np.generic, int, float)):
            return self.encode(value.item() if isinstance(value, np.generic) else value + 0, path)
        return self._encode_container(value, path)

    def _encode_container(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            kind = "ordered" if isinstance(value, OrderedDict) else "dict"
            rows = [[self.encode(k), self.encode(v, (*path, str(k)))] for k, v in value.items()]
            return {kind: rows}
        if isinstance(value, Size):
            return {"size": list(value)}
        for kind, cls in (("tuple", tuple), ("set", (set, frozenset)), ("list", list)):
            if isinstance(value, cls):
                items = [self.encode(v, (*path, str(i))) for i, v in enumerate(value)]
                return items if kind == "list" else {kind: items}
        if isinstance(value, DType):
            return {"dtype": value.name}
        if isinstance(value, Device):
            return {"device": str(value)}
        if isinstance(value, (bytes, bytearray)):
            return {"bytes": value.hex()}
        where = ".".join(path) or "the object itself"
        raise TypeError(
            f"save(): can't save {type(value).__name__} at {where}: only tensors, arrays, numbers, "
            f"strings, None, "
            "dtypes and containers of these"
        )

    def finished(self) -> dict[str, Array]:
        """All arrays by name; what hasn't been computed is computed together, now."""
        flush([t.node for t in self.tensors.values()])
        return {**self.arrays, **{name: t.numpy(force=True) for name, t in self.tensors.items()}}


class Decoder:
    """Takes the arrays of a file, rebuilds objects from JSON. A tensor that was shared is shared again."""

    def __init__(self, arrays: Mapping[str, Array], where: Device) -> None:
        self._arrays = arrays
        self._where = where
        self._made: dict[str, Tensor] = {}

    def tensor(self, name: str, row: dict[str, Any], parameter: bool) -> Tensor:
        if name not in self._made:
            made = tensor_of(self._arrays[name], self._where)
            if parameter:
                made = Parameter(made, bool(row["requires_grad"]))
            elif row.get("requires_grad") and made.dtype.is_floating_point:
                made.requires_grad_()
            self._made[name] = made
        return self._made[name]

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(v) for v in value]
        if not isinstance(value, dict):
            return value
        kind = next(iter(value))
        content = value[kind]
        if kind in ("tensor", "parameter"):
            return self.tensor(content, value, kind == "parameter")
        if kind in ("dict", "ordered"):
            rows = [(self.decode(k), self.decode(v)) for k, v in content]
            return OrderedDict(rows) if kind == "ordered" else dict(rows)
        simple: dict[str, Callable[[Any], Any]] = {
            "array": lambda name: np.array(self._arrays[name]),
            "float": float,
            "tuple": lambda items: tuple(self.decode(v) for v in items),
            "set": lambda items: {self.decode(v) for v in items},
            "size": Size,
            "dtype": named,
            "device": parse_device,
            "bytes": bytes.fromhex,
        }
        if kind not in simple:
            raise ValueError(f"load(): the file holds {kind!r}, which this version of lazygrad does not know")
        return simple[kind](content)


def tensor_of(array: Array, where: Device) -> Tensor:
    return wrap(from_array(array, where, from_numpy(array.dtype)))


# -- files --------------------------------------------------------------------------------------------
@contextmanager
def atomically(path: str | os.PathLike[str]) -> Any:
    """A file to write that takes the place of `path` only once it is complete and on the disk."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read(file: File) -> Any:
    """The bytes of a file; those of a path are mapped, not read."""
    if not isinstance(file, (str, os.PathLike)):
        return file.read()
    with open(file, "rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            return b""
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def _write(file: File, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    if isinstance(file, (str, os.PathLike)):
        with atomically(file) as opened:
            write_safetensors(arrays, metadata, opened)
    else:
        write_safetensors(arrays, metadata, file)


def save(obj: Any, f: File, **ignored: Any) -> None:
    """Write nested containers of tensors, arrays, numbers and strings to a path or an open file.

    A path is replaced only once the new file is complete. TypeError for what can't be saved, naming its
    place.
    """
    encoder = Encoder()
    structure = encoder.encode(obj)
    _write(f, encoder.finished(), {STRUCTURE: json.dumps(structure, separators=(",", ":"))})


def load(f: File, map_location: Any = None, *, weights_only: bool = True, **ignored: Any) -> Any:
    """Read what save() wrote, any safetensors file (a dict), or a torch zip checkpoint, onto one device.

    No code from the file is run, so weights_only=False changes nothing.
    """
    where = CPU if map_location is None else parse_device(map_location)
    data = _read(f)
    if is_torch_checkpoint(data):
        return read_torch_checkpoint(data, lambda array: tensor_of(array, where), Parameter)
    arrays, metadata = read_safetensors(data)
    decoder = Decoder(arrays, where)
    if STRUCTURE in metadata:
        return decoder.decode(json.loads(metadata[STRUCTURE]))
    return {name: decoder.tensor(name, {}, False) for name in arrays}


def save_file(tensors: Mapping[str, Tensor], filename: File, metadata: Mapping[str, str] | None = None) -> None:
    """safetensors' own function: a flat dict of tensors."""
    flush([t.node for t in tensors.values()])
    _write(filename, {name: t.numpy(force=True) for name, t in tensors.items()}, metadata or {})


def load_file(filename: File, device: Any = "cpu") -> dict[str, Tensor]:
    """safetensors' own function: all tensors of a file by name."""
    arrays, _ = read_safetensors(_read(filename))
    return {name: tensor_of(array, parse_device(device)) for name, array in arrays.items()}


__all__ = ["load", "load_file", "save", "save_file"]
