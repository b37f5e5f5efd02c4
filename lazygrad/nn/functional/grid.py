"""Sampling at places that are values: affine_grid makes them, grid_sample reads there (Jaderberg et al. 2015)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import Shape
from lazygrad.tensor.autocast import autocast_operands, float32_operands
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """(N, H, W, 2) for theta (N, 2, 3) and size (N, C, H, W), or (N, D, H, W, 3) for (N, 3, 4): where an affine map
    takes each position. Coordinates are (x, y[, z]) with -1 and 1 at the edges; at the outer elements' centres with
    align_corners."""
    node, positions = theta.node, len(size) - 2
    if positions not in (2, 3) or node.shape != (size[0], positions, positions + 1):
        raise ValueError(
            at_user_line(
                f"affine_grid: expected theta (N, 2, 3) with size (N, C, H, W), or (N, 3, 4) with (N, C, D, H, W), got "
                f"{list(node.shape)} and {list(size)}"
            )
        )
    if not node.dtype.is_floating_point:
        raise ValueError(at_user_line(f"Expected theta to have floating point type, but got {node.dtype.name}"))
    lines = [np.linspace(-1, 1, n) * (1 if align_corners else (n - 1) / n) if n > 1 else np.zeros(n) for n in size[2:]]
    places = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(tuple(size[2:]))], -1)
    base = from_array(places.reshape(1, -1, positions + 1), node.device, node.dtype)
    base, node = autocast_operands(build.expand(base, (size[0], *base.shape[1:])), node)
    moved = build.dot(base, build.transpose(node))
    return wrap(build.reshape(moved, (*(size[0], *size[2:]), positions)))


# -- from coordinates in [-1, 1] to places in the input -----------------------------------------------
def _place(x: Node, size: int, corners: bool) -> Node:
    shifted = build.shift(x, 1)
    return build.scale(shifted, (size - 1) / 2) if corners else build.shift(build.scale(shifted, size / 2), -0.5)


def _reflected(place: Node, size: int, corners: bool) -> Node:
    """Mirrored at the outer elements' centres (corners) or at their edges, as often as needed."""
    low, span = (0.0, size - 1.0) if corners else (-0.5, float(size))
    if span <= 0:
        return build.scale(place, 0)
    away = build.pointwise(ops.ABS, build.shift(place, -low))
    turns = build.pointwise(ops.FLOOR, build.scale(build.detach(away), 1 / span))
    rest = build.sub(away, build.scale(turns, span))
    half = build.scale(turns, 0.5)
    even = build.equal(build.pointwise(ops.FLOOR, half), half)
    return build.shift(build.where(even, rest, build.sub(build.like(rest, span), rest)), low)


def _within(place: Node, size: int, padding: str, corners: bool) -> Node:
    """Brought back into the input by the padding mode; for "zeros" left as it is."""
    if padding == "zeros":
        return place
    if padding == "reflection":
        place = _reflected(place, size, corners)
    return library.hardtanh(place, 0, size - 1)


Taps = list[tuple[Node, Node]]
"""Along one dimension: (place, a whole number; its weight)."""


def _nearest(place: Node) -> Taps:
    return [(build.detach(build.pointwise(ops.ROUND, place)), build.like(place, 1))]


def _linear(place: Node) -> Taps:
    base = build.detach(build.pointwise(ops.FLOOR, place))
    t = build.sub(place, base)
    return [(base, build.sub(build.like(t, 1), t)), (build.shift(base, 1), t)]


def _cubic(place: Node) -> Taps:
    """Keys 1981 with a = -0.75."""
    base = build.detach(build.pointwise(ops.FLOOR, place))
    t = build.sub(place, base)

    def near(x: Node) -> Node:
        return build.shift(build.mul(build.mul(build.shift(build.scale(x, 1.25), -2.25), x), x), 1)

    def far(x: Node) -> Node:
        inner = build.shift(build.mul(build.shift(x, -5), x), 8)
        return build.scale(build.shift(build.mul(inner, x), -4), -0.75)

    rest = build.sub(build.like(t, 1), t)
    weights = (far(build.shift(t, 1)), near(t), near(rest), far(build.shift(rest, 1)))
    return [(build.shift(base, i - 1), weight) for i, weight in enumerate(weights)]


TAPS: dict[str, Callable[[Node], Taps]] = {"nearest": _nearest, "bilinear": _linear, "bicubic": _cubic}


def _check(x: Node, grid: Node, mode: str, padding: str) -> None:
    name = "grid_sample"
    if mode not in TAPS:
        raise ValueError(at_user_line(f"{name}: mode has to be 'bilinear', 'nearest' or 'bicubic', but got {mode!r}"))
    if padding not in ("zeros", "border", "reflection"):
        raise ValueError(
            at_user_line(f"{name}: expected padding_mode to be 'zeros', 'border', or 'reflection', but got {padding!r}")
        )
    if x.ndim not in (4, 5) or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or grid.shape[-1] != x.ndim - 2:
        raise RuntimeError(
            at_user_line(
                f"{name}: expected input (N, C, H, W) with grid (N, h, w, 2), or (N, C, D, H, W) with (N, d, h, w, 3), "
                f"got {list(x.shape)} and {list(grid.shape)}"
            )
        )
    if mode == "bicubic" and x.ndim != 4:
        raise RuntimeError(at_user_line(f"{name}: bicubic interpolation only supports 4D input"))
    if x.dtype is not grid.dtype:
        raise RuntimeError(
            at_user_line(f"{name}: input and grid should have the same dtype, got {x.dtype.name} and {grid.dtype.name}")
        )
    if 0 in x.shape[2:]:
        raise RuntimeError(at_user_line(f"{name}: expected input to have non-empty spatial dimensions"))


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The input (N, C, H, W) or (N, C, D, H, W) read at the places of a grid (N, h, w, 2) or (N, d, h, w, 3).

    Coordinates are as affine_grid makes them. `mode` is "bilinear" (in 3-D trilinear), "nearest" or "bicubic";
    padding_mode "zeros", "border" or "reflection" says what lies beyond the edges. "nearest" gives no gradient to the
    grid.
    """
    _check(input.node, grid.node, mode, padding_mode)
    corners = bool(align_corners)
    given = float32_operands("grid_sample", input.node, grid.node)
    x, places = (library.wide(node) for node in given)
    sizes: Shape = x.shape[2:]
    batch, channels, count = x.shape[0], x.shape[1], math.prod(places.shape[1:-1])
    dimensions: list[Taps] = []
    for i, size in enumerate(sizes):
        column = len(sizes) - 1 - i  # the grid's x belongs to the last dimension
        bounds = [(0, n, 1) for n in places.shape[:-1]] + [(column, column + 1, 1)]
        place = _place(build.reshape(build.slice_(places, bounds), (batch, 1, count)), size, corners)
        if mode == "bicubic":  # each tap is brought back, not the place
            taps = [(_within(p, size, padding_mode, corners), w) for p, w in _cubic(place)]
        else:
            taps = TAPS[mode](_within(place, size, padding_mode, corners))
        dimensions.append(taps)
    flat = build.reshape(x, (batch, channels, math.prod(sizes)))
    total: Node | None = None
    for combination in itertools.product(*dimensions):
        index, weight = _combined(combination, sizes)
        read = build.gather(flat, build.expand(index, (batch, channels, count)), 2)
        term = build.mul(read, weight)
        total = term if total is None else build.add(total, term)
    assert total is not None
    return wrap(build.cast(build.reshape(total, (batch, channels, *places.shape[1:-1])), given[0].dtype))


def _combined(taps: Sequence[tuple[Node, Node]], sizes: Shape) -> tuple[Node, Node]:
    """(flat int64 index, weight) of one tap in each dimension; weight 0 where it lies outside."""
    index: Node | None = None
    weight: Node | None = None
    for (place, share), size in zip(taps, sizes, strict=True):
        inside = build.logical_and(
            build.pointwise(ops.LE, build.like(place, 0), place), build.less(place, build.like(place, size))
        )
        here = build.cast(build.where(inside, place, build.like(place, 0)), int64)
        share = build.where(inside, share, build.like(share, 0))
        index = here if index is None else build.add(build.scale(index, size), here)
        weight = share if weight is None else build.mul(weight, share)
    assert index is not None and weight is not None
    return index, weight
