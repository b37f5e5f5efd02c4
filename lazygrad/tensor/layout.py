"""Node -> Node rearrangements that the movement, indexing and assembly methods share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from lazygrad.dtype import bool_
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import Shape

Bounds = Sequence[tuple[int, int, int]]


def whole(shape: Shape) -> list[tuple[int, int, int]]:
    """The bounds of a slice that takes everything."""
    return [(0, n, 1) for n in shape]


def narrowed(node: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """node[..., start:stop:step, ...] along `axis`."""
    bounds = whole(node.shape)
    bounds[axis] = (start, stop, step)
    return build.slice_(node, bounds)


def embed(base: Node, value: Node, bounds: Bounds) -> Node:
    """`base` with `value` at the strided slice `bounds`: what reads the slice afterwards reads `value`."""
    if value.shape == base.shape:
        return value
    if value.numel == 0:
        return base
    last = [start + (n - 1) * step + 1 for n, (start, _, step) in zip(value.shape, bounds, strict=True)]
    widths = [(start, n - stop) for n, stop, (start, _, _) in zip(base.shape, last, bounds, strict=True)]

    def spread(node: Node) -> Node:
        return build.pad(build.dilate(node, tuple(step for _, _, step in bounds)), widths)

    inside = build.const(True, bool_, base.device, value.shape)
    return build.where(spread(inside), spread(value), base)


def inverse(axes: Shape) -> Shape:
    """The permutation that undoes `axes`."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def positions(node: Node, axis: int, shape: Shape | None = None) -> Node:
    """0, 1, ... along `axis` of node's shape (or of `shape`), of size 1 along the other axes; int64."""
    shape = node.shape if shape is None else shape
    lead = tuple(n if i == axis else 1 for i, n in enumerate(shape))
    return build.reshape(build.iota(shape[axis], node.device), lead)


def moved_last(node: Node, axis: int) -> Node:
    return build.permute(node, [*(i for i in range(node.ndim) if i != axis), axis])


def moved_back(node: Node, axis: int) -> Node:
    """Undo moved_last: the last axis goes to `axis`."""
    axes = list(range(node.ndim - 1))
    axes.insert(axis, node.ndim - 1)
    return build.permute(node, axes)


def windows(node: Node, axis: int, size: int, step: int = 1, dilation: int = 1) -> Node:
    """Sliding windows along `axis`, their elements in a new last axis: movement alone.

    The line repeated, and cut into rows one window-step longer than itself, has in row k the line shifted
    by k: element (k, i) of the rows is line[i + k * dilation].
    """
    length = node.shape[axis]
    count = (length - (size - 1) * dilation - 1) // step + 1
    line = moved_last(node, axis)
    lead = line.shape[:-1]
    row = length + dilation
    repeats = -(-(size * row) // length)
    copies = build.expand(build.reshape(line, (*lead, 1, length)), (*lead, repeats, length))
    flat = build.reshape(copies, (*lead, repeats * length))
    flat = narrowed(flat, flat.ndim - 1, 0, size * row)
    rows = build.reshape(flat, (*lead, size, row))
    taken = narrowed(rows, rows.ndim - 1, 0, (count - 1) * step + 1, step)
    # (lead, size, count) -> count at `axis`, size last
    return moved_back_before_last(build.transpose(taken), axis)


def moved_back_before_last(node: Node, axis: int) -> Node:
    """The last axis but one goes to `axis`; the last stays."""
    axes = list(range(node.ndim - 2))
    axes.insert(axis, node.ndim - 2)
    return build.permute(node, [*axes, node.ndim - 1])


def offsets(lengths: Sequence[int]) -> list[int]:
    """Where each of consecutive pieces starts."""
    return [0, *accumulate(lengths)][:-1] if lengths else []


def wrapped_index(index: Node, size: int) -> Node:
    """int64 indices with negative ones counted from the end. Lazy: nothing looks at the values."""
    known_positive = index.op is ops.IOTA or (index.op is ops.RESHAPE and index.src[0].op is ops.IOTA)
    index = build.cast(index, build.int64)
    value = build.constant_value(index)
    if value is not None:
        return build.like(index, int(value) % size if -size <= value < size else int(value))
    if known_positive:
        return index
    return build.where(build.less(index, build.like(index, 0)), build.shift(index, size), index)
