"""Windows: tensors with a history of their own over memory that another tensor has, too.

`x.data = y`, `copy.copy(y)` and a view that is made a leaf share values with another tensor and nothing else. Their
cell holds no value: it looks through to the other tensor, and writes through to it.
"""

from __future__ import annotations

from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.tensor.core import Cell, TensorBase, grad_mode
from lazygrad.tensor.strides import Strided


class Window(Cell):
    """The cell of a tensor whose elements are those of `source`; `past` is where its gradients flow."""

    __slots__ = ("_past", "_source")

    def __init__(self, source: TensorBase, past: Node | None = None) -> None:
        self._source: TensorBase = source.detach()
        self._past = past
        self._start()

    @property
    def node(self) -> Node:
        value = self._source.node
        return value if self._past is None else build.graft(value, self._past)

    @property
    def lies(self) -> Strided | None:
        return self._source._lies()

    def hold(self, node: Node) -> None:
        if not self._source._path:
            self._source._cell.hold(build.detach(node))

    def watch(self) -> None:
        """Whoever has the memory is watched."""

    def write(self, node: Node) -> None:
        with grad_mode(False):
            self._source._write(build.detach(node))
        self._past = node if node.needs_grad else None
        self.version += 1
