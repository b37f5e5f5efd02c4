"""Planes: takes the loads of a pointwise group, returns a two-dimensional tile where memory has two fast axes.

What is written runs along the linear index. A transposed operand runs along another axis: blocks of the
linear index would touch a new line of memory with every element of it. A block of both axes reads whole
lines of either kind, and Triton carries the elements across through shared memory.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lazygrad.codegen import index as ix
from lazygrad.codegen.program import Axis, Load
from lazygrad.codegen.tile import power_of_two

SIDE = 64  # elements of a tile along each axis: whole 128-byte lines in half precision
ELEMENTS = SIDE * SIDE
SHORTEST = 16  # a run of the linear index from here on leaves a line per element; shorter ones stay in cache


@dataclass(frozen=True)
class Plane:
    """A linear space seen as [z, y, x]: `linear` = (z * |y| + y) * |x| + x; `axes` with the blocks."""

    linear: ix.Expr
    y: ix.Expr
    x: ix.Expr
    axes: tuple[Axis, ...]
    num_warps: int


def plane_of(loads: list[Load], linear: ix.Expr, size: int) -> Plane | None:
    """The plane in which the most bytes of transposed operands are read along `y`; None where there are none."""
    transposed: dict[tuple[int, int], int] = defaultdict(int)
    for load in loads:
        fast = _fast_axis(load.index, linear, size)
        if fast is not None:
            transposed[fast] += load.result.dtype.itemsize
    if not transposed:
        return None
    height, width = max(transposed, key=lambda axis: (transposed[axis], axis))
    z, y, x = ix.var("z", size // (height * width)), ix.var("y", height), ix.var("x", width)
    across = min(SIDE, power_of_two(height))
    along = min(ELEMENTS // across, power_of_two(width))
    across = min(ELEMENTS // along, power_of_two(height))
    axes = (*single_axis("z", size // (height * width)), Axis("y", height, across), Axis("x", width, along))
    warps = max(1, min(8 if len(loads) > 1 else 4, across * along // 256))
    return Plane((z * height + y) * width + x, y, x, axes, warps)


def single_axis(name: str, extent: int) -> tuple[Axis, ...]:
    """An axis of which each program has one element; none where there is only one."""
    return (Axis(name, extent, 1, single=True),) if extent > 1 else ()


def _fast_axis(address: ix.Expr, linear: ix.Expr, size: int) -> tuple[int, int] | None:
    """(height, width) of the axis `linear // width % height` that a load runs along, if it also varies within the
    width and both are worth a tile. None where it runs along the linear index itself."""
    if ix.contiguous_along(address, linear):
        return None
    for atom, coefficient in address.terms:
        if abs(coefficient) != 1:
            continue
        quotient = atom.dividend if atom.kind == "%" else atom
        if quotient.kind != "//" or quotient.dividend is not linear:
            continue
        width = quotient.by
        height = atom.by if atom.kind == "%" else size // width
        if width >= SHORTEST and size % (width * height) == 0 and _varies_within(address, linear, width):
            return height, width
    return None


def _varies_within(address: ix.Expr, linear: ix.Expr, width: int) -> bool:
    within = ix.var("x", width)
    return within in ix.variables(ix.substitute(address, {linear: within}))
