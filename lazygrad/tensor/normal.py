"""Functions of the normal distribution: ndtr, its logarithm and inverse, and erfc scaled to stay in range."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.library import activation, square, unary
from lazygrad.ir.node import Node
from lazygrad.tensor.core import wrap
from lazygrad.tensor.promote import float_type

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

FAR = 4.0  # where erfc has few digits left, and the continued fraction has found its value after
TERMS = 12  # terms: its error is about exp(-2 * FAR * sqrt(2 * TERMS))


def ndtr(input: Tensor) -> Tensor:
    """The distribution function of the standard normal."""
    return input.to(float_type(input)).mul(-math.sqrt(0.5)).erfc().div(2)


def ndtri(input: Tensor) -> Tensor:
    """The inverse of ndtr."""
    return input.to(float_type(input)).mul(2).sub(1).erfinv().mul(math.sqrt(2))


def log_ndtr(input: Tensor) -> Tensor:
    """log(ndtr(x)), also where ndtr(x) is too small for a number."""
    return wrap(activation(_log_ndtr, build.cast(input.node, float_type(input))))


def erfcx(input: Tensor) -> Tensor:
    """exp(x^2) erfc(x), for large x where the factors are out of range."""
    return wrap(activation(_erfcx, build.cast(input.node, float_type(input))))


def _erfcx(x: Node) -> Node:
    """The product itself below FAR, Laplace's continued fraction above; each branch sees only what it is made for."""
    edge = build.like(x, FAR)
    far = build.pointwise(ops.LE, edge, x)
    near, large = build.where(far, edge, x), build.where(far, x, edge)
    product = build.mul(unary(ops.EXP, square(near)), unary(ops.ERFC, near))
    fraction = large
    for k in range(TERMS, 0, -1):
        fraction = build.add(large, build.div(build.like(x, k / 2), fraction))
    return build.where(far, build.scale(unary(ops.RECIPROCAL, fraction), 1 / math.sqrt(math.pi)), product)


def _log_ndtr(x: Node) -> Node:
    edge = build.like(x, -1)
    low = build.less(x, edge)
    tail, rest = build.where(low, x, edge), build.where(low, edge, x)
    below = unary(ops.LOG, build.scale(_erfcx(build.scale(tail, -math.sqrt(0.5))), 0.5))
    above = unary(ops.LOG1P, build.scale(unary(ops.ERFC, build.scale(rest, math.sqrt(0.5))), -0.5))
    return build.where(low, build.sub(below, build.scale(square(tail), 0.5)), above)


__all__ = ["erfcx", "log_ndtr", "ndtr", "ndtri"]
