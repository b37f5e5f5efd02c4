"""Attention as one operation: takes Nodes q, k, v (batch, heads, length, head_dim), returns Nodes.

    scores = scale * q k^T,   p = softmax(masked scores),   out = dropout(p) v

and its gradients by the recomputation of Dao et al. 2022 (FlashAttention): with lse the log of the row sums
and delta = sum(grad_out * out), p = exp(scores - lse) and d_scores = p * (d_p - delta). Every op here also
has a decomposition into primitive ops: its meaning on targets without a kernel, and what is differentiated
when a gradient of a gradient is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from lazygrad.dtype import bool_, float32, float64
from lazygrad.ir import build as b
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make
from lazygrad.ir.op import Op


@dataclass(frozen=True)
class AttentionArg:
    """What a kernel must know besides its operands."""

    scale: float
    causal: bool = False
    masked: bool = False  # a mask operand follows v: bool (True attends) or added to the scaled scores
    fill: float = -math.inf  # the score of what a bool mask hides
    empty_rows: str = "nan"  # the result of a row with nothing to attend to: "nan" (softmax) or "zero" (SDPA)
    dropout: float = 0.0  # with dropout, seed and offset operands follow
    token_major: bool = False  # the result is laid out (batch, length, heads, head_dim)

    @property
    def operands(self) -> int:
        """How many sources come before those of a gradient op."""
        return 3 + self.masked + 2 * (self.dropout > 0)


def is_shifted(arg: AttentionArg, src: tuple[Node, ...]) -> bool:
    """Whether scores may lie so far below 0 that a row's maximum and log sum must be kept apart: beside -1e9
    the log of a row's length is rounded away."""
    return arg.scale <= 0 or (arg.masked and (src[3].dtype is not bool_ or math.isfinite(arg.fill)))


def token_major(node: Node) -> Node:
    """The same attention op laid out (batch, length, heads, head_dim), seen through a permutation: the usual
    transpose that joins the heads then cancels, and nothing is copied."""
    batch, heads, length, dim = node.shape
    arg = replace(node.arg, token_major=True)
    made = make(node.op, node.src, arg, node.dtype, (batch, length, heads, dim), node.device)
    made.where = node.where
    return b.permute(made, (0, 2, 1, 3))


def attention(arg: AttentionArg, *src: Node) -> Node:
    """(batch, heads, q_len, head_dim) in the dtype of q; heads may be a multiple of k's and v's."""
    q, v = src[0], src[2]
    return make(ops.ATTENTION, src, arg, q.dtype, (*q.shape[:3], v.shape[3]), q.device)


def log_sum_exp(arg: AttentionArg, *src: Node) -> Node:
    """The natural log of every row's sum of exp(scores): (batch, heads, q_len), at least float32.

    Where is_shifted: (2, batch, heads, q_len), the row's maximum and the log of the sum relative to it. A
    row with nothing to attend to has +inf under empty_rows="zero", so that its probabilities are 0.
    """
    q = src[0]
    shape = (2, *q.shape[:3]) if is_shifted(arg, src) else q.shape[:3]
    return make(ops.ATTENTION_LSE, src, arg, q.dtype.compute, shape, q.device)


def _row_delta(grad: Node, out: Node) -> Node:
    wide = grad.dtype.compute
    return b.reduce(ops.SUM, b.mul(b.cast(grad, wide), b.cast(out, wide)), (3,), keepdim=False)


def gradient(which: Op, operand: int) -> Callable[..., Node]:
    """The vjp of ATTENTION with respect to source `operand`, as one node of op `which`."""

    def vjp(grad: Node, out: Node, *src: Node) -> Node:
        arg: AttentionArg = out.arg
        of = src[operand]
        sources = (*src, grad, log_sum_exp(arg, *src), _row_delta(grad, out))
        return make(which, sources, arg, of.dtype, of.shape, of.device)

    return vjp


def mask_gradient(grad: Node, out: Node, *src: Node) -> Node:
    """The vjp for an additive mask: d_scores, summed where the mask was broadcast."""
    d_scores = _score_gradient(out.arg, (*src, grad, log_sum_exp(out.arg, *src), _row_delta(grad, out)))
    mask = src[3]
    return b.cast(b.sum_to(d_scores, mask.shape), mask.dtype)


# -- decompositions -----------------------------------------------------------------------------------
def _wide(node: Node) -> Node:
    return b.cast(node, float64 if node.dtype is float64 else float32)


def _all_heads(node: Node, heads: int) -> Node:
    """Grouped key/value heads repeated for each query head that shares them."""
    batch, groups, length, dim = node.shape
    if groups == heads:
        return node
    spread = b.expand(b.reshape(node, (batch, groups, 1, length, dim)), (batch, groups, heads // groups, length, dim))
    return b.reshape(spread, (batch, heads, length, dim))


def _sum_groups(node: Node, groups: int) -> Node:
    batch, heads, length, dim = node.shape
    if groups == heads:
        return node
    split = b.reshape(node, (batch, groups, heads // groups, length, dim))
    return b.reduce(ops.SUM, split, (2,), keepdim=False)


def _positions(shape: tuple[int, ...], axis: int, node: Node) -> Node:
    lead = tuple(n if i == axis else 1 for i, n in enumerate(shape))
    return b.expand(b.reshape(b.iota(shape[axis], node.device), lead), shape)


def _scores(arg: AttentionArg, src: tuple[Node, ...]) -> Node:
    """(batch, heads, q_len, k_len) masked scores in float32 or wider."""
    q, k = _wide(src[0]), _all_heads(_wide(src[1]), src[0].shape[1])
    scores = b.scale(b.dot(q, b.transpose(k)), arg.scale)
    if arg.masked:
        mask = src[3]
        if mask.dtype is bool_:
            scores = b.where(mask, scores, b.like(scores, arg.fill))
        else:
            scores = b.add(scores, b.cast(mask, scores.dtype))
    if arg.causal:
        scores = b.where(_visible(scores), scores, b.like(scores, -math.inf))
    return scores


def _visible(scores: Node) -> Node:
    """Where a causal row sees a key: j <= i."""
    return b.pointwise(ops.LE, _positions(scores.shape, 3, scores), _positions(scores.shape, 2, scores))


def _kept(arg: AttentionArg, src: tuple[Node, ...], shape: tuple[int, ...]) -> Node:
    """Dropout's mask: element (b, h, i, j) draws the bits of its linear position."""
    seed, offset = src[3 + arg.masked : 5 + arg.masked]
    linear = b.reshape(b.iota(math.prod(shape), src[0].device), shape)
    return keep_mask(seed, b.add(linear, offset), arg.dropout)


def uniform(seed: Node, counter: Node) -> Node:
    """float32 in [0, 1) with 24 random bits for each counter."""
    bits = b.philox(seed, counter)
    high = b.pointwise(ops.AND, b.pointwise(ops.SHR, bits, b.like(bits, 8)), b.like(bits, 0xFFFFFF))
    return b.scale(b.cast(high, float32), 2.0**-24)


def keep_mask(seed: Node, counter: Node, p: float) -> Node:
    """True with probability 1 - p for each counter."""
    u = uniform(seed, counter)
    return b.pointwise(ops.LE, b.like(u, p), u)


def _dropped(arg: AttentionArg, src: tuple[Node, ...], node: Node) -> Node:
    if not arg.dropout:
        return node
    kept = b.scale(node, 1.0 / (1.0 - arg.dropout))
    return b.where(_kept(arg, src, node.shape), kept, b.like(node, 0))


def _row_sums(arg: AttentionArg, src: tuple[Node, ...]) -> tuple[Node, Node, Node]:
    """(exp(scores - top), top, total): the weights, the rows' maxima and sums, those of shape (..., 1)."""
    scores = _scores(arg, src)
    top = b.detach(b.reduce(ops.MAX, scores, (3,)))
    if arg.empty_rows == "zero":
        top = b.where(b.equal(top, b.like(top, -math.inf)), b.like(top, 0), top)
    weights = b.pointwise(ops.EXP, b.sub(scores, top))
    return weights, top, b.reduce(ops.SUM, weights, (3,))


def _probabilities(arg: AttentionArg, src: tuple[Node, ...], lse: Node) -> Node:
    """exp(scores - lse) from a log_sum_exp node."""
    scores = _scores(arg, src)
    rows = (*src[0].shape[:3], 1)
    lse = b.cast(lse, scores.dtype)
    if not is_shifted(arg, src):
        return b.pointwise(ops.EXP, b.sub(scores, b.reshape(lse, rows)))
    planes = [b.slice_(lse, [(i, i + 1, 1), *((0, n, 1) for n in lse.shape[1:])]) for i in (0, 1)]
    top, log_sum = (b.reshape(p, rows) for p in planes)
    return b.pointwise(ops.EXP, b.sub(b.sub(scores, top), log_sum))


def _in_layout(node: Node, result: Node) -> Node:
    if node.arg.token_major:
        result = b.permute(result, (0, 2, 1, 3))
    return b.cast(result, node.dtype)


def decompose_out(node: Node) -> Node:
    arg, src = node.arg, node.src
    weights, _, total = _row_sums(arg, src)
    if arg.empty_rows == "zero":
        total = b.where(b.equal(total, b.like(total, 0)), b.like(total, 1), total)
    p = _dropped(arg, src, b.div(weights, total))
    v = _all_heads(_wide(src[2]), src[0].shape[1])
    return _in_layout(node, b.dot(p, v))


def decompose_lse(node: Node) -> Node:
    arg, src = node.arg, node.src
    _, top, total = _row_sums(arg, src)
    log_sum = b.pointwise(ops.LOG, total)
    if arg.empty_rows == "zero":
        log_sum = b.where(b.equal(total, b.like(total, 0)), b.like(total, math.inf), log_sum)
    rows = src[0].shape[:3]
    if not is_shifted(arg, src):
        return b.cast(b.reshape(b.add(log_sum, top), rows), node.dtype)
    return b.cast(b.concat([b.reshape(top, (1, *rows)), b.reshape(log_sum, (1, *rows))], 0), node.dtype)


def _split(node_src: tuple[Node, ...], arg: AttentionArg) -> tuple[tuple[Node, ...], Node, Node, Node]:
    """(the sources of the attention, grad_out, lse, delta of shape (..., 1))."""
    src, (grad, lse, delta) = node_src[: arg.operands], node_src[arg.operands :]
    wide = _wide(grad)
    return src, wide, lse, b.reshape(b.cast(delta, wide.dtype), (*delta.shape, 1))


def _score_gradient(arg: AttentionArg, node_src: tuple[Node, ...]) -> Node:
    src, grad, lse, delta = _split(node_src, arg)
    v = _all_heads(_wide(src[2]), src[0].shape[1])
    d_p = _dropped(arg, src, b.dot(grad, b.transpose(v)))
    d_scores = b.mul(_probabilities(arg, src, lse), b.sub(d_p, delta))
    # what is filled in is a constant: no gradient flows to the score it replaced, be it of a row of NaN
    zero = b.like(d_scores, 0)
    if arg.masked and src[3].dtype is bool_:
        d_scores = b.where(src[3], d_scores, zero)
    if arg.masked and arg.causal:
        d_scores = b.where(_visible(d_scores), d_scores, zero)
    return d_scores


def decompose_dq(node: Node) -> Node:
    arg, src = node.arg, node.src
    k = _all_heads(_wide(src[1]), src[0].shape[1])
    return _in_layout(node, b.scale(b.dot(_score_gradient(arg, src), k), arg.scale))


def _kv_heads(node: Node) -> int:
    return node.src[1].shape[1]


def decompose_dk(node: Node) -> Node:
    arg, src = node.arg, node.src
    d_scores = _score_gradient(arg, src)
    per_head = b.scale(b.dot(b.transpose(d_scores), _wide(src[0])), arg.scale)
    return _in_layout(node, _sum_groups(per_head, _kv_heads(node)))


def decompose_dv(node: Node) -> Node:
    arg = node.arg
    src, grad, lse, _ = _split(node.src, arg)
    p = _dropped(arg, src, _probabilities(arg, src, lse))
    return _in_layout(node, _sum_groups(b.dot(b.transpose(p), grad), _kv_heads(node)))


DECOMPOSITIONS: dict[Op, Callable[[Node], Node]] = {
    ops.ATTENTION: decompose_out,
    ops.ATTENTION_LSE: decompose_lse,
    ops.ATTENTION_DQ: decompose_dq,
    ops.ATTENTION_DK: decompose_dk,
    ops.ATTENTION_DV: decompose_dv,
}
