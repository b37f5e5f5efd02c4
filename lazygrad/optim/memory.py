"""Memory of their own for parameters and optimizer state, so that the first step has the graph of every
other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.runtime import array
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.values import known
from lazygrad.shape import Shape
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import flush, wrap


def _leaf(held: Any, like: Node) -> Node:
    made = Buffer(held, like.dtype, like.shape, like.device)
    return build.buffer(made, like.dtype, like.shape, like.device)


def filled(like: Node, value: float, shape: Shape | None = None) -> Tensor:
    """A computed tensor like `like`, or of another shape: an optimizer's state is memory from the first step on."""
    shape = like.shape if shape is None else shape
    held = array.empty(shape, like.dtype, like.device)
    held.fill(value)
    made = Buffer(held, like.dtype, shape, like.device)
    return wrap(build.buffer(made, like.dtype, shape, like.device))


def settle(parameters: Sequence[Any]) -> None:
    """Compute the parameters' initial values, and give each its own buffer.

    Equal expressions are one node, so two biases of zeros would be one buffer, until the first update parts
    them and changes the graph.
    """
    whole = [p for p in parameters if not p._path]
    for parameter in whole:
        cell = parameter._cell
        value = build.constant_value(cell.node)
        if value is not None:  # even where it is computed: the same node is a constant of other expressions
            cell.hold(filled(cell.node, value).node)
    flush([p._cell.node for p in whole if known(p._cell.node) is None])
    owners: dict[int, Any] = {}
    for parameter in whole:
        cell = parameter._cell
        buffer = known(cell.node)
        if buffer is not None and owners.setdefault(id(buffer), cell) is not cell:
            cell.hold(_leaf(buffer.read().copy(), cell.node))
