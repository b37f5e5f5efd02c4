"""Composites: takes Nodes, returns the Node of a formula in primitive ops. Softmax, norms, activations,
dropout, embedding, attention; losses stand in ir/losses.py, convolutions in
ir/convolution.py.

Half precisions are computed in float32 inside and rounded once at the end. Reductions keep their
dimension and run over the last axis, with pointwise ops between: the shape of one kernel a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lazygrad.dtype import DType, bool_, int64
from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir import op as ops
from lazygrad.ir.attention import AttentionArg, attention, keep_mask
from lazygrad.ir.build import (
    add,
    cast,
    detach,
    div,
    equal,
    expand,
    gather,
    less,
    like,
    mul,
    neg,
    permute,
    pointwise,
    reduce,
    reshape,
    scale,
    shift,
    slice_,
    sub,
    where,
)
from lazygrad.ir.node import Node
from lazygrad.ir.op import Op
from lazygrad.shape import Shape, normalize_axis

_GENERIC = "wide unary square last blend standardized affine channels activation log1p_exp log1p_exp_down"
names_what_it_makes(__file__, generic=tuple(_GENERIC.split()))


def wide(node: Node) -> Node:
    """In the dtype arithmetic runs in: halves as float32."""
    return cast(node, node.dtype.compute)


def unary(op: Op, node: Node) -> Node:
    return pointwise(op, node)


def square(node: Node) -> Node:
    return mul(node, node)


def mean(node: Node, axes: Shape) -> Node:
    """The mean over `axes`, kept with size 1."""
    count = math.prod(node.shape[a] for a in axes)
    return scale(reduce(ops.SUM, node, axes), 1 / count if count else math.nan)


def blend(a: Node, b: Node, weight: Node) -> Node:
    """a + weight * (b - a), reckoned from the nearer end: exact at both, and infinities only where an end is one."""
    distance = sub(b, a)
    near = add(a, mul(weight, distance))
    far = sub(b, mul(distance, sub(like(weight, 1), weight)))
    return where(less(unary(ops.ABS, weight), like(weight, 0.5)), near, far)


def last(node: Node, axis: int) -> Node:
    """`axis` moved to the end."""
    axes = [a for a in range(node.ndim) if a != axis]
    return permute(node, (*axes, axis))


# -- softmax: the row's maximum subtracted, which changes nothing and keeps exp in range ---------------
def _shifted(node: Node, axis: int) -> tuple[Node, Node]:
    """(node - maximum, maximum); the maximum is a constant to autograd, for the shift cancels."""
    top = detach(reduce(ops.MAX, node, (axis,)))
    return sub(node, top), top


def softmax(node: Node, axis: int, dtype: DType | None = None) -> Node:
    """exp(x) / sum(exp(x)) along `axis`; `dtype` is cast to first, as in torch."""
    result = dtype or node.dtype
    axis = normalize_axis(axis, node.ndim)
    if node.ndim == 0 or node.numel == 0:
        return cast(node, result) if node.numel == 0 else reshape(softmax(reshape(node, (1,)), 0, dtype), ())
    shifted, _ = _shifted(wide(cast(node, result)), axis)
    weights = unary(ops.EXP, shifted)
    return cast(div(weights, reduce(ops.SUM, weights, (axis,))), result)


def log_softmax(node: Node, axis: int, dtype: DType | None = None) -> Node:
    """x - logsumexp(x) along `axis`."""
    result = dtype or node.dtype
    axis = normalize_axis(axis, node.ndim)
    if node.ndim == 0 or node.numel == 0:
        return cast(node, result) if node.numel == 0 else reshape(log_softmax(reshape(node, (1,)), 0, dtype), ())
    shifted, _ = _shifted(wide(cast(node, result)), axis)
    total = reduce(ops.SUM, unary(ops.EXP, shifted), (axis,))
    return cast(sub(shifted, unary(ops.LOG, total)), result)


def logsumexp(node: Node, axes: Shape, keepdim: bool = True) -> Node:
    """log(sum(exp(x))) over `axes`. Infinite maxima are not subtracted: inf - inf would be NaN."""
    if any(node.shape[a] == 0 for a in axes):
        return unary(ops.LOG, reduce(ops.SUM, node, axes, keepdim))
    x = wide(node)
    top = detach(reduce(ops.MAX, x, axes))
    top = where(equal(unary(ops.ABS, top), like(top, math.inf)), like(top, 0), top)
    total = reduce(ops.SUM, unary(ops.EXP, sub(x, top)), axes)
    result = cast(add(unary(ops.LOG, total), top), node.dtype)
    if keepdim:
        return result
    return reshape(result, tuple(n for i, n in enumerate(node.shape) if i not in axes))


# -- norms --------------------------------------------------------------------------------------------
def _rows(node: Node, normalized: Shape, name: str) -> Node:
    """`node` with its normalized trailing dimensions flattened into one."""
    if node.shape[node.ndim - len(normalized) :] != normalized or not normalized:
        raise RuntimeError(
            at_user_line(
                f"{name}: Given normalized_shape={list(normalized)}, expected input with shape "
                f"[*, {', '.join(map(str, normalized))}], but got input of size {list(node.shape)}"
            )
        )
    return reshape(node, (*node.shape[: node.ndim - len(normalized)], math.prod(normalized)))


def standardized(x: Node, axes: Shape, eps: float) -> tuple[Node, Node, Node]:
    """((x - mean) / sqrt(variance + eps), mean, variance) with the biased variance over `axes`."""
    average = mean(x, axes)
    centred = sub(x, average)
    variance = mean(square(centred), axes)
    return mul(centred, unary(ops.RSQRT, shift(variance, eps))), average, variance


def affine(x: Node, weight: Node | None, bias: Node | None, shape: Shape) -> Node:
    if weight is not None:
        x = mul(x, reshape(cast(weight, x.dtype), shape))
    return x if bias is None else add(x, reshape(cast(bias, x.dtype), shape))


def layer_norm(node: Node, normalized: Shape, weight: Node | None, bias: Node | None, eps: float) -> Node:
    """Ba, Kiros & Hinton 2016: standardized over the trailing `normalized` dimensions, scaled and shifted."""
    rows = wide(_rows(node, normalized, "layer_norm"))
    y, _, _ = standardized(rows, (rows.ndim - 1,), eps)
    return cast(reshape(affine(y, weight, bias, (rows.shape[-1],)), node.shape), node.dtype)


def rms_norm(node: Node, normalized: Shape, weight: Node | None, eps: float) -> Node:
    """Zhang & Sennrich 2019: x / sqrt(mean(x^2) + eps) over the trailing `normalized` dimensions, scaled."""
    rows = wide(_rows(node, normalized, "rms_norm"))
    y = mul(rows, unary(ops.RSQRT, shift(mean(square(rows), (rows.ndim - 1,)), eps)))
    return cast(reshape(affine(y, weight, None, (rows.shape[-1],)), node.shape), node.dtype)


def channels(node: Node) -> Shape:
    """The shape in which a vector over dimension 1 broadcasts against `node`."""
    return (node.shape[1], *[1] * (node.ndim - 2))


def group_norm(node: Node, groups: int, weight: Node | None, bias: Node | None, eps: float) -> Node:
    """Wu & He 2018: standardized over each of `groups` runs of channels and all positions."""
    if node.ndim < 2 or node.shape[1] % groups:
        raise RuntimeError(
            at_user_line(
                "Expected number of channels in input to be divisible by num_groups, but got input of shape "
                f"{list(node.shape)} and num_groups={groups}"
            )
        )
    batch = node.shape[0]
    rows = reshape(wide(node), (batch, groups, node.numel // max(batch * groups, 1)))
    y, _, _ = standardized(rows, (2,), eps)
    return cast(affine(reshape(y, node.shape), weight, bias, channels(node)), node.dtype)


def batch_norm(node: Node, average: Node, variance: Node, weight: Node | None, bias: Node | None, eps: float) -> Node:
    """(x - mean) / sqrt(variance + eps) a channel, scaled and shifted; statistics of shape (channels,)."""
    x = wide(node)
    lead = channels(node)
    centred = sub(x, reshape(cast(average, x.dtype), lead))
    y = mul(centred, unary(ops.RSQRT, shift(reshape(cast(variance, x.dtype), lead), eps)))
    return cast(affine(y, weight, bias, lead), node.dtype)


# -- activations: x in float32 or wider, rounded by `activation` --------------------------------------
def activation(formula: Callable[[Node], Node], node: Node) -> Node:
    """A formula in the compute dtype, rounded once to the dtype of `node`."""
    return cast(formula(wide(node)), node.dtype)


def relu(x: Node) -> Node:
    """max(x, 0) with gradient 0 at 0; NaN stays."""
    return where(pointwise(ops.LE, x, like(x, 0)), like(x, 0), x)


def gelu(x: Node) -> Node:
    """Hendrycks & Gimpel 2016: x * Phi(x)."""
    return mul(scale(x, 0.5), shift(unary(ops.ERF, scale(x, math.sqrt(0.5))), 1))


def gelu_tanh(x: Node) -> Node:
    """GELU's tanh approximation, as GPT-2 has it: (1 + tanh(u)) / 2 is sigmoid(2u), which costs one exp."""
    inner = scale(add(x, scale(mul(square(x), x), 0.044715)), 2 * math.sqrt(2 / math.pi))
    return mul(x, unary(ops.SIGMOID, inner))


def silu(x: Node) -> Node:
    """x * sigmoid(x), also called swish."""
    return mul(x, unary(ops.SIGMOID, x))


def log1p_exp_down(y: Node) -> Node:
    """log(1 + exp(-|y|)), which never overflows. A y of 0 counts as rising to it, in derivatives of every order."""
    return unary(ops.LOG1P, unary(ops.EXP, where(pointwise(ops.LE, y, like(y, 0)), y, neg(y))))


def log1p_exp(y: Node) -> Node:
    """log(1 + exp(y)), which never overflows."""
    return add(relu(y), log1p_exp_down(y))


def softplus(x: Node, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """log(1 + exp(beta x)) / beta, x itself where beta x > threshold."""
    y = scale(x, beta)
    value = scale(log1p_exp(y), 1 / beta)
    return where(less(like(y, threshold), y), x, value)


def logsigmoid(x: Node) -> Node:
    """log(sigmoid(x)) = -log(1 + exp(-x))."""
    return neg(log1p_exp(neg(x)))


def mish(x: Node) -> Node:
    """x * tanh(softplus(x))."""
    return mul(x, unary(ops.TANH, softplus(x)))


def elu(x: Node, alpha: float = 1.0, factor: float = 1.0, input_scale: float = 1.0) -> Node:
    """factor * x for x > 0, else factor * alpha * (exp(input_scale * x) - 1)."""
    low = pointwise(ops.LE, x, like(x, 0))
    # the branch not taken must not overflow: its infinite slope times a zero cotangent would be NaN
    safe = where(low, x, like(x, 0))
    below = scale(unary(ops.EXPM1, scale(safe, input_scale)), factor * alpha)
    return where(low, below, scale(x, factor))


def selu(x: Node) -> Node:
    """Klambauer et al. 2017."""
    return elu(x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def celu(x: Node, alpha: float = 1.0) -> Node:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return elu(x, alpha, 1.0, 1 / alpha)


def leaky_relu(x: Node, slope: float = 0.01) -> Node:
    return where(less(like(x, 0), x), x, scale(x, slope))


def prelu(x: Node, weight: Node) -> Node:
    """x where positive, else weight * x; weight has one element or one a channel (dimension 1)."""
    if weight.numel > 1:
        weight = reshape(weight, channels(x)) if x.ndim > 1 else weight
    return where(less(like(x, 0), x), x, mul(weight, x))


def hardtanh(x: Node, low: float = -1.0, high: float = 1.0) -> Node:
    """x limited to [low, high]; no gradient at the limits or beyond."""
    x = where(pointwise(ops.LE, x, like(x, low)), like(x, low), x)
    return where(pointwise(ops.LE, like(x, high), x), like(x, high), x)


def hardsigmoid(x: Node) -> Node:
    """relu6(x + 3) / 6."""
    return scale(hardtanh(shift(x, 3), 0, 6), 1 / 6)


def hardswish(x: Node) -> Node:
    """x * relu6(x + 3) / 6 (Howard et al. 2019)."""
    return mul(x, hardsigmoid(x))


def hardshrink(x: Node, bound: float = 0.5) -> Node:
    return where(pointwise(ops.LE, unary(ops.ABS, x), like(x, bound)), like(x, 0), x)


def softshrink(x: Node, bound: float = 0.5) -> Node:
    inside = pointwise(ops.LE, unary(ops.ABS, x), like(x, bound))
    moved = where(less(like(x, 0), x), shift(x, -bound), shift(x, bound))
    return where(inside, like(x, 0), moved)


def tanhshrink(x: Node) -> Node:
    return sub(x, unary(ops.TANH, x))


def softsign(x: Node) -> Node:
    return div(x, shift(unary(ops.ABS, x), 1))


def threshold(x: Node, bound: float, value: float) -> Node:
    return where(pointwise(ops.LE, x, like(x, bound)), like(x, value), x)


def glu(node: Node, axis: int) -> Node:
    """The first half along `axis` times sigmoid of the second (Dauphin et al. 2016)."""
    axis = normalize_axis(axis, node.ndim)
    half, odd = divmod(node.shape[axis], 2)
    if odd:
        raise RuntimeError(
            at_user_line(f"Halving dimension must be even, but dimension {axis} is size {node.shape[axis]}")
        )
    bounds = [[(0, n, 1) for n in node.shape] for _ in range(2)]
    bounds[0][axis], bounds[1][axis] = (0, half, 1), (half, 2 * half, 1)
    first, second = (wide(slice_(node, b)) for b in bounds)
    return cast(mul(first, unary(ops.SIGMOID, second)), node.dtype)


# -- dropout and embedding ----------------------------------------------------------------------------
def dropout(node: Node, p: float, seed: Node, counter: Node) -> Node:
    """Zero with probability p, else x / (1 - p); the mask follows from (seed, counter) and is never stored.

    `counter` broadcasts against the node: one of size 1 along a dimension drops whole channels.
    """
    kept = scale(node, 1 / (1 - p)) if p < 1 else like(node, 0)
    return where(keep_mask(seed, counter, p), kept, like(node, 0))


def embedding(index: Node, weight: Node, padding: int | None = None) -> Node:
    """Rows of `weight` (entries, width) at `index`; row `padding` takes no gradient."""
    entries, width = weight.shape
    flat = reshape(cast(index, int64), (index.numel, 1))
    rows = (
        gather(weight, expand(flat, (index.numel, width)), 0)
        if index.numel
        else slice_(weight, [(0, 0, 1), (0, width, 1)])
    )
    if padding is not None:
        rows = where(equal(flat, like(flat, padding % entries)), detach(rows), rows)
    return reshape(rows, (*index.shape, width))


# -- attention ----------------------------------------------------------------------------------------
def scaled_dot_product_attention(
    query: Node,
    key: Node,
    value: Node,
    mask: Node | None = None,
    *,
    causal: bool = False,
    factor: float | None = None,
    grouped: bool = False,
    dropout_p: float = 0.0,
    seed: Node | None = None,
    offset: Node | None = None,
) -> Node:
    """softmax(q k^T * factor + mask) v over (..., length, head_dim); rows that see nothing yield 0.

    `grouped`: query heads (dimension -3) may be a multiple of key and value heads. With dropout_p > 0,
    `seed` and `offset` say where in the random stream the mask lies.
    """
    _check_attention(query, key, value, mask, causal, grouped)
    lead = query.shape[:-2]
    q = _four(query, lead)
    shared = lead if not grouped else (*lead[:-1], key.shape[-3])
    k, v = (_four(expand(x, (*shared, *x.shape[-2:])), shared) for x in (key, value))
    src = [q, k, v]
    if mask is not None:
        src.append(_four_mask(mask, lead, (query.shape[-2], key.shape[-2])))
    if dropout_p > 0:
        assert seed is not None and offset is not None
        src += [seed, offset]
    arg = AttentionArg(
        scale=1 / math.sqrt(query.shape[-1]) if factor is None else float(factor),
        causal=causal,
        masked=mask is not None,
        empty_rows="zero",
        dropout=float(dropout_p),
    )
    return reshape(attention(arg, *src), (*lead, query.shape[-2], value.shape[-1]))


def _check_attention(q: Node, k: Node, v: Node, mask: Node | None, causal: bool, grouped: bool) -> None:
    name = "scaled_dot_product_attention"
    if q.dtype is not k.dtype or q.dtype is not v.dtype:
        dtypes = f"query.dtype: {q.dtype.name} key.dtype: {k.dtype.name} and value.dtype: {v.dtype.name}"
        raise RuntimeError(
            at_user_line(f"Expected query, key, and value to have the same dtype, but got {dtypes} instead.")
        )
    if q.ndim < 2 or k.ndim < 2 or v.ndim < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        shapes = f"query {list(q.shape)}, key {list(k.shape)}, value {list(v.shape)}"
        raise RuntimeError(at_user_line(f"{name}: shapes don't go together: {shapes}"))
    if grouped and (q.ndim < 3 or q.shape[-3] % k.shape[-3] or k.shape[-3] != v.shape[-3]):
        raise RuntimeError(
            at_user_line(f"{name}: Number of heads in key and value must divide the number of heads in query")
        )
    if mask is not None and causal:
        raise RuntimeError(at_user_line(f"{name}: Explicit attn_mask should not be set when is_causal=True"))
    if mask is not None and mask.dtype is not bool_ and not mask.dtype.is_floating_point:
        raise RuntimeError(
            at_user_line(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                f"attn_mask.dtype: {mask.dtype.name} and query.dtype: {q.dtype.name} instead."
            )
        )


def _four(node: Node, lead: Shape) -> Node:
    """(batch, heads, length, dim): missing leading dimensions are 1, surplus ones join the batch."""
    heads = lead[-1] if lead else 1
    return reshape(node, (math.prod(lead[:-1]), heads, *node.shape[-2:]))


def _four_mask(mask: Node, lead: Shape, sizes: Shape) -> Node:
    """The mask as four dimensions that broadcast, kept at size 1 where they can be."""
    padded = (1,) * (len(lead) + 2 - mask.ndim) + mask.shape
    mask = reshape(mask, padded)
    if len(lead) > 2 and any(n != 1 for n in padded[:-3]):
        mask = expand(mask, (*lead[:-1], *padded[-3:]))
    short = (math.prod(mask.shape[:-3]), *mask.shape[-3:]) if mask.ndim >= 3 else (1, 1, *mask.shape[-2:])
    # a mask that can't broadcast raises here
    expand(reshape(mask, short), (math.prod(lead[:-1]), lead[-1] if lead else 1, *sizes))
    return reshape(mask, short)
