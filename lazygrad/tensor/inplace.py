"""In-place methods: each is its out-of-place twin, written back through every alias."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.memory_layout import check_memory_format
from lazygrad.tensor import layout
from lazygrad.tensor.arguments import integers
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import node_of

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class InPlace(TensorBase):
    __slots__ = ()

    def _write_cast(self, result: TensorBase) -> Tensor:
        """Write a result back, cast to this tensor's dtype where torch allows it (never down a category)."""
        node = result.node
        if node.dtype.category > self.dtype.category:
            raise RuntimeError(
                at_user_line(
                    f"result type {node.dtype.name} can't be cast to the desired output type {self.dtype.name}"
                )
            )
        return self._write(build.cast(node, self.dtype))

    def copy_(self, src: Any, non_blocking: bool = False) -> Tensor:
        """Take the values of `src`, broadcast and cast. Returns self."""
        node = node_of(src, self.dtype, self.device)
        return self._write(build.expand(build.copy(node, self.device), self.node.shape))

    def fill_(self, value: Any) -> Tensor:
        """Set every element. Returns self."""
        return self._write(build.expand(node_of(value, self.dtype, self.device), self.node.shape))

    def zero_(self) -> Tensor:
        """Set every element to 0. Returns self."""
        return self.fill_(0)

    def fill_diagonal_(self, fill_value: Any, wrap: bool = False) -> Tensor:
        """Set the main diagonal; with wrap=True it starts anew below the square part of tall matrices. Returns self."""
        shape = self.node.shape
        if len(shape) < 2:
            raise RuntimeError(at_user_line("fill_diagonal_: dimensions must be larger than 1"))
        if len(shape) > 2 and len(set(shape)) > 1:
            raise RuntimeError(at_user_line("fill_diagonal_: all dimensions of input must be of equal length"))
        rows = layout.positions(self.node, 0)
        if wrap and len(shape) == 2:
            rows = build.pointwise(ops.REMAINDER, rows, build.like(rows, shape[1] + 1))
        on = [build.equal(rows, layout.positions(self.node, axis)) for axis in range(1, len(shape))]
        value = node_of(fill_value, self.dtype, self.device, "fill_diagonal_")
        return self._write(build.where(reduce(build.logical_and, on), value, self.node))

    def resize_(self, *sizes: Any, memory_format: Any = None) -> Tensor:
        """Another shape, whose first elements in row-major order are this tensor's; the others are zeros. Returns self.

        A tensor that doesn't grow stays a view of the same memory, one that grows gets its own. RuntimeError where
        gradients are recorded.
        """
        check_memory_format(memory_format, "resize_")
        if self.requires_grad:
            raise RuntimeError(at_user_line("cannot resize variables that require grad"))
        shape = integers(sizes, "resize_()")
        flat, count = self.reshape(-1), math.prod(shape)
        if count > flat.numel():
            flat = wrap(build.pad(flat.node, [(0, count - flat.numel())]))
        resized = flat.narrow(0, 0, count).view(shape)
        self._adopt(resized._cell, resized._path)
        return self  # type: ignore[return-value]

    def resize_as_(self, the_template: Tensor, memory_format: Any = None) -> Tensor:
        """resize_ to the shape of another tensor. Returns self."""
        return self.resize_(the_template.shape, memory_format=memory_format)


def _twin(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._write_cast(getattr(self, name)(*args, **kwargs))

    method.__name__ = name + "_"
    method.__doc__ = f"In-place {name}(). Returns self."
    return method


TWINS = (
    "abs acos acosh add addbmm addcdiv addcmul addmm addmv addr asin asinh atan atan2 atanh baddbmm bitwise_and "
    "bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min "
    "clip copysign cos cosh cumprod cumsum deg2rad digamma div eq erf erfc erfinv exp exp2 expm1 float_power "
    "floor floor_divide fmod frac gcd ge gt heaviside hypot index_add index_copy index_fill index_reduce lcm le "
    "lerp lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt masked_fill "
    "masked_scatter mul mvlgamma nan_to_num ne neg polygamma pow put rad2deg reciprocal relu remainder round "
    "rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh sqrt square sub tan tanh tril triu "
    "trunc xlogy i0 igamma igammac ldexp nextafter renorm "
)
for _name in TWINS.split():
    setattr(InPlace, _name + "_", _twin(_name))
