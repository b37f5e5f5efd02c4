"""What a tensor came from, as torch tells it: grad_fn, a chain of what backward will pass through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, leaf_tensor, tensor_class
from lazygrad.tensor.hooks import RemovableHandle, hooks_of_node
from lazygrad.tensor.origin import operation_of


class GradFn:
    """The backward of one operation: to be looked at and walked; backward() itself works on the graph. Each is of a
    class that is named after its operation, as torch's are."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def name(self) -> str:
        """Named after the operation: "MulBackward0"; "torch::autograd::AccumulateGrad" for a leaf."""
        return origin_of(self._node)

    @property
    def variable(self) -> Any:
        """The leaf whose gradient is accumulated here. AttributeError elsewhere."""
        if self._node.op is not ops.LEAF:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute 'variable'")
        return leaf_tensor(self._node.arg)

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """What gradients are passed on to, one a source; (None, 0) for what needs none."""
        return tuple((grad_fn(s) if s.needs_grad else None, 0) for s in operation_of(self._node).sources)

    def register_prehook(self, hook: Callable[[tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call `hook((gradient,))` with the gradient that arrives here; the tuple it returns, if any, goes on."""

        def of_one(gradient: Any) -> Any:
            replaced = hook((gradient,))
            return replaced[0] if isinstance(replaced, tuple) else replaced

        return RemovableHandle(hooks_of_node(self._node), of_one)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """NotImplementedError: an operation here is several nodes, and what passes between them is no gradient of
        torch's. Tensor.register_hook() sees every gradient that has a tensor."""
        raise NotImplementedError(
            at_user_line("grad_fn.register_hook(): register the hook on the tensors: tensor.register_hook(hook)")
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and self._node is other._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self._node))}>"


_classes: dict[str, type[GradFn]] = {}


def grad_fn(node: Node) -> GradFn:
    """The backward of the operation that made a node."""
    name = origin_of(node).rpartition("::")[2]
    if name not in _classes:
        _classes[name] = type(name, (GradFn,), {"__slots__": ()})
    return _classes[name](node)


def origin_of(node: Node) -> str:
    """torch's name of the backward of the operation that made a node."""
    return operation_of(node).name


class History(TensorBase):
    __slots__ = ()

    @property
    def grad_fn(self) -> GradFn | None:
        """What made this tensor; None for leaves and for what needs no gradient."""
        return None if self.is_leaf else grad_fn(self.node)

    def _is_view(self) -> bool:
        """Whether this tensor shares the memory of another that it was made of."""
        return bool(self._path)

    @property
    def _base(self) -> Any:
        """What this is a view of; None where it is no view."""
        if not self._path:
            return None
        number = self._cell.leaf_number
        found = None if number is None else leaf_tensor(number)
        if found is None:
            found = tensor_class().__new__(tensor_class())
            found._adopt(self._cell, ())
        return found


__all__ = ["GradFn", "History", "grad_fn", "origin_of"]
