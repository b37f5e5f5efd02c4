"""Buffers: handles on device memory. The handle stays; what it points at may be moved or given away.

A buffer whose memory a later value took over (an in-place update) keeps the user's line that did it, so
that whoever still asks for the old value is told, instead of being handed the new one.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from lazygrad.device import Device
from lazygrad.dtype import DType
from lazygrad.errors import Line, StaleValueError, show_line, user_line
from lazygrad.shape import Shape


class Buffer:
    """`array` is a contiguous NumPy or CuPy array of `shape`; None once the memory was taken over."""

    __slots__ = ("__weakref__", "array", "device", "dtype", "exported", "overwritten_at", "shape", "where")

    def __init__(self, array: Any, dtype: DType, shape: Shape, device: Device, where: Line | None = None) -> None:
        self.array = array
        self.dtype = dtype
        self.shape = shape
        self.device = device
        self.where = where or user_line()
        self.overwritten_at: Line | None = None
        self.exported = False  # somebody outside holds the address: the memory must not be reused
        _live.add(self)

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes) if self.array is not None else 0

    def read(self) -> Any:
        """The array. StaleValueError where an in-place update took the memory over."""
        if self.array is None:
            line = show_line(self.overwritten_at) if self.overwritten_at else "an unknown line"
            raise StaleValueError(
                f"the value made at {show_line(self.where)} is needed again, but the in-place update at {line} "
                "overwrote it; keep a copy with .clone(), or ask for the result before updating"
            )
        return self.array

    def give_memory_to(self, other: Buffer) -> None:
        """`other` takes over the array; this handle becomes stale."""
        other.array, self.array = self.array, None
        self.overwritten_at = other.where

    def __repr__(self) -> str:
        return f"Buffer({self.dtype.name}{list(self.shape)} on {self.device}, made at {show_line(self.where)})"


_live: WeakSet[Buffer] = WeakSet()


def live_buffers() -> list[Buffer]:
    """Every buffer that still holds memory, largest first: for leak tests and out-of-memory messages."""
    return sorted((b for b in _live if b.array is not None), key=lambda b: -b.nbytes)


def holders_of(array: Any) -> list[Buffer]:
    """The buffers that point at exactly this array."""
    return [b for b in _live if b.array is array]
