"""Views whose elements lie apart or twice: diagonals, and windows that slide along a dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.layout import embed, inverse, narrowed, whole, windows
from lazygrad.tensor.movement import permuted, reshaped, sliced

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Windowed(TensorBase):
    __slots__ = ()

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """The diagonal of two dimensions as a last dimension."""
        a, b = axis_of(self.node, dim1, "diagonal"), axis_of(self.node, dim2, "diagonal")
        if a == b:
            raise RuntimeError(at_user_line(f"diagonal dimensions cannot be identical {dim1}, {dim2}"))
        axes = (*(i for i in range(self.node.ndim) if i not in (a, b)), a, b)
        *lead, rows, columns = (self.node.shape[i] for i in axes)
        count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
        start = max(offset, -offset * columns) if count else 0
        stop = start + (count - 1) * (columns + 1) + 1 if count else start
        bounds = (*whole(tuple(lead)), (start, stop, columns + 1))

        def flat(node: Node) -> Node:
            return build.reshape(build.permute(node, axes), (*lead, rows * columns))

        def leave(base: Node, value: Node) -> Node:
            return build.permute(build.reshape(embed(flat(base), value, bounds), (*lead, rows, columns)), inverse(axes))

        return self._viewed(
            lambda node: build.slice_(flat(node), bounds), leave, lambda base: base.diagonal(offset, count, a, b)
        )

    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """Windows of `size` elements every `step` along a dimension, their elements in a new last one."""
        if not self.node.ndim:
            if size > 1:
                raise RuntimeError(at_user_line(f"maximum size for tensor at dimension 0 is 1 but size is {size}"))
            return reshaped(self, (size,)) if size else sliced(reshaped(self, (1,)), 0, 0, 0)
        axis = axis_of(self.node, dimension, "unfold")
        length = self.node.shape[axis]
        if size > length or size < 0:
            raise RuntimeError(
                at_user_line(f"maximum size for tensor at dimension {axis} is {length} but size is {size}")
            )
        if step <= 0:
            raise RuntimeError(at_user_line(f"step is {step} but must be > 0"))
        count = (length - size) // step + 1
        if size <= step:  # windows side by side: a slice of the line cut into rows, written as any view
            covered = sliced(self, axis, 0, (count - 1) * step + size)
            if size < step and count > 1:
                return _spaced_windows(self, axis, size, step)
            shape = covered.node.shape
            cut = reshaped(covered, (*shape[:axis], count, size, *shape[axis + 1 :]))
            order = [i for i in range(cut.ndim) if i != axis + 1]
            return permuted(cut, (*order, axis + 1))
        return self._viewed(
            lambda node: windows(node, axis, size, step), None, lambda base: base.windows(axis, size, step)
        )


def _spaced_windows(tensor: TensorBase, axis: int, size: int, step: int) -> Tensor:
    """Windows that leave gaps: each of their columns is a strided slice of the base."""

    def leave(base: Node, value: Node) -> Node:
        for i in range(size):
            part = narrowed(value, value.ndim - 1, i, i + 1)
            bounds = whole(base.shape)
            count = value.shape[axis]
            bounds[axis] = (i, i + (count - 1) * step + 1, step)
            base = embed(base, build.reshape(part, value.shape[:-1]), bounds)
        return base

    return tensor._viewed(
        lambda node: windows(node, axis, size, step), leave, lambda base: base.windows(axis, size, step)
    )


__all__ = ["Windowed"]
