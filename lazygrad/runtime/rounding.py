"""How far rounding can move each value of a graph: takes nodes and their arrays, returns bounds of the same shapes.

Running error analysis (Wilkinson; Higham, Accuracy and Stability of Numerical Algorithms, ch. 3), in float64:

- an op is off by at most UNITS * eps(dtype) * |result| (HALF_UNITS where it only rounds float32 to a half); one
  that is exact (negation, selection, comparison, movement) not at all; a transcendental function may also take
  an argument that is off by eps; products inside attention round their operands to the half they work on;
- a sum of n terms, and a product over k, rounds by (FEW_TERMS + sqrt(n)) * eps * sum(|terms|), which covers
  any order of addition with errors that are not all of one sign;
- errors of the operands pass through: op(x + error) - op(x), evaluated, or through the sums of an op that is
  linear. A comparison whose operands are closer than their errors may fall either way, and what is selected
  by it may be either value.

None stands for a value that is exact, which most indices and masks are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from lazygrad.codegen.spelling import EXACT
from lazygrad.dtype import DType, bool_
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind

UNITS = 2.0  # eps that one op may be off: its own rounding, and one more where the device fuses or splits it
HALF_UNITS = 0.5  # rounding float32 to a half is the same everywhere, but for what float32 already differs by
FEW_TERMS = 8
ARITHMETIC = {ops.ADD, ops.SUB, ops.MUL, ops.DIV, ops.RECIPROCAL, ops.SQRT, ops.CAST, ops.ISNAN, ops.BITCAST}
COMPARISONS = {ops.LT, ops.LE, ops.EQ, ops.NE}

Bound = Any  # a float64 array, or None


def eps(dtype: DType) -> float:
    """The distance from 1 to the next number of a floating-point dtype; 0 for others."""
    return float(ml_dtypes.finfo(dtype.numpy).eps) if dtype.is_floating_point else 0.0


class RoundingBounds:
    """Bounds of nodes, added sources first. `operands`: the eps of a half that products round their operands to."""

    def __init__(self, xp: Any, values: dict[Node, Any], operands: float = 0.0) -> None:
        self.xp, self.values, self.operands = xp, values, operands
        self.of: dict[Node, Bound] = {}

    def add(self, node: Node) -> None:
        """The bound of one node, whose sources have theirs."""
        with np.errstate(all="ignore"):
            self.of[node] = self._bound(node)

    def _bound(self, node: Node) -> Bound:
        kind, errors = node.op.kind, [self.of[s] for s in node.src]
        if kind is Kind.SOURCE or not node.src:
            return None
        if kind is Kind.MARKER:
            return errors[0]
        if kind is Kind.POINTWISE:
            return self._pointwise(node, errors)
        if kind is Kind.MOVEMENT:
            return self._moved(node, errors)
        rule = RULES.get(node.op)
        return rule(self, node, errors) if rule else self._unknown(node)

    # -- pieces
    def rounding(self, dtype: DType) -> float:
        """What one op of this result may be off, relative to its size."""
        return eps(dtype) * (UNITS if dtype.compute is dtype else HALF_UNITS)

    def wide(self, node: Node) -> Any:
        """The value in float64, whatever is no floating point as it is."""
        value = self.values[node]
        return value.astype(np.float64) if node.dtype.is_floating_point else value

    def size(self, node: Node) -> Any:
        return self.xp.abs(self.values[node].astype(np.float64))

    def finite_size(self, node: Node) -> Any:
        """|value|, and 0 for infinities and NaN: those are met exactly or not at all."""
        size = self.size(node)
        return self.xp.where(self.xp.isfinite(size), size, 0.0)

    def zeros(self, node: Node) -> Any:
        return self.xp.zeros(node.shape, np.float64)

    def dense(self, node: Node) -> Any:
        """The bound as an array."""
        bound = self.of[node]
        return self.zeros(node) if bound is None else bound

    def _unknown(self, node: Node) -> Bound:
        return self.xp.full(node.shape, np.inf)

    # -- pointwise
    def _pointwise(self, node: Node, errors: list[Bound]) -> Bound:
        op, rounds = node.op, node.dtype.is_floating_point and node.op not in EXACT
        if op in (ops.BITCAST, ops.PHILOX):
            return None if all(e is None for e in errors) else self._unknown(node)
        sources = [self.wide(s) for s in node.src]
        if op not in EXACT and op not in ARITHMETIC and op not in COMPARISONS and node.dtype.is_floating_point:
            errors = [
                self.dense(s) + eps(s.dtype.compute) * self.finite_size(s) if s.dtype.is_floating_point else e
                for s, e in zip(node.src, errors, strict=True)
            ]
        live = [i for i, e in enumerate(errors) if e is not None]
        if not live and (not rounds or op is ops.CAST):
            return None
        plain = self._evaluate(node, sources)
        bound = self.zeros(node)
        for i in live:
            swings = [self._swing(node, plain, sources, i, errors[i], sign) for sign in (1, -1)]
            bound = bound + self.xp.maximum(*swings)
        if rounds:
            bound = bound + self.rounding(node.dtype) * self.finite_size(node)
        return bound

    def _evaluate(self, node: Node, sources: list[Any]) -> Any:
        if node.op is ops.CAST and node.arg.is_floating_point:
            return sources[0].astype(np.float64)
        assert node.op.ref is not None
        return self.xp.asarray(node.op.ref(self.xp, node.arg, *sources))

    def _swing(self, node: Node, plain: Any, sources: list[Any], i: int, error: Any, sign: int) -> Any:
        """How far the result moves when source `i` does."""
        xp, source = self.xp, sources[i]
        if node.src[i].dtype is bool_:
            moved = xp.where(error > 0, ~source, source)
        elif node.src[i].dtype.is_floating_point:
            moved = xp.where(error > 0, source + sign * error, source)
        else:
            moved = (source + sign * xp.minimum(error, 2.0**31).astype(np.int64)).astype(source.dtype)
        other = self._evaluate(node, [*sources[:i], moved, *sources[i + 1 :]])
        return difference(xp, other, plain)

    # -- movement
    def _moved(self, node: Node, errors: list[Bound]) -> Bound:
        if all(e is None for e in errors):
            return None
        arg = (node.arg[0], 0) if node.op is ops.PAD else node.arg
        assert node.op.ref is not None
        return node.op.ref(self.xp, arg, *(self.dense(s) for s in node.src))

    # -- sums and their like
    def _terms(self, count: int, dtype: DType) -> float:
        return (FEW_TERMS + count**0.5) * eps(dtype.compute)

    def _sum(self, node: Node, errors: list[Bound]) -> Bound:
        source = node.src[0]
        if not node.dtype.is_floating_point:
            return None if errors[0] is None else self.xp.sum(errors[0], axis=node.arg, keepdims=True)
        count = source.numel // max(node.numel, 1)
        each = self.dense(source) + self._terms(count, node.dtype) * self.finite_size(source)
        return self.xp.sum(each, axis=node.arg, keepdims=True) + self.rounding(node.dtype) * self.finite_size(node)

    def _prod(self, node: Node, errors: list[Bound]) -> Bound:
        source = node.src[0]
        if errors[0] is None and not node.dtype.is_floating_point:
            return None
        size = self.finite_size(source)
        count = source.numel // max(node.numel, 1)
        largest = self.xp.prod(size + self.dense(source), axis=node.arg, keepdims=True)
        return largest - self.xp.prod(size, axis=node.arg, keepdims=True) + self._terms(count, node.dtype) * largest

    def _extreme(self, node: Node, errors: list[Bound]) -> Bound:
        return None if errors[0] is None else self.xp.max(errors[0], axis=node.arg, keepdims=True)

    def _position(self, node: Node, errors: list[Bound]) -> Bound:
        """Exact unless a second element comes within the errors of the first."""
        if errors[0] is None:
            return None
        xp, value, error = self.xp, self.wide(node.src[0]), errors[0]
        value = value if node.op is ops.ARGMAX else -value
        near = value + error >= xp.max(value - error, axis=node.arg, keepdims=True)
        open_ = xp.sum(near, axis=node.arg, keepdims=True) > 1
        return xp.where(open_, float(node.src[0].shape[node.arg[0]]), 0.0)

    def _dot(self, node: Node, errors: list[Bound]) -> Bound:
        a, b = node.src
        if not node.dtype.is_floating_point:
            return None if errors[0] is None and errors[1] is None else self._unknown(node)
        size_a, size_b = self.finite_size(a), self.finite_size(b)
        bound = self._terms(a.shape[-1], node.dtype) * (size_a @ size_b)
        error_a, error_b = self._operand(a, errors[0]), self._operand(b, errors[1])
        if error_a is not None:
            bound = bound + error_a @ (size_b if error_b is None else size_b + error_b)
        if error_b is not None:
            bound = bound + size_a @ error_b
        return bound + self.rounding(node.dtype) * self.finite_size(node)

    def _operand(self, node: Node, error: Bound) -> Bound:
        """The bound of an operand, rounded to a half unless it was one."""
        if not self.operands or _was_half(node):
            return error
        rounding = self.operands * self.finite_size(node)
        return rounding if error is None else error + rounding

    def _gather(self, node: Node, errors: list[Bound]) -> Bound:
        if errors[1] is not None:
            return self._unknown(node)
        if errors[0] is None:
            return None
        index = node.src[1]
        assert node.op.ref is not None
        return node.op.ref(self.xp, node.arg, errors[0], self.values[index])

    def _scatter(self, node: Node, errors: list[Bound]) -> Bound:
        base, index, values = node.src
        axis, mode = node.arg
        if errors[1] is not None or (mode == "mul" and node.dtype.is_floating_point):
            return self._unknown(node)
        assert node.op.ref is not None
        if mode != "add" or not node.dtype.is_floating_point:
            if errors[0] is None and errors[2] is None:
                return None
            return node.op.ref(self.xp, (axis, "max"), self.dense(base), self.values[index], self.dense(values))
        terms = self._terms(index.shape[axis], node.dtype)
        each = self.dense(values) + terms * self.finite_size(values)
        whole = self.dense(base) + terms * self.finite_size(base)
        return node.op.ref(self.xp, node.arg, whole, self.values[index], each)

    def _segments(self, node: Node, errors: list[Bound]) -> Bound:
        base, values, *where = node.src
        floating, adds = node.dtype.is_floating_point, node.arg.mode == "add"
        if node.arg.mode == "mul" and floating:
            return self._unknown(node)
        if errors[0] is None and errors[1] is None and not (adds and floating):
            return None
        whole, each = self.dense(base), self.dense(values)
        if adds and floating:
            terms = self._terms(values.shape[0], node.dtype)
            whole, each = whole + terms * self.finite_size(base), each + terms * self.finite_size(values)
        assert node.op.ref is not None
        arg = node.arg if adds else replace(node.arg, mode="max")
        return node.op.ref(self.xp, arg, whole, each, *(self.values[s] for s in where))

    def _place(self, node: Node, errors: list[Bound]) -> Bound:
        if errors[0] is None or errors[1] is not None:
            return None if errors[1] is None else self._unknown(node)
        assert node.op.ref is not None
        return node.op.ref(self.xp, node.arg, errors[0], self.values[node.src[1]])

    def _cumsum(self, node: Node, errors: list[Bound]) -> Bound:
        if not node.dtype.is_floating_point:
            return None if errors[0] is None else self.xp.cumsum(errors[0], axis=node.arg)
        each = self.dense(node.src[0]) + self._terms(node.shape[node.arg], node.dtype) * self.finite_size(node.src[0])
        return self.xp.cumsum(each, axis=node.arg)

    def _cumprod(self, node: Node, errors: list[Bound]) -> Bound:
        if errors[0] is None and not node.dtype.is_floating_point:
            return None
        size = self.finite_size(node.src[0])
        largest = self.xp.cumprod(size + self.dense(node.src[0]), axis=node.arg)
        rounding = self._terms(node.shape[node.arg], node.dtype) * largest
        return largest - self.xp.cumprod(size, axis=node.arg) + rounding

    def _running_extreme(self, node: Node, errors: list[Bound]) -> Bound:
        if errors[0] is None:
            return None
        return self.xp.broadcast_to(self.xp.max(errors[0], axis=node.arg, keepdims=True), node.shape)


RULES: dict[ops.Op, Callable[[RoundingBounds, Node, list[Bound]], Bound]] = {
    ops.SUM: RoundingBounds._sum,
    ops.PROD: RoundingBounds._prod,
    ops.MAX: RoundingBounds._extreme,
    ops.MIN: RoundingBounds._extreme,
    ops.ARGMAX: RoundingBounds._position,
    ops.ARGMIN: RoundingBounds._position,
    ops.DOT: RoundingBounds._dot,
    ops.GATHER: RoundingBounds._gather,
    ops.SCATTER: RoundingBounds._scatter,
    ops.SEGMENT: RoundingBounds._segments,
    ops.PLACE: RoundingBounds._place,
    ops.CUMSUM: RoundingBounds._cumsum,
    ops.CUMPROD: RoundingBounds._cumprod,
    ops.CUMMAX: RoundingBounds._running_extreme,
    ops.CUMMIN: RoundingBounds._running_extreme,
}


def _was_half(node: Node) -> bool:
    while node.op.kind is Kind.MOVEMENT and len(node.src) == 1:
        node = node.src[0]
    return (node.op is ops.CAST and node.src[0].dtype.itemsize == 2) or node.dtype.itemsize == 2


def difference(xp: Any, a: Any, b: Any) -> Any:
    """|a - b| in float64; 0 between equal infinities and between NaNs, inf between NaN and a number."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    same = (a == b) | ((a != a) & (b != b))
    apart = xp.abs(a - b)
    return xp.where(same, 0.0, xp.where(apart != apart, np.inf, apart))
