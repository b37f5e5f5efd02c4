"""torch.backends.mkl."""

from __future__ import annotations


def is_available() -> bool:
    """False: lazygrad doesn't call Intel's MKL itself."""
    return False
