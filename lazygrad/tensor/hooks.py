"""Hooks: functions that are called with a gradient, when it is complete, and may replace it.

A leaf's hooks stand on its tensor. An intermediate value's stand beside its node, and live as long as the graph:
the tensor that they were registered on may be gone by the time of backward(). A node with hooks is set apart from
equal expressions made later; those made before are one value with it, whose gradient is that of all its uses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lazygrad.errors import at_user_line, users_own_lines
from lazygrad.ir import build
from lazygrad.ir.node import Node, set_apart
from lazygrad.tensor.core import TensorBase, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Hook = Callable[..., Any]
_numbers = itertools.count()


class RemovableHandle:
    """What a registration returns: .remove() takes the hook away, and so does leaving it as a context."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks = hooks
        self.id = next(_numbers)
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


@dataclass
class LeafHooks:
    """Called before and after a gradient is accumulated in a leaf."""

    before: dict[int, Hook] = field(default_factory=dict)
    after: dict[int, Hook] = field(default_factory=dict)


_of_node: WeakKeyDictionary[Node, dict[int, Hook]] = WeakKeyDictionary()


def hooks_of_leaf(tensor: TensorBase) -> LeafHooks:
    if tensor._hooks is None:
        tensor._hooks = LeafHooks()
    return tensor._hooks


def hooks_of_node(node: Node) -> dict[int, Hook]:
    set_apart(node)
    return _of_node.setdefault(node, {})


def watched(order: Iterable[Node], twin: Mapping[Node, Node]) -> dict[Node, Callable[[Node], Node]]:
    """What the sweep calls with the cotangents of nodes that have hooks. Nodes that a pass replaced are watched
    in their `twin`s."""
    if not _of_node:
        return {}
    found: dict[Node, dict[int, Hook]] = {}
    for node in order:
        for known in {node, twin.get(node, node)}:
            if _of_node.get(known):
                found[twin.get(node, node)] = {**found.get(twin.get(node, node), {}), **_of_node[known]}
    return {node: partial(_through, hooks) for node, hooks in found.items()}


def _through(hooks: dict[int, Hook], cotangent: Node) -> Node:
    return called(hooks, wrap(cotangent)).node


def called(hooks: Mapping[int, Hook], grad: Tensor) -> Tensor:
    """The gradient after all hooks, in the order of their registration."""
    with users_own_lines():
        for hook in list(hooks.values()):
            replaced = hook(grad)
            if replaced is not None:
                grad = _checked(replaced, grad)
    return grad


def _checked(replaced: Any, grad: Tensor) -> Tensor:
    if not isinstance(replaced, TensorBase):
        raise TypeError(at_user_line(f"hook: expected a Tensor or None, got {type(replaced).__name__}"))
    if tuple(replaced.shape) != tuple(grad.shape):
        raise RuntimeError(
            at_user_line(
                f"hook: it has changed the size of the gradient from {list(grad.shape)} to {list(replaced.shape)}"
            )
        )
    return wrap(build.cast(replaced.node, grad.dtype))
