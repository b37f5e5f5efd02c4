"""Counting and describing values: unique, bincount, covariance. Shapes that depend on values realize."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bfloat16, bool_, float32, float64, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.runtime.array import library
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import get_default_dtype
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
        axis = None if dim is None else _line_axis(self.node, dim, "unique")
        if self.dtype is bfloat16:  # whose NaN NumPy doesn't know
            array = array.astype(xp.float32)
        options = {"return_inverse": True, "return_counts": True, "axis": axis, "equal_nan": False}
        values, inverse, counts = xp.unique(array, **options)
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
        axis = 0 if dim is None else _line_axis(self.node, dim, "unique_consecutive")
        moved = array.reshape(-1) if dim is None else xp.moveaxis(array, axis, 0)
        lines = moved.reshape(moved.shape[0], math.prod(moved.shape[1:]))
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

    def cov(self, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
        """The covariance matrix of the rows. `fweights` count how often a column was seen, `aweights` say how
        much it matters."""
        if self.node.ndim > 2:
            raise RuntimeError(
                at_user_line(f"cov(): expected input to have two or fewer dimensions but got {self.node.ndim}")
            )
        if self.dtype is bool_:
            raise RuntimeError(at_user_line("cov(): bool dtype is not supported for input"))
        rows: Any = self if self.node.ndim == 2 else self.reshape(1, -1)
        rows = rows if rows.dtype.is_floating_point else rows.to(get_default_dtype())
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
        factor = length.add(1e-7).reciprocal().mul(maxnorm).where(length.gt(maxnorm), 1)
        return self.mul(factor)


def _line_axis(node: Node, dim: int, name: str) -> int:
    """The axis whose slices are told apart. RuntimeError where these are empty, IndexError where there are none."""
    axis = axis_of(node, dim, name)
    if not node.ndim:
        raise IndexError(at_user_line(f"{name}(): Dimension specified as {dim} but tensor has no dimensions"))
    if any(n == 0 for i, n in enumerate(node.shape) if i != axis):
        raise RuntimeError(
            at_user_line(
                f"{name}(): There are 0 sized dimensions, and they aren't selected, so unique cannot be applied; "
                f"shape {list(node.shape)}, dim {dim}"
            )
        )
    return axis


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


__all__ = ["Statistics"]
