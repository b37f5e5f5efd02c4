"""Activations as modules; see the functions of the same names in nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from lazygrad.dtype import DType
from lazygrad.nn import functional as F
from lazygrad.nn import init
from lazygrad.nn.module import Module
from lazygrad.nn.modules.arguments import WithArguments
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import empty

INPLACE: dict[str, Any] = {"inplace": False}


class Activation(WithArguments):
    """A function of one tensor and the module's arguments."""

    function: ClassVar[Callable[..., Tensor]]

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, **self._values())


class ReLU(Activation):
    arguments = INPLACE
    function = staticmethod(F.relu)


class ReLU6(Activation):
    arguments = INPLACE
    function = staticmethod(F.relu6)


class GELU(Activation):
    arguments = {"approximate": "none"}
    function = staticmethod(F.gelu)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Activation):
    arguments = INPLACE
    function = staticmethod(F.silu)


class Mish(Activation):
    arguments = INPLACE
    function = staticmethod(F.mish)


class ELU(Activation):
    arguments = {"alpha": 1.0, "inplace": False}
    function = staticmethod(F.elu)


class SELU(Activation):
    arguments = INPLACE
    function = staticmethod(F.selu)


class CELU(Activation):
    arguments = {"alpha": 1.0, "inplace": False}
    function = staticmethod(F.celu)


class LeakyReLU(Activation):
    arguments = {"negative_slope": 0.01, "inplace": False}
    function = staticmethod(F.leaky_relu)


class RReLU(Activation):
    arguments = {"lower": 1.0 / 8, "upper": 1.0 / 3, "inplace": False}
    function = staticmethod(F.rrelu)

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Hardtanh(Activation):
    arguments = {"min_val": -1.0, "max_val": 1.0, "inplace": False}
    function = staticmethod(F.hardtanh)


class Hardsigmoid(Activation):
    arguments = INPLACE
    shown = ()
    function = staticmethod(F.hardsigmoid)


class Hardswish(Activation):
    arguments = INPLACE
    shown = ()
    function = staticmethod(F.hardswish)


class Hardshrink(Activation):
    arguments = {"lambd": 0.5}
    function = staticmethod(F.hardshrink)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Hardshrink):
    function = staticmethod(F.softshrink)


class Tanhshrink(Activation):
    function = staticmethod(F.tanhshrink)


class Softsign(Activation):
    function = staticmethod(F.softsign)


class Softplus(Activation):
    arguments = {"beta": 1.0, "threshold": 20.0}
    function = staticmethod(F.softplus)


class LogSigmoid(Activation):
    function = staticmethod(F.logsigmoid)


class Sigmoid(Activation):
    function = staticmethod(F.sigmoid)


class Tanh(Activation):
    function = staticmethod(F.tanh)


class Threshold(Activation):
    arguments = {"threshold": ..., "value": ..., "inplace": False}
    function = staticmethod(F.threshold)


class GLU(Activation):
    arguments = {"dim": -1}
    function = staticmethod(F.glu)


class Softmax(Activation):
    arguments = {"dim": None}
    function = staticmethod(F.softmax)


class Softmin(Activation):
    arguments = {"dim": None}
    function = staticmethod(F.softmin)


class LogSoftmax(Activation):
    arguments = {"dim": None}
    function = staticmethod(F.log_softmax)


class Softmax2d(Activation):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, -3)


class PReLU(Module):
    """x where positive, else a learned weight times x; one weight, or one a channel."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
