"""Histograms: how many elements, or what weight, falls in each bin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.returns import Histogram, HistogramDD
from lazygrad.tensor.search import searchsorted
from lazygrad.tensor.sequences import arange

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Histograms(TensorBase):
    __slots__ = ()

    def histc(self, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
        """How many elements fall in each of `bins` equal bins of [min, max]; of the data's range if these are equal.

        Returns (bins,) of the dtype of self. No gradient flows. Nothing is counted where the data's range isn't finite
        (torch, which looks at the data first, raises an error). RuntimeError for bins and limits that can't be.
        """
        _check_floating(self, "histogram_cpu")
        if bins <= 0:
            raise RuntimeError(at_user_line("bins must be > 0"))
        if not (math.isfinite(min) and math.isfinite(max)):
            raise RuntimeError(at_user_line(f"torch.histc: range of [{min:g}, {max:g}] is not finite"))
        if min > max:
            raise RuntimeError(at_user_line("max must be larger than min"))
        flat = build.detach(build.reshape(self.node, (self.node.numel,)))
        if not flat.numel:
            return wrap(build.const(0, self.dtype, self.device, (bins,)))
        if min == max:
            low, high = (build.reduce(op, flat, (0,)) for op in (ops.MIN, ops.MAX))
        else:
            low, high = build.const(min, self.dtype, self.device, (1,)), build.const(max, self.dtype, self.device, (1,))
        flat_range = build.equal(low, high)
        low, high = (build.where(flat_range, build.shift(n, by), n) for n, by in ((low, -1), (high, 1)))
        place = build.div(build.scale(build.sub(flat, low), bins), build.sub(high, low))
        inside = build.logical_and(build.pointwise(ops.LE, low, flat), build.pointwise(ops.LE, flat, high))
        inside = build.logical_and(inside, build.less(build.sub(high, low), build.like(low, math.inf)))
        index = build.cast(build.where(inside, build.pointwise(ops.FLOOR, place), build.like(place, 0)), int64)
        index = build.pointwise(ops.MINIMUM, index, build.like(index, bins - 1))
        zeros = build.const(0, self.dtype, self.device, (bins,))
        return wrap(build.scatter(zeros, index, build.cast(inside, self.dtype), 0, "add"))

    def histogram(
        self,
        bins: Any,
        *,
        range: tuple[float, float] | None = None,
        weight: Tensor | None = None,
        density: bool = False,
    ) -> Histogram:
        """(how many elements, or what weight, falls in each bin; the bins' edges). `bins` is how many equal ones,
        over `range` or that of the data, or their edges in order; the last bin holds its right edge."""
        points: Any = self.detach().reshape(-1, 1)
        limits = None if range is None else tuple(range)
        hist, edges = histogramdd(points, [bins], range=limits, weight=weight, density=density)
        return Histogram(hist, edges[0])


def histogramdd(
    input: Tensor, bins: Any, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> HistogramDD:
    """The histogram of points in D dimensions: (counts or weights of shape (n1, ..., nD), a tuple of D edges).

    Arguments: `input` (..., D); `bins` how many equal bins along every dimension, a sequence of such numbers, or one of
    1-D tensors of edges in order; `range` the 2 D limits of equal bins (those of the data unless given); `weight`
    (...), one for each point; `density` divides by the total weight and by each bin's volume. Last bins hold their
    right edges. No gradient flows. RuntimeError for bins, ranges and weights that can't be.
    """
    check_tensor(input, "histogramdd", "input")
    _check_floating(input, "histogramdd")
    if not input.ndim:
        raise RuntimeError(at_user_line("histogramdd: input tensor should have at least 1 dimension"))
    width = input.shape[-1]
    wanted = list(bins) if isinstance(bins, (list, tuple)) else [bins] * width
    if len(wanted) != width:
        raise RuntimeError(
            at_user_line(
                "histogramdd: The size of bins must be equal to the innermost dimension of the input, got "
                f"{len(wanted)} for {width}"
            )
        )
    if range is not None and len(range) != 2 * width:
        raise RuntimeError(at_user_line(f"histogramdd: expected 2 limits for each of {width} dimensions"))
    points: Any = input.detach().reshape(-1, width)
    limits = [None if range is None else range[2 * i : 2 * i + 2] for i, _ in enumerate(wanted)]
    edges = tuple(
        _edges(column, wish, limit) for column, wish, limit in zip(points.unbind(1), wanted, limits, strict=True)
    )
    weights = _weights(points, weight, tuple(input.shape[:-1]))
    sizes = [each.shape[0] - 1 for each in edges]
    place = arange(1, device=input.device).expand(points.shape[0])
    for column, each, size in zip(points.unbind(1), edges, sizes, strict=True):
        inside = column.ge(each[0]).logical_and(column.le(each[-1]))
        weights = weights.masked_fill(inside.logical_not(), 0)
        place = place.mul(size).add(searchsorted(each[1:-1], column, right=True).masked_fill(inside.logical_not(), 0))
    hist = points.new_zeros(math.prod(sizes)).scatter_add(0, place, weights).reshape(sizes)
    if density:
        hist = hist.div(hist.sum())
        for axis, each in enumerate(edges):
            hist = hist.div(each.diff().reshape([-1 if i == axis else 1 for i, _ in enumerate(sizes)]))
    return HistogramDD(hist, edges)


def _check_floating(tensor: TensorBase, name: str) -> None:
    if not tensor.dtype.is_floating_point:
        raise NotImplementedError(at_user_line(f"\"{name}\" not implemented for '{tensor.dtype.name}'"))


def _weights(points: Any, weight: Any, shape: tuple[int, ...]) -> Any:
    """One for each point. RuntimeError unless there are as many, of the same dtype."""
    if weight is None:
        return points.new_zeros(points.shape[0]).add(1)
    if weight.numel() != points.shape[0] or weight.dtype is not points.dtype:
        raise RuntimeError(
            at_user_line(
                f"histogramdd: expected weight of shape {list(shape)} and dtype {points.dtype.name}, got "
                f"{list(weight.shape)} and {weight.dtype.name}"
            )
        )
    return weight.detach().reshape(-1)


def _edges(values: Any, bins: Any, limits: Any) -> Any:
    """The edges of bins: those given, or equal ones between the limits, or where the values lie."""
    if isinstance(bins, TensorBase):
        if bins.dtype is not values.dtype or bins.node.ndim != 1 or not bins.node.numel:
            raise RuntimeError(
                at_user_line("torch.histogramdd(): bins must be 1-D, not empty, and of the dtype of the input")
            )
        return bins.detach()
    if bins <= 0:
        raise RuntimeError(at_user_line(f"torch.histogramdd(): bins must be > 0, but got {bins}"))
    if limits is not None:
        if not limits[0] <= limits[1]:
            raise RuntimeError(
                at_user_line(f"torch.histogramdd(): min should not exceed max, but got {limits[0]} and {limits[1]}")
            )
        low, high = (values.new_tensor(limit) for limit in limits)
    elif values.numel():
        low, high = values.amin(), values.amax()
    else:
        low, high = values.new_tensor(0.0), values.new_tensor(1.0)
    margin = low.eq(high).to(values.dtype).div(2)
    low, high = low.sub(margin), high.add(margin)
    steps = arange(bins + 1, dtype=values.dtype, device=values.device)
    return low.add(high.sub(low).mul(steps).div(bins)).where(steps.lt(bins), high)


__all__ = ["Histograms", "histogramdd"]
