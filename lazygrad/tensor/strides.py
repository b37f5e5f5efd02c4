"""Where a view's elements lie in the tensor it is a view of, as torch tells it: sizes, strides and an offset.

lazygrad composes views into index expressions and needs none of this to compute. It decides what a user of
torch relies on: what stride() says, which reshape() shares memory and which copies, what view() refuses.
A tensor that is no view lies row-major; so does every computed result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lazygrad.shape import Shape, contiguous_strides, numel


@dataclass(frozen=True)
class Strided:
    """Element (i, j, ...) lies at offset + i * strides[0] + j * strides[1] + ..."""

    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def is_contiguous(self) -> bool:
        """Row-major without gaps; sizes of 1 may have any stride."""
        wanted = row_major(self.shape).strides
        fits = all(n == 1 or a == b for n, a, b in zip(self.shape, self.strides, wanted, strict=True))
        return fits or not numel(self.shape)

    @property
    def overlaps(self) -> bool:
        """Whether two elements may share a place: a stride that doesn't reach beyond all smaller ones."""
        if not numel(self.shape):
            return False
        reach = 0
        for stride, size in sorted(zip(self.strides, self.shape, strict=True)):
            if size > 1:
                if stride <= reach:
                    return True
                reach += stride * (size - 1)
        return False

    def reshaped(self, shape: Shape) -> Strided | None:
        """The same elements in row-major order under another shape; None where no strides say that.

        Neighbouring dimensions that lie in one line are one run; every run must be cut by itself.
        """
        if not numel(self.shape):
            same = shape == self.shape
            return Strided(shape, self.strides if same else row_major(shape).strides, self.offset)
        strides = [1] * len(shape)
        at = len(shape) - 1
        run, step = 1, self.strides[-1] if self.strides else 1
        for i in range(len(self.shape) - 1, -1, -1):
            run *= self.shape[i]
            last = i == 0 or (self.shape[i - 1] != 1 and self.strides[i - 1] != run * step)
            if not last:
                continue
            filled = 1
            while at >= 0 and (filled < run or shape[at] == 1):
                strides[at] = filled * step
                filled *= shape[at]
                at -= 1
            if filled != run:
                return None
            if i:
                run, step = 1, self.strides[i - 1]
        if not self.shape:
            return row_major(shape, self.offset)
        return Strided(shape, tuple(strides), self.offset) if at < 0 else None

    def permuted(self, axes: Sequence[int]) -> Strided:
        """Dimensions in another order."""
        return Strided(tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes), self.offset)

    def sliced(self, bounds: Sequence[tuple[int, int, int]]) -> Strided:
        """start:stop:step of every dimension."""
        shape = tuple(max(0, -(-(stop - start) // step)) for start, stop, step in bounds)
        strides = tuple(s * step for s, (_, _, step) in zip(self.strides, bounds, strict=True))
        offset = self.offset + sum(s * start for s, (start, _, _) in zip(self.strides, bounds, strict=True))
        return Strided(shape, strides, offset)

    def indexed(self, bounds: Sequence[tuple[int, int, int]], dims: Sequence[int]) -> Strided:
        """`bounds` of every dimension; of these `dims` in order, where ~d is a new one of size 1 before d."""
        cut = self.sliced(bounds)
        ends = [(1, self.with_one(~d).strides[~d]) if d < 0 else (cut.shape[d], cut.strides[d]) for d in dims]
        return Strided(tuple(n for n, _ in ends), tuple(s for _, s in ends), cut.offset)

    def expanded(self, shape: Shape) -> Strided:
        """Enlarged dimensions, and new leading ones, stay where they are."""
        lead = len(shape) - len(self.shape)
        strides = [0] * lead
        for old, new, stride in zip(self.shape, shape[lead:], self.strides, strict=True):
            strides.append(stride if old == new else 0)
        for i in range(lead - 1, -1, -1):
            if shape[i] == 1:
                strides[i] = shape[i + 1] * strides[i + 1] if i + 1 < len(shape) else 1
        return Strided(shape, tuple(strides), self.offset)

    def without(self, axes: Sequence[int]) -> Strided:
        """Dimensions left out: of each its first place."""
        kept = [i for i in range(len(self.shape)) if i not in axes]
        return Strided(tuple(self.shape[i] for i in kept), tuple(self.strides[i] for i in kept), self.offset)

    def with_one(self, axis: int) -> Strided:
        """A new dimension of size 1 at `axis`."""
        stride = self.shape[axis] * self.strides[axis] if axis < len(self.shape) else 1
        shape, strides = self.shape, self.strides
        return Strided((*shape[:axis], 1, *shape[axis:]), (*strides[:axis], stride, *strides[axis:]), self.offset)

    def diagonal(self, shift: int, count: int, a: int, b: int) -> Strided:
        """The `count` elements (i, i + shift) of dimensions a and b as a last dimension."""
        rest = self.without((a, b))
        offset = self.offset + (self.strides[b] * shift if shift >= 0 else -self.strides[a] * shift) * (count > 0)
        return Strided((*rest.shape, count), (*rest.strides, self.strides[a] + self.strides[b]), offset)

    def windows(self, axis: int, size: int, step: int) -> Strided:
        """Every `step`-th window of `size` elements along `axis`, its elements in a new last dimension."""
        count = (self.shape[axis] - size) // step + 1
        shape = (*self.shape[:axis], count, *self.shape[axis + 1 :], size)
        strides = (*self.strides[:axis], self.strides[axis] * step, *self.strides[axis + 1 :], self.strides[axis])
        return Strided(shape, strides, self.offset)


def row_major(shape: Shape, offset: int = 0) -> Strided:
    """The last dimension's elements side by side, without gaps."""
    return Strided(shape, contiguous_strides([max(n, 1) for n in shape]), offset)
