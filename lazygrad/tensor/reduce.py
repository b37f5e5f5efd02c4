"""Reductions: dim=None reduces everything; keepdim keeps reduced dimensions with size 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad import dtype as dt
from lazygrad.dtype import DType
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.shape import normalize_axes
from lazygrad.tensor.core import TensorBase, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Reduce(TensorBase):
    __slots__ = ()

    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        """The sum; bools and integers sum to int64 unless dtype is given."""
        node = self.node
        node = build.cast(node, dtype or (node.dtype if node.dtype.is_floating_point else dt.int64))
        return wrap(build.reduce(ops.SUM, node, normalize_axes(dim, node.ndim), keepdim))
