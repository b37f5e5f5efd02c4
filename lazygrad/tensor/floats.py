"""Floating-point numbers taken apart, and what complex tensors would have: every number here is real."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import int32
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.tensor.bits import MANTISSA, bias_of, bits_of, exponent_field, from_bits, power_of_two
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import device_of, get_default_dtype, node_of, result_type
from lazygrad.tensor.returns import FrExp

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Floats(TensorBase):
    __slots__ = ()

    def nextafter(self, other: Tensor) -> Tensor:
        """The neighbour of self in the direction of other, in the dtype's own spacing. No gradient flows.

        Neighbours differ by one in their bits, away from zero or towards it.
        """
        dtype, device = result_type(self, other), device_of((self, other))
        if not dtype.is_floating_point:
            raise NotImplementedError(at_user_line(f"\"nextafter\" not implemented for '{dtype.name}'"))
        x, goal = (build.detach(node_of(t, dtype, device)) for t in (self, other))
        zero = build.like(x, 0)
        word = bits_of(x)
        outward = build.equal(build.less(x, goal), build.less(zero, x))
        moved = from_bits(build.add(word, build.where(outward, build.like(word, 1), build.like(word, -1))), dtype)
        smallest = build.pointwise(ops.COPYSIGN, from_bits(build.like(word, 1), dtype), goal)
        moved = build.where(build.equal(x, zero), smallest, moved)
        moved = build.where(build.equal(x, goal), goal, moved)
        unknown = build.pointwise(ops.OR, build.pointwise(ops.ISNAN, x), build.pointwise(ops.ISNAN, goal))
        return wrap(build.where(unknown, build.add(x, goal), moved))

    def ldexp(self, other: Any) -> Tensor:
        """self * 2 ** other."""
        found, device = result_type(self, other), device_of((self, other))
        dtype = found if found.is_floating_point else get_default_dtype()
        x, exponent = (node_of(t, dtype.compute, device) for t in (self, other))
        power = build.pointwise(ops.POW, build.like(exponent, 2), exponent)
        return wrap(build.cast(build.mul(x, power), dtype))

    def frexp(self) -> FrExp:
        """(mantissa in [0.5, 1), whole exponent) with self = mantissa * 2 ** exponent; 0 and what isn't finite
        have exponent 0. RuntimeError for integers."""
        if not self.dtype.is_floating_point:
            raise RuntimeError(at_user_line("torch.frexp() only supports floating-point dtypes"))
        x = build.cast(self.node, self.dtype.compute)
        value = build.detach(x)
        digits = MANTISSA[value.dtype]
        tiny = build.less(build.pointwise(ops.ABS, value), build.like(value, 2.0 ** (1 - bias_of(value.dtype))))
        lifted = build.where(tiny, build.scale(value, 2.0 ** (digits + 1)), value)  # subnormals made normal
        field = exponent_field(lifted)
        exponent = build.shift(field, 1 - bias_of(value.dtype))
        exponent = build.where(tiny, build.shift(exponent, -digits - 1), exponent)
        finite = build.less(build.pointwise(ops.ABS, value), build.like(value, math.inf))
        ordinary = build.logical_and(finite, build.pointwise(ops.NE, value, build.like(value, 0)))
        exponent = build.where(ordinary, exponent, build.like(exponent, 0))
        half = build.pointwise(ops.SHR, exponent, build.like(exponent, 1))  # 2 ** -exponent itself may not be a number
        rest = build.sub(exponent, half)
        mantissa = x
        for part in (half, rest):
            mantissa = build.mul(mantissa, power_of_two(build.neg(part), value.dtype))
        return FrExp(wrap(build.cast(mantissa, self.dtype)), wrap(build.cast(exponent, int32)))

    # -- of complex numbers, for real ones
    def angle(self) -> Tensor:
        """0 for what is not negative, pi for what is, NaN for NaN."""
        x: Any = self if self.dtype.is_floating_point else self.to(get_default_dtype())
        return x.mul(0).nan_to_num(0, 0, 0).masked_fill(x.lt(0), math.pi).masked_fill(x.isnan(), math.nan)

    def conj(self) -> Tensor:
        """Itself."""
        return self  # type: ignore[return-value]

    conj_physical = resolve_conj = resolve_neg = conj

    def is_conj(self) -> bool:
        return False

    is_neg = is_conj

    @property
    def imag(self) -> Tensor:
        """RuntimeError, as torch raises it for real tensors."""
        raise RuntimeError(at_user_line("imag is not implemented for tensors with non-complex dtypes."))


__all__ = ["Floats"]
