"""The structure of a graph: takes what is asked for, returns a key and the graph with its leaves as slots.

Two training steps build different Nodes over different Buffers; their key is the same, and so is the
plan. Autograd's markers vanish here: below this line nobody asks for gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.formula import Expansions, expanded
from lazygrad.ir.node import Node, make
from lazygrad.ir.op import Kind

NO_SINGLE_VALUE = (
    "vmap: the value of one example is asked for (by item(), bool(), numpy(), print or an op whose result's shape "
    "depends on values), but the function stands for all examples at once; use where() for a choice by value, and "
    "return from the function what is to be read"
)


@dataclass(frozen=True)
class Slot:
    """Stands for a buffer in a canonical graph: the argument of its BUFFER nodes."""

    index: int

    def __repr__(self) -> str:
        return f"slot{self.index}"


@dataclass(frozen=True)
class Structure:
    """`key` is hashable. `leaves` are computed nodes, one for each buffer, in slot order; `order` is sources
    first; `slots` gives every computed node its slot. `numbers` are constants that are data here, elements of the last
    leaf (schedule/numbers.py)."""

    key: tuple[Any, ...]
    leaves: list[Node]
    order: list[Node]
    roots: tuple[Node, ...]
    slots: dict[Node, int]
    numbers: dict[Node, int] = field(default_factory=dict)


def structure_of(roots: Sequence[Node], order: list[Node]) -> Structure:
    """The structure of everything between `roots` and what is computed; `order` is uncomputed(roots).

    Nodes that are computed into one buffer are one leaf: what is read and what is overwritten must be seen
    to be the same memory.
    """
    number: dict[Node, int] = {}
    leaves: list[Node] = []
    slots: dict[Node, int] = {}
    slot_of_buffer: dict[int, int] = {}
    row_of_slot: list[int] = []
    rows: list[Any] = []
    for node in order:
        op, src = node.op, node.src
        if node.computed is not None:
            slot = slot_of_buffer.setdefault(id(node.computed), len(leaves))
            slots[node] = slot
            if slot == len(leaves):
                leaves.append(node)
                row_of_slot.append(len(rows))
                rows.append((node.dtype, node.shape, node.device))
            number[node] = row_of_slot[slot]
            continue
        if op.kind is Kind.MARKER:
            number[node] = number[src[0]]
            continue
        number[node] = len(rows)
        if len(src) == 1:
            rows.append((op, node.arg, node.dtype, number[src[0]]))
        elif len(src) == 2:
            rows.append((op, node.arg, node.dtype, number[src[0]], number[src[1]]))
        elif op is ops.CONST:
            rows.append((op, repr(node.arg), node.dtype, node.device))
        else:
            rows.append((op, node.arg, node.dtype, *[number[s] for s in src]))
    key = (tuple(rows), tuple([number[r] for r in roots]))
    return Structure(key, leaves, order, tuple(roots), slots)


def canonical_graph(structure: Structure) -> list[Node]:
    """The roots over slots instead of buffers, without markers, formulas written out."""
    twin: dict[Node, Node] = {}
    expansions: Expansions = {}
    for node in structure.order:
        slot = structure.slots.get(node)
        if slot is not None:
            made = make(ops.BUFFER, (), Slot(slot), node.dtype, node.shape, node.device)
        elif node in structure.numbers:
            made = _number(structure, node)
        elif node.op.kind is Kind.MARKER:
            twin[node] = twin[node.src[0]]
            continue
        elif node.op is ops.APPLY:
            twin[node] = expanded(node.arg, tuple([twin[s] for s in node.src]), node.where, expansions)
            continue
        elif node.op is ops.EXAMPLE:
            raise RuntimeError(at_user_line(NO_SINGLE_VALUE))
        else:
            made = make(node.op, tuple(twin[s] for s in node.src), node.arg, node.dtype, node.shape, node.device)
        made.where = node.where
        twin[node] = made
    return [twin[r] for r in structure.roots]


def _number(structure: Structure, node: Node) -> Node:
    """The element of the last leaf that stands for a constant."""
    leaf, place = structure.leaves[-1], structure.numbers[node]
    data = make(ops.BUFFER, (), Slot(len(structure.leaves) - 1), leaf.dtype, leaf.shape, leaf.device)
    return build.cast(build.reshape(build.slice_(data, [(place, place + 1, 1)]), ()), node.dtype)
