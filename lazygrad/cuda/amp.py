"""torch.cuda.amp: mixed precision under its old name, without the device."""

from __future__ import annotations

import functools

from lazygrad import amp
from lazygrad.dtype import DType, float16
from lazygrad.tensor import autocast as autocast_of_device


class autocast(autocast_of_device.autocast):
    """`with autocast():` on the GPU. See lazygrad.autocast."""

    def __init__(self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(amp.ScalerOfDevice):
    """See lazygrad.amp.GradScaler."""

    device = "cuda"


custom_fwd = functools.partial(amp.custom_fwd, device_type="cuda")
custom_bwd = functools.partial(amp.custom_bwd, device_type="cuda")

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]
