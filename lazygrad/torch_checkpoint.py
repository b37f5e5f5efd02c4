"""torch's zip checkpoints without torch: takes the bytes of a file, returns the objects it holds.

The pickle inside is read by an unpickler that knows a short list of names and refuses all others, so that
nothing from the file is ever run.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lazygrad.device import device
from lazygrad.dtype import (
    ALL,
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lazygrad.tensor.size import Size

Array = np.ndarray[Any, Any]

STORAGES: dict[str, DType] = {
    "FloatStorage": float32,
    "DoubleStorage": float64,
    "HalfStorage": float16,
    "BFloat16Storage": bfloat16,
    "LongStorage": int64,
    "IntStorage": int32,
    "ShortStorage": int16,
    "CharStorage": int8,
    "ByteStorage": uint8,
    "BoolStorage": bool_,
}


class StorageKind(NamedTuple):
    """What a name such as torch.FloatStorage stands for while unpickling."""

    dtype: DType


def is_torch_checkpoint(data: Any) -> bool:
    """Whether these bytes are a zip file, as torch.save writes. ValueError for torch's format before 1.6."""
    start = bytes(data[:16])
    if start[:2] == b"\x80\x02" and b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" in start:
        raise ValueError("load(): this is torch's format from before 1.6; save it again with a newer torch")
    return start[:4] == b"PK\x03\x04"


def read_torch_checkpoint(
    data: Any, to_tensor: Callable[[Array], Any], to_parameter: Callable[[Any, bool], Any]
) -> Any:
    """The object in a torch checkpoint, its arrays made into tensors by `to_tensor`.

    pickle.UnpicklingError, naming what was found, for anything but tensors and plain containers.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        root = next((n.removesuffix("data.pkl") for n in names if n.endswith("data.pkl")), None)
        if root is None:
            raise ValueError("load(): a zip file without data.pkl: not a torch checkpoint")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("load(): a big-endian torch checkpoint")
        reader = _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")), archive, root, to_tensor, to_parameter)
        return reader.load()


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        file: io.BytesIO,
        archive: zipfile.ZipFile,
        root: str,
        to_tensor: Callable[[Array], Any],
        to_parameter: Callable[[Any, bool], Any],
    ) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root
        self._to_tensor = to_tensor
        self._storages: dict[str, Array] = {}
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, grad, hooks: to_parameter(data, grad),
            ("torch", "Size"): Size,
            ("torch", "device"): device,
            ("builtins", "set"): set,
            ("torch.serialization", "_get_layout"): str,
        }
        self._known |= {("torch", name): StorageKind(dtype) for name, dtype in STORAGES.items()}
        self._known |= {("torch", dtype.name): dtype for dtype in ALL}

    def find_class(self, module: str, name: str) -> Any:
        found = self._known.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(
                f"load(): the checkpoint asks for {module}.{name}; only tensors and plain containers are read"
            )
        return found

    def persistent_load(self, pid: Any) -> Array:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], StorageKind):
            raise pickle.UnpicklingError(f"load(): unexpected reference {pid!r}")
        key = str(pid[2])
        if key not in self._storages:
            raw = self._archive.read(f"{self._root}data/{key}")
            self._storages[key] = np.frombuffer(raw, np.uint8).view(pid[1].dtype.numpy)
        return self._storages[key]

    def _rebuild_tensor(
        self, storage: Array, offset: int, size: Any, stride: Any, requires_grad: bool, *rest: Any
    ) -> Any:
        shape, strides = tuple(size), tuple(stride)
        reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
        # what lies outside the storage must not be read
        if offset < 0 or any(n < 0 or s < 0 for n, s in zip(shape, strides, strict=True)):
            raise pickle.UnpicklingError("load(): a tensor with negative sizes, strides or offset")
        if 0 in shape:
            return self._to_tensor(np.zeros(shape, storage.dtype))
        if reach > storage.size:
            raise pickle.UnpicklingError("load(): a tensor that reaches beyond its storage")
        byte_strides = tuple(s * storage.itemsize for s in strides)
        view = np.lib.stride_tricks.as_strided(storage[offset:], shape, byte_strides, writeable=False)
        tensor = self._to_tensor(view)
        return tensor.requires_grad_() if requires_grad else tensor
