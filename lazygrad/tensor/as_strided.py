"""Views by strides over the memory of a tensor as it was made, and what else addresses elements by their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import numel
from lazygrad.tensor.arguments import integer, integers
from lazygrad.tensor.core import TensorBase, tensor_class, wrap
from lazygrad.tensor.layout import positions
from lazygrad.tensor.strides import Strided

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class AsStrided(TensorBase):
    __slots__ = ()

    def as_strided(self, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
        """A view whose element (i, j, ...) is element storage_offset + i * stride[0] + j * stride[1] + ... of the
        memory that this tensor (or what it is a view of) was made with, row-major. RuntimeError out of bounds."""
        lies = _lies_of(self, size, stride, storage_offset)
        base = tensor_class().__new__(tensor_class())
        base._adopt(self._cell, ())
        leave = None if lies.overlaps else lambda node, value: _placed(node, value, lies)
        return base._viewed(lambda node: _read(node, lies), leave, lambda _: lies)

    def as_strided_scatter(self, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
        """A copy of self with src where as_strided() would look."""
        copy = self.clone()
        copy.as_strided(size, stride, storage_offset).copy_(src)
        return copy

    def narrow_copy(self, dim: int, start: Any, length: int) -> Tensor:
        """A copy of what narrow() views."""
        return self.narrow(dim, start, length).clone()

    def sum_to_size(self, *size: Any) -> Tensor:
        """The sum over the dimensions that broadcasting `size` to this shape would repeat. RuntimeError where it
        doesn't broadcast."""
        wanted = integers(size, "sum_to_size()")
        shape = self.node.shape
        lead = len(shape) - len(wanted)
        if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, shape[max(lead, 0) :], strict=True)):
            raise RuntimeError(at_user_line(f"size {list(wanted)} is not expandable to size {list(shape)}"))
        axes = [i for i, n in enumerate(shape) if i < lead or (wanted[i - lead] == 1 and n != 1)]
        node = build.reduce(ops.SUM, self.node, tuple(axes)) if axes else self.node
        return wrap(build.reshape(node, wanted))

    def fill_diagonal_(self, fill_value: float, wrap: bool = False) -> Tensor:
        """Set the elements of equal indices; `wrap` starts again below a square in tall matrices. Returns self."""
        shape = self.node.shape
        if len(shape) < 2:
            raise RuntimeError(at_user_line("dimensions must larger than 1"))
        if len(shape) > 2 and len(set(shape)) > 1:
            raise RuntimeError(at_user_line("all dimensions of input must be of equal length"))
        rows, columns = positions(self.node, 0), positions(self.node, 1)
        if wrap and len(shape) == 2:
            rows = build.pointwise(ops.REMAINDER, rows, build.like(rows, shape[1] + 1))
        mask = build.equal(rows, columns)
        for axis in range(2, len(shape)):
            mask = build.logical_and(mask, build.equal(rows, positions(self.node, axis)))
        node = self.node
        filled = build.where(mask, build.like(node, fill_value), node)
        return self._write(filled)


def _lies_of(tensor: TensorBase, size: Any, stride: Any, offset: int | None) -> Strided:
    sizes, strides = integers((size,), "as_strided(): size"), integers((stride,), "as_strided(): stride")
    if len(sizes) != len(strides):
        raise RuntimeError(
            at_user_line(
                f"mismatch in length of strides and shape: as_strided() got size {list(sizes)}, stride {list(strides)}"
            )
        )
    if any(s < 0 for s in strides):
        raise RuntimeError(at_user_line(f"as_strided(): negative strides are not supported, got {list(strides)}"))
    own = tensor._lies()
    start = integer(offset, "as_strided()") if offset is not None else own.offset if own is not None else 0
    needed = start + 1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) if numel(sizes) else 0
    held = tensor._cell.node.numel
    if start < 0 or needed > held:
        raise RuntimeError(
            at_user_line(
                f"as_strided(): sizes {list(sizes)}, strides {list(strides)} and storage offset {start} need {needed} "
                f"elements and are out of bounds for storage of {held}"
            )
        )
    return Strided(sizes, strides, start)


def _places(node: Node, lies: Strided) -> Node:
    """Where in memory each element of the view lies, as one int64 vector."""
    total = build.const(lies.offset, build.int64, node.device, lies.shape)
    for axis, (n, stride) in enumerate(zip(lies.shape, lies.strides, strict=True)):
        lead = tuple(n if i == axis else 1 for i in range(len(lies.shape)))
        counted = build.reshape(build.scale(build.iota(n, node.device), stride), lead)
        total = build.add(total, build.expand(counted, lies.shape))
    return build.reshape(total, (numel(lies.shape),))


def _read(node: Node, lies: Strided) -> Node:
    flat = build.reshape(node, (node.numel,))
    return build.reshape(build.gather(flat, _places(node, lies), 0), lies.shape)


def _placed(node: Node, value: Node, lies: Strided) -> Node:
    flat = build.reshape(node, (node.numel,))
    written = build.scatter(flat, _places(node, lies), build.reshape(value, (value.numel,)), 0, "set")
    return build.reshape(written, node.shape)


__all__ = ["AsStrided"]
