"""Checked constructors: take Nodes, return a Node of known shape and dtype, or raise at the user's call.

Sources of one pointwise op must share a dtype (promotion is the Tensor's business); shapes broadcast.
Movement ops merge with the movement below them as they are made, so chains of views stay short; not with one
that gradients flow through, since somebody may ask for the gradient of what stands between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from lazygrad.device import Device
from lazygrad.dtype import DType, bool_, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make
from lazygrad.ir.op import Kind, Op, SegmentArg, SkewArg
from lazygrad.shape import Shape, broadcast, numel

Scalar = bool | int | float


# -- sources ------------------------------------------------------------------------------------------
def buffer(handle: Any, dtype: DType, shape: Shape, device: Device) -> Node:
    """A leaf that reads memory. `handle` is the runtime's Buffer; opaque here."""
    return make(ops.BUFFER, (), handle, dtype, shape, device)


def const(value: Scalar, dtype: DType, device: Device, shape: Shape = ()) -> Node:
    """A constant: 0-d, expanded to `shape`."""
    if dtype.is_floating_point:
        value = float(value)
        value = math.nan if value != value else value
    else:
        value = bool(value) if dtype is bool_ else _wrapped(int(value), dtype)
    if value == 0:  # 0.0 and -0.0 are one key of a table
        return expand(make(ops.CONST, (), value, dtype, (), device), shape)
    return _constant(value, dtype, device, shape)


@lru_cache(maxsize=4096)
def _constant(value: Scalar, dtype: DType, device: Device, shape: Shape) -> Node:
    """Formulas name the same few numbers for every parameter and step."""
    return expand(make(ops.CONST, (), value, dtype, (), device), shape)


def _wrapped(value: int, dtype: DType) -> int:
    """The whole number that `value` becomes in the dtype's width: -1 is 255 in uint8, as in torch."""
    bits = 8 * dtype.itemsize
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.signed and value >> (bits - 1) else value


def like(node: Node, value: Scalar) -> Node:
    """A constant with the shape, dtype and device of `node`."""
    return const(value, node.dtype, node.device, node.shape)


def iota(n: int, device: Device) -> Node:
    """0, 1, ... n-1 as int64."""
    return make(ops.IOTA, (), n, int64, (n,), device)


def constant_value(node: Node) -> Scalar | None:
    """The number a node is everywhere equal to, where it is an expanded or reshaped constant."""
    while node.op in (ops.EXPAND, ops.RESHAPE, ops.PERMUTE):
        node = node.src[0]
    return node.arg if node.op is ops.CONST else None


# -- pointwise ----------------------------------------------------------------------------------------
def pointwise(op: Op, *src: Node, arg: Any = None) -> Node:
    """An elementwise op over broadcast sources. RuntimeError for shapes or devices that don't go together."""
    first = src[0]
    shape, device = first.shape, first.device
    for other in src:
        if other.shape != shape or other.device is not device:
            src, shape = _joined(op, src)
            break
    if op is ops.CAST or op is ops.BITCAST:
        return first if arg is first.dtype else make(op, src, arg, arg, shape, device)
    values = src[1:] if op is ops.WHERE else src
    dtype = values[0].dtype
    for value in values:
        if value.dtype is not dtype:
            raise TypeError(at_user_line(f"{op.name}: dtypes differ: {', '.join(v.dtype.name for v in values)}"))
    assert op.result is not None
    return make(op, src, arg, op.result(tuple([s.dtype for s in src])), shape, src[0].device)


def _joined(op: Op, src: tuple[Node, ...]) -> tuple[tuple[Node, ...], Shape]:
    """The sources on one device, expanded to the shape they broadcast to; and that shape."""
    device = src[0].device
    for other in src:
        if other.device is not device and other.device != device:
            src = _same_device(op, src)
            break
    shape = src[0].shape
    for other in src:
        if other.shape != shape and other.shape:
            shape = _broadcast_shapes(op, src) if shape else other.shape
    return tuple([s if s.shape == shape else expand(s, shape) for s in src]), shape


def _broadcast_shapes(op: Op, src: tuple[Node, ...]) -> Shape:
    try:
        return broadcast(*(s.shape for s in src))
    except ValueError as error:
        shapes = " and ".join(str(list(s.shape)) for s in src)
        raise RuntimeError(at_user_line(f"{op.name.lower()}: {error}; shapes {shapes} do not broadcast")) from None


def _same_device(op: Op, src: tuple[Node, ...]) -> tuple[Node, ...]:
    """Constants and 0-d CPU tensors go where the others are, as in torch; anything else is an error."""
    target = next((s.device for s in src if s.ndim and constant_value(s) is None), src[0].device)
    moved = []
    for s in src:
        value = constant_value(s)
        if s.device == target:
            moved.append(s)
        elif value is not None:
            moved.append(const(value, s.dtype, target, s.shape))
        elif s.ndim == 0:
            moved.append(copy(s, target))
        else:
            devices = " and ".join(sorted({str(x.device) for x in src}))
            raise RuntimeError(
                at_user_line(
                    f"{op.name.lower()}: Expected all tensors to be on the same device, but found {devices}; "
                    "move one with .to(device)"
                )
            )
    return tuple(moved)


def cast(node: Node, dtype: DType) -> Node:
    return node if node.dtype is dtype else pointwise(ops.CAST, node, arg=dtype)


def add(a: Node, b: Node) -> Node:
    return pointwise(ops.ADD, a, b)


def sub(a: Node, b: Node) -> Node:
    return pointwise(ops.SUB, a, b)


def mul(a: Node, b: Node) -> Node:
    return pointwise(ops.MUL, a, b)


def div(a: Node, b: Node) -> Node:
    return pointwise(ops.DIV, a, b)


def neg(a: Node) -> Node:
    return pointwise(ops.NEG, a)


def scale(a: Node, by: Scalar) -> Node:
    return mul(a, like(a, by))


def shift(a: Node, by: Scalar) -> Node:
    return add(a, like(a, by))


def where(condition: Node, a: Node, b: Node) -> Node:
    return pointwise(ops.WHERE, condition, a, b)


def less(a: Node, b: Node) -> Node:
    return pointwise(ops.LT, a, b)


def equal(a: Node, b: Node) -> Node:
    return pointwise(ops.EQ, a, b)


def logical_not(a: Node) -> Node:
    return pointwise(ops.NOT, a)


def logical_and(a: Node, b: Node) -> Node:
    return pointwise(ops.AND, a, b)


def detach(node: Node) -> Node:
    """The same value; no gradient flows through."""
    return make(ops.DETACH, (node,), None, node.dtype, node.shape, node.device) if node.needs_grad else node


def graft(value: Node, past: Node) -> Node:
    """`value`, through which gradients flow as they flow through `past`."""
    value = detach(value)
    if not past.needs_grad:
        return value
    past = past.src[1] if past.op is ops.GRAFT else past
    return make(ops.GRAFT, (value, past), None, value.dtype, value.shape, value.device)


def clone(node: Node) -> Node:
    """The same value, in memory of its own if the source's is overwritten."""
    if node.op is ops.CLONE or constant_value(node) is not None:
        return node
    return make(ops.CLONE, (node,), None, node.dtype, node.shape, node.device)


def leaf(node: Node, number: int) -> Node:
    """The same value, as the differentiable leaf of that number."""
    return make(ops.LEAF, (node,), number, node.dtype, node.shape, node.device)


def example(batch: Node, level: int, axis: int) -> Node:
    """Any one slice of `batch` along `axis`: what a function under the vmap of this number is given."""
    shape = batch.shape[:axis] + batch.shape[axis + 1 :]
    return make(ops.EXAMPLE, (batch,), (level, axis), batch.dtype, shape, batch.device)


def barrier(node: Node, after: Node) -> Node:
    """The same value, not computed before `after` is; what is built on it shares nothing with what is built on
    `node`."""
    if not after.numel:
        return node
    first = slice_(after, [(0, 1, 1)] * after.ndim)
    return pointwise(ops.BARRIER, node, reshape(cast(first, node.dtype), ()))


def copy(node: Node, device: Device) -> Node:
    """The same value on another device."""
    return node if node.device == device else make(ops.COPY, (node,), device, node.dtype, node.shape, device)


# -- movement -----------------------------------------------------------------------------------------
def _move(op: Op, node: Node, arg: Any, shape: Shape) -> Node:
    return make(op, (node,), arg, node.dtype, shape, node.device)


def _merges(op: Op, below: Node) -> bool:
    return below.op is op and not below.needs_grad


def merged(op: Op, below: Node, arg: Any) -> Node:
    """The view of a view of the same kind, as one view of what lies below both."""
    if op is ops.PERMUTE:
        arg = tuple(below.arg[a] for a in arg)
    elif op is ops.SLICE:
        arg = [
            (s0 + start * t0, s0 + (stop - 1) * t0 + 1 if stop > start else s0, t0 * step)
            for (s0, _, t0), (start, stop, step) in zip(below.arg, arg, strict=True)
        ]
    return VIEWS[op](below.src[0], arg)


def reshape(node: Node, shape: Shape) -> Node:
    """Same elements in row-major order under another shape of equal size."""
    if shape == node.shape:
        return node
    if _merges(ops.RESHAPE, node):
        return merged(ops.RESHAPE, node, shape)
    if numel(shape) != node.numel:
        raise RuntimeError(at_user_line(f"shape '{list(shape)}' is invalid for input of size {node.numel}"))
    if node.op is ops.EXPAND and node.src[0].op is ops.CONST:
        return expand(node.src[0], shape)
    return _move(ops.RESHAPE, node, shape, shape)


def permute(node: Node, axes: Sequence[int]) -> Node:
    axes = tuple(axes)
    if axes == tuple(range(node.ndim)):
        return node
    if _merges(ops.PERMUTE, node):
        return merged(ops.PERMUTE, node, axes)
    return _move(ops.PERMUTE, node, axes, tuple(node.shape[a] for a in axes))


def transpose(node: Node, a: int = -2, b: int = -1) -> Node:
    axes = list(range(node.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return permute(node, axes)


def expand(node: Node, shape: Shape) -> Node:
    """Broadcast size-1 dimensions (and new leading ones) without copying."""
    if shape == node.shape:
        return node
    lead = len(shape) - node.ndim
    if node.shape and (lead < 0 or any(old not in (1, new) for old, new in zip(node.shape, shape[lead:], strict=True))):
        raise RuntimeError(at_user_line(f"expand: shape {list(node.shape)} does not broadcast to {list(shape)}"))
    if _merges(ops.EXPAND, node):
        return merged(ops.EXPAND, node, shape)
    return _move(ops.EXPAND, node, shape, shape)


def slice_(node: Node, bounds: Sequence[tuple[int, int, int]]) -> Node:
    """Strided slices with 0 <= start <= stop <= size and step > 0, one for each dimension."""
    bounds = tuple((start, max(start, stop), step) if stop > start else (0, 0, 1) for start, stop, step in bounds)
    shape = tuple(-(-(stop - start) // step) for start, stop, step in bounds)
    # one spelling for one meaning: the stop just behind the last element taken
    bounds = tuple(
        (start, start + (n - 1) * step + 1 if n else start, step if n > 1 else 1)
        for (start, stop, step), n in zip(bounds, shape, strict=True)
    )
    if shape == node.shape:
        return node
    if _merges(ops.SLICE, node):
        return merged(ops.SLICE, node, bounds)
    return _move(ops.SLICE, node, bounds, shape)


def pad(node: Node, widths: Sequence[tuple[int, int]], fill: Scalar = 0) -> Node:
    """Non-negative widths before and after each dimension, filled with a constant."""
    widths = tuple((int(a), int(b)) for a, b in widths)
    if not any(a or b for a, b in widths):
        return node
    shape = tuple(a + n + b for n, (a, b) in zip(node.shape, widths, strict=True))
    fill = float(fill) if node.dtype.is_floating_point else bool(fill) if node.dtype is bool_ else int(fill)
    return _move(ops.PAD, node, (widths, fill), shape)


VIEWS: dict[Op, Callable[[Node, Any], Node]] = {
    ops.RESHAPE: reshape,
    ops.PERMUTE: permute,
    ops.EXPAND: expand,
    ops.SLICE: slice_,
}


def dilate(node: Node, steps: Shape) -> Node:
    """step - 1 zeros between neighbours along the trailing dimensions, one step for each."""
    for i, step in enumerate(steps):
        axis = node.ndim - len(steps) + i
        shape = node.shape
        if step == 1 or shape[axis] <= 1:
            continue
        split = reshape(node, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
        widths = [(0, 0)] * split.ndim
        widths[axis + 1] = (0, step - 1)
        long = (*shape[:axis], shape[axis] * step, *shape[axis + 1 :])
        merged = reshape(pad(split, widths), long)
        stop = (shape[axis] - 1) * step + 1
        node = slice_(merged, [(0, stop if j == axis else n, 1) for j, n in enumerate(long)])
    return node


def skew(node: Node, arg: SkewArg) -> Node:
    """Lines of one dimension moved by a distance that grows along another, zeros where nothing moves to."""
    shape = tuple(arg.size if i == arg.axis else n for i, n in enumerate(node.shape))
    return _move(ops.SKEW, node, arg, shape)


def flip(node: Node, axes: Sequence[int]) -> Node:
    axes = tuple(sorted(axes))
    return _move(ops.FLIP, node, axes, node.shape) if axes else node


def concat(nodes: Sequence[Node], axis: int) -> Node:
    """Along `axis`; all other dimensions equal."""
    first = nodes[0]
    for other in nodes[1:]:
        if other.ndim != first.ndim or any(
            a != b for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if i != axis
        ):
            raise RuntimeError(
                at_user_line(
                    f"cat: Sizes of tensors must match except in dimension {axis}. "
                    f"Got {list(first.shape)} and {list(other.shape)}"
                )
            )
    kept = [n for n in nodes if n.shape[axis]] or [first]
    if len(kept) == 1:
        return kept[0]
    shape = list(first.shape)
    shape[axis] = sum(n.shape[axis] for n in kept)
    return make(ops.CONCAT, tuple(kept), axis, first.dtype, tuple(shape), first.device)


# -- the rest -----------------------------------------------------------------------------------------
def reduce(op: Op, node: Node, axes: Sequence[int], keepdim: bool = True) -> Node:
    """Reduce over sorted, non-negative axes. Sizes of 1 need no op; an empty extreme is an error."""
    axes = tuple(axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(node.shape))
    index_result = op in (ops.ARGMAX, ops.ARGMIN)
    if op in (ops.MAX, ops.MIN, ops.ARGMAX, ops.ARGMIN) and any(node.shape[a] == 0 for a in axes):
        raise IndexError(
            at_user_line(f"{op.name.lower()}: Expected reduction dim to have non-zero size; shape {list(node.shape)}")
        )
    live = tuple(a for a in axes if node.shape[a] != 1)
    assert op.result is not None
    dtype = op.result((node.dtype,))
    if not live:
        result = like(cast(node, dtype), 0) if index_result else node
    else:
        result = make(op, (node,), live, dtype, kept, node.device)
    if keepdim:
        return result
    return reshape(result, tuple(n for i, n in enumerate(node.shape) if i not in axes))


def sum_to(node: Node, shape: Shape) -> Node:
    """Summed over what broadcasting `shape` to the node's shape repeats: the transpose of expand."""
    lead = node.ndim - len(shape)
    axes = tuple(i for i, n in enumerate(node.shape) if i < lead or (shape[i - lead] == 1 and n != 1))
    return reshape(reduce(ops.SUM, node, axes), shape) if axes else reshape(node, shape)


def dot(a: Node, b: Node) -> Node:
    """(..., m, k) x (..., k, n): batch dimensions broadcast; dtypes equal."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            at_user_line(
                f"matmul: expected both operands to have the same dtype, but got {a.dtype.name} and {b.dtype.name}"
            )
        )
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            at_user_line(f"matmul: mat1 and mat2 shapes cannot be multiplied ({list(a.shape)} and {list(b.shape)})")
        )
    a, b = _same_device(ops.DOT, (a, b)) if a.device != b.device else (a, b)
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    a, b = expand(a, batch + a.shape[-2:]), expand(b, batch + b.shape[-2:])
    return make(ops.DOT, (a, b), None, a.dtype, (*batch, a.shape[-2], b.shape[-1]), a.device)


def gather(data: Node, index: Node, axis: int) -> Node:
    """take_along_axis: index in [0, size), no longer than data along the other axes."""
    for i, (have, want) in enumerate(zip(data.shape, index.shape, strict=True)):
        if i != axis and want > have:
            raise RuntimeError(
                at_user_line(
                    f"gather: Size does not match at dimension {i} expected index {list(index.shape)} to be no "
                    f"larger than self {list(data.shape)} apart from dimension {axis}"
                )
            )
    bounds = [(0, n, 1) for n in index.shape]
    bounds[axis] = (0, data.shape[axis], 1)
    return make(ops.GATHER, (slice_(data, bounds), index), axis, data.dtype, index.shape, data.device)


def scatter(base: Node, index: Node, values: Node, axis: int, mode: str) -> Node:
    """`base` with `values` put or combined at `index` along `axis`; index and values share a shape."""
    if base.dtype is not values.dtype:
        raise RuntimeError(
            at_user_line(
                f"scatter: Expected self.dtype to be equal to src.dtype, got {base.dtype.name} and {values.dtype.name}"
            )
        )
    return make(ops.SCATTER, (base, index, values), (axis, mode), base.dtype, base.shape, base.device)


def place(values: Node, positions: Node) -> Node:
    """Rows (n,) of values stored at positions (n,): each of 0, 1, ... n-1 exactly once."""
    return make(ops.PLACE, (values, positions), None, values.dtype, values.shape, values.device)


def segments(arg: SegmentArg, base: Node, values: Node, begins: Node, ends: Node, *rest: Node) -> Node:
    """(rows, columns) of base, combined with segments of the rows of values (n, columns); see SEGMENT."""
    return make(ops.SEGMENT, (base, values, begins, ends, *rest), arg, base.dtype, base.shape, base.device)


def scan(op: Op, node: Node, axis: int) -> Node:
    return node if node.shape[axis] <= 1 else make(op, (node,), axis, node.dtype, node.shape, node.device)


def argsort(node: Node, axis: int) -> Node:
    """Indices of a stable ascending sort along `axis`; NaN last."""
    return make(ops.ARGSORT, (node,), axis, int64, node.shape, node.device)


def of_pairs(op: Op, a: Node, b: Node) -> Node:
    """An op of the library on every two numbers of broadcast sources: IGAMMA, IGAMMAC, ZETA."""
    (a, b), shape = _joined(op, (a, b))
    return make(op, (a, b), None, a.dtype, shape, a.device)


def solve(a: Node, b: Node) -> Node:
    """X of A X = B, for (..., n, n) and (..., n, k) of one batch shape."""
    return make(ops.SOLVE, (a, b), None, a.dtype, b.shape, a.device)


def cholesky(node: Node) -> Node:
    """The lower triangular L with L L^T = A."""
    return make(ops.CHOLESKY, (node,), None, node.dtype, node.shape, node.device)


def log_abs_det(node: Node) -> Node:
    """log|det A| of (..., n, n), with shape (...)."""
    return make(ops.LOGABSDET, (node,), None, node.dtype, node.shape[:-2], node.device)


def det(node: Node) -> Node:
    """The determinant of (..., n, n): (...)."""
    return make(ops.DET, (node,), None, node.dtype, node.shape[:-2], node.device)


def det_sign(node: Node) -> Node:
    """The sign of det A: -1, 0 or 1."""
    return make(ops.DETSIGN, (node,), None, node.dtype, node.shape[:-2], node.device)


def philox(seed: Node, counter: Node) -> Node:
    """32 random bits (int32) for each int64 counter under a 0-d int64 seed."""
    return pointwise(ops.PHILOX, seed, counter)


def kind_of(node: Node) -> Kind:
    return node.op.kind
