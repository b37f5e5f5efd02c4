"""Counting and describing values: unique, bincount, histc, covariance. Shapes that depend on values realize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.dtype import float32, float64, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.runtime.array import library
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.returns import Histogram
from lazygrad.tensor.sequences import arange
from lazygrad.tensor.values import computed, leaf_of

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Statistics(TensorBase):
    __slots__ = ()

    def unique(
        self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        """The distinct values (or slices along `dim`) in order; with their inverse and counts if asked for."""
        array = computed(self, "unique")
        xp = library(self.device.type)
        axis = None if dim is None else axis_of(self.node, dim, "unique")
        values, inverse, counts = xp.unique(array, return_inverse=True, return_counts=True, axis=axis)
        shape = self.node.shape if axis is None else (self.node.shape[axis],)
        found = [wrap(leaf_of(values, self.dtype, self.device))]
        if return_inverse:
            found.append(wrap(leaf_of(inverse.reshape(shape), int64, self.device)))
        if return_counts:
            found.append(wrap(leaf_of(counts, int64, self.device)))
        return found[0] if len(found) == 1 else tuple(found)

    def unique_consecutive(
        self, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        """The values (or slices along `dim`) without those equal to the one before."""
        array = computed(self, "unique_consecutive")
        xp = library(self.device.type)
        axis = 0 if dim is None else axis_of(self.node, dim, "unique_consecutive")
        lines = array.reshape(-1, 1) if dim is None else xp.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        fresh = xp.ones(lines.shape[0], dtype=bool)
        if lines.shape[0] > 1:
            fresh[1:] = (lines[1:] != lines[:-1]).any(axis=1)
        starts = xp.nonzero(fresh)[0]
        kept = array.reshape(-1)[starts] if dim is None else xp.take(array, starts, axis=axis)
        found = [wrap(leaf_of(kept, self.dtype, self.device))]
        if return_inverse:
            place = xp.cumsum(fresh) - 1
            shape = array.shape if dim is None else place.shape
            found.append(wrap(leaf_of(place.reshape(shape), int64, self.device)))
        if return_counts:
            ends = xp.concatenate([starts[1:], xp.asarray([lines.shape[0]])]) if starts.size else starts
            found.append(wrap(leaf_of(ends - starts, int64, self.device)))
        return found[0] if len(found) == 1 else tuple(found)

    def bincount(self, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
        """How often (or with what weight) each number 0, 1, ... occurs."""
        if not self.dtype.is_integer:
            raise NotImplementedError(at_user_line(f"\"bincount\" not implemented for '{self.dtype.name}'"))
        if self.node.ndim != 1:
            raise RuntimeError(at_user_line("bincount only supports 1-d non-negative integral inputs."))
        if minlength < 0:
            raise RuntimeError(at_user_line("minlength should be >= 0"))
        array = computed(self, "bincount")
        if array.size and int(array.min()) < 0:
            raise RuntimeError(at_user_line("bincount only supports 1-d non-negative integral inputs."))
        length = max(minlength, int(array.max()) + 1 if array.size else 0)
        index = build.cast(self.node, int64)
        if weights is None:
            values = build.const(1, int64, self.device, index.shape)
        else:
            if weights.shape != self.shape:
                raise RuntimeError(at_user_line("weights should be 1-d and have the same length as input"))
            values = build.cast(weights.node, weights.dtype if weights.dtype is float32 else float64)
        zeros = build.const(0, values.dtype, self.device, (length,))
        return wrap(build.scatter(zeros, index, values, 0, "add") if index.numel else zeros)

    def histc(self, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
        """How many elements fall in each of `bins` equal bins of [min, max]; of the data's range if both are 0."""
        if not self.dtype.is_floating_point:
            raise NotImplementedError(at_user_line(f"\"histogram_cpu\" not implemented for '{self.dtype.name}'"))
        if bins <= 0:
            raise RuntimeError(at_user_line("bins must be > 0"))
        if min > max:
            raise RuntimeError(at_user_line("max must be larger than min"))
        flat = build.detach(build.reshape(self.node, (self.node.numel,)))
        if not flat.numel:
            return wrap(build.const(0, self.dtype, self.device, (bins,)))
        if min == max == 0:
            low, high = (build.reduce(op, flat, (0,)) for op in (ops.MIN, ops.MAX))
        else:
            low, high = build.const(min, self.dtype, self.device, (1,)), build.const(max, self.dtype, self.device, (1,))
        flat_range = build.equal(low, high)
        low, high = (build.where(flat_range, build.shift(n, by), n) for n, by in ((low, -1), (high, 1)))
        place = build.div(build.scale(build.sub(flat, low), bins), build.sub(high, low))
        inside = build.logical_and(build.pointwise(ops.LE, low, flat), build.pointwise(ops.LE, flat, high))
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
        if not self.dtype.is_floating_point:
            raise NotImplementedError(at_user_line(f"\"histogram\" not implemented for '{self.dtype.name}'"))
        flat: Any = self.detach().reshape(-1)
        if isinstance(bins, TensorBase):
            edges: Any = bins.detach()
            if edges.dtype is not self.dtype or edges.ndim != 1:
                raise RuntimeError(at_user_line("torch.histogram(): bins must be 1-D and of the dtype of the input"))
        else:
            edges = _equal_bins(flat, bins, range)
        count = edges.shape[0] - 1
        inside = flat.ge(edges[0]).logical_and(flat.le(edges[-1]))
        place = edges[1:-1].contiguous()
        index = flat.unsqueeze(-1).ge(place).sum(-1) if count > 1 else flat.long().mul(0)
        weights = flat.mul(0).add(1) if weight is None else weight.detach().reshape(-1)
        weights = weights.masked_fill(inside.logical_not(), 0)
        hist = flat.new_zeros(count).scatter_add(0, index, weights)
        if density:
            hist = hist.div(hist.sum()).div(edges.diff())
        return Histogram(hist, edges)

    def cov(self, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
        """The covariance matrix of the rows. `fweights` count how often a column was seen, `aweights` say how
        much it matters."""
        if self.node.ndim > 2:
            raise RuntimeError(
                at_user_line(f"cov(): expected input to have two or fewer dimensions but got {self.node.ndim}")
            )
        rows: Any = self if self.node.ndim == 2 else self.reshape(1, -1)
        weights = _column_weights(rows, fweights, aweights)
        if weights is None:
            total: Any = rows.node.shape[1]
            norm: Any = max(0, total - correction)
            centered = rows.sub(rows.mean(1, keepdim=True))
            result = centered.matmul(centered.t()).div(norm)
        else:
            total = weights.sum()
            centered = rows.sub(rows.mul(weights).sum(1, keepdim=True).div(total))
            lost = correction if aweights is None else weights.mul(aweights).sum().mul(correction).div(total)
            result = centered.mul(weights).matmul(centered.t()).div(total.sub(lost).clamp(min=0))
        return result if self.node.ndim == 2 else result.reshape(())

    def corrcoef(self) -> Tensor:
        """The correlation matrix of the rows."""
        covariance = self.cov()
        if not covariance.node.ndim:
            return covariance.div(covariance)
        deviation = covariance.diagonal().sqrt()
        return covariance.div(deviation.unsqueeze(0)).div(deviation.unsqueeze(1)).clamp(-1, 1)

    def renorm(self, p: float, dim: int, maxnorm: float) -> Tensor:
        """Each slice along `dim` scaled down to have a p-norm of at most maxnorm."""
        if not self.dtype.is_floating_point:
            raise RuntimeError(at_user_line(f"renorm(): expected a floating point tensor, got {self.dtype.name}"))
        if p <= 0 or maxnorm < 0:
            raise RuntimeError(at_user_line(f"renorm(): expected p > 0 and maxnorm >= 0, got p={p}, maxnorm={maxnorm}"))
        axis = axis_of(self.node, dim, "renorm")
        others = tuple(i for i in range(self.node.ndim) if i != axis)
        if not others:
            raise RuntimeError(at_user_line("renorm: input needs at least 2 dimensions, got 1 dimensions"))
        length = self.norm(p, others, keepdim=True)
        factor = length.add(1e-7).reciprocal().mul(maxnorm).masked_fill(length.le(maxnorm), 1)
        return self.mul(factor)


def _column_weights(rows: Any, fweights: Any, aweights: Any) -> Any:
    """One weight a column, or None. RuntimeError for weights that can't be."""
    count = rows.node.shape[1]
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        if weights.ndim > 1 or weights.numel() != count:
            raise RuntimeError(at_user_line(f"cov(): expected {name} to have {count} elements in one dimension"))
        if weights.dtype.is_integer != (name == "fweights"):
            kind = "integral" if name == "fweights" else "floating point"
            raise RuntimeError(at_user_line(f"cov(): expected {name} to be {kind}, got {weights.dtype.name}"))
    if fweights is None or aweights is None:
        return aweights if fweights is None else fweights
    return fweights.mul(aweights)


def _equal_bins(flat: Any, bins: int, range: tuple[float, float] | None) -> Any:
    """The edges of equal bins over `range`, or over where the data lies."""
    if bins <= 0:
        raise RuntimeError(at_user_line(f"torch.histogram(): bins must be > 0, but got {bins}"))
    if range is not None:
        low, high = flat.new_tensor(range[0]), flat.new_tensor(range[1])
    elif flat.numel():
        low, high = flat.amin(), flat.amax()
    else:
        low, high = flat.new_tensor(0.0), flat.new_tensor(1.0)
    margin = low.eq(high).to(flat.dtype).div(2)
    low, high = low.sub(margin), high.add(margin)
    steps = arange(bins + 1, dtype=flat.dtype, device=flat.device)
    return low.add(high.sub(low).mul(steps).div(bins)).where(steps.lt(bins), high)


__all__ = ["Statistics"]
