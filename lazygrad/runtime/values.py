"""Which nodes have been computed. The entry stands on the node itself, because every graph walk asks for it:
a memo like a hash, no part of what the node means. It dies with the node."""

from __future__ import annotations

from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.runtime.buffer import Buffer


def known(node: Node) -> Buffer | None:
    """The buffer that holds this node's value, where it has one (stale or not)."""
    buffer: Buffer | None = node.arg if node.op is ops.BUFFER else node.computed
    return buffer


def remember(node: Node, buffer: Buffer) -> None:
    node.computed = buffer


def forget(node: Node) -> None:
    node.computed = None
