"""Which nodes have been computed: a weak table from Node to Buffer. An entry dies with its node."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.runtime.buffer import Buffer

_computed: WeakKeyDictionary[Node, Buffer] = WeakKeyDictionary()


def known(node: Node) -> Buffer | None:
    """The buffer that holds this node's value, where it has one (stale or not)."""
    if node.op is ops.BUFFER:
        buffer: Buffer = node.arg
        return buffer
    return _computed.get(node)


def remember(node: Node, buffer: Buffer) -> None:
    _computed[node] = buffer


def forget(node: Node) -> None:
    _computed.pop(node, None)
