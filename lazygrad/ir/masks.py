"""Attention masks told from their structure: takes Nodes over (q_len, k_len), returns what they
hide.

A mask written with arange, tril or triu is a formula over the row i and the column j. It is read
here, not evaluated: `causal` then costs a kernel nothing, where the same mask as an operand would
be loaded. Masks on top of each other become one operand, where one operand can say the same.

Of a row that sees nothing the result is NaN. Its gradients are as written (0 for scores that were
filled in, NaN where -inf was added), unless both were done to one row: then they are those of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from lazygrad.dtype import bool_
from lazygrad.ir import build as b
from lazygrad.ir import op as ops
from lazygrad.ir.build import Scalar, constant_value
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind

# A score this low beside any other has probability 0 exactly: exp underflows. Real scores are not
# near it.
HIDDEN = -1e9


@dataclass(frozen=True)
class Layer:
    """One mask laid on the scores: a bool one (True attends, the others' score becomes `fill`), or
    numbers that are added (fill is None). Four dimensions, of size 1 where it broadcasts."""

    mask: Node
    fill: float | None


@dataclass(frozen=True)
class Masking:
    """What AttentionArg says of masks, and the operand."""

    causal: bool = False
    mask: Node | None = None
    fill: float = -math.inf


# -- reading a formula of i and j --------------------------------------------------------------
@dataclass(frozen=True)
class Line:
    """The number rows * i + columns * j + constant."""

    rows: int
    columns: int
    constant: int

    @property
    def is_constant(self) -> bool:
        return not (self.rows or self.columns)

    def plus(self, other: Line, times: int = 1) -> Line:
        return Line(
            self.rows + times * other.rows,
            self.columns + times * other.columns,
            self.constant + times * other.constant,
        )

    def times(self, factor: int) -> Line:
        return Line(self.rows * factor, self.columns * factor, self.constant * factor)


@dataclass(frozen=True)
class Step:
    """`yes` where the line is not negative, else `no`."""

    line: Line
    yes: Scalar
    no: Scalar


Value = Scalar | Line | Step
ROW, COLUMN, ORIGIN = Line(1, 0, 0), Line(0, 1, 0), Line(0, 0, 0)


class _Reader:
    """Reads one formula; gives up after `budget` nodes."""

    def __init__(self, budget: int = 200) -> None:
        self.budget = budget

    def value(self, node: Node, index: tuple[Line, ...]) -> Value | None:
        """The element of `node` at `index` as a function of i and j; None where it is more."""
        self.budget -= 1
        if self.budget < 0:
            return None
        if node.op is ops.CONST:
            value: Scalar = node.arg
            return value
        if node.op is ops.IOTA:
            return index[0]
        if node.op.kind in (Kind.MARKER, Kind.TRANSFER):
            return self.value(node.src[0], index)
        if node.op.kind is Kind.MOVEMENT:
            moved = _index_below(node, index)
            return None if moved is None else self.value(node.src[0], moved)
        if node.op.kind is not Kind.POINTWISE or node.op is ops.PHILOX:
            return None
        values = [self.value(s, index) for s in node.src]
        if any(v is None for v in values):
            return None
        return _combined(node, values)  # type: ignore[arg-type]


def _index_below(node: Node, index: tuple[Line, ...]) -> tuple[Line, ...] | None:
    """Where an element of a movement op comes from."""
    source = node.src[0]
    if node.op is ops.EXPAND:
        tail = index[node.ndim - source.ndim :]
        return tuple(ORIGIN if n == 1 else line for n, line in zip(source.shape, tail, strict=True))
    if node.op is ops.PERMUTE:
        return tuple(index[node.arg.index(axis)] for axis in range(node.ndim))
    if node.op is ops.SLICE:
        return tuple(
            line.times(step).plus(Line(0, 0, start)) for line, (start, _, step) in zip(index, node.arg, strict=True)
        )
    if node.op is ops.FLIP:
        return tuple(
            Line(0, 0, n - 1).plus(line, -1) if axis in node.arg else line
            for axis, (line, n) in enumerate(zip(index, source.shape, strict=True))
        )
    if node.op is ops.RESHAPE:
        kept = [line for line, n in zip(index, node.shape, strict=True) if n != 1]
        if [n for n in node.shape if n != 1] != [n for n in source.shape if n != 1]:
            return None
        lines = iter(kept)
        return tuple(ORIGIN if n == 1 else next(lines) for n in source.shape)
    return None


def _combined(node: Node, values: Sequence[Value]) -> Value | None:
    if any(isinstance(v, Line) for v in values):
        return _of_lines(node, [_as_line(v) for v in values])
    steps = [v for v in values if isinstance(v, Step)]
    if len({s.line for s in steps}) > 1:
        return None
    yes = _applied(node, [v.yes if isinstance(v, Step) else v for v in values])
    no = _applied(node, [v.no if isinstance(v, Step) else v for v in values])
    return Step(steps[0].line, yes, no) if steps else yes


def _as_line(value: Value) -> Line | None:
    if isinstance(value, Line):
        return value
    whole = not isinstance(value, Step) and math.isfinite(value) and value == int(value)
    return Line(0, 0, int(value)) if whole else None  # type: ignore[arg-type]


def _of_lines(node: Node, lines: list[Line | None]) -> Value | None:
    """Arithmetic and order of whole numbers; positions are exact in float32 and wide integers."""
    if any(line is None for line in lines) or node.src[0].dtype.itemsize < 4:
        return None
    a = lines[0]
    c = lines[-1]
    assert a is not None and c is not None
    if node.op is ops.CAST:
        return a if node.dtype.itemsize >= 4 else None
    if node.op is ops.NEG:
        return a.times(-1)
    if node.op is ops.ADD:
        return a.plus(c)
    if node.op is ops.SUB:
        return a.plus(c, -1)
    if node.op is ops.MUL and (a.is_constant or c.is_constant):
        return c.times(a.constant) if a.is_constant else a.times(c.constant)
    if node.op is ops.LE:
        return Step(c.plus(a, -1), True, False)
    if node.op is ops.LT:
        return Step(c.plus(a, -1).plus(Line(0, 0, -1)), True, False)
    return None


def _applied(node: Node, values: Sequence[Any]) -> Scalar:
    wide = [
        np.asarray(v, dtype=bool if s.dtype is bool_ else s.dtype.compute.numpy)
        for v, s in zip(values, node.src, strict=True)
    ]
    assert node.op.ref is not None
    with np.errstate(all="ignore"):
        result: Scalar = np.asarray(node.op.ref(np, node.arg, *wide)).astype(node.dtype.compute.numpy).item()
    return result


def read(mask: Node) -> Value | None:
    """A mask of four dimensions as a function of i and j; None where it depends on more."""
    if any(n != 1 for n in mask.shape[:-2]):
        return None
    rows, columns = mask.shape[-2:]
    index = (
        *[ORIGIN] * (mask.ndim - 2),
        ORIGIN if rows == 1 else ROW,
        ORIGIN if columns == 1 else COLUMN,
    )
    return _Reader().value(mask, index)


# -- what a formula hides ----------------------------------------------------------------------
def shows_all(seen: Value | None, q_len: int, k_len: int) -> bool:
    """Whether a bool formula is True everywhere."""
    if not isinstance(seen, Step):
        return seen is True
    line = _visible_line(seen)
    if line is None:
        return bool(seen.yes and seen.no)
    least = line.constant + min(0, line.rows * (q_len - 1)) + min(0, line.columns * (k_len - 1))
    return least >= 0


def is_causal(seen: Value | None) -> bool:
    """Whether a bool formula is True where j <= i, and only there."""
    line = _visible_line(seen) if isinstance(seen, Step) else None
    return line is not None and line.rows == -line.columns > line.constant >= 0


def _visible_line(seen: Step) -> Line | None:
    """The line that is not negative where the step is True; None for a step between equals."""
    if bool(seen.yes) == bool(seen.no):
        return None
    return seen.line if seen.yes else seen.line.times(-1).plus(Line(0, 0, -1))


def _without_numbers(layer: Layer) -> Layer:
    """s + where(c, 0, -inf) is where(c, s, -inf); so with a finite number, if low enough."""
    mask = layer.mask
    if layer.fill is not None:
        return layer
    value = read(mask)
    if isinstance(value, Step) and {float(value.yes), float(value.no)} & {0.0}:
        hidden = min(float(value.yes), float(value.no))
        step = Step(value.line, value.yes == 0, value.no == 0)
        if hidden == -math.inf or (hidden <= HIDDEN and is_causal(step)):
            return Layer(_comparison(step, mask), hidden)
    chosen = mask.src[0] if mask.op is ops.RESHAPE else mask
    if chosen.op is ops.WHERE:
        condition = b.reshape(chosen.src[0], mask.shape)
        sides = constant_value(chosen.src[1]), constant_value(chosen.src[2])
        if sides == (0, -math.inf):
            return Layer(condition, -math.inf)
        if sides == (-math.inf, 0):
            return Layer(b.logical_not(condition), -math.inf)
    return layer


def _causal(layer: Layer) -> Layer:
    """The layer without numbers, if it is then causal: such a row sees at least itself."""
    bare = _without_numbers(layer)
    return bare if bare.fill is not None and is_causal(read(bare.mask)) else layer


def _comparison(step: Step, like: Node) -> Node:
    """The bool mask that a step is, written as an order of positions."""
    line = _visible_line(step)
    if line is None:
        return b.const(bool(step.yes), bool_, like.device, like.shape)

    def positions(axis: int, factor: int) -> Node:
        n = like.shape[axis]
        lead = tuple(n if a == axis else 1 for a in range(like.ndim))
        return b.scale(b.reshape(b.iota(n, like.device), lead), factor)

    level = b.add(positions(like.ndim - 2, line.rows), positions(like.ndim - 1, line.columns))
    return b.pointwise(ops.LE, b.like(level, 0), b.shift(level, line.constant))


# -- several masks as one ----------------------------------------------------------------------
def merged(layers: Sequence[Layer], q_len: int, k_len: int) -> Masking | None:
    """All layers as one; None where no one operand says the same.

    Which layer lies on top matters only where fills differ, and that is declined.
    """
    if any(layer.fill is not None and not is_causal(read(layer.mask)) for layer in layers):
        layers = [_without_numbers(layer) for layer in layers]
    else:  # numbers stay numbers: of a row that sees nothing the gradient is NaN where -inf was added, 0 where filled
        layers = [_causal(layer) for layer in layers]
    shown = [(layer, read(layer.mask) if layer.fill is not None else None) for layer in layers]
    shown = [(layer, seen) for layer, seen in shown if not shows_all(seen, q_len, k_len)]
    if len(shown) == 1:
        layer, seen = shown[0]
        # every row sees its first column, beside which a score of HIDDEN vanishes
        if layer.fill is not None and layer.fill <= HIDDEN and is_causal(seen):
            return Masking(causal=True)
    fills = {layer.fill for layer, _ in shown if layer.fill is not None}
    added = [layer.mask for layer, _ in shown if layer.fill is None]
    if len(fills) > 1 or (added and fills - {-math.inf}):
        return None
    fill = next(iter(fills), -math.inf)
    assert fill is not None
    causal = fill == -math.inf and any(is_causal(seen) for _, seen in shown)
    visible = [layer.mask for layer, seen in shown if layer.fill is not None and not (causal and is_causal(seen))]
    mask = reduce(b.logical_and, visible) if visible else None
    if added:
        total = reduce(b.add, added)
        mask = total if mask is None else b.where(mask, total, b.const(-math.inf, total.dtype, total.device))
    return Masking(causal, mask, fill)
