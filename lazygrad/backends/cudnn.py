"""torch.backends.cudnn: convolutions are products and generated kernels here, so cuDNN has nothing to decide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False: lazygrad doesn't use cuDNN."""
    return False


def version() -> int | None:
    return None


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """The module's settings replaced for a `with` block."""
    settings = globals()
    inside = {
        "enabled": enabled,
        "benchmark": benchmark,
        "benchmark_limit": benchmark_limit,
        "deterministic": deterministic,
        "allow_tf32": allow_tf32,
    }
    before = {name: settings[name] for name in inside}
    settings.update(inside)
    try:
        yield
    finally:
        settings.update(before)
