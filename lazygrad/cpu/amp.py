"""torch.cpu.amp: mixed precision under its old name, without the device."""

from __future__ import annotations

from lazygrad import amp
from lazygrad.dtype import DType, bfloat16
from lazygrad.tensor import autocast as autocast_of_device


class autocast(autocast_of_device.autocast):
    """`with autocast():` on the CPU. See lazygrad.autocast."""

    def __init__(self, enabled: bool = True, dtype: DType = bfloat16, cache_enabled: bool = True) -> None:
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """See lazygrad.amp.GradScaler."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


__all__ = ["GradScaler", "autocast"]
