"""Recognition: takes Nodes, returns the mapping to canonical forms that a kernel exists for.

Runs before differentiation, so that a hand-written softmax(q k^T) v gets attention's own gradient,
and once more on what is to be realized, for graphs that nobody differentiates. Matching walks down
from a product: its left operand must be a softmax over its last axis (with dropout, if any), the
softmax's input a product that only scales and masks change. Anything else on the way declines, as
does a use of the probabilities or scores by something else that is wanted: the square matrix is
then computed anyway, and once is enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lazygrad.dtype import float32, float64
from lazygrad.ir import build as b
from lazygrad.ir import op as ops
from lazygrad.ir.attention import AttentionArg, attention, keep_mask
from lazygrad.ir.build import constant_value
from lazygrad.ir.masks import Layer, Masking, merged
from lazygrad.ir.node import Node, rebuild, substitute, toposort
from lazygrad.ir.op import Op
from lazygrad.shape import Shape

WIDEST_HEAD = 256  # beyond it there is no kernel (codegen/attend.py), and nothing is won
LONGEST_CHAIN = 40  # nodes between the softmax and the scores' product

Maskings = dict[tuple[Layer, ...], Masking | None]  # every layer of a network has the same masks


def recognise(roots: Iterable[Node]) -> dict[Node, Node]:
    """Nodes that changed (or stand above one that did) mapped to their new twins."""
    roots = list(roots)
    order = toposort(roots)
    if not any(n.op is ops.EXP for n in order):
        return {}
    found = {m.result: m for n in order if n.op is ops.DOT and (m := _matched(n)) is not None}
    if not found:
        return {}
    users = _users(order)
    wanted = set(roots)
    twin: dict[Node, Node] = {}
    maskings: Maskings = {}
    for node in order:
        match = found.get(node)
        if match is not None and not _is_private(match, users, wanted):
            match = None
        made = None if match is None else _attention(match, maskings, wanted)
        if made is None:
            twin[node] = rebuild(node, tuple(twin[s] for s in node.src))
        else:
            twin[node] = substitute([made], twin)[made]
    return {node: made for node, made in twin.items() if made is not node}


def _users(order: list[Node]) -> dict[Node, list[Node]]:
    users: dict[Node, list[Node]] = {n: [] for n in order}
    for node in order:
        for source in node.src:
            users[source].append(node)
    return users


# -- what is found -----------------------------------------------------------------------------
@dataclass(frozen=True)
class _RawLayer:
    """A mask as it was met, over (*lead, q_len, k_len) or, swapped, (*lead, k_len, q_len)."""

    mask: Node
    fill: float | None
    lead: Shape
    swapped: bool


@dataclass(frozen=True)
class _Scores:
    """The way from the softmax's input down to the product of q and k, outermost first."""

    factor: float = 1.0
    scalars: tuple[tuple[Op, Node], ...] = ()  # runtime numbers of one element that scale the scores
    layers: tuple[_RawLayer, ...] = ()
    swapped: bool = False  # the node met last holds the scores transposed
    inside: tuple[Node, ...] = ()


@dataclass
class _Match:
    """`result` = probabilities @ v, or its transpose v^T @ probabilities^T where `swapped`."""

    result: Node
    v: Node
    swapped: bool
    softmax: Node | None = None
    dropout: tuple[float, Node, Node] | None = None  # p, seed, offset
    scores: _Scores = field(default_factory=_Scores)
    inside: list[Node] = field(default_factory=list)  # whatever is as large as the scores, and their row sums


def _is_private(match: _Match, users: dict[Node, list[Node]], wanted: set[Node]) -> bool:
    """Whether nothing but the match uses what it would no longer compute."""
    inside = {*match.inside, *match.scores.inside}
    allowed = inside | {match.result}
    return not (inside & wanted) and all(u in allowed for n in inside for u in users[n])


def _matched(product: Node) -> _Match | None:
    if product.ndim < 2 or 0 in product.shape or not product.dtype.is_floating_point:
        return None
    left, right = product.src
    return _match(product, left, right, False) or _match(product, right, left, True)


def _match(product: Node, probabilities: Node, v: Node, swapped: bool) -> _Match | None:
    match = _Match(product, v, swapped)
    node = probabilities
    turned = False
    while node.op is not ops.DIV:
        match.inside.append(node)
        if _is_transparent(node):
            node = node.src[0]
        elif node.op is ops.PERMUTE and not turned and _is_swap(node):
            node, turned = node.src[0], True
        elif node.op is ops.WHERE and match.dropout is None and turned is swapped:
            dropped = _dropout(node)
            if dropped is None:
                return None
            match.inside.append(node.src[1])
            node, match.dropout = dropped
        else:
            return None
    if turned is not swapped:
        return None
    match.softmax = node
    source = _softmax_source(node, match.inside)
    scores = None if source is None else _scores(source, _Scores(), set())
    if scores is None:
        return None
    match.scores = scores
    return match


# -- movements that leave the matrices whole ---------------------------------------------------
def _keeps_matrices(reshape: Node) -> bool:
    source = reshape.src[0]
    return reshape.ndim >= 2 <= source.ndim and reshape.shape[-2:] == source.shape[-2:]


def _is_transparent(node: Node) -> bool:
    """Casts between floats, and matrices regrouped."""
    if node.op is ops.CAST:
        return node.src[0].dtype.is_floating_point
    return node.op is ops.RESHAPE and _keeps_matrices(node)


def _is_swap(permute: Node) -> bool:
    """The last two axes exchanged, all others in place."""
    n = permute.ndim
    return permute.arg == (*range(n - 2), n - 1, n - 2)


def _joined(node: Node, wanted: set[Node]) -> Node:
    """The views on the way down, neighbours of one kind as one, except around what is wanted."""
    if node.op not in b.VIEWS or node in wanted:
        return node
    below = _joined(node.src[0], wanted)
    if below.op is node.op and below not in wanted:
        return b.merged(node.op, below, node.arg)
    return node if below is node.src[0] else _moved_like(node, below)


def _with_lead(node: Node, lead: Shape) -> Node:
    """The same matrices under other leading dimensions of equal number."""
    return b.reshape(node, (*lead, *node.shape[-2:]))


def _swapped(node: Node) -> Node:
    """The last two axes exchanged; beneath broadcasts and regroupings, where that may cancel."""
    turned = (*node.shape[:-2], node.shape[-1], node.shape[-2])
    if node.op is ops.EXPAND and node.src[0].ndim >= 2:
        return b.expand(_swapped(node.src[0]), turned)
    if node.op is ops.RESHAPE and _keeps_matrices(node):
        return b.reshape(_swapped(node.src[0]), turned)
    return b.transpose(node)


# -- dropout -----------------------------------------------------------------------------------
def _dropout(node: Node) -> tuple[Node, tuple[float, Node, Node]] | None:
    """(the node dropped from, (p, seed, offset)) where counter offset + n decides on element n."""
    keep, kept, zero = node.src
    if constant_value(zero) != 0 or kept.op is not ops.MUL or keep.op is not ops.LE:
        return None
    p, factor = constant_value(keep.src[0]), constant_value(kept.src[1])
    bits = keep.src[1]
    while bits.op in (ops.MUL, ops.CAST, ops.AND, ops.SHR):
        bits = bits.src[0]
    if p is None or factor is None or not 0 < p < 1 or bits.op is not ops.PHILOX:
        return None
    seed, counter = _broadcast_from(bits.src[0]), bits.src[1]
    if counter.op is not ops.ADD or abs(factor * (1 - p) - 1) > 1e-6:
        return None
    linear = b.reshape(b.iota(node.numel, node.device), node.shape)
    for offset in map(_broadcast_from, counter.src):
        # equal nodes are one node, so building it anew tells whether it is exactly this
        if offset.ndim == seed.ndim == 0 and keep_mask(seed, b.add(linear, offset), float(p)) is keep:
            return kept.src[0], (float(p), seed, offset)
    return None


def _broadcast_from(node: Node) -> Node:
    return node.src[0] if node.op is ops.EXPAND else node


# -- softmax -----------------------------------------------------------------------------------
def _under(node: Node, through: tuple[Op, ...], inside: list[Node]) -> Node:
    """The first float node below that is none of `through`; all on the way are inside."""
    inside.append(node)
    while True:
        if _is_undone(node):
            inside.append(node.src[0])
            node = node.src[0].src[0]
        elif node.op in through and node.src[0].dtype.is_floating_point:
            node = node.src[0]
        else:
            return node
        inside.append(node)


def _is_undone(node: Node) -> bool:
    """A reshape of a reshape, back to the shape that was there."""
    below = node.src[0] if node.op is ops.RESHAPE else node
    return below.op is ops.RESHAPE and below.src[0].shape == node.shape


def _softmax_source(node: Node, inside: list[Node]) -> Node | None:
    """x of exp(x - max(x)) / sum(exp(x - max(x))) over the last axis."""
    rows = (node.ndim - 1,)
    inside.append(node)
    weights = _under(node.src[0], (ops.CAST,), inside)
    total = _under(node.src[1], (ops.CAST, ops.EXPAND), inside)
    if weights.op is not ops.EXP or total.op is not ops.SUM or total.arg != rows:
        return None
    if _under(total.src[0], (ops.CAST,), inside) is not weights:
        return None
    shifted = _under(weights.src[0], (ops.CAST,), inside)
    if shifted.op is not ops.SUB:
        return None
    source = _under(shifted.src[0], (ops.CAST,), inside)
    # a gradient through the maximum is 0: the shift cancels
    top = _under(shifted.src[1], (ops.CAST, ops.EXPAND, ops.DETACH), inside)
    if not _is_row_maximum(top, rows, inside) or _under(top.src[0], (ops.CAST, ops.DETACH), inside) is not source:
        return None
    return shifted.src[0]


def _is_row_maximum(top: Node, rows: Shape, inside: list[Node]) -> bool:
    if top.op is ops.MAX:
        return bool(top.arg == rows)
    if top.op is not ops.GATHER or top.arg != rows[0]:  # x.max(-1).values
        return False
    where = top.src[1]
    inside.append(where)
    return where.op is ops.ARGMAX and where.arg == rows and where.src[0] is top.src[0]


# -- scores ------------------------------------------------------------------------------------
def _scores(node: Node, way: _Scores, failed: set[Node]) -> _Scores | None:
    """Down to the product of q and k, the last of `inside`; None where more is on the way."""
    if len(way.inside) >= LONGEST_CHAIN or node in failed or not node.dtype.is_floating_point:
        return None
    way = replace(way, inside=(*way.inside, node))
    found = way if node.op is ops.DOT else _scores_below(node, way, failed)
    if found is None:
        failed.add(node)
    return found


def _scores_below(node: Node, way: _Scores, failed: set[Node]) -> _Scores | None:
    op, src = node.op, node.src
    if _is_transparent(node):
        return _scores(src[0], way, failed)
    if op is ops.PERMUTE and _is_swap(node):
        return _scores(src[0], replace(way, swapped=not way.swapped), failed)
    if op is ops.NEG:
        return _scores(src[0], replace(way, factor=-way.factor), failed)
    if op is ops.DIV or op is ops.MUL:
        for value, by in ((src[0], src[1]), (src[1], src[0]))[: 1 if op is ops.DIV else 2]:
            scaled = _scaled(way, op, by)
            found = None if scaled is None else _scores(value, scaled, failed)
            if found is not None:
                return found
        return None
    if op is ops.ADD or op is ops.SUB:
        for value, added in ((src[0], src[1]), (src[1], src[0]))[: 1 if op is ops.SUB else 2]:
            found = _scores(value, way, failed)
            if found is not None:
                return _masked(way, found, node, b.neg(added) if op is ops.SUB else added, None)
        return None
    if op is ops.WHERE:
        for value, other, hides in ((src[1], src[2], False), (src[2], src[1], True)):
            fill = constant_value(other)
            found = None if fill is None else _scores(value, way, failed)
            if found is not None:
                assert fill is not None
                return _masked(way, found, node, _negated(src[0]) if hides else src[0], float(fill))
    return None


def _scaled(way: _Scores, op: Op, by: Node) -> _Scores | None:
    value = constant_value(by)
    if value is None:
        while by.op in (ops.EXPAND, ops.RESHAPE):
            by = by.src[0]
        return replace(way, scalars=(*way.scalars, (op, by))) if by.numel == 1 else None
    if not math.isfinite(value) or not value:
        return None
    return replace(way, factor=way.factor * value if op is ops.MUL else way.factor / value)


def _masked(way: _Scores, found: _Scores, node: Node, mask: Node, fill: float | None) -> _Scores | None:
    """`found`, which lies below `node`, and the layer that `node` lays on it, scaled as above."""
    value = constant_value(mask) if fill is None else None
    if value == 0:
        return found
    if way.scalars or value is not None:
        return None
    if fill is None:
        scaled = mask if way.factor == 1 else b.scale(mask, way.factor)
    else:
        scaled, fill = mask, fill * way.factor
        if way.factor <= 0 or not fill < math.inf:
            return None
    layer = _RawLayer(scaled, fill, node.shape[:-2], way.swapped)
    return replace(found, layers=(layer, *found.layers))


def _negated(condition: Node) -> Node:
    """not c, on the shape that c was broadcast from."""
    if condition.op is ops.EXPAND:
        return b.expand(_negated(condition.src[0]), condition.shape)
    return condition.src[0] if condition.op is ops.NOT else b.logical_not(condition)


# -- the operation -----------------------------------------------------------------------------
def _attention(match: _Match, maskings: Maskings, wanted: set[Node]) -> Node | None:
    """The matched product as ATTENTION, cast and shaped as it was; None where no kernel does it."""
    way, product, v = match.scores, match.scores.inside[-1], match.v
    assert match.softmax is not None
    q, k = product.src if not way.swapped else (_swapped(product.src[1]), _swapped(product.src[0]))
    k, v = _swapped(k), _swapped(v) if match.swapped else v
    q_len, k_len = match.softmax.shape[-2:]
    if q.shape[-1] != v.shape[-1] or q.shape[-1] > WIDEST_HEAD or 0 in q.shape:
        return None
    doubles = {n.dtype is float64 for n in (*match.inside, *way.inside, q, v) if n.dtype.is_floating_point}
    if len(doubles) > 1:
        return None
    lead = _batch_and_heads(match.softmax.shape[:-2], q)
    q, k, v = (_joined(_with_lead(x, lead), wanted) for x in (q, k, v))
    (q, q_factor), (k, k_factor) = _without_factor(q), _without_factor(k)
    layers = tuple(Layer(_in_four(layer, lead), layer.fill) for layer in way.layers)
    if layers not in maskings:
        maskings[layers] = merged(layers, q_len, k_len)
    masking = maskings[layers]
    scale = way.factor * q_factor * k_factor
    if masking is None or not math.isfinite(scale):
        return None
    for op, scalar in way.scalars:
        q = b.pointwise(op, q, b.cast(b.reshape(scalar, ()), q.dtype))
    q, k, v = _of_one_dtype(q, k, v)
    k, v = _grouped(k, v)
    p, *random = match.dropout or (0.0,)
    arg = AttentionArg(
        scale=scale,
        causal=masking.causal,
        masked=masking.mask is not None,
        fill=masking.fill,
        dropout=p,
    )
    made = attention(arg, q, k, v, *([] if masking.mask is None else [masking.mask]), *random)
    made.where = match.result.where
    shape = match.result.shape
    made = b.cast(_with_lead(made, shape[:-2]), match.result.dtype)
    return b.transpose(made) if match.swapped else made


def _batch_and_heads(lead: Shape, q: Node) -> Shape:
    """Two leading dimensions: for joined heads those they had, which the user will split."""
    if len(lead) == 1:
        before = q.src[0].shape[:-2] if q.op is ops.RESHAPE and _keeps_matrices(q) else ()
        return before if len(before) == 2 else (*lead, 1)
    if not lead:
        return (1, 1)
    return (math.prod(lead[:-1]), lead[-1])


def _in_four(layer: _RawLayer, lead: Shape) -> Node:
    """The mask under batch and heads, of size 1 where it broadcasts."""
    mask = layer.mask
    while mask.op is ops.EXPAND:
        mask = mask.src[0]
    mask = b.reshape(mask, (1,) * (len(layer.lead) + 2 - mask.ndim) + mask.shape)
    if layer.swapped:
        mask = _swapped(mask)
    if all(n == 1 for n in mask.shape[:-2]):
        return _with_lead(mask, (1, 1))
    if layer.lead == lead:
        return mask
    return _with_lead(b.expand(mask, (*layer.lead, *mask.shape[-2:])), lead)


def _moved_like(node: Node, source: Node) -> Node:
    """The movement op `node` of another source."""
    return b.VIEWS[node.op](source, node.arg)


def _without_factor(node: Node) -> tuple[Node, float]:
    """(x, c) where the node is c * x, seen through views."""
    if node.op in b.VIEWS:
        inner, factor = _without_factor(node.src[0])
        return (node, 1.0) if inner is node.src[0] else (_moved_like(node, inner), factor)
    if node.op is ops.MUL or node.op is ops.DIV:
        value = constant_value(node.src[1])
        if value and math.isfinite(value):
            return node.src[0], float(value) if node.op is ops.MUL else 1 / value
    return node, 1.0


def _narrowed(node: Node, dtype: object) -> Node | None:
    """x where the node is x of `dtype` cast to more, seen through views."""
    if node.dtype is dtype:
        return node
    if node.op in b.VIEWS:
        inner = _narrowed(node.src[0], dtype)
        return None if inner is None else _moved_like(node, inner)
    widened = node.op is ops.CAST and node.src[0].dtype is dtype and node.src[0].dtype.itemsize < node.dtype.itemsize
    return node.src[0] if widened else None


def _of_one_dtype(q: Node, k: Node, v: Node) -> tuple[Node, Node, Node]:
    """v's dtype where q and k were only cast up from it, else the wider of the two."""
    if q.dtype is v.dtype:
        return q, k, v
    narrow = [_narrowed(x, v.dtype) for x in (q, k)]
    if narrow[0] is not None and narrow[1] is not None:
        return narrow[0], narrow[1], v
    return b.cast(q, float32), b.cast(k, float32), b.cast(v, float32)


def _grouped(k: Node, v: Node) -> tuple[Node, Node]:
    """Key and value heads without their repetitions, where both repeat alike."""
    narrow = [_without_repeats(x) for x in (k, v)]
    return (narrow[0], narrow[1]) if narrow[0].shape[1] == narrow[1].shape[1] else (k, v)


def _without_repeats(node: Node) -> Node:
    """(batch, groups, length, dim) where a group's heads are copies of one by broadcasting."""
    batch, _, length, dim = node.shape
    source = node.src[0] if node.src else node
    if node.op is ops.EXPAND and source.ndim == 4 and source.shape[1:] == (1, length, dim):
        return b.expand(source, (batch, 1, length, dim))
    if node.op is ops.RESHAPE and source.op is ops.EXPAND and source.ndim == 5:
        groups, inner = source.shape[1], source.src[0]
        one_each = (batch, groups, 1, length, dim)
        if inner.shape == one_each and source.shape[3:] == (length, dim):
            return b.reshape(inner, (batch, groups, length, dim))
    return node
