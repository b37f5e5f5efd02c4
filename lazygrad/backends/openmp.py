"""torch.backends.openmp."""

from __future__ import annotations


def is_available() -> bool:
    """False: lazygrad doesn't call OpenMP itself."""
    return False
