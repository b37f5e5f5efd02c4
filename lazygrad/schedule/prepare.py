"""Preparation: takes a simplified graph and a Target, returns an equal graph in the ops that have kernels.

Attention is laid out so that joining its heads costs nothing, or decomposed where there is no kernel;
sums of half precision run in float32; long reductions of few results are split so that the whole GPU works.
"""

from __future__ import annotations

from collections import defaultdict

from lazygrad.codegen.attend import has_kernel
from lazygrad.codegen.loops import SCANS
from lazygrad.codegen.render import identity
from lazygrad.codegen.segments import accumulates_in
from lazygrad.codegen.tile import COLUMNS, most_sums, power_of_two, row_tile
from lazygrad.device import Target
from lazygrad.dtype import float32, float64
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.attention import DECOMPOSITIONS, token_major
from lazygrad.ir.node import Node, rebuild, toposort
from lazygrad.ir.op import Kind
from lazygrad.schedule.group import Domain, domain_of
from lazygrad.schedule.scatter import scatter_in_kernels
from lazygrad.schedule.spaces import keep_busy

SPLIT_FROM = 4096  # elements behind one result below which one program per result does
ROWS_EACH = 256  # what a program of a split column reduction should at least walk
WHOLE_BLOCKS = 64  # elements or rows that a longer part is a multiple of: aligned, and only the last one masked
PROGRAMS_EACH = 16  # programs that keep one multiprocessor busy
ROWS_WALKED = 16  # what a program that reduces rows and adds up their columns should walk, if enough are left
WARPS_WALKING = 16  # of such programs: what one multiprocessor has registers for
MOST_WARPS = 256  # of them, where they add up no columns: more than fit at once, so that none waits for the last
MOST_PARTS = 1024  # partial results that one more reduction puts together
SCANNED_EACH = 4096  # what a program of a split scan should at least walk
COMBINES = {ops.CUMSUM: ops.ADD, ops.CUMPROD: ops.MUL, ops.CUMMAX: ops.MAXIMUM, ops.CUMMIN: ops.MINIMUM}
SPLITTABLE = (ops.SUM, ops.MAX, ops.MIN, ops.PROD)
PASSED = (Kind.POINTWISE, Kind.MOVEMENT, Kind.MARKER)


def prepare(roots: list[Node], target: Target) -> list[Node]:
    """The roots over ops that the target has kernels for."""
    twin: dict[Node, Node] = {}
    order = toposort(roots)
    walked = walked_sums(order, target)
    for node in order:
        made = rebuild(node, tuple(twin[s] for s in node.src))
        twin[node] = _prepared(made, target, walked.get(node, 1))
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


def _prepared(node: Node, target: Target, walked: int) -> Node:
    """`walked` is in how many parts a reduction has to be, for the sake of others."""
    if node.op.kind is Kind.ATTENTION:
        # compilers stumble over pairs of float64 products (Triton 3.6 on Hopper): their kernels are interpreted only
        if not has_kernel(node) or (node.src[0].dtype is float64 and not target.interpreted):
            return DECOMPOSITIONS[node.op](node)
        if node.op is not ops.ATTENTION_LSE and not node.arg.token_major:
            return token_major(node)
    if node.op.kind is Kind.REDUCE:
        if node.op in (ops.SUM, ops.PROD) and node.dtype.compute is not node.dtype:
            wide = build.reduce(node.op, build.cast(node.src[0], float32), node.arg)
            return build.cast(_prepared(wide, target, walked), node.dtype)
        return split_reduction(node, target, walked)
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


def split_reduction(node: Node, target: Target, walked: int = 1) -> Node:
    """A reduction in two: partial results of equal parts (`walked`, if others ask for them), then those together.
    The order of additions is fixed by the shapes alone, so every run gives the same bits."""
    if node.op not in SPLITTABLE:
        return node
    source, axes = node.src[0], node.arg
    domain = domain_of(source.shape, axes)
    if walked > 1:
        return _in_parts(node, domain, 0, domain.dims[0] // walked)
    if source.op is node.op and domain.reduction <= MOST_PARTS:
        return node
    if domain.reduction < 2 * ROWS_EACH:
        return node
    trailing = domain.reduced[-1]
    # rows are walked best by one program each, so that what follows them stays in their kernel: two programs a
    # multiprocessor are enough of them. One sum of everything has nothing to stay with.
    each = 2 if trailing and domain.kept > 1 else PROGRAMS_EACH
    busy = each * target.multiprocessors
    if trailing and domain.reduction < SPLIT_FROM:
        return node
    programs = domain.kept if trailing else -(-domain.kept // COLUMNS)
    if programs >= busy or (trailing and domain.kept > 1 and domain.reduction < 8 * SPLIT_FROM):
        return node
    least = SPLIT_FROM if trailing else ROWS_EACH
    parts = min(power_of_two(-(-busy // programs)), power_of_two(domain.reduction // least))
    if parts < 2:
        return node
    axis = next((i for i, n in enumerate(domain.dims) if domain.reduced[i] and n >= parts), domain.longest_reduced)
    each = -(-domain.dims[axis] // parts)
    return _in_parts(node, domain, axis, -(-each // WHOLE_BLOCKS) * WHOLE_BLOCKS if each > WHOLE_BLOCKS else each)


def walked_sums(order: list[Node], target: Target) -> dict[Node, int]:
    """The reductions that programs which reduce rows can do on their way, each in how many parts (see Group.parts):
    sums of the columns of the same memory, sums of what came of the rows, and what shares its operands with those."""
    rows: dict[Domain, set[Node]] = defaultdict(set)  # what is read by reductions of them
    columns: dict[Domain, list[Node]] = defaultdict(list)
    everything: dict[int, list[Node]] = defaultdict(list)
    for node in order:
        if node.op.kind is Kind.REDUCE:
            domain = domain_of(node.src[0].shape, node.arg)
            if domain.reduced == (False, True):
                rows[domain] |= _read_by(node)
            elif node.op in SPLITTABLE and domain.reduced == (True, False):
                columns[Domain(domain.dims, (False, True))].append(node)
            elif node.op in SPLITTABLE and domain.reduced == (True,) and domain.size > MOST_PARTS:
                everything[domain.size].append(node)
    found: dict[Node, int] = {}
    for domain, read in rows.items():
        sums = [n for n in columns[domain] if read & _read_by(n)]
        tallies = _after_rows(domain, everything.get(domain.kept, []))
        parts = _parts(domain, target, bool(sums))
        if parts > 1:
            found |= dict.fromkeys(sums + tallies, parts)
    return found


def _after_rows(domain: Domain, everything: list[Node]) -> list[Node]:
    """Of reductions of as many elements as there are rows: those behind reductions of the rows, and their siblings."""
    read = {node: _read_by(node) for node in everything}
    behind = [n for n in everything if any(_domain_of_reduction(r) == domain for r in read[n])]
    known = set().union(*(read[n] for n in behind))
    return [n for n in everything if read[n] & known]


def _domain_of_reduction(node: Node) -> Domain | None:
    return domain_of(node.src[0].shape, node.arg) if node.op.kind is Kind.REDUCE else None


def _read_by(node: Node) -> set[Node]:
    """What a reduction reads of about its own size, through pointwise ops."""
    size = node.src[0].numel
    passed = toposort(node.src, stop=lambda n: n.op.kind not in PASSED)
    return {n for n in passed if n.op.kind not in PASSED and n.numel == size}


def _parts(domain: Domain, target: Target, columns: bool) -> int:
    """Equal parts of the rows: as many as keep the GPU busy, more where partial results are single numbers, not
    columns. 1 where there are none, or too few for the rows' sake."""
    rows, width = domain.dims
    if columns and not most_sums(width):
        return 1
    tile = row_tile(domain)
    warps, least = (WARPS_WALKING, ROWS_WALKED) if columns else (MOST_WARPS, 1)
    most, at_least = target.multiprocessors * max(1, warps // tile.num_warps), 2 * tile.kept
    most = min(most, MOST_PARTS, max(rows // max(at_least, least), min(rows // at_least, target.multiprocessors)))
    parts = next((p for p in range(most, 0, -1) if rows % p == 0), 1)
    return parts if keep_busy(parts, target) else 1


def _in_parts(node: Node, domain: Domain, axis: int, each: int) -> Node:
    """One reduced dimension cut into parts of `each`: all that a part reduces, then the parts together."""
    dims = domain.dims
    parts = -(-dims[axis] // each)
    flat = build.reshape(node.src[0], dims)
    missing = each * parts - dims[axis]
    if missing:
        widths = [(0, missing if i == axis else 0) for i in range(len(dims))]
        flat = build.pad(flat, widths, identity(node.op, node.dtype))
    split = build.reshape(flat, (*dims[:axis], parts, each, *dims[axis + 1 :]))
    partial = build.reduce(node.op, split, tuple(i + (i >= axis) for i, r in enumerate(domain.reduced) if r))
    partial.where = node.where
    whole = build.reduce(node.op, partial, (axis,))
    whole.where = node.where
    return build.reshape(whole, node.shape)
