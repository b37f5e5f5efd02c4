"""Parameters: tensors that a module counts as its own and that gradients flow to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.device import Device
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import Cell, TensorBase
from lazygrad.tensor.creation import empty

if TYPE_CHECKING:
    from lazygrad.dtype import DType


class Parameter(Tensor):
    """A tensor that is a differentiable leaf and, as an attribute of a Module, one of its parameters."""

    def __init__(self, data: Tensor | Node | None = None, requires_grad: bool = True) -> None:
        if data is None:
            data = empty(0)
        node = data.node if isinstance(data, TensorBase) else data
        super().__init__(build.detach(node))
        if requires_grad:
            self.requires_grad_()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(build.detach(self.node), self.requires_grad)
        found: Parameter = memo[id(self)]
        return found


class Buffer(Tensor):
    """A tensor that a Module registers as a buffer when it becomes an attribute."""

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        super().__init__(build.detach((empty(0) if data is None else data).node))
        self.persistent = persistent


def replace_value(tensor: Tensor, node: Node) -> None:
    """Point `tensor` at another value of any dtype, device or shape. It stays the same leaf, with its
    gradient
    and hooks, so that optimizers and other modules that hold it go on with the new value."""
    number, former = tensor._cell.leaf_number, tensor._cell.former_leaf
    kept = (tensor._grad, tensor._hooks, tensor._retains)
    tensor._adopt(Cell(build.detach(node)), ())
    tensor._grad, tensor._hooks, tensor._retains = kept
    tensor._cell.leaf_number = number if node.dtype.is_floating_point else None
    tensor._cell.former_leaf = former


def moved(node: Node, device: Device | None, dtype: DType | None) -> Node:
    """The value on `device` in `dtype`; None: as it is."""
    node = node if dtype is None else build.cast(node, dtype)
    return node if device is None else build.copy(node, device)
