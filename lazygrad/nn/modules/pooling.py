"""Pooling as modules; see the functions of the same names in nn.functional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from lazygrad.nn import functional as F
from lazygrad.nn.functional.convolution import sizes_of
from lazygrad.nn.module import Module
from lazygrad.nn.modules.arguments import FunctionModule
from lazygrad.tensor import Tensor


class MaxPool(FunctionModule):
    stride: Any
    arguments = {
        "kernel_size": ...,
        "stride": None,
        "padding": 0,
        "dilation": 1,
        "return_indices": False,
        "ceil_mode": False,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stride = self.kernel_size if self.stride is None else self.stride

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool1d(MaxPool):
    function = staticmethod(F.max_pool1d)


class MaxPool2d(MaxPool):
    function = staticmethod(F.max_pool2d)


class MaxPool3d(MaxPool):
    function = staticmethod(F.max_pool3d)


class AvgPool(FunctionModule):
    stride: Any
    shown = ("kernel_size", "stride", "padding")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stride = self.kernel_size if self.stride is None else self.stride


class AvgPool1d(AvgPool):
    arguments = {
        "kernel_size": ...,
        "stride": None,
        "padding": 0,
        "ceil_mode": False,
        "count_include_pad": True,
    }
    function = staticmethod(F.avg_pool1d)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, sizes_of(getattr(self, name), 1))


class AvgPool2d(AvgPool):
    arguments = {
        "kernel_size": ...,
        "stride": None,
        "padding": 0,
        "ceil_mode": False,
        "count_include_pad": True,
        "divisor_override": None,
    }
    function = staticmethod(F.avg_pool2d)


class AvgPool3d(AvgPool2d):
    function = staticmethod(F.avg_pool3d)


class AdaptivePool(FunctionModule):
    arguments = {"output_size": ...}
    shown = ("output_size",)


class AdaptiveAvgPool1d(AdaptivePool):
    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(AdaptivePool):
    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(AdaptivePool):
    function = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(AdaptivePool):
    arguments = {"output_size": ..., "return_indices": False}
    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(AdaptiveMaxPool1d):
    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(AdaptiveMaxPool1d):
    function = staticmethod(F.adaptive_max_pool3d)


class LPPool1d(FunctionModule):
    arguments = {"norm_type": ..., "kernel_size": ..., "stride": None, "ceil_mode": False}
    function = staticmethod(F.lp_pool1d)


class LPPool2d(LPPool1d):
    function = staticmethod(F.lp_pool2d)


class LPPool3d(LPPool1d):
    function = staticmethod(F.lp_pool3d)


class FractionalMaxPool2d(FunctionModule):
    arguments = {
        "kernel_size": ...,
        "output_size": None,
        "output_ratio": None,
        "return_indices": False,
        "_random_samples": None,
    }
    shown = ()
    kernel_size: Any
    positions: ClassVar[int] = 2
    function = staticmethod(F.fractional_max_pool2d)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (self.output_size is None) == (self.output_ratio is None):
            raise ValueError("give either output_size or output_ratio to FractionalMaxPool")
        self.kernel_size = sizes_of(self.kernel_size, self.positions)
        self.register_buffer("_random_samples", self.__dict__.pop("_random_samples"))


class FractionalMaxPool3d(FractionalMaxPool2d):
    positions = 3
    function = staticmethod(F.fractional_max_pool3d)


class MaxUnpool(Module):
    """Values put back where max pooling found them. Called with its result, its indices and maybe a size."""

    positions: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = sizes_of(kernel_size, self.positions)
        self.stride = sizes_of(kernel_size if stride is None else stride, self.positions)
        self.padding = sizes_of(padding, self.positions)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return type(self).function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(MaxUnpool):
    positions = 1
    function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(MaxUnpool):
    positions = 2
    function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(MaxUnpool):
    positions = 3
    function = staticmethod(F.max_unpool3d)
