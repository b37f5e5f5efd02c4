"""Scans along one dimension: cumulative sums, products and extremes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import DType, bool_, int64, uint8
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.library import log1p_exp_down
from lazygrad.ir.node import Node
from lazygrad.ir.op import Op
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.layout import narrowed, positions
from lazygrad.tensor.promote import get_default_dtype
from lazygrad.tensor.returns import ValuesIndices

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Scan(TensorBase):
    __slots__ = ()

    def cumsum(self, dim: int, *, dtype: DType | None = None) -> Tensor:
        """The sum of everything up to here; bools and integers sum to int64."""
        return wrap(_accumulated(ops.CUMSUM, self.node, dim, dtype, "cumsum"))

    def cumprod(self, dim: int, *, dtype: DType | None = None) -> Tensor:
        """The product of everything up to here; bools and integers multiply to int64."""
        return wrap(_accumulated(ops.CUMPROD, self.node, dim, dtype, "cumprod"))

    def cummax(self, dim: int) -> ValuesIndices:
        """(the largest up to here, where it is: the last of equal ones)."""
        return _running(ops.CUMMAX, self.node, dim, "cummax")

    def cummin(self, dim: int) -> ValuesIndices:
        """(the smallest up to here, where it is: the last of equal ones)."""
        return _running(ops.CUMMIN, self.node, dim, "cummin")

    def logcumsumexp(self, dim: int) -> Tensor:
        """log(cumsum(exp(self))), safe from overflow: log2(n) steps of logaddexp (Hillis & Steele 1986)."""
        axis = axis_of(self.node, dim, "logcumsumexp")
        dtype = self.dtype if self.dtype.is_floating_point else get_default_dtype()
        value = build.cast(self.node, dtype.compute)
        reach, size = 1, value.shape[axis] if value.ndim else 1
        while reach < size:
            widths = [(reach, 0) if i == axis else (0, 0) for i in range(value.ndim)]
            value = log_add_exp(value, build.pad(narrowed(value, axis, 0, size - reach), widths, -math.inf))
            reach *= 2
        return wrap(build.cast(value, dtype))

    def diff(self, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
        """The n-th difference of neighbours along `dim`."""
        if not self.node.ndim:
            raise RuntimeError(at_user_line("diff expects input to be at least one-dimensional"))
        axis = axis_of(self.node, dim, "diff")
        parts = [build.cast(p.node, self.dtype) for p in (prepend, self, append) if p is not None]
        node = build.concat(parts, axis)
        for _ in range(n):
            size = node.shape[axis]
            high, low = narrowed(node, axis, min(1, size), size), narrowed(node, axis, 0, max(0, size - 1))
            node = build.pointwise(ops.XOR if node.dtype is bool_ else ops.SUB, high, low)
        return wrap(node)


def log_add_exp(a: Node, b: Node) -> Node:
    """log(exp(a) + exp(b)); equal infinities stay what they are."""
    top = build.pointwise(ops.MAXIMUM, a, b)
    infinite = build.equal(build.pointwise(ops.ABS, top), build.like(top, math.inf))
    apart = build.where(infinite, build.like(a, 0), build.sub(a, b))
    larger = build.where(build.pointwise(ops.LE, apart, build.like(apart, 0)), b, a)
    return build.where(infinite, top, build.add(larger, log1p_exp_down(apart)))


def _accumulated(op: Op, node: Node, dim: int, dtype: DType | None, name: str) -> Node:
    axis = axis_of(node, dim, name)
    (node,) = float32_operands(name, node)
    node = build.cast(node, dtype or (node.dtype if node.dtype.is_floating_point else int64))
    return build.scan(op, node, axis) if node.ndim else node


def _running(op: Op, node: Node, dim: int, name: str) -> ValuesIndices:
    axis = axis_of(node, dim, name)
    if not node.ndim:
        return ValuesIndices(wrap(node), wrap(build.const(0, int64, node.device)))
    work = build.cast(node, uint8) if node.dtype is bool_ else node
    values = build.scan(op, work, axis)
    hit: Any = build.equal(work, values)
    if node.dtype.is_floating_point:
        hit = build.pointwise(ops.OR, hit, build.pointwise(ops.ISNAN, work))
    place = positions(node, axis)
    index = build.scan(ops.CUMMAX, build.where(hit, place, build.like(place, 0)), axis)
    if node.needs_grad:
        values = build.gather(node, index, axis)
    return ValuesIndices(wrap(build.cast(values, node.dtype)), wrap(index))


__all__ = ["Scan", "log_add_exp"]
