"""torch.backends.mps: Apple's GPUs, for which lazygrad has no kernels."""

from __future__ import annotations


def is_available() -> bool:
    return False


def is_built() -> bool:
    return False
