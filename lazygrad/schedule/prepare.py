"""Preparation: takes a simplified graph and a Target, returns an equal graph in the ops that have kernels.

Attention is laid out so that joining its heads costs nothing, or decomposed where there is no kernel;
sums of half precision run in float32; long reductions of few results are split so that the whole GPU works.
"""

from __future__ import annotations

from lazygrad.codegen.attend import has_kernel
from lazygrad.codegen.loops import SCANS
from lazygrad.codegen.render import identity
from lazygrad.codegen.segments import accumulates_in
from lazygrad.codegen.tile import power_of_two
from lazygrad.device import Target
from lazygrad.dtype import float32
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.attention import DECOMPOSITIONS, token_major
from lazygrad.ir.node import Node, rebuild, toposort
from lazygrad.ir.op import Kind
from lazygrad.schedule.group import domain_of
from lazygrad.schedule.scatter import scatter_in_kernels

SPLIT_FROM = 4096  # elements behind one result below which one program per result does
ROWS_EACH = 256  # what a program of a split column reduction should at least walk
PROGRAMS_EACH = 16  # programs that keep one multiprocessor busy
SCANNED_EACH = 4096  # what a program of a split scan should at least walk
COMBINES = {ops.CUMSUM: ops.ADD, ops.CUMPROD: ops.MUL, ops.CUMMAX: ops.MAXIMUM, ops.CUMMIN: ops.MINIMUM}
SPLITTABLE = (ops.SUM, ops.MAX, ops.MIN, ops.PROD)


def prepare(roots: list[Node], target: Target) -> list[Node]:
    """The roots over ops that the target has kernels for."""
    twin: dict[Node, Node] = {}
    for node in toposort(roots):
        made = rebuild(node, tuple(twin[s] for s in node.src))
        twin[node] = _prepared(made, target)
    prepared = [twin[r] for r in roots]
    return prepared if prepared == roots else prepare(prepared, target)


def decompose(roots: list[Node]) -> list[Node]:
    """Composite ops replaced by what they mean, for targets without kernels."""
    twin: dict[Node, Node] = {}
    for node in toposort(roots):
        made = rebuild(node, tuple(twin[s] for s in node.src))
        twin[node] = DECOMPOSITIONS[made.op](made) if made.op in DECOMPOSITIONS else made
    decomposed = [twin[r] for r in roots]
    return decomposed if decomposed == roots else decompose(decomposed)


def _prepared(node: Node, target: Target) -> Node:
    if node.op.kind is Kind.ATTENTION:
        if not has_kernel(node):
            return DECOMPOSITIONS[node.op](node)
        if node.op is not ops.ATTENTION_LSE and not node.arg.token_major:
            return token_major(node)
    if node.op.kind is Kind.REDUCE:
        if node.op in (ops.SUM, ops.PROD) and node.dtype.compute is not node.dtype:
            wide = build.reduce(node.op, build.cast(node.src[0], float32), node.arg)
            return build.cast(_prepared(wide, target), node.dtype)
        return split_reduction(node, target)
    if node.op.kind is Kind.SCAN:
        return _prepared_scan(node, target)
    if node.op is ops.SCATTER:
        return scatter_in_kernels(node) or node
    return node


def _prepared_scan(node: Node, target: Target) -> Node:
    wide = accumulates_in(node.dtype)
    if wide is node.dtype:
        return split_scan(node, target)
    return build.cast(build.scan(node.op, build.cast(node.src[0], wide), node.arg), node.dtype)


def split_scan(node: Node, target: Target) -> Node:
    """A scan over few long lines in parts that are scanned at once, then each is given what all before it
    come to."""
    axis = node.arg
    domain = domain_of(node.shape, (axis,))
    dims, at = domain.dims, domain.reduced.index(True)
    lines, size = node.numel // node.shape[axis], node.shape[axis]
    busy = 2 * target.multiprocessors
    programs = lines if domain.reduced[-1] else -(-lines // 64)
    parts = min(power_of_two(-(-busy // programs)), size // SCANNED_EACH) if programs < busy else 1
    if parts < 2:
        return node
    each = -(-size // parts)
    flat = build.pad(
        build.reshape(node.src[0], dims), [(0, each * parts - size if i == at else 0) for i in range(len(dims))]
    )
    split = build.reshape(flat, (*dims[:at], parts, each, *dims[at + 1 :]))
    local = build.scan(node.op, split, at + 1)
    local.where = node.where
    last = build.slice_(local, [(each - 1, each, 1) if i == at + 1 else (0, n, 1) for i, n in enumerate(split.shape)])
    reached = build.scan(node.op, last, at)
    reached.where = node.where
    earlier = build.slice_(reached, [(0, parts - 1, 1) if i == at else (0, n, 1) for i, n in enumerate(last.shape)])
    neutral = identity(SCANS[node.op], node.dtype)
    before = build.pad(earlier, [(1, 0) if i == at else (0, 0) for i in range(last.ndim)], neutral)
    whole = build.reshape(build.pointwise(COMBINES[node.op], before, local), flat.shape)
    cut = build.slice_(whole, [(0, n, 1) for n in dims])
    return build.reshape(cut, node.shape)


def split_reduction(node: Node, target: Target) -> Node:
    """A reduction in two: partial results of equal parts, then those together. The order of additions is
    fixed by the shapes alone, so every run gives the same bits."""
    if node.op not in SPLITTABLE:
        return node
    source, axes = node.src[0], node.arg
    domain = domain_of(source.shape, axes)
    if not domain.reduced or domain.reduced.count(True) != 1 or domain.reduction < 2 * ROWS_EACH:
        return node
    trailing = domain.reduced[-1]
    # rows are walked best by one program each, so that what follows them stays in their kernel: two programs a
    # multiprocessor are enough of them. One sum of everything has nothing to stay with.
    each = 2 if trailing and domain.kept > 1 else PROGRAMS_EACH
    busy = each * target.multiprocessors
    if trailing and domain.reduction < SPLIT_FROM:
        return node
    programs = domain.kept if trailing else -(-domain.kept // 64)
    if programs >= busy or (trailing and domain.kept > 1 and domain.reduction < 8 * SPLIT_FROM):
        return node
    least = SPLIT_FROM if trailing else ROWS_EACH
    parts = min(power_of_two(-(-busy // programs)), power_of_two(domain.reduction // least))
    if parts < 2:
        return node
    return _in_parts(node, domain.dims, domain.reduced.index(True), parts)


def _in_parts(node: Node, dims: tuple[int, ...], axis: int, parts: int) -> Node:
    flat = build.reshape(node.src[0], dims)
    each = -(-dims[axis] // parts)
    missing = each * parts - dims[axis]
    if missing:
        widths = [(0, missing if i == axis else 0) for i in range(len(dims))]
        flat = build.pad(flat, widths, identity(node.op, node.dtype))
    split = build.reshape(flat, (*dims[:axis], parts, each, *dims[axis + 1 :]))
    partial = build.reduce(node.op, split, (axis + 1,))
    partial.where = node.where
    whole = build.reduce(node.op, partial, (axis,))
    whole.where = node.where
    return build.reshape(whole, node.shape)
