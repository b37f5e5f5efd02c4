"""Strided views: takes a node under movement ops, returns the memory behind it and how to walk it, or None."""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.codegen import index as ix
from lazygrad.codegen.lower import FILLING, source_index
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.shape import Shape, contiguous_strides


@dataclass(frozen=True)
class StridedView:
    """Element (i, j, ...) stands at offset + i * strides[0] + j * strides[1] ... of `base`."""

    base: Node
    strides: Shape
    offset: int


def view_of(node: Node) -> StridedView:
    """How a kernel that takes whole operands reads this one: through strides where a chain of movement ops
    over something stored allows it, else from memory of its own, where partition.py has it stored."""
    view = strided_view(node)
    if view is None or view.base.op in (ops.CONST, ops.IOTA):
        return StridedView(node, contiguous_strides(node.shape), 0)
    return view


def strided_view(node: Node) -> StridedView | None:
    """The view that a chain of movement ops is; None where no strides describe it (padding, some reshapes)."""
    index = tuple(ix.var(f"d{i}", n) for i, n in enumerate(node.shape))
    variables = index
    base = node
    while base.op.kind is Kind.MOVEMENT:
        if base.op in (*FILLING, ops.CONCAT):
            return None
        index, base = source_index(base, index), base.src[0]
    address = ix.ravel(index, base.shape)
    strides = []
    for variable in variables:
        stride = 0 if variable.is_constant else ix.stride_of(address, variable)
        if stride is None:
            return None
        strides.append(stride)
    used = sum((v * s for v, s in zip(variables, strides, strict=True)), start=ix.const(0))
    rest = address - used
    return StridedView(base, tuple(strides), rest.constant) if rest.is_constant else None
