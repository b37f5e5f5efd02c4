"""Modified Bessel functions of the first kind, of orders 0 and 1.

Up to |x| = 8 the power series sum of (x^2/4)^k / (k! (k+n)!), whose terms are all positive; beyond,
sqrt(x) exp(-x) I_n(x) is a smooth function of 1/x and is interpolated by a Chebyshev series (Clenshaw 1955).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.dtype import float64
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import get_default_dtype

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

SWITCH = 8.0  # where the series gives way to the interpolation
TERMS = 27  # 16^27 / (27!)^2 < 1e-21
DEGREE = 24


class Bessel(TensorBase):
    __slots__ = ()

    def i0(self) -> Tensor:
        """I_0 of each element."""
        return wrap(_bessel(self, 0, scaled=False))


@cache
def _far_series(order: int) -> tuple[float, ...]:
    """Chebyshev coefficients of sqrt(x) exp(-x) I_n(x) over t = 2 * SWITCH / x - 1; the function's own values come
    from its integral (1 / pi) int_0^pi exp(x (cos a - 1)) cos(n a) da, by a rule that is exact to rounding."""
    angles = np.linspace(0, np.pi, 4097)
    weights = np.full(angles.shape, 1 / 4096)
    weights[[0, -1]] /= 2

    def sample(t: Any) -> Any:
        x = 2 * SWITCH / (t + 1)
        values = np.exp(x[:, None] * (np.cos(angles) - 1)) * np.cos(order * angles)
        return np.sqrt(x) * (values @ weights)

    return tuple(float(c) for c in np.polynomial.chebyshev.chebinterpolate(sample, DEGREE))


def _near(x: Node, order: int) -> Node:
    """The power series, from its last term inwards."""
    z = build.scale(build.mul(x, x), 0.25)
    total = build.like(x, 1)
    for k in range(TERMS, 0, -1):
        total = build.shift(build.scale(build.mul(z, total), 1 / (k * (k + order))), 1)
    return build.mul(total, build.scale(x, 0.5)) if order else total


def _far(magnitude: Node, order: int) -> Node:
    """sqrt(x) exp(-x) I_n(x) for x >= SWITCH."""
    t = build.shift(build.div(build.like(magnitude, 2 * SWITCH), magnitude), -1)
    last, before = build.like(t, 0), build.like(t, 0)
    coefficients = _far_series(order)
    for c in reversed(coefficients[1:]):
        last, before = build.shift(build.sub(build.scale(build.mul(t, last), 2), before), c), last
    return build.shift(build.sub(build.mul(t, last), before), coefficients[0])


def _bessel(tensor: TensorBase, order: int, scaled: bool) -> Node:
    """I_n(x), or exp(-|x|) I_n(x) where `scaled`."""
    dtype = tensor.dtype if tensor.dtype.is_floating_point else get_default_dtype()
    x = build.cast(tensor.node, dtype if dtype is float64 else dtype.compute)
    magnitude = build.pointwise(ops.ABS, x)
    edge = build.like(x, SWITCH)
    close = build.pointwise(ops.LE, magnitude, edge)
    inside = build.where(close, x, build.like(x, 0))  # each branch sees only what it is made for
    outside = build.where(close, edge, magnitude)
    near = _near(inside, order)
    far = build.div(_far(outside, order), build.pointwise(ops.SQRT, outside))
    if order:
        far = build.mul(far, build.cast(build.pointwise(ops.SIGN, x), far.dtype))
    if scaled:
        near = build.mul(near, build.pointwise(ops.EXP, build.neg(build.pointwise(ops.ABS, inside))))
    else:
        half = build.pointwise(ops.EXP, build.scale(outside, 0.5))  # exp(x) may overflow where I_n(x) doesn't
        far = build.mul(build.mul(far, half), half)
    return build.cast(build.where(close, near, far), dtype)


def i0e(input: Tensor) -> Tensor:
    """exp(-|x|) I_0(x)."""
    return wrap(_bessel(input, 0, scaled=True))


def i1(input: Tensor) -> Tensor:
    """I_1(x)."""
    return wrap(_bessel(input, 1, scaled=False))


def i1e(input: Tensor) -> Tensor:
    """exp(-|x|) I_1(x)."""
    return wrap(_bessel(input, 1, scaled=True))


__all__ = ["Bessel", "i0e", "i1", "i1e"]
