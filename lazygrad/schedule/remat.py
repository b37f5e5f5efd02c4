"""What a forward pass keeps for its backward: takes a forward root and its gradients, returns nodes to store.

A minimum cut (Chen et al. 2016's trade of memory for recomputation, decided as in min-cut partitioners): the
joint graph is cut between what must not be computed twice and what the gradients read, where the fewest bytes
cross. Pointwise work behind the cut is recomputed in the backward; products, reductions and attention are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import networkx

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, uncomputed
from lazygrad.ir.op import Kind

NEVER_TWICE = (Kind.CONTRACT, Kind.ATTENTION, Kind.REDUCE, Kind.SCAN, Kind.LIBRARY, Kind.SEGMENT)


def saved_for_backward(root: Node, gradients: Sequence[Node], kept: Sequence[Node] = ()) -> list[Node]:
    """The nodes that must be stored when `root` is computed, so that computing `gradients` later repeats only
    pointwise work. `kept` will be read too, by gradients that aren't known yet. Empty where the forward has
    nothing that is costly to repeat."""
    forward = [n for n in uncomputed([root]) if n.computed is None]
    if not any(n.op.kind in NEVER_TWICE for n in forward):
        return []
    inside = set(forward)
    read = inside.intersection(kept)
    for node in uncomputed(gradients):
        if node in inside or node.computed is not None:
            continue
        if node.op is ops.ATTENTION_LSE and all(s in inside or s.computed is not None for s in node.src):
            inside.add(node)  # a result of the forward's own kernel, which only the gradient asks for
            forward.append(node)
        else:
            read.update(s for s in node.src if s in inside)
    return _cut(forward, read)


def _cut(forward: list[Node], read: set[Node]) -> list[Node]:
    number = {node: i for i, node in enumerate(forward)}
    rows = []
    for node in forward:
        free = _unstorable(node) or build.constant_value(node) is not None or node.op.kind is Kind.SOURCE
        sources = node.src[:1] if node.op.kind is Kind.MARKER else node.src
        within = tuple([number[s] for s in sources if s in number])
        rows.append((None if free else max(node.nbytes, 1), node.op.kind in NEVER_TWICE, node in read, within))
    return [forward[i] for i in _minimum_cut(tuple(rows))]


@lru_cache(maxsize=256)
def _minimum_cut(rows: tuple[tuple[int | None, bool, bool, tuple[int, ...]], ...]) -> tuple[int, ...]:
    """Which rows are stored. A row: its bytes (None: it can't be cut there), whether it must not be computed twice,
    whether a gradient reads it, the rows it is computed from. The steps of a loop ask the same again and again."""
    graph: Any = networkx.DiGraph()
    for i, (size, costly, is_read, sources) in enumerate(rows):
        graph.add_edge((i, "in"), (i, "out"), **({} if size is None else {"capacity": size}))
        if costly:
            graph.add_edge("twice", (i, "in"))
        for source in sources:
            graph.add_edge((source, "out"), (i, "in"))
        if is_read:
            graph.add_edge((i, "out"), "gradients")
    if "twice" not in graph or "gradients" not in graph:
        return ()
    _, (kept, _) = networkx.minimum_cut(graph, "twice", "gradients")
    return tuple(i for i in range(len(rows)) if (i, "in") in kept and (i, "out") not in kept)


def _unstorable(node: Node) -> bool:
    """A view of what could be stored is never the better choice; a marker has no memory of its own."""
    return node.op.kind in (Kind.MOVEMENT, Kind.MARKER)
