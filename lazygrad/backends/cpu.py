"""torch.backends.cpu."""

from __future__ import annotations


def get_cpu_capability() -> str:
    """The instructions that kernels for the CPU use: NumPy finds them out by itself."""
    return "DEFAULT"
