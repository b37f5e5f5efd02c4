"""The gamma function's family: lgamma's kin of several dimensions, polygamma, the incomplete functions, zeta."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import check_operands, device_of, float_type, node_of

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Operand = Any  # a Tensor or a Python number


class Gamma(TensorBase):
    __slots__ = ()

    def mvlgamma(self, p: int) -> Tensor:
        """The multivariate log-gamma function of dimension p. RuntimeError for p < 1."""
        if p < 1:
            raise RuntimeError(at_user_line(f"p has to be greater than or equal to 1, got {p}"))
        total: Any = self.mul(0).add(p * (p - 1) / 4 * math.log(math.pi))
        for i in range(p):
            total = total.add(self.sub(i / 2).lgamma())
        return total

    def polygamma(self, n: int) -> Tensor:
        """The n-th derivative of digamma. RuntimeError for n < 0."""
        if n < 0:
            raise RuntimeError(at_user_line("polygamma(n, x) does not support negative n."))
        if n == 0:
            return self.digamma()
        dtype = float_type(self)
        return wrap(build.pointwise(ops.POLYGAMMA, build.cast(self.node, dtype), arg=n))

    def igamma(self, other: Tensor) -> Tensor:
        """The regularized lower incomplete gamma function P(self, other); NaN where one is negative. Gradients flow to
        `other` only, as in torch."""
        return _of_pairs(ops.IGAMMA, self, other)

    def igammac(self, other: Tensor) -> Tensor:
        """The regularized upper incomplete gamma function Q = 1 - P."""
        return _of_pairs(ops.IGAMMAC, self, other)


def _of_pairs(op: ops.Op, a: Operand, b: Operand) -> Tensor:
    name = op.name.lower()
    check_operands(name, (a, b))
    dtype, device = float_type(a, b), device_of((a, b))
    left, right = (node_of(x, dtype.compute, device, name) for x in (a, b))
    return wrap(build.cast(build.of_pairs(op, left, right), dtype))


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma at input."""
    return input.polygamma(n)


def zeta(input: Operand, other: Operand) -> Tensor:
    """Hurwitz's zeta function: the sum over k >= 0 of (other + k) ** -input, for input > 1. Gradients flow to `other`
    only, as in torch."""
    return _of_pairs(ops.ZETA, input, other)


__all__ = ["Gamma", "polygamma", "zeta"]
