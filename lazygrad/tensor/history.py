"""What a tensor came from, as torch tells it: grad_fn, a chain of what backward will pass through."""

from __future__ import annotations

from typing import Any

from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, leaf_tensor


class GradFn:
    """The backward of one operation: to be looked at and walked; backward() itself works on the graph."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def name(self) -> str:
        """Named after the operation: "MulBackward0"; "torch::autograd::AccumulateGrad" for a leaf."""
        return "torch::autograd::AccumulateGrad" if self._node.op is ops.LEAF else origin_of(self._node)

    @property
    def variable(self) -> Any:
        """The leaf whose gradient is accumulated here. AttributeError elsewhere."""
        if self._node.op is not ops.LEAF:
            raise AttributeError(f"'{self.name()}' object has no attribute 'variable'")
        return leaf_tensor(self._node.arg)

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """What gradients are passed on to, one a source; (None, 0) for what needs none."""
        if self._node.op is ops.LEAF:
            return ()
        sources = (_recorded(s) for s in _recorded(self._node).src)
        return tuple((GradFn(s) if s.needs_grad else None, 0) for s in sources)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and self._node is other._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{self.name().rpartition('::')[2]} object>"


def _recorded(node: Node) -> Node:
    """Past casts, which torch makes part of the operation."""
    while node.op is ops.CAST and node.src[0].needs_grad:
        node = node.src[0]
    return node


def origin_of(node: Node) -> str:
    """torch's way to name the backward of the operation that made a node."""
    return f"{_recorded(node).op.name.capitalize()}Backward0"


class History(TensorBase):
    __slots__ = ()

    @property
    def grad_fn(self) -> GradFn | None:
        """What made this tensor; None for leaves and for what needs no gradient."""
        return None if self.is_leaf else GradFn(self.node)


__all__ = ["GradFn", "History", "origin_of"]
