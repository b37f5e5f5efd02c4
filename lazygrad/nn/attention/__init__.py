"""torch.nn.attention: which kernels attention may use. Here each graph has its own, so the choice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

from lazygrad.errors import at_user_line


class SDPBackend(Enum):
    """torch's implementations of scaled_dot_product_attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: SDPBackend | Sequence[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """Accepted and checked for programs written for torch: results are the same under every backend.

    AssertionError for no backends, TypeError for what is none.
    """
    listed = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if not listed:
        raise AssertionError(at_user_line("sdpa_kernel: expected at least one backend"))
    for backend in listed:
        if not isinstance(backend, SDPBackend):
            raise TypeError(at_user_line(f"sdpa_kernel: backends must be SDPBackend, got {type(backend).__name__}"))
    yield
