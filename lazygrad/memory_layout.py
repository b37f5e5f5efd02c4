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


def check_memory_format(wanted: Any, name: str) -> None:
    """NotImplementedError for an order of memory that lazygrad doesn't lay tensors out in."""
    if wanted not in (None, contiguous_format, preserve_format):
        raise NotImplementedError(
            at_user_line(
                f"{name}(memory_format={wanted!r}): every tensor is row-major, and kernels choose how they walk it; "
                "leave memory_format out"
            )
        )


__all__ = [
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "layout",
    "memory_format",
    "preserve_format",
    "strided",
]
