"""Powers, in every mix of tensors and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_, float64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import check_operands, device_of, is_scalar, node_of, result_type

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Operand = Any  # a Tensor or a Python number


def power(input: Operand, exponent: Operand) -> Tensor:
    """input ** exponent; either may be a number."""
    if is_scalar(exponent) and not is_scalar(input):
        return wrap(_power_by_number(input, exponent))
    check_operands("pow", (input, exponent))
    dtype, device = result_type(input, exponent), device_of((input, exponent))
    if dtype is bool_:
        raise NotImplementedError(at_user_line("\"pow\" not implemented for 'Bool'"))
    base, by = node_of(input, dtype, device), node_of(exponent, dtype, device)
    return wrap(_whole_power(base, by) if dtype.is_integer and dtype.is_signed else build.pointwise(ops.POW, base, by))


def _whole_power(base: Node, exponent: Node) -> Node:
    """base ** exponent of signed integers; 1 / base ** -exponent is 1 or -1 for the bases 1 and -1, else nearly 0."""
    zero, one, minus_one = (build.like(exponent, n) for n in (0, 1, -1))
    positive = build.pointwise(ops.POW, base, build.pointwise(ops.MAXIMUM, exponent, zero))
    odd = build.equal(build.pointwise(ops.AND, exponent, one), one)
    reciprocal = build.where(build.equal(base, minus_one), build.where(odd, minus_one, one), zero)
    reciprocal = build.where(build.equal(base, one), one, reciprocal)
    return build.where(build.less(exponent, zero), reciprocal, positive)


def _power_by_number(base: TensorBase, exponent: float) -> Node:
    dtype = result_type(base, exponent)
    node = build.cast(base.node, dtype)
    if not dtype.is_floating_point and exponent < 0:
        raise RuntimeError(at_user_line("Integers to negative integer powers are not allowed."))
    if exponent == 0:  # ones, which autograd knows to be constant in the base
        return build.shift(build.scale(build.pointwise(ops.SIGN, node), 0), 1)
    if exponent == 1:
        return node
    if exponent == 2:
        return build.mul(node, node)
    if exponent == 3:
        return build.mul(build.mul(node, node), node)
    if dtype.is_floating_point:
        if exponent == 0.5:
            return build.pointwise(ops.SQRT, node)
        if exponent == -0.5:
            return build.pointwise(ops.RSQRT, node)
        if exponent == -1:
            return build.pointwise(ops.RECIPROCAL, node)
    return build.pointwise(ops.POW, node, build.like(node, exponent))


def float_power(input: Operand, exponent: Operand) -> Tensor:
    """input ** exponent in float64."""
    device = device_of((input, exponent))
    return wrap(build.pointwise(ops.POW, node_of(input, float64, device), node_of(exponent, float64, device)))


__all__ = ["float_power", "power"]
