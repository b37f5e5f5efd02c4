"""The user's Tensor: the mixins put together."""

from __future__ import annotations

from lazygrad.ir.node import Node
from lazygrad.tensor.autograd import Autograd
from lazygrad.tensor.core import register_tensor_class, wrap
from lazygrad.tensor.elementwise import Elementwise
from lazygrad.tensor.inplace import InPlace
from lazygrad.tensor.interop import Interop
from lazygrad.tensor.operators import Operators
from lazygrad.tensor.reduce import Reduce


class Tensor(Elementwise, Reduce, InPlace, Operators, Autograd, Interop):
    """An n-dimensional array whose value is computed when it is needed. See torch.Tensor."""

    __slots__ = ()

    @staticmethod
    def _wrapped(node: Node) -> Tensor:
        return wrap(node)


register_tensor_class(Tensor)
