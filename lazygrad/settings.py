"""Settings of torch's own machinery that programs write and read back: each holds what it is set to.

None changes a number here. Kernels always add in one order, so they are deterministic whether asked or not;
float32 products are always computed in full float32, which every precision setting allows; NumPy's BLAS and
CUDA choose their own threads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from lazygrad.errors import at_user_line

PRECISIONS = ("highest", "high", "medium")
DEBUG_MODES = ("default", "warn", "error")


@dataclass
class _Held:
    float32_matmul_precision: str = "highest"
    deterministic: str = "default"  # one of DEBUG_MODES
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    interop_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    warn_always: bool = False


_held = _Held()


def set_float32_matmul_precision(precision: str) -> None:
    """How coarse float32 products may be: "highest", "high" or "medium". They stay full float32 with each."""
    if precision not in PRECISIONS:
        raise RuntimeError(at_user_line(f"{precision!r} is not one of {', '.join(map(repr, PRECISIONS))}"))
    _held.float32_matmul_precision = precision


def get_float32_matmul_precision() -> str:
    return _held.float32_matmul_precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for deterministic kernels. All of lazygrad's are, so nothing ever warns or fails."""
    _held.deterministic = ("warn" if warn_only else "error") if mode else "default"


def are_deterministic_algorithms_enabled() -> bool:
    return _held.deterministic != "default"


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    return _held.deterministic == "warn"


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """use_deterministic_algorithms by a name or its number: "default", "warn" or "error"."""
    mode = debug_mode if isinstance(debug_mode, str) else dict(enumerate(DEBUG_MODES)).get(debug_mode)
    if mode not in DEBUG_MODES:
        raise RuntimeError(
            at_user_line(f"invalid value of debug_mode, expected one of {', '.join(DEBUG_MODES)}, got {debug_mode!r}")
        )
    _held.deterministic = mode


def get_deterministic_debug_mode() -> int:
    return DEBUG_MODES.index(_held.deterministic)


def set_num_threads(number: int) -> None:
    """How many threads an operation may use. RuntimeError below 1."""
    _held.threads = _threads(number, "set_num_threads")


def get_num_threads() -> int:
    return _held.threads


def set_num_interop_threads(number: int) -> None:
    """How many operations may run beside each other. RuntimeError below 1."""
    _held.interop_threads = _threads(number, "set_num_interop_threads")


def get_num_interop_threads() -> int:
    return _held.interop_threads


def _threads(number: Any, name: str) -> int:
    if not isinstance(number, int) or number < 1:
        raise RuntimeError(at_user_line(f"{name} expects a positive integer, got {number!r}"))
    return number


def set_warn_always(enabled: bool) -> None:
    """Whether a warning is repeated each time it applies."""
    _held.warn_always = enabled


def is_warn_always_enabled() -> bool:
    return _held.warn_always


def set_flush_denormal(mode: bool) -> bool:
    """Whether tiny numbers should become 0: never here. False, as torch says on machines that can't."""
    return False


__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "get_num_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_warn_always_enabled",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_num_interop_threads",
    "set_num_threads",
    "set_warn_always",
    "use_deterministic_algorithms",
]
