"""The bridge to calls that bring their own gradient: takes a backward written in Tensors, acts on Nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line, users_own_lines
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.shape import Shape, broadcast
from lazygrad.tensor.core import TensorBase, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class TensorCall:
    """A call (see ir/custom.py) whose gradient the subclass gives in backward()."""

    saved: Sequence[Node] = ()

    def backward(self, inputs: Sequence[Node], grads: dict[int, Tensor]) -> Sequence[Any]:
        """A Tensor or None for each input, from the gradients of the outputs by index."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return type(self).__name__

    def vjp(self, inputs: Sequence[Node], cotangents: dict[int, Node]) -> list[Node | None]:
        with users_own_lines():
            grads = self.backward(inputs, {index: wrap(g) for index, g in cotangents.items()})
        return [self._gradient(i, g, node) for i, (g, node) in enumerate(zip(grads, inputs, strict=True))]

    def _gradient(self, index: int, grad: Any, of: Node) -> Node | None:
        """The gradient as it must be: of the input's dtype, and summed to its shape where it was broadcast."""
        if grad is None:
            return None
        if not isinstance(grad, TensorBase):
            raise RuntimeError(
                at_user_line(f"{self.name}: expected a Tensor or None as gradient {index}, got {type(grad).__name__}")
            )
        node = grad.node
        if node.shape != of.shape:
            if not _expands(of.shape, node.shape):
                raise RuntimeError(
                    at_user_line(
                        f"Function {self.name} returned an invalid gradient at index {index} - got "
                        f"{list(node.shape)} but expected shape compatible with {list(of.shape)}"
                    )
                )
            node = build.sum_to(node, of.shape)
        return build.cast(node, of.dtype)


def _expands(shape: Shape, wide: Shape) -> bool:
    try:
        return broadcast(shape, wide) == wide
    except ValueError:
        return False
