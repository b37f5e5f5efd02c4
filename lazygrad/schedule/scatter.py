"""SCATTER in ops that have kernels: takes a SCATTER node, returns an equal node, or None where there is none.

A few elements of each line are put where they belong by comparing positions, which fuses with anything. In
general the targets are sorted (schedule/ordering.py); of "set" the last entry of each target is picked, in
other modes the segments of equal targets are combined by SEGMENT, whose partial results keep a target that
most entries share from being one long walk. Dimensions along which the index is constant are columns: the
rows of an embedding's gradient are sorted once, not element by element. Entries out of range go nowhere.
"""

from __future__ import annotations

from lazygrad.codegen import index as ix
from lazygrad.codegen.lower import FILLING, source_index
from lazygrad.codegen.render import identity
from lazygrad.codegen.segments import REDUCTIONS, accumulates_in
from lazygrad.dtype import DType, bool_, int32, int64
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import cast, constant_value, expand, permute, reshape
from lazygrad.ir.node import Node, make
from lazygrad.ir.op import Kind, SegmentArg
from lazygrad.schedule.ordering import lower_bound, positions, stable_order
from lazygrad.shape import contiguous_strides, numel

FEW = 4  # entries of a line up to which every element of the result looks at each of them
CHUNK = 32  # entries that one partial result stands for
TOP = 64  # chunks that a walk may pass one by one
LARGEST = 2**31 - 2**20
COMBINE = {"add": ops.ADD, "max": ops.MAXIMUM, "min": ops.MINIMUM, "mul": ops.MUL}


def scatter_in_kernels(node: Node) -> Node | None:
    """`node`, a SCATTER, through sorting and segments; None for more entries than int32 can count."""
    (base, index, values), (axis, mode) = node.src, node.arg
    if index.numel >= LARGEST:
        return None
    if 0 in index.shape or 0 in base.shape:
        return base
    if base.dtype is bool_ and mode != "set":
        numbers = [cast(n, int32) for n in (base, values)]
        made = build.scatter(numbers[0], index, numbers[1], axis, {"add": "max", "mul": "min"}.get(mode, mode))
        return cast(made, bool_)
    reached = tuple(n if i == axis else index.shape[i] for i, n in enumerate(base.shape))
    if reached != base.shape:
        return _in_corner(node, reached)
    if index.shape[axis] <= FEW:
        return _one_by_one(base, index, values, axis, mode)
    return _by_segments(base, index, values, axis, mode)


def _in_corner(node: Node, reached: tuple[int, ...]) -> Node:
    """An index shorter than the base reaches only a corner of it."""
    (base, index, values), (axis, mode) = node.src, node.arg
    corner = build.scatter(build.slice_(base, [(0, n, 1) for n in reached]), index, values, axis, mode)
    widths = [(0, whole - n) for whole, n in zip(base.shape, reached, strict=True)]
    inside = build.pad(build.const(True, bool_, base.device, reached), widths, False)
    return build.where(inside, build.pad(corner, widths), base)


def _one_by_one(base: Node, index: Node, values: Node, axis: int, mode: str) -> Node:
    line = tuple(n if i == axis else 1 for i, n in enumerate(base.shape))
    here = reshape(positions(base.shape[axis], base, int64), line)
    result = base if mode == "set" else cast(base, accumulates_in(base.dtype))
    for k in range(index.shape[axis]):
        bounds = [(k, k + 1, 1) if i == axis else (0, n, 1) for i, n in enumerate(index.shape)]
        value = expand(cast(build.slice_(values, bounds), result.dtype), base.shape)
        hit = build.equal(here, cast(build.slice_(index, bounds), int64))
        result = build.where(hit, value if mode == "set" else build.pointwise(COMBINE[mode], result, value), result)
    return cast(result, base.dtype)


def _by_segments(base: Node, index: Node, values: Node, axis: int, mode: str) -> Node:
    """Targets are the places along the dimensions where the index differs, columns the others."""
    told_apart = sorted(varying_dimensions(index) | {axis})
    columns = [i for i in range(base.ndim) if i not in told_apart]
    axes = (*told_apart, *columns)
    targets = tuple(base.shape[i] for i in told_apart)
    width = numel(tuple(base.shape[i] for i in columns))
    keys, bits = _keys(index, told_apart, columns, axis, targets)
    flat_base = reshape(permute(base, axes), (numel(targets), width))
    flat_values = reshape(permute(values, axes), (*keys.shape, width))
    ascending, order = stable_order(keys, bits)
    if mode == "set":
        made = _last_of_each(flat_base, flat_values, ascending, order)
    else:
        made = _combined(flat_base, flat_values, ascending, order, mode)
    back = tuple(axes.index(i) for i in range(base.ndim))
    return permute(reshape(made, tuple(base.shape[i] for i in axes)), back)


def _keys(
    index: Node, told_apart: list[int], columns: list[int], axis: int, targets: tuple[int, ...]
) -> tuple[Node, int]:
    """(for each entry the number of its target, how many bits those have); out of range: one too large."""
    count = numel(targets)
    dtype = int32 if count < LARGEST else int64
    narrow = build.slice_(index, [(0, 1, 1) if i in columns else (0, n, 1) for i, n in enumerate(index.shape)])
    shape = tuple(index.shape[i] for i in told_apart)
    chosen = reshape(permute(narrow, (*told_apart, *columns)), shape)
    along = told_apart.index(axis)
    inside = build.logical_and(
        build.pointwise(ops.LE, build.like(chosen, 0), chosen), build.less(chosen, build.like(chosen, targets[along]))
    )
    target = build.const(0, dtype, index.device, shape)
    for i, stride in enumerate(contiguous_strides(targets)):
        line = tuple(n if i == j else 1 for j, n in enumerate(shape))
        at = cast(chosen, dtype) if i == along else reshape(positions(shape[i], index, dtype), line)
        target = build.add(target, build.scale(at, stride))
    keys = build.where(inside, target, build.like(target, count))
    return reshape(keys, (numel(shape),)), count.bit_length()


def _last_of_each(base: Node, values: Node, ascending: Node, order: Node) -> Node:
    """Of the entries of one target the last one wins, as in NumPy."""
    rows, width = base.shape
    row = positions(rows, base, ascending.dtype)
    last = build.shift(lower_bound(ascending, build.shift(row, 1)), -1)
    safe = build.pointwise(ops.MAXIMUM, last, build.like(last, 0))
    found = build.logical_and(
        build.pointwise(ops.LE, build.like(last, 0), last), build.equal(build.gather(ascending, safe, 0), row)
    )
    chosen = build.where(found, build.gather(order, safe, 0), build.like(last, 0))
    picked = build.gather(values, expand(reshape(chosen, (rows, 1)), (rows, width)), 0)
    return build.where(reshape(found, (rows, 1)), picked, base)


def _combined(base: Node, values: Node, ascending: Node, order: Node, mode: str) -> Node:
    rows, width = base.shape
    total = accumulates_in(base.dtype)
    starts = lower_bound(ascending, positions(rows + 1, base, ascending.dtype))
    begins, ends = build.slice_(starts, [(0, rows, 1)]), build.slice_(starts, [(1, rows + 1, 1)])
    values = _before_widening(values, total)
    neutral = identity(REDUCTIONS[mode], total)
    chunks: list[Node] = []
    count, span = ascending.shape[0], 1
    while count > TOP:
        count, span = count // CHUNK, span * CHUNK
        source, rest = (chunks[-1], ()) if chunks else (values, (order,))
        first, last = (_every(ascending, span, at, count) for at in (0, span - 1))
        one_target = build.logical_and(build.equal(first, last), build.less(first, build.like(first, rows)))
        here = build.scale(positions(count, base), CHUNK)
        until = build.where(one_target, build.shift(here, CHUNK), here)
        empty = build.const(neutral, total, base.device, (count, width))
        chunks.append(build.segments(SegmentArg(mode, ordered=not chunks), empty, source, here, until, *rest))
    return build.segments(SegmentArg(mode, CHUNK, True), base, values, begins, ends, order, *chunks)


def _every(node: Node, step: int, start: int, count: int) -> Node:
    return build.slice_(node, [(start, start + (count - 1) * step + 1, step)])


def _before_widening(node: Node, wide: DType) -> Node:
    """The node without a CAST to `wide` that the kernel makes as it loads: half precision is half the memory."""
    if node.op is ops.CAST and node.dtype is wide and accumulates_in(node.src[0].dtype) is wide:
        return node.src[0]
    if node.op.kind is Kind.MOVEMENT and node.op not in FILLING and len(node.src) == 1:
        narrow = _before_widening(node.src[0], wide)
        if narrow is not node.src[0]:
            return make(node.op, (narrow,), node.arg, narrow.dtype, node.shape, node.device)
    return node


def varying_dimensions(node: Node) -> set[int]:
    """The dimensions along which elements of a node may differ."""
    index = tuple(ix.var(f"d{i}", n) for i, n in enumerate(node.shape))
    found: set[ix.Expr] = set()
    seen: set[tuple[Node, tuple[ix.Expr, ...]]] = set()
    stack: list[tuple[Node, tuple[ix.Expr, ...]]] = [(node, index)]
    while stack:
        n, at = entry = stack.pop()
        if entry in seen or constant_value(n) is not None:
            continue
        seen.add(entry)
        if n.op.kind is Kind.POINTWISE:
            stack.extend((s, at) for s in n.src)
        elif n.op.kind is Kind.MOVEMENT and n.op not in (*FILLING, ops.CONCAT):
            stack.append((n.src[0], source_index(n, at)))
        else:
            found |= ix.variables(ix.ravel(at, n.shape))
    return {i for i, variable in enumerate(index) if variable in found}
