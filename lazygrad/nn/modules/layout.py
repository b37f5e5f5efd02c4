"""Padding, resampling, shuffling and unfolding of positions as modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from lazygrad.errors import at_user_line
from lazygrad.nn import functional as F
from lazygrad.nn.functional.convolution import Sizes, sizes_of
from lazygrad.nn.module import Module
from lazygrad.nn.modules.arguments import FunctionModule
from lazygrad.tensor import Tensor


class Padding(Module):
    """The positions padded by one width all round, or by (before, after) of the last, of the one before, ..."""

    mode: ClassVar[str] = "constant"
    positions: ClassVar[int]

    def __init__(self, padding: Sizes) -> None:
        super().__init__()
        self.padding = sizes_of(padding, 2 * self.positions)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(Padding):
    positions = 1

    def __init__(self, padding: Sizes, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    positions = 2


class ConstantPad3d(ConstantPad1d):
    positions = 3


class ZeroPad1d(Padding):
    positions = 1


class ZeroPad2d(ZeroPad1d):
    positions = 2


class ZeroPad3d(ZeroPad1d):
    positions = 3


class ReflectionPad1d(Padding):
    mode = "reflect"
    positions = 1


class ReflectionPad2d(ReflectionPad1d):
    positions = 2


class ReflectionPad3d(ReflectionPad1d):
    positions = 3


class ReplicationPad1d(Padding):
    mode = "replicate"
    positions = 1


class ReplicationPad2d(ReplicationPad1d):
    positions = 2


class ReplicationPad3d(ReplicationPad1d):
    positions = 3


class CircularPad1d(Padding):
    mode = "circular"
    positions = 1

    def forward(self, input: Tensor) -> Tensor:
        unbatched = self.positions + 1
        if input.ndim not in (unbatched, unbatched + 1):
            raise ValueError(at_user_line(f"expected {unbatched}D or {unbatched + 1}D input (got {input.ndim}D input)"))
        return super().forward(input)


class CircularPad2d(CircularPad1d):
    positions = 2


class CircularPad3d(CircularPad1d):
    positions = 3


class Upsample(Module):
    """Resized to `size` or by `scale_factor`; see F.interpolate."""

    def __init__(
        self,
        size: Sizes | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor = float(scale_factor) if isinstance(scale_factor, (int, float)) else scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        first = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{first}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    def __init__(self, size: Sizes | None = None, scale_factor: float | None = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    def __init__(self, size: Sizes | None = None, scale_factor: float | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(FunctionModule):
    """(*, C * r^2, H, W) to (*, C, H * r, W * r)."""

    arguments = {"upscale_factor": ...}
    function = staticmethod(F.pixel_shuffle)


class PixelUnshuffle(FunctionModule):
    """The inverse of PixelShuffle."""

    arguments = {"downscale_factor": ...}
    function = staticmethod(F.pixel_unshuffle)


class ChannelShuffle(FunctionModule):
    """Channels of groups interleaved."""

    arguments = {"groups": ...}
    function = staticmethod(F.channel_shuffle)


class Unfold(FunctionModule):
    """(N, C, H, W) to (N, C * kernel positions, windows)."""

    arguments = {"kernel_size": ..., "dilation": 1, "padding": 0, "stride": 1}
    function = staticmethod(F.unfold)


class Fold(FunctionModule):
    """The transpose of Unfold."""

    arguments = {"output_size": ..., "kernel_size": ..., "dilation": 1, "padding": 0, "stride": 1}
    function = staticmethod(F.fold)
