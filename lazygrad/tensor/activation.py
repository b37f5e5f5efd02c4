"""Activations that are Tensor methods in torch: softmax, log_softmax, relu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import TensorBase, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Activation(TensorBase):
    __slots__ = ()

    def softmax(self, dim: int, dtype: DType | None = None) -> Tensor:
        """exp(self) / sum(exp(self)) along `dim`."""
        node = _prepared(self.node, dtype, "softmax")
        return wrap(library.softmax(node, axis_of(node, dim, "softmax")))

    def log_softmax(self, dim: int, dtype: DType | None = None) -> Tensor:
        """log(softmax(self)) along `dim`."""
        node = _prepared(self.node, dtype, "log_softmax")
        return wrap(library.log_softmax(node, axis_of(node, dim, "log_softmax")))

    def relu(self) -> Tensor:
        """max(self, 0); the gradient at 0 is 0."""
        return wrap(library.relu(self.node))


def _prepared(node: Node, dtype: DType | None, name: str) -> Node:
    (node,) = float32_operands(name, node)
    node = node if dtype is None else build.cast(node, dtype)
    if not node.dtype.is_floating_point:
        raise NotImplementedError(
            at_user_line(f"\"{name}_lastdim_kernel_impl\" not implemented for '{node.dtype.name}'")
        )
    return node
