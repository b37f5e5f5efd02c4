"""torch.backends.mkldnn."""

from __future__ import annotations

enabled = True
deterministic = False


def is_available() -> bool:
    """False: lazygrad doesn't call oneDNN itself."""
    return False
