"""Order: sort, argsort, topk, kthvalue, median, quantile. One ARGSORT, then gathers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_, float32, float64, int64, uint8
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.layout import moved_last, narrowed, positions
from lazygrad.tensor.promote import is_scalar
from lazygrad.tensor.returns import ValuesIndices

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Sorting(TensorBase):
    __slots__ = ()

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesIndices:
        """(values, indices) in order along `dim`; always stable; NaN is the greatest."""
        axis = axis_of(self.node, dim, "sort")
        return _at(self.node, axis, order_of(self.node, axis, descending))

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """The indices that would sort along `dim`."""
        return wrap(order_of(self.node, axis_of(self.node, dim, "argsort"), descending))

    def msort(self) -> Tensor:
        """The values sorted along dimension 0."""
        return self.sort(0).values

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
        """The k largest (or smallest) along `dim`, in order. RuntimeError where there aren't k."""
        axis = axis_of(self.node, dim, "topk")
        count = int(k.__index__())
        size = self.node.shape[axis] if self.node.ndim else 1
        if not 0 <= count <= size:
            raise RuntimeError(
                at_user_line(f"selected index k out of range: k is {count}, dimension {axis} has size {size}")
            )
        order = order_of(self.node, axis, largest)
        if self.node.ndim:
            order = narrowed(order, axis, 0, count)
        return _at(self.node, axis, order)

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
        """The k-th smallest along `dim`, counted from 1."""
        axis = axis_of(self.node, dim, "kthvalue")
        size = self.node.shape[axis] if self.node.ndim else 1
        if not size:
            raise IndexError(at_user_line(f"kthvalue(): Expected reduction dim {axis} to have non-zero size."))
        if not 1 <= k <= size:
            raise RuntimeError(
                at_user_line(f"kthvalue(): selected number k out of range for dimension {axis}: {k} of {size}")
            )
        order = order_of(self.node, axis, False)
        return _one(self.node, axis, narrowed(order, axis, k - 1, k) if order.ndim else order, keepdim)

    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The lower median: of everything, or (values, indices) along `dim`. NaN wins."""
        return _median(self, dim, keepdim, ignore_nan=False)

    def nanmedian(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The lower median of what isn't NaN."""
        return _median(self, dim, keepdim, ignore_nan=True)

    def mode(self, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
        """The most frequent value along `dim` (the smallest of equally frequent ones) and its last index."""
        node = self.node
        if not node.ndim:
            return ValuesIndices(wrap(node), wrap(build.const(0, int64, node.device)))
        axis = axis_of(node, dim, "mode")
        order = order_of(node, axis, False)
        values = build.gather(node, order, axis)
        place = positions(node, axis)
        before = build.const(True, bool_, node.device, narrowed(values, axis, 0, 1).shape)
        size = node.shape[axis]
        changed = build.pointwise(ops.NE, narrowed(values, axis, 1, size), narrowed(values, axis, 0, size - 1))
        starts = build.concat([before, changed], axis)
        first = build.scan(ops.CUMMAX, build.where(starts, place, build.like(place, 0)), axis)
        length = build.sub(place, first)
        best = build.reduce(ops.ARGMAX, length, (axis,))
        return _one(node, axis, build.gather(order, best, axis), keepdim)

    def quantile(
        self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
    ) -> Tensor:
        """The q-quantiles (0 <= q <= 1) along `dim`, of everything without it; NaN where there is one."""
        return _quantile(self, q, dim, keepdim, interpolation, ignore_nan=False)

    def nanquantile(
        self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
    ) -> Tensor:
        """The q-quantiles of what isn't NaN."""
        return _quantile(self, q, dim, keepdim, interpolation, ignore_nan=True)


# -- Node -> Node -------------------------------------------------------------------------------------
def order_of(node: Node, axis: int, descending: bool) -> Node:
    """The indices of a stable sort. Descending: the flip of an ascending sort of the flipped line."""
    if not node.ndim:
        return build.const(0, int64, node.device)
    keys = build.detach(build.cast(node, uint8) if node.dtype is bool_ else node)
    if not descending:
        return build.argsort(keys, axis)
    found = build.flip(build.argsort(build.flip(keys, (axis,)), axis), (axis,))
    return build.sub(build.like(found, node.shape[axis] - 1), found)


def _at(node: Node, axis: int, order: Node) -> ValuesIndices:
    values = build.gather(node, order, axis) if node.ndim else node
    return ValuesIndices(wrap(values), wrap(order))


def _one(node: Node, axis: int, index: Node, keepdim: bool) -> ValuesIndices:
    values = build.gather(node, index, axis) if node.ndim else node
    if not keepdim and node.ndim:
        shape = node.shape[:axis] + node.shape[axis + 1 :]
        values, index = build.reshape(values, shape), build.reshape(index, shape)
    return ValuesIndices(wrap(values), wrap(index))


def _nan_count(node: Node, axis: int) -> Node:
    if not node.dtype.is_floating_point:
        shape = tuple(1 if i == axis else n for i, n in enumerate(node.shape))
        return build.const(0, int64, node.device, shape)
    return build.reduce(ops.SUM, build.cast(build.pointwise(ops.ISNAN, node), int64), (axis,))


def _median(tensor: TensorBase, dim: int | None, keepdim: bool, ignore_nan: bool) -> Any:
    if dim is None:
        flat = build.reshape(tensor.node, (tensor.node.numel,))
        if not flat.numel:
            return wrap(build.cast(build.const(math.nan, float32, tensor.device), tensor.dtype))
        return wrap(_shared_by_equals(_median_along(flat, 0, False, ignore_nan).values.node, flat))
    axis = axis_of(tensor.node, dim, "median")
    if not tensor.node.ndim:
        return ValuesIndices(wrap(tensor.node), wrap(build.const(0, int64, tensor.device)))
    if not tensor.node.shape[axis]:
        raise IndexError(at_user_line(f"median(): Expected reduction dim {axis} to have non-zero size."))
    return _median_along(tensor.node, axis, keepdim, ignore_nan)


def _shared_by_equals(value: Node, flat: Node) -> Node:
    """`value`, whose gradient flows back to all elements of `flat` that are equal to it, in even shares."""
    if not flat.needs_grad:
        return value
    unknown = (build.pointwise(ops.ISNAN, build.detach(n)) for n in (flat, value))
    equal = build.pointwise(ops.OR, build.equal(flat, build.detach(value)), build.logical_and(*unknown))
    total = build.reduce(ops.SUM, build.where(equal, flat, build.like(flat, 0)), (0,), keepdim=False)
    count = build.reduce(ops.SUM, build.cast(equal, flat.dtype), (0,), keepdim=False)
    return build.graft(value, build.div(total, count))


def _median_along(node: Node, axis: int, keepdim: bool, ignore_nan: bool) -> ValuesIndices:
    size = node.shape[axis]
    order = order_of(node, axis, False)
    nans = _nan_count(node, axis)
    middle = build.like(nans, (size - 1) // 2)
    if ignore_nan:
        valid = build.sub(build.like(nans, max(size - 1, 0)), nans)
        middle = build.pointwise(
            ops.MAXIMUM, build.like(nans, 0), build.pointwise(ops.FLOORDIV, valid, build.like(nans, 2))
        )
    else:  # the first NaN in order of position: torch's answer where there is one
        first_nan = build.sub(build.like(nans, size), nans)
        middle = build.where(build.equal(nans, build.like(nans, 0)), middle, first_nan)
    return _one(node, axis, build.gather(order, middle, axis), keepdim)


INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(tensor: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, ignore_nan: bool) -> Tensor:
    (node,) = float32_operands("quantile", tensor.node)
    if node.dtype not in (float32, float64):
        raise RuntimeError(at_user_line("quantile() input tensor must be either float or double dtype"))
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError(
            at_user_line(
                "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, "
                f"but got {interpolation}"
            )
        )
    if not node.numel:
        raise RuntimeError(at_user_line("quantile() input tensor must be non-empty"))
    whole = node.ndim if dim is None else 0
    if is_scalar(q):
        if not 0 <= q <= 1:
            raise RuntimeError(at_user_line(f"quantile() q must be in the range [0, 1] but got {q}"))
        points = build.const(q, node.dtype, node.device, (1,))
    else:
        if q.dtype is not node.dtype:
            raise RuntimeError(at_user_line("quantile() q tensor must be same dtype as the input tensor"))
        if q.ndim > 1:
            raise RuntimeError(at_user_line(f"quantile() q must be a scalar or 1D tensor, got shape {list(q.shape)}"))
        points = build.reshape(q.node, (q.node.numel,))
    if dim is None or not node.ndim:
        node, axis = build.reshape(node, (node.numel,)), 0
    else:
        axis = axis_of(node, dim, "quantile")
    line = moved_last(node, axis)
    values = build.gather(line, order_of(line, line.ndim - 1, False), line.ndim - 1)
    nans = _nan_count(values, values.ndim - 1)
    last = build.cast(
        build.sub(build.like(nans, values.shape[-1] - 1), nans if ignore_nan else build.like(nans, 0)), node.dtype
    )
    rank = build.mul(build.reshape(points, (1,) * (values.ndim - 1) + points.shape), last)
    rank = build.expand(rank, (*values.shape[:-1], points.shape[0]))
    if ignore_nan:
        rank = build.pointwise(ops.MAXIMUM, rank, build.like(rank, 0))
    else:  # a NaN sorts last: pick it
        rank = build.where(build.equal(nans, build.like(nans, 0)), rank, build.like(rank, values.shape[-1] - 1))
    result = _interpolated(values, rank, interpolation)
    shape = result.shape[:-1]
    if keepdim:
        shape = (1,) * whole if whole else shape[:axis] + (1,) + shape[axis:] if tensor.node.ndim else ()
    if is_scalar(q) or not q.ndim:
        return wrap(build.reshape(result, shape))
    front = build.permute(result, (result.ndim - 1, *range(result.ndim - 1)))
    return wrap(build.reshape(front, (points.shape[0], *shape)))


def _interpolated(values: Node, rank: Node, interpolation: str) -> Node:
    """Between the neighbours of a fractional rank along the last axis."""
    axis = values.ndim - 1
    if interpolation in ("lower", "higher", "nearest"):
        op = {"lower": ops.FLOOR, "higher": ops.CEIL, "nearest": ops.ROUND}[interpolation]
        return build.gather(values, build.cast(build.pointwise(op, rank), int64), axis)
    floor = build.pointwise(ops.FLOOR, rank)
    low = build.gather(values, build.cast(floor, int64), axis)
    high = build.gather(values, build.cast(build.pointwise(ops.CEIL, rank), int64), axis)
    weight = build.like(rank, 0.5) if interpolation == "midpoint" else build.sub(rank, floor)
    return library.blend(low, high, weight)


__all__ = ["Sorting", "order_of"]
