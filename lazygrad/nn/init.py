"""Initial values, written in place without gradients, with torch.nn.init's names and distributions."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lazygrad.dtype import float32, float64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor import random
from lazygrad.tensor.core import grad_mode, wrap
from lazygrad.tensor.creation import from_array

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Generator = random.Generator | None


def _put(tensor: Tensor, node: Node) -> Tensor:
    with grad_mode(False):
        return tensor._write(build.expand(build.cast(node, tensor.dtype), tensor.node.shape))


def _source(tensor: Tensor, generator: Generator) -> random.Generator:
    return generator or random.default_generator(tensor.device)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator = None) -> Tensor:
    """Uniform on [a, b)."""
    draw = random.uniform(tensor.node.shape, tensor.dtype.compute, _source(tensor, generator))
    return _put(tensor, build.shift(build.scale(draw, b - a), a))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    draw = random.normal(tensor.node.shape, tensor.dtype.compute, _source(tensor, generator))
    return _put(tensor, build.shift(build.scale(draw, std), mean))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator = None,
) -> Tensor:
    """Normal, cut off outside [a, b]: the inverse of the normal's distribution function on uniform
    numbers."""
    low, high = (math.erf((bound - mean) / std * math.sqrt(0.5)) for bound in (a, b))
    draw = random.uniform(tensor.node.shape, tensor.dtype.compute, _source(tensor, generator))
    # (0, 1): erfinv is infinite at the ends
    centred = build.shift(build.scale(draw, 1 - 2**-23), 2**-24)
    z = build.pointwise(ops.ERFINV, build.shift(build.scale(centred, high - low), low))
    value = build.shift(build.scale(z, std * math.sqrt(2)), mean)
    limited = build.pointwise(ops.MAXIMUM, value, build.like(value, a))
    return _put(tensor, build.pointwise(ops.MINIMUM, limited, build.like(value, b)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    return _put(tensor, build.const(val, tensor.dtype, tensor.device))


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0)


def _diagonal(rows: int, columns: int, like: Node) -> Node:
    here = build.reshape(build.iota(rows, like.device), (rows, 1))
    there = build.reshape(build.iota(columns, like.device), (1, columns))
    return build.cast(build.equal(here, there), like.dtype)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal. ValueError unless two-dimensional."""
    if tensor.ndim != 2:
        raise ValueError(at_user_line("Only tensors with 2 dimensions are supported"))
    rows, columns = tensor.node.shape
    return _put(tensor, _diagonal(rows, columns, tensor.node))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity of a convolution: as many inputs passed through as there are outputs."""
    shape = tensor.node.shape
    if len(shape) not in (3, 4, 5):
        raise ValueError(at_user_line("Only tensors with 3, 4, or 5 dimensions are supported"))
    if shape[0] % groups:
        raise ValueError(at_user_line("dim 0 must be divisible by groups"))
    per_group = shape[0] // groups
    node = _diagonal(per_group, shape[1], tensor.node)
    node = build.reshape(
        build.expand(build.reshape(node, (1, per_group, shape[1])), (groups, per_group, shape[1])), shape[:2]
    )
    node = build.reshape(node, (*shape[:2], *[1] * (len(shape) - 2)))
    widths = [(0, 0), (0, 0), *((n // 2, n - n // 2 - 1) for n in shape[2:])]
    return _put(tensor, build.pad(node, widths))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(inputs, outputs) of one element of the result: kernel positions count as inputs and outputs."""
    shape = tensor.node.shape
    if len(shape) < 2:
        raise ValueError(at_user_line("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"))
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = _fans  # torch's name, which programs import


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(at_user_line(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']"))
    return _fans(tensor)[mode == "fan_out"]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps variance through a nonlinearity. ValueError for an unknown one."""
    if nonlinearity in ("linear", "conv1d", "conv2d", "conv3d", "sigmoid") or nonlinearity.startswith("conv_transpose"):
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        raise ValueError(at_user_line(f"Unsupported nonlinearity {nonlinearity}"))
    return gains[nonlinearity]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Glorot & Bengio 2010: variance 2 / (fan in + fan out)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """As xavier_uniform_, normally distributed."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """He et al. 2015: variance gain^2 / fan."""
    if 0 in tensor.node.shape:
        return tensor
    bound = math.sqrt(3.0 / _fan(tensor, mode)) * calculate_gain(nonlinearity, a)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """As kaiming_uniform_, normally distributed."""
    if 0 in tensor.node.shape:
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator = None) -> Tensor:
    """Saxe et al. 2013: a (semi-)orthogonal matrix, by LAPACK's QR on the host: it is small and made once."""
    if tensor.ndim < 2:
        raise ValueError(at_user_line("Only tensors with 2 or more dimensions are supported"))
    shape = tensor.node.shape
    rows, columns = shape[0], math.prod(shape[1:])
    long, short = max(rows, columns), min(rows, columns)
    draw = random.normal((long, short), float64, _source(tensor, generator))
    basis = np.linalg.qr(wrap(draw).numpy(force=True))
    q = basis.Q * np.sign(np.diagonal(basis.R))
    values = np.ascontiguousarray((q if rows >= columns else q.T).reshape(shape) * gain)
    return _put(tensor, build.cast(from_array(values, tensor.device, float64), tensor.dtype))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator = None) -> Tensor:
    """Normal, with a share of each column set to 0 (Martens 2010). ValueError unless two-dimensional."""
    if tensor.ndim != 2:
        raise ValueError(at_user_line("Only tensors with 2 dimensions are supported"))
    rows, columns = tensor.node.shape
    normal_(tensor, 0, std, generator)
    order = random.uniform((rows, columns), float32, _source(tensor, generator))
    rank = build.argsort(build.argsort(order, 0), 0)
    dropped = build.less(rank, build.like(rank, math.ceil(sparsity * rows)))
    return _put(tensor, build.where(dropped, build.like(tensor.node, 0), build.detach(tensor.node)))


def _older(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    name = function.__name__.removesuffix("_")

    @functools.wraps(function)
    def older(*args: object, **kwargs: object) -> Tensor:
        warnings.warn(f"nn.init.{name} is deprecated, use nn.init.{name}_", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    older.__name__ = name
    return older


uniform, normal, constant, eye, dirac = (_older(f) for f in (uniform_, normal_, constant_, eye_, dirac_))
xavier_uniform, xavier_normal, orthogonal = (_older(f) for f in (xavier_uniform_, xavier_normal_, orthogonal_))
kaiming_uniform, kaiming_normal, sparse = (_older(f) for f in (kaiming_uniform_, kaiming_normal_, sparse_))
