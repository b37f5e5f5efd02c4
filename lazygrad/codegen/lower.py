"""Lowering: takes a node and an index for it, appends the statements that compute it there, returns a Value.

Evaluation is by pull: asking for an element of the output asks for the elements it depends on, down to
loads. Movement ops change the index and vanish; padding becomes a condition; a gathered index becomes an
index variable whose value was loaded. What the group reduces, or what a template computes, is in `given`.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lazygrad.codegen import index as ix
from lazygrad.codegen.mask import FALSE, TRUE, Condition, at_least, less
from lazygrad.codegen.program import (
    NO_LANES,
    Choose,
    Compute,
    Lanes,
    Literal,
    Load,
    Operand,
    Position,
    Value,
)
from lazygrad.dtype import DType
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind, SkewArg
from lazygrad.shape import Shape, contiguous_strides

Index = tuple[ix.Expr, ...]


RESERVED = {
    "tl", "triton", "float", "int", "min", "max", "sum", "abs", "range", "pointer", "libdevice", "added", "product",
    "larger", "smaller",
}  # fmt: skip


class Names:
    """Fresh, readable names: exp, exp_1, exp_2 ... With an ending: exp_ptr, exp_1_ptr ..."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)
        self._given: dict[tuple[str, str], int] = {}

    def fresh(self, stem: str, ending: str = "") -> str:
        if not ending and (stem in RESERVED or keyword.iskeyword(stem)):
            stem += "_"
        number = self._given.get((stem, ending), 0)
        while (name := f"{stem}_{number}{ending}" if number else stem + ending) in self._taken:
            number += 1
        self._given[stem, ending] = number + 1
        self._taken.add(name)
        return name


@dataclass
class _OpenLoop:
    """A loop being written: its statements, and what is known only inside it."""

    axis: str
    body: list[Any]
    known: set[Any] = field(default_factory=set)


class Lowering:
    """One kernel's evaluation. A statement goes into the innermost open loop whose axis it varies along."""

    def __init__(
        self,
        pointers: dict[Node, str],
        axis_of: dict[ix.Expr, str],
        given: Callable[[Node, Index], Operand | None],
        names: Names,
    ) -> None:
        self.pointers = pointers
        self.axis_of = dict(axis_of)  # index variable -> block axis
        self.lanes_of: dict[str, Lanes] = {}  # gathered index values -> the lanes they vary along
        self.given = given
        self.names = names
        self.root: list[Any] = []
        self.loops: list[_OpenLoop] = []  # the innermost is the last
        self._memo: dict[Any, Operand] = {}
        self._zero_elsewhere: set[Operand] = set()  # masked loads: 0 in the lanes that their masks leave out
        self.gathered: dict[str, int] = {}

    # -- scopes
    def enter_loop(self, body: list[Any], axis: str) -> None:
        self.loops.append(_OpenLoop(axis, body))

    def leave_loop(self) -> None:
        for key in self.loops.pop().known:
            self._memo.pop(key, None)

    def loop_of(self, lanes: Lanes) -> _OpenLoop | None:
        return next((loop for loop in reversed(self.loops) if loop.axis in lanes), None)

    @property
    def here(self) -> list[Any]:
        """Where what stands between the loops goes: behind all that is in the innermost open one."""
        return self.loops[-1].body if self.loops else self.root

    def emit(self, statement: Any, lanes: Lanes) -> None:
        loop = self.loop_of(lanes)
        (self.root if loop is None else loop.body).append(statement)

    def lanes(self, *of: ix.Expr | Condition) -> Lanes:
        found: set[str] = set()
        for expression in of:
            for variable in ix.variables(expression):
                axis = self.axis_of.get(variable)
                if axis is not None:
                    found.add(axis)
                else:
                    found |= self.lanes_of.get(variable.name, NO_LANES)
        return frozenset(found)

    # -- evaluation
    def value(self, node: Node, index: Index, mask: Condition = TRUE) -> Operand:
        """The operand that holds `node` at `index`; loads happen only where `mask` holds."""
        if node.op is ops.CONST:
            return Literal(node.arg, node.dtype)
        key = (node, index, mask)
        found = self._memo.get(key)
        if found is None:
            given = self.given(node, tuple([ix.released(at) for at in index]))
            found = given if given is not None else self._evaluate(node, index, mask)
            self._memo[key] = found
            loop = self.loop_of(found.lanes)
            if loop is not None:
                loop.known.add(key)
        return found

    def _evaluate(self, node: Node, index: Index, mask: Condition) -> Operand:
        if node in self.pointers:
            return self._load(node, index, mask)
        kind = node.op.kind
        if kind is Kind.POINTWISE:
            operands = tuple(self.value(s, index, mask) for s in node.src)
            return self.compute(node, operands)
        if kind is Kind.MARKER:
            return self.value(node.src[0], index, mask)
        if kind is Kind.MOVEMENT:
            return self._move(node, index, mask)
        if node.op is ops.IOTA:
            return self._position(index[0], node.dtype)
        if node.op is ops.GATHER:
            return self._gather(node, index, mask)
        raise AssertionError(f"{node.op.name} can't be evaluated inside a kernel")

    def compute(self, node: Node, operands: tuple[Operand, ...]) -> Value:
        lanes = frozenset().union(*(o.lanes for o in operands))
        result = Value(self.names.fresh(stem(node)), node.dtype, lanes)
        self.emit(Compute(result, node.op, operands, node.arg, node.where), lanes)
        return result

    def _load(self, node: Node, index: Index, mask: Condition) -> Value:
        address = ix.released(ix.dot(index, contiguous_strides(node.shape)))
        lanes = self.lanes(address, mask)
        pointer = self.pointers[node]
        valid = tuple(
            (v.name, self.gathered[v.name])
            for v in sorted(ix.variables(address), key=lambda v: v.name)
            if v.name in self.gathered
        )
        result = Value(self.names.fresh(pointer.removesuffix("_ptr")), node.dtype, lanes)
        self.emit(Load(result, pointer, address, mask, valid), lanes)
        if not valid:
            self._zero_elsewhere.add(result)
        return result

    def _position(self, at: ix.Expr, dtype: DType) -> Operand:
        at = ix.released(at)
        if at.is_constant:
            return Literal(at.constant, dtype)
        lanes = self.lanes(at)
        result = Value(self.names.fresh("position"), dtype, lanes)
        self.emit(Position(result, at), lanes)
        return result

    def _gather(self, node: Node, index: Index, mask: Condition) -> Operand:
        data, positions = node.src
        axis, size = node.arg, node.src[0].shape[node.arg]
        at = self.value(positions, index, mask)
        if isinstance(at, Literal):
            chosen = ix.const(int(at.value))
        else:
            chosen = ix.var(at.name, size)
            self.lanes_of[at.name] = at.lanes
            self.gathered[at.name] = size
        return self.value(data, (*index[:axis], chosen, *index[axis + 1 :]), mask)

    def _move(self, node: Node, index: Index, mask: Condition) -> Operand:
        if node.op in FILLING:
            return self._filled(node, index, mask)
        if node.op is ops.CONCAT:
            return self._concat(node, index, mask)
        return self.value(node.src[0], source_index(node, index), mask)

    def _filled(self, node: Node, index: Index, mask: Condition) -> Operand:
        inner, condition = guarded(unfilled_index(node, index), node.src[0].shape)
        fill = node.arg[1] if node.op is ops.PAD else 0
        if condition is FALSE:
            return Literal(fill, node.dtype)
        value = self.value(node.src[0], inner, mask & condition)
        if fill == 0 and value in self._zero_elsewhere:  # this condition is part of its mask
            return value
        return self._choose(condition, value, Literal(fill, node.dtype), node.dtype)

    def _choose(self, condition: Condition, yes: Operand, no: Operand, dtype: DType) -> Operand:
        if condition is TRUE:
            return yes
        lanes = self.lanes(condition) | yes.lanes | no.lanes
        result = Value(self.names.fresh("inside"), dtype, lanes)
        self.emit(Choose(result, condition, yes, no), lanes)
        return result

    def _concat(self, node: Node, index: Index, mask: Condition) -> Operand:
        axis, start = node.arg, 0
        parts: list[tuple[Condition, Operand]] = []
        for source in node.src:
            moved = (*index[:axis], index[axis] - start, *index[axis + 1 :])
            inner, condition = guarded(moved, source.shape)
            start += source.shape[axis]
            if condition is FALSE:
                continue
            parts.append((condition, self.value(source, inner, mask & condition)))
        result = parts[-1][1]
        for condition, value in reversed(parts[:-1]):
            result = self._choose(condition, value, result, node.dtype)
        return result


def guarded(index: Index, shape: Shape) -> tuple[Index, Condition]:
    """An index that may lie outside of a shape: promised to lie inside, and the condition that keeps the promise."""
    condition = TRUE
    for at, size in zip(index, shape, strict=True):
        condition &= ix.released(at_least(at, 0) & less(at, size))
    return tuple(ix.within(at, size) for at, size in zip(index, shape, strict=True)), condition


FILLING = (ops.PAD, ops.SKEW)  # elements of the result that come from nowhere


def unfilled_index(node: Node, index: Index) -> Index:
    """Where a movement op of FILLING takes element `index` of its result from, if there is such an element."""
    if node.op is ops.PAD:
        return tuple(at - before for at, (before, _) in zip(index, node.arg[0], strict=True))
    arg: SkewArg = node.arg
    moved = index[arg.axis] + index[arg.by] * arg.step + arg.start
    return (*index[: arg.axis], moved, *index[arg.axis + 1 :])


def source_index(node: Node, index: Index) -> Index:
    """Where a movement op that neither pads nor joins takes element `index` of its result from."""
    source, op = node.src[0], node.op
    if op is ops.RESHAPE:
        return ix.unravel(ix.ravel(index, node.shape), source.shape)
    if op is ops.PERMUTE:
        inner: list[ix.Expr] = [ix.const(0)] * source.ndim
        for at, axis in zip(index, node.arg, strict=True):
            inner[axis] = at
        return tuple(inner)
    if op is ops.EXPAND:
        lead = node.ndim - source.ndim
        return tuple(ix.const(0) if n == 1 else at for at, n in zip(index[lead:], source.shape, strict=True))
    if op is ops.SLICE:
        return tuple(at * step + start for at, (start, _, step) in zip(index, node.arg, strict=True))
    if op is ops.FLIP:
        return tuple(
            n - 1 - at if i in node.arg else at for i, (at, n) in enumerate(zip(index, node.shape, strict=True))
        )
    raise AssertionError(op)


def stem(node: Node) -> str:
    """The name a node's values get: its op, or for a cast the dtype."""
    if node.op is ops.CAST:
        return f"as_{node.arg.name}"
    return node.op.name.lower()


__all__ = ["FILLING", "Index", "Lowering", "Names", "guarded", "source_index", "stem", "unfilled_index"]
