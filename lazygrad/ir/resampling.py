"""Padding modes and resampling: takes Nodes whose trailing dimensions are positions, returns Nodes."""

from __future__ import annotations

from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir.build import cast, concat, dot, expand, flip, permute, reshape, slice_, transpose
from lazygrad.ir.node import Node
from lazygrad.ir.windows import Widths

names_what_it_makes(__file__, generic=("repeat_along",))


def pad_by(node: Node, widths: Widths, mode: str) -> Node:
    """ "reflect", "replicate" or "circular" padding of the trailing dimensions."""
    for i, (before, after) in enumerate(widths):
        axis = node.ndim - len(widths) + i
        size = node.shape[axis]
        limit = {"reflect": size - 1, "circular": size}.get(mode)
        if limit is not None and max(before, after) > limit:
            raise RuntimeError(
                at_user_line(
                    f"Padding size should be less than the corresponding input dimension, but got: padding "
                    f"({before}, {after}) at dimension {axis} of input {list(node.shape)}"
                )
            )
        if not before and not after:
            continue
        node = concat([_margin(node, axis, before, mode, True), node, _margin(node, axis, after, mode, False)], axis)
    return node


def _margin(node: Node, axis: int, width: int, mode: str, front: bool) -> Node:
    size = node.shape[axis]

    def cut(start: int, stop: int) -> Node:
        return slice_(node, [(start, stop, 1) if i == axis else (0, n, 1) for i, n in enumerate(node.shape)])

    if mode == "circular":
        return cut(size - width, size) if front else cut(0, width)
    if mode == "reflect":
        return flip(cut(1, width + 1) if front else cut(size - 1 - width, size - 1), (axis,))
    edge = cut(0, 1) if front else cut(size - 1, size)
    return expand(edge, tuple(width if i == axis else n for i, n in enumerate(node.shape)))


def resample(node: Node, axis: int, matrix: Node) -> Node:
    """`matrix` (new size, old size) applied along `axis`: every linear interpolation is one."""
    moved = permute(node, (*[a for a in range(node.ndim) if a != axis], axis))
    flat = reshape(moved, (moved.numel // max(moved.shape[-1], 1), moved.shape[-1]))
    result = reshape(dot(flat, transpose(cast(matrix, node.dtype))), (*moved.shape[:-1], matrix.shape[0]))
    back = list(range(node.ndim - 1))
    back.insert(axis, node.ndim - 1)
    return permute(result, back)


def repeat_along(node: Node, axis: int, times: int) -> Node:
    """Each element `times` times: nearest-neighbour upsampling by a whole factor."""
    shape = node.shape
    split = reshape(node, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    spread = expand(split, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return reshape(spread, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))


__all__ = ["pad_by", "repeat_along", "resample"]
