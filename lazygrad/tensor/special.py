"""Pointwise functions composed of others: blends, tests, and functions with removable singularities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_, float64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import (
    check_operands,
    device_of,
    get_default_dtype,
    is_scalar,
    node_of,
    pointwise,
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
        w = node_of(weight, self.dtype, self.device, "lerp")
        a, b = self.node, end.node
        distance = build.sub(b, a)
        near = build.add(a, build.mul(w, distance))
        far = build.sub(b, build.mul(distance, build.sub(build.like(w, 1), w)))
        return wrap(build.where(build.less(build.pointwise(ops.ABS, w), build.like(w, 0.5)), near, far))

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
        """The part after the point, with the sign of self."""
        return self.sub(self.trunc())

    def logit(self, eps: float | None = None) -> Tensor:
        """log(x / (1 - x)), x clamped to [eps, 1 - eps] where eps is given."""
        x: Any = self if self.dtype.is_floating_point else self.to(get_default_dtype())
        if eps is not None:
            x = x.clamp(eps, 1 - eps)
        return x.div(x.rsub(1)).log()

    def xlogy(self, other: Operand) -> Tensor:
        """self * log(other), 0 where self is 0 (unless other is NaN)."""
        return xlogy(self, other)

    def logaddexp(self, other: Tensor) -> Tensor:
        """log(exp(self) + exp(other)), safe from overflow."""
        dtype, device = _float_type(self, other), device_of((self, other))
        wide = dtype.compute
        return wrap(build.cast(log_add_exp(node_of(self, wide, device), node_of(other, wide, device)), dtype))

    def logaddexp2(self, other: Tensor) -> Tensor:
        """log2(2^self + 2^other), safe from overflow."""
        return self.mul(math.log(2)).logaddexp(other.mul(math.log(2))).div(math.log(2))

    def heaviside(self, values: Tensor) -> Tensor:
        """0 below 0, 1 above, `values` at 0."""
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
        x = self.mul(math.pi)
        zero = x.eq(0)
        safe = x.masked_fill(zero, 1)
        return safe.sin().div(safe).masked_fill(zero, 1)

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

    def mvlgamma(self, p: int) -> Tensor:
        """The multivariate log-gamma function of dimension p."""
        total: Any = self.mul(0).add(p * (p - 1) / 4 * math.log(math.pi))
        for i in range(p):
            total = total.add(self.sub(i / 2).lgamma())
        return total

    def polygamma(self, n: int) -> Tensor:
        """The n-th derivative of digamma."""
        if n < 0:
            raise RuntimeError(at_user_line("polygamma(n, x) does not support negative n."))
        if n == 0:
            return self.digamma()
        dtype = _float_type(self)
        return wrap(build.pointwise(ops.POLYGAMMA, build.cast(self.node, dtype), arg=n))

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


def _float_type(*operands: Any) -> Any:
    dtype = result_type(*operands)
    return dtype if dtype.is_floating_point else get_default_dtype()


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
    dtype, device = _float_type(input, other), device_of((input, other))
    x, y = node_of(input, dtype, device), node_of(other, dtype, device)
    zero = build.equal(x, build.like(x, 0))
    if dtype.is_floating_point:
        zero = build.logical_and(zero, build.logical_not(build.pointwise(ops.ISNAN, y)))
    safe = build.where(zero, build.like(y, 1), y)
    return wrap(build.where(zero, build.like(x, 0), build.mul(x, build.pointwise(ops.LOG, safe))))


def float_power(input: Operand, exponent: Operand) -> Tensor:
    """input ** exponent in float64."""
    device = device_of((input, exponent))
    return wrap(build.pointwise(ops.POW, node_of(input, float64, device), node_of(exponent, float64, device)))


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma at input."""
    return input.polygamma(n)


def power(input: Operand, exponent: Operand) -> Tensor:
    """input ** exponent; either may be a number."""
    if is_scalar(input):
        return wrap(pointwise(ops.POW, input, exponent))
    return input.pow(exponent)


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


__all__ = ["Special", "finfo_max", "float_power", "isin", "polygamma", "power", "xlogy"]
