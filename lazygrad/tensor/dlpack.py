"""Memory from and to other libraries by DLPack, also what NumPy's and CuPy's lacks: bfloat16, and bare capsules.

Both pass on 16-bit integers, and what 16 bits mean is one byte of the struct that a capsule points to.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU, Device
from lazygrad.dtype import bfloat16, int16
from lazygrad.dtype import from_numpy as dtype_of_numpy
from lazygrad.ir import build
from lazygrad.runtime.array import library
from lazygrad.runtime.buffer import Buffer
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class _Struct(ctypes.Structure):
    """The head of a DLTensor, with which what a capsule points to begins, or goes on after VERSION bytes."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
    )


VERSION = 32
SIGNED, BFLOAT = 0, 4  # codes of kinds of numbers

_name, _pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
_name.restype, _name.argtypes = ctypes.c_char_p, (ctypes.py_object,)
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
Capsule = type(np.empty(0).__dlpack__())


def _struct(capsule: Any) -> _Struct:
    name = _name(capsule)
    return _Struct.from_address(_pointer(capsule, name) + (VERSION if name == b"dltensor_versioned" else 0))


def _recoded(capsule: Any, code: int) -> Any:
    """The same capsule, its numbers said to be of another kind of the same width."""
    _struct(capsule).code = code
    return capsule


@dataclass(frozen=True)
class _AsIntegers:
    """Another library's bfloat16 array, exported as int16."""

    array: Any

    def __dlpack_device__(self) -> tuple[int, int]:
        found: tuple[int, int] = self.array.__dlpack_device__()
        return found

    def __dlpack__(self, **options: Any) -> Any:
        return _recoded(self.array.__dlpack__(**options), SIGNED)


@dataclass(frozen=True)
class _Held:
    """A bare capsule, as the array that it was made of."""

    capsule: Any

    @property
    def dtype(self) -> str:
        return "bfloat16" if _struct(self.capsule).code == BFLOAT else ""

    def __dlpack_device__(self) -> tuple[int, int]:
        struct = _struct(self.capsule)
        return struct.device_type, struct.device_id

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule


def export(array: Any, stream: Any = None) -> Any:
    """The capsule of a NumPy or CuPy array; `stream` is whose work on a GPU waits for it."""
    options = {} if isinstance(array, np.ndarray) else {"stream": stream}
    if array.dtype != bfloat16.numpy:
        return array.__dlpack__(**options)
    return _recoded(array.view(int16.numpy).__dlpack__(**options), BFLOAT)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor on the memory of another library's array, without a copy where that library allows it.

    Whoever writes to that memory later changes this tensor, and what is computed from it but hasn't been yet.
    """
    exporter = _Held(ext_tensor) if isinstance(ext_tensor, Capsule) else ext_tensor
    kind, index = exporter.__dlpack_device__()
    device = Device("cuda", int(index)) if int(kind) == 2 else CPU
    xp = library(device.type)
    if str(getattr(exporter, "dtype", "")).endswith("bfloat16"):
        array = xp.from_dlpack(_AsIntegers(exporter)).view(bfloat16.numpy)
    else:
        array = xp.from_dlpack(exporter)
    if not array.flags.c_contiguous or (device is CPU and not array.flags.writeable):
        array = array.copy()
    dtype = dtype_of_numpy(array.dtype)
    buffer = Buffer(array, dtype, tuple(array.shape), device)
    buffer.exported = True
    return wrap(build.buffer(buffer, dtype, tuple(array.shape), device))


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of the tensor's memory: torch's old way. Libraries take the tensor itself."""
    return tensor.__dlpack__()


__all__ = ["export", "from_dlpack", "to_dlpack"]
