"""Activations as modules; see the functions of the same names in nn.functional."""

from __future__ import annotations

from typing import Any

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.nn import functional as F
from lazygrad.nn import init
from lazygrad.nn.module import Module
from lazygrad.nn.modules.arguments import FunctionModule
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import empty

INPLACE: dict[str, Any] = {"inplace": False}


class ReLU(FunctionModule):
    arguments = INPLACE
    function = staticmethod(F.relu)


class ReLU6(FunctionModule):
    arguments = INPLACE
    function = staticmethod(F.relu6)


class GELU(FunctionModule):
    arguments = {"approximate": "none"}
    function = staticmethod(F.gelu)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(FunctionModule):
    arguments = INPLACE
    function = staticmethod(F.silu)


class Mish(FunctionModule):
    arguments = INPLACE
    function = staticmethod(F.mish)


class ELU(FunctionModule):
    arguments = {"alpha": 1.0, "inplace": False}
    function = staticmethod(F.elu)


class SELU(FunctionModule):
    arguments = INPLACE
    function = staticmethod(F.selu)


class CELU(FunctionModule):
    arguments = {"alpha": 1.0, "inplace": False}
    function = staticmethod(F.celu)


class LeakyReLU(FunctionModule):
    arguments = {"negative_slope": 0.01, "inplace": False}
    function = staticmethod(F.leaky_relu)


class RReLU(FunctionModule):
    arguments = {"lower": 1.0 / 8, "upper": 1.0 / 3, "inplace": False}
    function = staticmethod(F.rrelu)

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Hardtanh(FunctionModule):
    arguments = {"min_val": -1.0, "max_val": 1.0, "inplace": False}
    function = staticmethod(F.hardtanh)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.max_val <= self.min_val:
            raise AssertionError("max_val must be larger than min_val")


class Hardsigmoid(FunctionModule):
    arguments = INPLACE
    shown = ()
    function = staticmethod(F.hardsigmoid)


class Hardswish(FunctionModule):
    arguments = INPLACE
    shown = ()
    function = staticmethod(F.hardswish)


class Hardshrink(FunctionModule):
    arguments = {"lambd": 0.5}
    function = staticmethod(F.hardshrink)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Hardshrink):
    function = staticmethod(F.softshrink)


class Tanhshrink(FunctionModule):
    function = staticmethod(F.tanhshrink)


class Softsign(FunctionModule):
    function = staticmethod(F.softsign)


class Softplus(FunctionModule):
    arguments = {"beta": 1.0, "threshold": 20.0}
    function = staticmethod(F.softplus)


class LogSigmoid(FunctionModule):
    function = staticmethod(F.logsigmoid)


class Sigmoid(FunctionModule):
    function = staticmethod(F.sigmoid)


class Tanh(FunctionModule):
    function = staticmethod(F.tanh)


class Threshold(FunctionModule):
    arguments = {"threshold": ..., "value": ..., "inplace": False}
    function = staticmethod(F.threshold)


class GLU(FunctionModule):
    arguments = {"dim": -1}
    function = staticmethod(F.glu)


class Softmax(FunctionModule):
    arguments = {"dim": None}
    function = staticmethod(F.softmax)


class Softmin(FunctionModule):
    arguments = {"dim": None}
    function = staticmethod(F.softmin)


class LogSoftmax(FunctionModule):
    arguments = {"dim": None}
    function = staticmethod(F.log_softmax)


class Softmax2d(FunctionModule):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(at_user_line(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead"))
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
