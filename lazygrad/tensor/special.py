"""Pointwise functions composed of others: blends, tests, and functions with removable singularities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_, float64
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.power import float_power
from lazygrad.tensor.promote import (
    check_operands,
    device_of,
    float_type,
    get_default_dtype,
    node_of,
    result_type,
)
from lazygrad.tensor.scan import log_add_exp

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Operand = Any  # a Tensor or a Python number


class Special(TensorBase):
    __slots__ = ()

    # -- blends
    def lerp(self, end: Tensor, weight: Operand) -> Tensor:
        """self + weight * (end - self), from the nearer end as torch computes it."""
        if end.dtype is not self.dtype:
            raise RuntimeError(
                at_user_line(f"expected dtype {self.dtype.name} for `end` but got dtype {end.dtype.name}")
            )
        return wrap(library.blend(self.node, end.node, node_of(weight, self.dtype, self.device, "lerp")))

    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        """self + value * tensor1 * tensor2."""
        product = tensor1.mul(tensor2)
        return self.add(product if value == 1 else product.mul(value))

    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        """self + value * tensor1 / tensor2. RuntimeError for integers."""
        if not tensor1.dtype.is_floating_point and not tensor2.dtype.is_floating_point:
            raise RuntimeError(at_user_line("Integer division with addcdiv is no longer supported"))
        quotient = tensor1.div(tensor2)
        return self.add(quotient if value == 1 else quotient.mul(value))

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """As clamp."""
        return self.clamp(min, max)

    def clamp_min(self, min: Operand) -> Tensor:
        """At least `min`."""
        return self.clamp(min=min)

    def clamp_max(self, max: Operand) -> Tensor:
        """At most `max`."""
        return self.clamp(max=max)

    def nan_to_num(self, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        """NaN and infinities replaced: by 0 and the dtype's extremes unless given."""
        node = self.node
        if not node.dtype.is_floating_point:
            return wrap(node)
        most = float(finfo_max(node.dtype))
        for value, fill in ((math.inf, posinf), (-math.inf, neginf)):
            fill = math.copysign(most, value) if fill is None else fill
            node = build.where(build.equal(node, build.like(node, value)), build.like(node, fill), node)
        return wrap(build.where(build.pointwise(ops.ISNAN, node), build.like(node, 0.0 if nan is None else nan), node))

    # -- comparisons with a meaning for NaN
    def fmax(self, other: Tensor) -> Tensor:
        """The larger of each pair; a number beats NaN."""
        return _ignoring_nan(self, other, ops.MAXIMUM)

    def fmin(self, other: Tensor) -> Tensor:
        """The smaller of each pair; a number beats NaN."""
        return _ignoring_nan(self, other, ops.MINIMUM)

    def isclose(self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
        """|self - other| <= atol + rtol * |other|; equal infinities are close."""
        check_tensor(other, "isclose", "other")
        for name, tolerance in (("rtol", rtol), ("atol", atol)):
            if tolerance < 0:
                raise RuntimeError(at_user_line(f"{name} must be greater than or equal to zero, but got {tolerance:g}"))
        if self.dtype is not other.dtype:
            raise RuntimeError(at_user_line(f"{self.dtype.name} did not match {other.dtype.name}"))
        equal = self.eq(other)
        if equal_nan and self.dtype.is_floating_point:
            equal = equal.logical_or(self.isnan().logical_and(other.isnan()))
        work: Any = self if self.dtype.is_floating_point else self.to(float64)
        them: Any = other if other.dtype.is_floating_point else other.to(float64)
        near = work.sub(them).abs().le(them.abs().mul(rtol).add(atol))
        return equal.logical_or(near.logical_and(them.isfinite()).logical_and(work.isfinite()))

    def allclose(self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
        """Whether isclose() holds everywhere. Computes it now."""
        return bool(self.isclose(other, rtol, atol, equal_nan).all().item())

    def equal(self, other: Tensor) -> bool:
        """Whether shapes and all values are the same. Computes it now."""
        check_tensor(other, "equal", "other")
        if self.shape != other.shape:
            return False
        return bool(self.eq(other).all().item())

    def isposinf(self) -> Tensor:
        return self.eq(math.inf)

    def isneginf(self) -> Tensor:
        return self.eq(-math.inf)

    def isreal(self) -> Tensor:
        return wrap(build.const(True, bool_, self.device, self.node.shape))

    def isin(self, test_elements: Operand) -> Tensor:
        """Whether each element is among test_elements."""
        return isin(self, test_elements)

    # -- functions
    def frac(self) -> Tensor:
        """The part after the point, with the sign of self. NotImplementedError for integers."""
        if not self.dtype.is_floating_point:
            raise NotImplementedError(at_user_line(f"\"frac_cpu\" not implemented for '{self.dtype.name}'"))
        return self.sub(self.trunc())

    def logit(self, eps: float | None = None) -> Tensor:
        """log(x / (1 - x)), x clamped to [eps, 1 - eps] where eps is given."""
        x: Any = self if self.dtype.is_floating_point else self.to(get_default_dtype())
        if eps is not None:
            x = x.clamp(eps, 1 - eps)
        return wrap(library.activation(_logit, x.node))

    def xlogy(self, other: Operand) -> Tensor:
        """self * log(other), 0 where self is 0 (unless other is NaN)."""
        return xlogy(self, other)

    def logaddexp(self, other: Tensor) -> Tensor:
        """log(exp(self) + exp(other)), safe from overflow."""
        return _log_added(self, other, 1)

    def logaddexp2(self, other: Tensor) -> Tensor:
        """log2(2^self + 2^other), safe from overflow."""
        return _log_added(self, other, math.log(2))

    def heaviside(self, values: Tensor) -> Tensor:
        """0 below 0, 1 above, `values` at 0. RuntimeError for another dtype of `values`."""
        check_tensor(values, "heaviside", "values")
        if values.dtype is not self.dtype:
            raise RuntimeError(at_user_line("heaviside is not yet implemented for tensors with different dtypes."))
        node = build.detach(self.node)
        zero = build.like(node, 0)
        step = build.cast(build.less(zero, node), node.dtype)
        return wrap(build.where(build.equal(node, zero), build.detach(values.node), step))

    def float_power(self, exponent: Operand) -> Tensor:
        """self ** exponent in float64."""
        return float_power(self, exponent)

    def sinc(self) -> Tensor:
        """sin(pi x) / (pi x), 1 at 0."""
        return wrap(library.activation(_sinc, build.cast(self.node, float_type(self))))

    def sgn(self) -> Tensor:
        return self.sign()

    def signbit(self) -> Tensor:
        """Whether the sign bit is set: True for -0.0."""
        node = self.node
        if not node.dtype.is_floating_point:
            return self.lt(0) if node.dtype.is_signed else wrap(build.const(False, bool_, node.device, node.shape))
        sign = build.pointwise(ops.COPYSIGN, build.like(build.detach(node), 1), build.detach(node))
        return wrap(build.less(sign, build.like(sign, 0)))

    def deg2rad(self) -> Tensor:
        return self.mul(math.pi / 180)

    def rad2deg(self) -> Tensor:
        return self.mul(180 / math.pi)

    def positive(self) -> Tensor:
        """Itself. RuntimeError for bools."""
        if self.dtype is bool_:
            raise RuntimeError(at_user_line("The `+` operator, on a bool tensor is not supported."))
        return self  # type: ignore[return-value]

    def gcd(self, other: Tensor) -> Tensor:
        """The greatest common divisor of integers: Euclid's steps, as many as the dtype can need."""
        a, b = (build.pointwise(ops.ABS, n) for n in _integers(self, other, "gcd"))
        zero, one = build.like(b, 0), build.like(b, 1)
        for _ in range(int(a.dtype.itemsize * 8 * 1.45) + 1):
            done = build.equal(b, zero)
            rest = build.pointwise(ops.REMAINDER, a, build.where(done, one, b))
            a, b = build.where(done, a, b), build.where(done, zero, rest)
        return wrap(a)

    def lcm(self, other: Tensor) -> Tensor:
        """The least common multiple of integers."""
        common = self.gcd(other)
        return self.div(common.clamp(min=1), rounding_mode="floor").mul(other).abs()


def _logit(x: Node) -> Node:
    """log(x / (1 - x)), whose gradient 1 / (x (1 - x)) is infinite at 0 and 1."""
    rest = build.sub(build.like(x, 1), x)
    return build.sub(build.pointwise(ops.LOG, x), build.pointwise(ops.LOG, rest))


def _sinc(x: Node) -> Node:
    """sin(pi x) / (pi x); near 0 its Taylor series, which has the derivatives that the quotient loses there."""
    y = build.scale(x, math.pi)
    near = build.less(build.pointwise(ops.ABS, y), build.like(y, 0.5))
    z = library.square(build.where(near, y, build.like(y, 0)))
    series = build.like(z, 1)
    for k in range(7, 0, -1):  # 0.5^16 / 17! < 1e-19
        series = build.shift(build.mul(build.scale(z, -1 / (2 * k * (2 * k + 1))), series), 1)
    safe = build.where(near, build.like(y, 1), y)
    return build.where(near, series, build.div(build.pointwise(ops.SIN, safe), safe))


def _log_added(a: TensorBase, b: TensorBase, logarithm: float) -> Tensor:
    """log(base^a + base^b) in the base of that natural logarithm."""
    dtype, device = float_type(a, b), device_of((a, b))
    left, right = (build.scale(node_of(x, dtype.compute, device), logarithm) for x in (a, b))
    return wrap(build.cast(build.scale(log_add_exp(left, right), 1 / logarithm), dtype))


def _integers(a: Any, b: Any, name: str) -> tuple[Node, Node]:
    dtype = result_type(a, b)
    if not dtype.is_integer:
        raise NotImplementedError(at_user_line(f"\"{name}\" not implemented for '{dtype.name}'"))
    device = device_of((a, b))
    pair = build.pointwise(ops.ADD, node_of(a, dtype, device), node_of(b, dtype, device)).shape
    return build.expand(node_of(a, dtype, device), pair), build.expand(node_of(b, dtype, device), pair)


def _ignoring_nan(a: Any, b: Any, op: ops.Op) -> Tensor:
    check_operands("fmax", (a, b))
    dtype, device = result_type(a, b), device_of((a, b))
    left, right = node_of(a, dtype, device), node_of(b, dtype, device)
    if not dtype.is_floating_point:
        return wrap(build.pointwise(op, left, right))
    better = (right, left) if op is ops.MAXIMUM else (left, right)
    mine = build.pointwise(ops.OR, build.pointwise(ops.LE, *better), build.pointwise(ops.ISNAN, right))
    return wrap(build.where(mine, left, right))


def finfo_max(dtype: Any) -> float:
    """The greatest finite number of a floating-point dtype."""
    return {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}.get(
        dtype.name, 1.7976931348623157e308
    )


# -- functions whose first argument may be a number ---------------------------------------------------
def xlogy(input: Operand, other: Operand) -> Tensor:
    """input * log(other), 0 where input is 0 (unless other is NaN)."""
    return _times_logarithm(ops.LOG, 0, input, other)


def xlog1py(input: Operand, other: Operand) -> Tensor:
    """input * log1p(other), 0 where input is 0 (unless other is NaN)."""
    return _times_logarithm(ops.LOG1P, -1, input, other)


def _times_logarithm(logarithm: ops.Op, pole: float, input: Operand, other: Operand) -> Tensor:
    """input * logarithm(other), the limit 0 where input is 0 and the logarithm isn't finite: at its pole, below it
    and at infinity."""
    dtype, device = float_type(input, other), device_of((input, other))
    x, y = node_of(input, dtype, device), node_of(other, dtype, device)
    endless = build.equal(y, build.like(y, math.inf))
    outside = build.pointwise(ops.OR, build.pointwise(ops.LE, y, build.like(y, pole)), endless)
    zero = build.logical_and(build.equal(x, build.like(x, 0)), outside)
    safe = build.where(zero, build.like(y, 1), y)
    return wrap(build.where(zero, build.like(x, 0), build.mul(x, build.pointwise(logarithm, safe))))


def isin(elements: Operand, test_elements: Operand, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among test_elements."""
    dtype, device = result_type(elements, test_elements), device_of((elements, test_elements))
    mine, tests = node_of(elements, dtype, device), node_of(test_elements, dtype, device)
    hits = build.equal(build.reshape(mine, (*mine.shape, 1)), build.reshape(tests, (1,) * mine.ndim + (tests.numel,)))
    if not tests.numel:
        found = build.const(False, bool_, device, mine.shape)
    else:
        found = build.reduce(ops.MAX, hits, (hits.ndim - 1,), keepdim=False)
    return wrap(build.logical_not(found) if invert else found)


__all__ = ["Special", "finfo_max", "isin", "xlog1py", "xlogy"]
