"""torch.cpu: the questions of torch.cuda, answered for the one CPU there is."""

from __future__ import annotations

from typing import Any

from lazygrad.cpu import amp
from lazygrad.tensor.core import flush


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def device_count() -> int:
    return 1


def current_device() -> str:
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one."""


def synchronize(device: Any = None) -> None:
    """Compute every pending in-place update."""
    flush([])
