"""Simplification: takes Nodes, returns equal Nodes that cost less. Each rule states its law.

Rules look at a node and its sources only, never at its users, so the same expression simplifies to the
same node wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable

from lazygrad.ir.node import Node, rebuild, toposort


def simplify(roots: Iterable[Node]) -> list[Node]:
    """The simplified twin of every root."""
    roots = list(roots)
    twin: dict[Node, Node] = {}
    for node in toposort(roots):
        twin[node] = rebuild(node, tuple(twin[s] for s in node.src))
    return [twin[r] for r in roots]
