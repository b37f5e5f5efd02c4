"""Parameters: tensors that a module counts as its own and that gradients flow to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.device import Device
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make, toposort
from lazygrad.runtime.values import known
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

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__(tensor_contents=tensor_contents)

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
    number = tensor._cell.leaf_number
    kept = (tensor._grad, tensor._hooks, tensor._retains)
    tensor._adopt(Cell(build.detach(node)), ())
    tensor._grad, tensor._hooks, tensor._retains = kept
    tensor._cell.leaf_number = number if node.dtype.is_floating_point else None


# leaves of an initialization are seeds and counters; what holds more bytes is data that exists already
_SMALL = 1024


def moved(node: Node, device: Device | None, dtype: DType | None) -> Node:
    """The value on `device` in `dtype` (None: as it is). What has not been computed yet and depends on
    nothing large, such as a random initialization, is computed there instead of here and copied."""
    if dtype is not None:
        node = build.cast(node, dtype)
    if device is None or device == node.device:
        return node
    if known(node) is not None:
        return build.copy(node, device)
    order = toposort([node], stop=lambda n: known(n) is not None)
    leaves = [n for n in order if known(n) is not None]
    if sum(n.nbytes for n in leaves) > _SMALL or any(n.needs_grad or n.op is ops.COPY for n in order):
        return build.copy(node, device)
    twin: dict[Node, Node] = {leaf: build.copy(leaf, device) for leaf in leaves}
    for n in order:
        if n not in twin:
            twin[n] = make(n.op, tuple(twin[s] for s in n.src), n.arg, n.dtype, n.shape, device)
    return twin[node]
