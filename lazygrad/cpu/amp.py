"""torch.cpu.amp: mixed precision under its old name, without the device."""

from __future__ import annotations

from lazygrad import amp
from lazygrad.dtype import DType, bfloat16
from lazygrad.tensor import autocast as autocast_of_device


class autocast(autocast_of_device.autocast):
    """`with autocast():` on the CPU. See lazygrad.autocast."""

    def __init__(self, enabled: bool = True, dtype: DType = bfloat16, cache_enabled: bool = True) -> None:
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(amp.ScalerOfDevice):
    """See lazygrad.amp.GradScaler."""

    device = "cpu"


__all__ = ["GradScaler", "autocast"]
