"""torch.layout and torch.memory_format: how elements lie in memory. lazygrad has one way, dense and row-major."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lazygrad.errors import at_user_line


@dataclass(frozen=True)
class layout:
    """A kind of storage."""

    name: str

    def __repr__(self) -> str:
        return f"lazygrad.{self.name}"


@dataclass(frozen=True)
class memory_format:
    """An order of dimensions in memory."""

    name: str

    def __repr__(self) -> str:
        return f"lazygrad.{self.name}"


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
_CHANNELS_LAST = {channels_last: 4, channels_last_3d: 5}  # of tensors of so many dimensions


def check_layout(wanted: Any, name: str) -> None:
    """NotImplementedError for a storage that isn't dense."""
    if wanted not in (None, strided):
        raise NotImplementedError(at_user_line(f"{name}(layout={wanted!r}): every tensor is dense (strided)"))


def check_memory_format(wanted: Any, name: str) -> None:
    """TypeError for what is no memory_format. Any is a hint that is taken and not followed: results lie row-major, and
    kernels choose how they walk them."""
    if wanted is not None and not isinstance(wanted, memory_format):
        raise TypeError(at_user_line(f"{name}(): argument 'memory_format' must be a memory_format, got {wanted!r:.60}"))


def order_of_dims(wanted: memory_format | None, ndim: int) -> tuple[int, ...] | None:
    """A tensor's dimensions from the outermost in memory to the innermost; None where the format is for tensors of
    other dimensions."""
    if wanted not in _CHANNELS_LAST:
        return tuple(range(ndim))
    return (0, *range(2, ndim), 1) if ndim == _CHANNELS_LAST[wanted] else None


__all__ = [
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "layout",
    "memory_format",
    "preserve_format",
    "strided",
]
