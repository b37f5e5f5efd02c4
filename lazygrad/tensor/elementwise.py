"""Pointwise methods. Shapes broadcast; dtypes promote as torch.result_type says; errors are raised here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.power import power
from lazygrad.tensor.promote import (
    check_no_bools,
    comparison,
    device_of,
    float_pointwise,
    integer_pointwise,
    node_of,
    pointwise,
    result_type,
    to_bool,
)

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Operand = Any  # a Tensor or a Python number


class Elementwise(TensorBase):
    __slots__ = ()

    # -- arithmetic
    def add(self, other: Operand, *, alpha: float = 1) -> Tensor:
        """self + alpha * other."""
        if alpha != 1:
            other = _scaled(self, other, alpha)
        node = pointwise(ops.OR if _both_bool(self, other) else ops.ADD, self, other)
        return wrap(node)

    def sub(self, other: Operand, *, alpha: float = 1) -> Tensor:
        """self - alpha * other. RuntimeError for bools."""
        check_no_bools(self, other)
        return wrap(pointwise(ops.SUB, self, _scaled(self, other, alpha) if alpha != 1 else other))

    def rsub(self, other: Operand) -> Tensor:
        """other - self. RuntimeError for bools."""
        check_no_bools(self, other)
        return wrap(pointwise(ops.SUB, other, self))

    def mul(self, other: Operand) -> Tensor:
        """self * other; logical and for two bools."""
        return wrap(pointwise(ops.AND if _both_bool(self, other) else ops.MUL, self, other))

    def div(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """self / other in floating point; rounding_mode "floor" or "trunc" keep integers integers."""
        if rounding_mode is None:
            return wrap(float_pointwise(ops.DIV, self, other))
        if rounding_mode == "floor":
            return self.floor_divide(other)
        if rounding_mode != "trunc":
            raise RuntimeError(
                at_user_line(
                    f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
                )
            )
        if result_type(self, other).is_floating_point:
            return wrap(build.pointwise(ops.TRUNC, float_pointwise(ops.DIV, self, other)))
        return wrap(pointwise(ops.TRUNCDIV, self, other))

    def floor_divide(self, other: Operand) -> Tensor:
        """The quotient rounded toward minus infinity."""
        return wrap(pointwise(ops.FLOORDIV, self, other))

    def remainder(self, other: Operand) -> Tensor:
        """Python's %: the result has the divisor's sign."""
        return wrap(pointwise(ops.REMAINDER, self, other))

    def fmod(self, other: Operand) -> Tensor:
        """C's fmod: the result has the dividend's sign."""
        return wrap(pointwise(ops.FMOD, self, other))

    def pow(self, exponent: Operand) -> Tensor:
        """self ** exponent. RuntimeError for integers to a negative whole number; to tensors of them, they are rounded
        toward 0."""
        return power(self, exponent)

    def neg(self) -> Tensor:
        if self.dtype is bool_:
            raise RuntimeError(
                at_user_line(
                    "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
                    "mask, use the `~` or `logical_not()` operator instead."
                )
            )
        return wrap(build.neg(self.node))

    def abs(self) -> Tensor:
        return wrap(build.pointwise(ops.ABS, self.node))

    def sign(self) -> Tensor:
        return wrap(self.node if self.dtype is bool_ else build.pointwise(ops.SIGN, self.node))

    def square(self) -> Tensor:
        return self.pow(2)

    def reciprocal(self) -> Tensor:
        return wrap(float_pointwise(ops.RECIPROCAL, self))

    # -- exponentials, roots, trigonometry: integers become the default dtype
    def exp(self) -> Tensor:
        return wrap(float_pointwise(ops.EXP, self))

    def exp2(self) -> Tensor:
        return wrap(float_pointwise(ops.EXP2, self))

    def expm1(self) -> Tensor:
        return wrap(float_pointwise(ops.EXPM1, self))

    def log(self) -> Tensor:
        return wrap(float_pointwise(ops.LOG, self))

    def log2(self) -> Tensor:
        return wrap(float_pointwise(ops.LOG2, self))

    def log10(self) -> Tensor:
        return wrap(float_pointwise(ops.LOG10, self))

    def log1p(self) -> Tensor:
        return wrap(float_pointwise(ops.LOG1P, self))

    def sqrt(self) -> Tensor:
        return wrap(float_pointwise(ops.SQRT, self))

    def rsqrt(self) -> Tensor:
        return wrap(float_pointwise(ops.RSQRT, self))

    def sin(self) -> Tensor:
        return wrap(float_pointwise(ops.SIN, self))

    def cos(self) -> Tensor:
        return wrap(float_pointwise(ops.COS, self))

    def tan(self) -> Tensor:
        return wrap(float_pointwise(ops.TAN, self))

    def asin(self) -> Tensor:
        return wrap(float_pointwise(ops.ASIN, self))

    def acos(self) -> Tensor:
        return wrap(float_pointwise(ops.ACOS, self))

    def atan(self) -> Tensor:
        return wrap(float_pointwise(ops.ATAN, self))

    def sinh(self) -> Tensor:
        return wrap(float_pointwise(ops.SINH, self))

    def cosh(self) -> Tensor:
        return wrap(float_pointwise(ops.COSH, self))

    def tanh(self) -> Tensor:
        return wrap(float_pointwise(ops.TANH, self))

    def asinh(self) -> Tensor:
        return wrap(float_pointwise(ops.ASINH, self))

    def acosh(self) -> Tensor:
        return wrap(float_pointwise(ops.ACOSH, self))

    def atanh(self) -> Tensor:
        return wrap(float_pointwise(ops.ATANH, self))

    def erf(self) -> Tensor:
        return wrap(float_pointwise(ops.ERF, self))

    def erfc(self) -> Tensor:
        return wrap(float_pointwise(ops.ERFC, self))

    def erfinv(self) -> Tensor:
        return wrap(float_pointwise(ops.ERFINV, self))

    def lgamma(self) -> Tensor:
        return wrap(float_pointwise(ops.LGAMMA, self))

    def digamma(self) -> Tensor:
        return wrap(float_pointwise(ops.DIGAMMA, self))

    def sigmoid(self) -> Tensor:
        return wrap(float_pointwise(ops.SIGMOID, self))

    def atan2(self, other: Operand) -> Tensor:
        return wrap(float_pointwise(ops.ATAN2, self, other))

    def hypot(self, other: Operand) -> Tensor:
        return wrap(float_pointwise(ops.HYPOT, self, other))

    def copysign(self, other: Operand) -> Tensor:
        return wrap(float_pointwise(ops.COPYSIGN, self, other))

    # -- rounding: integers are already whole
    def floor(self) -> Tensor:
        return wrap(_rounded(ops.FLOOR, self))

    def ceil(self) -> Tensor:
        return wrap(_rounded(ops.CEIL, self))

    def trunc(self) -> Tensor:
        return wrap(_rounded(ops.TRUNC, self))

    def round(self, *, decimals: int = 0) -> Tensor:
        """To the nearest, halves to even."""
        if not decimals:
            return wrap(_rounded(ops.ROUND, self))
        return self.mul(10.0**decimals).round().div(10.0**decimals)

    # -- comparison
    def lt(self, other: Operand) -> Tensor:
        return wrap(comparison(ops.LT, self, other))

    def le(self, other: Operand) -> Tensor:
        return wrap(comparison(ops.LE, self, other))

    def gt(self, other: Operand) -> Tensor:
        return wrap(comparison(ops.LT, other, self))

    def ge(self, other: Operand) -> Tensor:
        return wrap(comparison(ops.LE, other, self))

    def eq(self, other: Operand) -> Tensor:
        return wrap(comparison(ops.EQ, self, other))

    def ne(self, other: Operand) -> Tensor:
        return wrap(comparison(ops.NE, self, other))

    def maximum(self, other: Operand) -> Tensor:
        """The larger of each pair; NaN wins."""
        return wrap(pointwise(ops.MAXIMUM, self, other))

    def minimum(self, other: Operand) -> Tensor:
        """The smaller of each pair; NaN wins."""
        return wrap(pointwise(ops.MINIMUM, self, other))

    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """max(min(self, max), min); bounds are numbers or tensors. RuntimeError where both are None."""
        if min is None and max is None:
            raise RuntimeError(at_user_line("torch.clamp: At least one of 'min' or 'max' must not be None"))
        result: Any = self
        given = [b for b in (min, max) if b is not None]
        dtype, device = result_type(self, *given), device_of((self, *given))
        node = build.cast(result.node, dtype)
        if min is not None:
            node = _bounded(ops.MAXIMUM, node, min, device)
        if max is not None:
            node = _bounded(ops.MINIMUM, node, max, device)
        return wrap(node)

    def isnan(self) -> Tensor:
        node = self.node
        return wrap(
            build.pointwise(ops.ISNAN, node)
            if node.dtype.is_floating_point
            else build.const(False, bool_, node.device, node.shape)
        )

    def isinf(self) -> Tensor:
        return self.abs().eq(math.inf)

    def isfinite(self) -> Tensor:
        return self.abs().lt(math.inf)

    # -- logic and bits
    def logical_not(self) -> Tensor:
        return wrap(build.logical_not(to_bool(self)))

    def logical_and(self, other: Tensor) -> Tensor:
        check_tensor(other, "logical_and", "other")
        return wrap(build.pointwise(ops.AND, to_bool(self), to_bool(other)))

    def logical_or(self, other: Tensor) -> Tensor:
        check_tensor(other, "logical_or", "other")
        return wrap(build.pointwise(ops.OR, to_bool(self), to_bool(other)))

    def logical_xor(self, other: Tensor) -> Tensor:
        check_tensor(other, "logical_xor", "other")
        return wrap(build.pointwise(ops.XOR, to_bool(self), to_bool(other)))

    def bitwise_not(self) -> Tensor:
        return wrap(integer_pointwise(ops.NOT, self))

    def bitwise_and(self, other: Operand) -> Tensor:
        return wrap(integer_pointwise(ops.AND, self, other))

    def bitwise_or(self, other: Operand) -> Tensor:
        return wrap(integer_pointwise(ops.OR, self, other))

    def bitwise_xor(self, other: Operand) -> Tensor:
        return wrap(integer_pointwise(ops.XOR, self, other))

    def bitwise_left_shift(self, other: Operand) -> Tensor:
        return wrap(integer_pointwise(ops.SHL, self, other))

    def bitwise_right_shift(self, other: Operand) -> Tensor:
        return wrap(integer_pointwise(ops.SHR, self, other))

    # -- choosing
    def where(self, condition: Tensor, other: Operand) -> Tensor:
        """self where condition holds, else other: the method form of lazygrad.where(condition, self, other)."""
        return where(condition, self, other)

    def masked_fill(self, mask: Tensor, value: Operand) -> Tensor:
        """value where mask holds, else self; the dtype stays. RuntimeError where mask isn't bool."""
        if mask.dtype is not bool_:
            raise RuntimeError(
                at_user_line(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}")
            )
        node = self.node
        return wrap(build.where(mask.node, node_of(value, node.dtype, node.device), node))


def where(condition: Tensor, input: Operand = None, other: Operand = None) -> Any:
    """input where condition holds, else other; all three broadcast. RuntimeError where condition isn't bool.

    where(condition) alone is condition.nonzero(as_tuple=True).
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if condition.dtype is not bool_:
        raise RuntimeError(
            at_user_line(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype.name}"
            )
        )
    dtype, device = result_type(input, other), device_of((condition, input, other))
    return wrap(build.where(condition.node, node_of(input, dtype, device), node_of(other, dtype, device)))


def _both_bool(a: Any, b: Any) -> bool:
    return all(isinstance(x, bool) or getattr(x, "dtype", None) is bool_ for x in (a, b))


def _scaled(self: Operand, other: Operand, alpha: float) -> Operand:
    if isinstance(alpha, float) and not result_type(self, other).is_floating_point:
        raise RuntimeError(
            at_user_line("For integral input tensors, argument alpha must not be a floating point number.")
        )
    return other * alpha


def _rounded(op: ops.Op, value: TensorBase) -> Node:
    node = value.node
    return build.pointwise(op, node) if node.dtype.is_floating_point else node


def _bounded(op: ops.Op, node: Node, bound: Operand, device: Any) -> Node:
    """The bound where a value lies beyond it, or where it is NaN. A value on its bound keeps the whole gradient,
    as in torch, where MAXIMUM and MINIMUM would share it."""
    limit = node_of(bound, node.dtype, device)
    beyond = build.less(node, limit) if op is ops.MAXIMUM else build.less(limit, node)
    number = build.constant_value(limit)
    if node.dtype.is_floating_point and (number is None or number != number):
        beyond = build.pointwise(ops.OR, beyond, build.pointwise(ops.ISNAN, limit))
    return build.where(beyond, limit, node)


__all__ = ["Elementwise", "where"]
