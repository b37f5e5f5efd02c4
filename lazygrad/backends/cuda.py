"""torch.backends.cuda: which products and attention kernels torch may choose; lazygrad has one of each.

`matmul.allow_tf32` and set_float32_matmul_precision are one setting under two names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lazygrad.runtime.array import cuda_device_count
from lazygrad.settings import get_float32_matmul_precision, set_float32_matmul_precision


class _Matmul:
    """Settings of matrix products."""

    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False

    @property
    def allow_tf32(self) -> bool:
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        set_float32_matmul_precision("high" if allowed else "highest")


matmul = _Matmul()
_attention = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """Whether there is a GPU that lazygrad can use."""
    return cuda_device_count() > 0


def enable_flash_sdp(enabled: bool) -> None:
    _attention["flash"] = enabled


def flash_sdp_enabled() -> bool:
    return _attention["flash"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    _attention["mem_efficient"] = enabled


def mem_efficient_sdp_enabled() -> bool:
    return _attention["mem_efficient"]


def enable_math_sdp(enabled: bool) -> None:
    _attention["math"] = enabled


def math_sdp_enabled() -> bool:
    return _attention["math"]


def enable_cudnn_sdp(enabled: bool) -> None:
    _attention["cudnn"] = enabled


def cudnn_sdp_enabled() -> bool:
    return _attention["cudnn"]


@contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[None]:
    """The attention settings replaced for a `with` block."""
    before = dict(_attention)
    _attention.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _attention.update(before)
