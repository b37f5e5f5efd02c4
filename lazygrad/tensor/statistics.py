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

    def cov(self, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
        """The covariance matrix of the rows."""
        if fweights is not None or aweights is not None:
            raise NotImplementedError(at_user_line("cov(): weights aren't supported"))
        rows: Any = self if self.node.ndim == 2 else self.reshape(1, -1)
        count = rows.node.shape[1]
        centered = rows.sub(rows.mean(1, keepdim=True))
        result = centered.matmul(centered.t()).div(max(0, count - correction))
        return result if self.node.ndim == 2 else result.reshape(())

    def corrcoef(self) -> Tensor:
        """The correlation matrix of the rows."""
        covariance = self.cov()
        if not covariance.node.ndim:
            return covariance.div(covariance)
        deviation = covariance.diagonal().sqrt()
        return covariance.div(deviation.unsqueeze(0)).div(deviation.unsqueeze(1)).clamp(-1, 1)

    def trapezoid(self, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
        """The integral by the trapezoid rule."""
        axis = axis_of(self.node, dim, "trapezoid")
        size = self.node.shape[axis]
        if size < 2:
            return self.narrow(axis, 0, 0).sum(axis)
        pairs = self.narrow(axis, 1, size - 1).add(self.narrow(axis, 0, size - 1))
        if x is not None:
            steps = x.diff(dim=-1 if x.ndim == 1 else dim)
            steps = (
                steps.reshape([size - 1 if i == axis else 1 for i in range(self.node.ndim)]) if x.ndim == 1 else steps
            )
            return pairs.mul(steps).sum(axis).div(2)
        return pairs.sum(axis).mul(dx / 2)


__all__ = ["Statistics"]
