"""Activations: each takes a tensor, returns one of its shape and dtype. `inplace=True` also writes it
back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import float32
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import normalize_axis
from lazygrad.tensor import random
from lazygrad.tensor.autocast import autocast_operands, float32_operands
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.dtype import DType
    from lazygrad.tensor import Tensor


def _apply(formula: Callable[[Node], Node], input: Tensor, inplace: bool = False) -> Tensor:
    result = library.activation(formula, input.node)
    return input._write(result) if inplace else wrap(result)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x)."""
    return _apply(library.relu, input, inplace)


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def inplace(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)

    inplace.__name__ = function.__name__ + "_"
    inplace.__doc__ = f"{function.__name__}, written into the input."
    return inplace


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(0, x), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x); approximate="tanh" for the approximation that GPT-2 was trained with."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(at_user_line("approximate argument must be either none or tanh."))
    return _apply(library.gelu_tanh if approximate == "tanh" else library.gelu, input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return _apply(library.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return _apply(library.mish, input, inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1)."""
    return _apply(lambda x: library.elu(x, alpha), input, inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    return _apply(library.selu, input, inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x / alpha) - 1). RuntimeError for an alpha of 0."""
    if alpha == 0:
        raise RuntimeError(at_user_line("ZeroDivisionError: alpha cannot be 0 for CELU"))
    return _apply(lambda x: library.celu(x, alpha), input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope * x."""
    return _apply(lambda x: library.leaky_relu(x, negative_slope), input, inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight * x; weight has one element or one a channel (dimension 1 of 2 or more)."""
    node, slope = autocast_operands(input.node, weight.node, name="prelu")
    channels = node.shape[1] if node.ndim > 1 else 1
    if slope.numel not in (1, channels):
        raise RuntimeError(
            at_user_line(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{slope.numel} and channel size = {channels}."
            )
        )
    slope = slope if slope.numel > 1 else build.reshape(slope, ())
    return wrap(library.activation(lambda x: library.prelu(x, build.cast(slope, x.dtype)), node))


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """leaky_relu with a random slope in [lower, upper] while training, their mean otherwise."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    draw = random.uniform(input.node.shape, float32, random.default_generator(input.device))
    slope = build.shift(build.scale(draw, upper - lower), lower)

    def formula(x: Node) -> Node:
        positive = build.less(build.like(x, 0), x)
        return build.where(positive, x, build.mul(build.cast(slope, x.dtype), x))

    return _apply(formula, input, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]."""
    return _apply(lambda x: library.hardtanh(x, min_val, max_val), input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    return _apply(library.hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    return _apply(library.hardswish, input, inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    return _apply(lambda x: library.hardshrink(x, lambd), input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x brought nearer to 0 by lambd, 0 within it. RuntimeError for a negative one."""
    if lambd < 0:
        raise RuntimeError(at_user_line(f"softshrink: lambda must be 0 or more, but found {lambd}"))
    return _apply(lambda x: library.softshrink(x, lambd), input)


def tanhshrink(input: Tensor) -> Tensor:
    return _apply(library.tanhshrink, input)


def softsign(input: Tensor) -> Tensor:
    return _apply(library.softsign, input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, x itself where beta * x > threshold."""
    (node,) = float32_operands("softplus", input.node)
    return wrap(library.activation(lambda x: library.softplus(x, beta, threshold), node))


def logsigmoid(input: Tensor) -> Tensor:
    return _apply(library.logsigmoid, input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    return _apply(lambda x: library.threshold(x, threshold, value), input, inplace)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along dim times the sigmoid of the second. RuntimeError for an odd size and for 0 dimensions."""
    if not input.ndim:
        raise RuntimeError(at_user_line("glu does not support scalars because halving size must be even"))
    return wrap(library.glu(input.node, dim))


def sigmoid(input: Tensor) -> Tensor:
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    return input.tanh()


def _softmax_axis(dim: int | None, ndim: int) -> int:
    """torch's rule where dim is left out: 0 for 0, 1 and 3 dimensions, else 1."""
    return (0 if ndim in (0, 1, 3) else 1) if dim is None else dim


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along dim."""
    (node,) = float32_operands("softmax", input.node)
    return wrap(library.softmax(node, _softmax_axis(dim, node.ndim), dtype))


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """softmax(-x)."""
    (node,) = float32_operands("softmin", input.node)
    return wrap(library.softmax(build.neg(node), _softmax_axis(dim, node.ndim), dtype))


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """log(softmax(x)) along dim."""
    (node,) = float32_operands("log_softmax", input.node)
    return wrap(library.log_softmax(node, _softmax_axis(dim, node.ndim), dtype))


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """softmax((logits + Gumbel noise) / tau); hard: one-hot forward, the soft gradient backward."""
    node = logits.node
    draw = random.uniform(node.shape, float32, random.default_generator(node.device))
    u = build.cast(build.shift(build.scale(draw, 1 - 2**-24), 2**-25), node.dtype)
    gumbel = build.neg(build.pointwise(ops.LOG, build.neg(build.pointwise(ops.LOG, u))))
    axis = normalize_axis(dim, node.ndim)
    soft = library.softmax(build.scale(build.add(node, gumbel), 1 / tau), axis)
    if not hard:
        return wrap(soft)
    place = build.reduce(ops.ARGMAX, soft, (axis,))
    lead = tuple(n if i == axis else 1 for i, n in enumerate(node.shape))
    here = build.reshape(build.iota(node.shape[axis], node.device), lead)
    chosen = build.cast(build.equal(here, place), soft.dtype)
    return wrap(build.add(build.sub(chosen, build.detach(soft)), soft))


relu_, elu_, selu_, celu_ = (_in_place(f) for f in (relu, elu, selu, celu))
leaky_relu_, rrelu_, hardtanh_, threshold_ = (_in_place(f) for f in (leaky_relu, rrelu, hardtanh, threshold))
