"""What a forward pass keeps for its backward: takes a forward root and its gradients, returns nodes to store.

A minimum cut (Chen et al. 2016's trade of memory for recomputation, decided as in min-cut partitioners): the
joint graph is cut between what must not be computed twice and what the gradients read, where the fewest bytes
cross. Pointwise work behind the cut is recomputed in the backward; products, reductions and attention are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, uncomputed
from lazygrad.ir.op import Kind

NEVER_TWICE = (Kind.CONTRACT, Kind.ATTENTION, Kind.REDUCE, Kind.SCAN, Kind.LIBRARY, Kind.SEGMENT)


def saved_for_backward(root: Node, gradients: Sequence[Node]) -> list[Node]:
    """The nodes that must be stored when `root` is computed, so that computing `gradients` later repeats only
    pointwise work. Empty where the forward has nothing that is costly to repeat."""
    forward = [n for n in uncomputed([root]) if n.computed is None]
    if not any(n.op.kind in NEVER_TWICE for n in forward):
        return []
    inside = set(forward)
    read: set[Node] = set()
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
    graph: Any = networkx.DiGraph()
    inside = set(forward)
    for node in forward:
        free = build.constant_value(node) is not None or node.op.kind is Kind.SOURCE
        limit = {} if _unstorable(node) or free else {"capacity": max(node.nbytes, 1)}
        graph.add_edge((node, "in"), (node, "out"), **limit)
        if node.op.kind in NEVER_TWICE:
            graph.add_edge("twice", (node, "in"))
        for source in node.src:
            if source in inside:
                graph.add_edge((source, "out"), (node, "in"))
        if node in read:
            graph.add_edge((node, "out"), "gradients")
    if "twice" not in graph or "gradients" not in graph:
        return []
    _, (kept, _) = networkx.minimum_cut(graph, "twice", "gradients")
    return [n for n in forward if (n, "in") in kept and (n, "out") not in kept]


def _unstorable(node: Node) -> bool:
    """A view of what could be stored is never the better choice; a marker has no memory of its own."""
    return node.op.kind in (Kind.MOVEMENT, Kind.MARKER)
