"""Convolutions and their transposes as modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from lazygrad.dtype import DType
from lazygrad.nn import functional as F
from lazygrad.nn import init
from lazygrad.nn.functional.convolution import Sizes, sizes_of
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import empty


class Convolution(Module):
    """What convolutions of all dimensions, and their transposes, share."""

    positions: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("valid", "same"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
            if padding == "same" and any(s != 1 for s in sizes_of(stride, self.positions)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"padding_mode must be one of zeros, reflect, replicate, circular, got {padding_mode!r}")
        n = self.positions
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes_of(kernel_size, n)
        self.stride = sizes_of(stride, n)
        self.padding = padding if isinstance(padding, str) else sizes_of(padding, n)
        self.dilation = sizes_of(dilation, n)
        self.output_padding = (0,) * n
        self.groups = groups
        self.padding_mode = padding_mode
        self.weight = Parameter(empty(*self._weight_shape(), device=device, dtype=dtype))
        self.register_parameter("bias", None)
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return first, second // self.groups, *self.kernel_size

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            bound = 1 / math.sqrt(fan_in) if fan_in else 0
            init.uniform_(self.bias, -bound, bound)

    def _margins(self) -> list[int]:
        """The padding of a mode other than zeros, as F.pad wants it."""
        if self.padding == "valid":
            return [0] * 2 * self.positions
        if self.padding == "same":
            pairs = [
                (d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for k, d in zip(self.kernel_size, self.dilation)
            ]
        else:
            pairs = [(p, p) for p in sizes_of(self.padding, self.positions)]  # type: ignore[arg-type]
        return [width for pair in reversed(pairs) for width in pair]

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """forward() with another weight and bias, for subclasses that make theirs on the way."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._margins(), self.padding_mode)
            padding = 0
        return type(self).function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        zeros, ones = (0,) * self.positions, (1,) * self.positions
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class Conv1d(Convolution):
    """(N, C, L) to (N, O, L')."""

    positions = 1
    function = staticmethod(F.conv1d)


class Conv2d(Convolution):
    """(N, C, H, W) to (N, O, H', W')."""

    positions = 2
    function = staticmethod(F.conv2d)


class Conv3d(Convolution):
    """(N, C, D, H, W) to (N, O, D', H', W')."""

    positions = 3
    function = staticmethod(F.conv3d)


class TransposedConvolution(Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.output_padding = sizes_of(output_padding, self.positions)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return type(self).function(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that leads to a wanted size."""
        n = self.positions
        wanted = tuple(output_size)[-n:]
        rows = zip(wanted, input.shape[-n:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        extra = tuple(w - ((m - 1) * s - 2 * p + d * (k - 1) + 1) for w, m, s, p, d, k in rows)
        if any(not 0 <= e < max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True)):
            raise ValueError(f"requested an output size of {list(output_size)}, which this layer can't produce")
        return extra


class ConvTranspose1d(TransposedConvolution):
    """The transpose of Conv1d."""

    positions = 1
    function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(TransposedConvolution):
    """The transpose of Conv2d."""

    positions = 2
    function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(TransposedConvolution):
    """The transpose of Conv3d."""

    positions = 3
    function = staticmethod(F.conv_transpose3d)


_ConvNd, _ConvTransposeNd = Convolution, TransposedConvolution  # torch's names, which programs ask isinstance of
