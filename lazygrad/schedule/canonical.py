"""The structure of a graph: takes what is asked for, returns a key and the graph with its leaves as slots.

Two training steps build different Nodes over different Buffers; their key is the same, and so is the
plan. Autograd's markers vanish here: below this line nobody asks for gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make, toposort
from lazygrad.ir.op import Kind


@dataclass(frozen=True)
class Slot:
    """Stands for a buffer in a canonical graph: the argument of its BUFFER nodes."""

    index: int

    def __repr__(self) -> str:
        return f"slot{self.index}"


@dataclass(frozen=True)
class Structure:
    """`key` is hashable; `leaves` are the computed nodes, in slot order; `order` is sources first."""

    key: tuple[Any, ...]
    leaves: list[Node]
    order: list[Node]
    roots: tuple[Node, ...]


def structure_of(roots: Sequence[Node], is_computed: Callable[[Node], bool]) -> Structure:
    """The structure of everything between `roots` and what is already computed."""
    order = toposort(roots, stop=is_computed)
    number: dict[Node, int] = {}
    leaves: list[Node] = []
    rows: list[Any] = []
    for node in order:
        if is_computed(node):
            leaves.append(node)
            rows.append((node.dtype, node.shape, node.device))
        elif node.op.kind is Kind.MARKER:
            number[node] = number[node.src[0]]
            continue
        elif node.op is ops.CONST:
            rows.append((node.op, repr(node.arg), node.dtype, node.device))
        else:
            rows.append((node.op, node.arg, node.dtype, *[number[s] for s in node.src]))
        number[node] = len(rows) - 1
    key = (tuple(rows), tuple(number[r] for r in roots))
    return Structure(key, leaves, order, tuple(roots))


def canonical_graph(structure: Structure) -> list[Node]:
    """The roots over slots instead of buffers, without markers."""
    slots = {leaf: i for i, leaf in enumerate(structure.leaves)}
    twin: dict[Node, Node] = {}
    for node in structure.order:
        if node in slots:
            made = make(ops.BUFFER, (), Slot(slots[node]), node.dtype, node.shape, node.device)
        elif node.op.kind is Kind.MARKER:
            twin[node] = twin[node.src[0]]
            continue
        else:
            made = make(node.op, tuple(twin[s] for s in node.src), node.arg, node.dtype, node.shape, node.device)
        made.where = node.where
        twin[node] = made
    return [twin[r] for r in structure.roots]
