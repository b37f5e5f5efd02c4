"""Attention: the scaled dot product, several heads of it with their projections, rotary positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lazygrad.dtype import DType, bool_
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir.node import Node
from lazygrad.nn.functional.activation import softmax
from lazygrad.nn.functional.convolution import pad
from lazygrad.nn.functional.linear import linear
from lazygrad.nn.functional.normalization import dropout
from lazygrad.tensor import random
from lazygrad.tensor.assembly import cat
from lazygrad.tensor.autocast import autocast_operands
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import zeros

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key^T * scale + attn_mask) @ value; see torch.nn.functional.

    A bool mask is True where attention may go; a row that may go nowhere yields zeros.
    """
    q, k, v = autocast_operands(query.node, key.node, value.node)
    seed: Node | None = None
    offset: Node | None = None
    if dropout_p > 0:
        count = math.prod(q.shape[:-1]) * k.shape[-2]
        seed, offset = random.default_generator(q.device).draw(count)
    return wrap(
        library.scaled_dot_product_attention(
            q,
            k,
            v,
            None if attn_mask is None else attn_mask.node,
            causal=is_causal,
            factor=scale,
            grouped=enable_gqa,
            dropout_p=dropout_p,
            seed=seed,
            offset=offset,
        )
    )


# -- several heads ------------------------------------------------------------------------------------
def additive(mask: Tensor | None, dtype: DType) -> Tensor | None:
    """A mask of nn.MultiheadAttention as numbers to add to scores: where a bool one is True, nothing is seen."""
    if mask is None or mask.dtype is not bool_:
        return None if mask is None else wrap(build.cast(mask.node, dtype))
    node = mask.node
    return wrap(build.where(node, build.const(-math.inf, dtype, node.device), build.const(0, dtype, node.device)))


def _check_mask(mask: Tensor | None, name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    if mask is None:
        return
    if mask.dtype is not bool_ and not mask.dtype.is_floating_point:
        raise AssertionError(at_user_line(f"only bool and floating {name} are supported, got {mask.dtype.name}"))
    if mask.node.shape not in shapes:
        expected = " or ".join(str(list(s)) for s in shapes)
        kind = AssertionError if name == "key_padding_mask" else RuntimeError  # torch's
        raise kind(at_user_line(f"The shape of {name} is {list(mask.shape)}, but should be {expected}"))


def check_operands(query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None) -> None:
    """AssertionError, as torch's, unless all have a batch (3-D, a mask 2-D) or none has."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            at_user_line(f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor")
        )
    kind = "unbatched (2-D)" if query.ndim == 2 else "batched (3-D)"
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            at_user_line(
                f"For {kind} `query`, expected `key` and `value` to be {query.ndim}-D but found {key.ndim}-D and "
                f"{value.ndim}-D tensors respectively"
            )
        )
    if key_padding_mask is not None and key_padding_mask.ndim != query.ndim - 1:
        raise AssertionError(
            at_user_line(
                f"For {kind} `query`, expected `key_padding_mask` to be None or {query.ndim - 1}-D but found "
                f"{key_padding_mask.ndim}-D tensor instead"
            )
        )


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor], weights: Tensor | Sequence[Tensor], bias: Tensor | None
) -> list[Tensor]:
    """Queries, keys and values; one product for all three where they are of one tensor and weight."""
    query, key, value = inputs
    width = query.shape[-1]
    if isinstance(weights, Sequence):
        parts = list(weights)
    elif query is key and key is value:
        return list(linear(query, weights, bias).split(width, -1))
    else:
        parts = list(weights.split(width))
    biases = [None] * 3 if bias is None else bias.split(width)
    return [linear(x, w, b) for x, w, b in zip(inputs, parts, biases, strict=True)]


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    num_heads: int,
    in_weights: Tensor | Sequence[Tensor],
    in_bias: Tensor | None,
    out_weight: Tensor,
    out_bias: Tensor | None,
    *,
    extra: tuple[Tensor, Tensor] | None = None,
    static: tuple[Tensor | None, Tensor | None] = (None, None),
    add_zero_attn: bool = False,
    dropout_p: float = 0.0,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Vaswani et al. 2017 over (batch, length, width): what nn.MultiheadAttention and its functional form share.

    `in_weights` is one (3 * width, width) or three matrices, `extra` a key and a value (1, 1, width) behind the others,
    `static` keys and values (batch * heads, length, head_dim) in place of projected ones. Without need_weights the
    second result is None and no score is stored.
    """
    batch, length, width = query.shape
    if is_causal and attn_mask is None:
        raise RuntimeError(at_user_line("Need attn_mask if specifying the is_causal hint."))
    if width % num_heads:
        raise AssertionError(at_user_line(f"embed_dim {width} not divisible by num_heads {num_heads}"))
    _check_mask(key_padding_mask, "key_padding_mask", [(batch, key.shape[1])])
    sizes = (length, key.shape[1] if static[0] is None else static[0].shape[1])
    _check_mask(attn_mask, "attn_mask", [sizes, (batch * num_heads, *sizes)])
    q, k, v = _projected((query, key, value), in_weights, in_bias)
    if extra is not None:
        k, v = (cat([x, e.expand(batch, 1, width)], 1) for x, e in zip((k, v), extra, strict=True))
    head_dim = width // num_heads
    q, k, v = (x.reshape(batch, x.shape[1], num_heads, head_dim).transpose(1, 2) for x in (q, k, v))
    k, v = (
        x if given is None else given.reshape(batch, num_heads, *given.shape[1:])
        for x, given in zip((k, v), static, strict=True)
    )
    if add_zero_attn:
        nothing = zeros(batch, num_heads, 1, head_dim, dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 2), cat([v, nothing], 2)
    plain = is_causal and key_padding_mask is None and not need_weights  # the mask says what is_causal says
    mask = None if plain else _joint_mask(attn_mask, key_padding_mask, batch, num_heads, q.dtype)
    if mask is not None and mask.shape[-1] < k.shape[-2]:  # what was added behind is seen by all
        mask = pad(mask, (0, k.shape[-2] - mask.shape[-1]))
    weights = None
    if need_weights:
        scores = (q * head_dim**-0.5).matmul(k.transpose(-2, -1))
        weights = dropout(softmax(scores if mask is None else scores + mask, -1), dropout_p)
        result = weights.matmul(v)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        result = scaled_dot_product_attention(q, k, v, mask, dropout_p, plain)
    return linear(result.transpose(1, 2).reshape(batch, length, width), out_weight, out_bias), weights


def _joint_mask(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, batch: int, heads: int, dtype: DType
) -> Tensor | None:
    mask, padding = additive(attn_mask, dtype), additive(key_padding_mask, dtype)
    if mask is not None and mask.ndim == 3:
        mask = mask.reshape(batch, heads, *mask.shape[1:])
    if padding is None:
        return mask
    padding = padding.reshape(batch, 1, 1, padding.shape[-1])
    return padding if mask is None else mask + padding


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """nn.MultiheadAttention with its parameters as arguments; (length, batch, width) or (length, width)."""
    if query.shape[-1] != embed_dim_to_check:
        raise AssertionError(
            at_user_line(f"was expecting embedding dimension of {embed_dim_to_check}, but got {query.shape[-1]}")
        )
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights = separate if use_separate_proj_weight else in_proj_weight
    if weights is None or use_separate_proj_weight and any(w is None for w in separate):
        raise AssertionError(at_user_line("multi_head_attention_forward: projection weights are missing"))
    check_operands(query, key, value, key_padding_mask)
    batched = query.ndim == 3
    q, k, v = (x.transpose(0, 1) if batched else x.unsqueeze(0) for x in (query, key, value))
    same = query is key and key is value
    result, seen = multi_head_attention(
        q,
        q if same else k,
        q if same else v,
        num_heads,
        weights,  # type: ignore[arg-type]
        in_proj_bias,
        out_proj_weight,
        out_proj_bias,
        extra=None if bias_k is None or bias_v is None else (bias_k, bias_v),
        static=(static_k, static_v),
        add_zero_attn=add_zero_attn,
        dropout_p=dropout_p if training else 0.0,
        key_padding_mask=key_padding_mask if key_padding_mask is None or batched else key_padding_mask.unsqueeze(0),
        attn_mask=attn_mask,
        need_weights=need_weights,
        average_attn_weights=average_attn_weights,
        is_causal=is_causal,
    )
    if batched:
        return result.transpose(0, 1), seen
    return result.squeeze(0), None if seen is None else seen.squeeze(0)


# -- rotary positions ---------------------------------------------------------------------------------
def rotary_embedding(input: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = True) -> Tensor:
    """Su et al. 2021: each pair of features (a, b) rotated to (a cos - b sin, b cos + a sin).

    `cos` and `sin` (..., pairs) broadcast against the input's (..., pairs); features beyond 2 * pairs stay as they are.
    Pairs are neighbours (2i, 2i + 1), or with interleaved=False (i, i + pairs) as in Llama's HuggingFace weights.
    """
    node = input.node
    pairs = cos.node.shape[-1]
    if 2 * pairs > node.shape[-1]:
        raise RuntimeError(
            at_user_line(f"rotary_embedding: {pairs} pairs need {2 * pairs} features, got input {list(node.shape)}")
        )
    x = library.wide(node)
    c, s = (build.cast(t.node, x.dtype) for t in (cos, sin))
    lead = [(0, n, 1) for n in x.shape[:-1]]
    ends = [(0, 2 * pairs, 2), (1, 2 * pairs, 2)] if interleaved else [(0, pairs, 1), (pairs, 2 * pairs, 1)]
    a, b = (build.slice_(x, [*lead, end]) for end in ends)
    turned = [build.sub(build.mul(a, c), build.mul(b, s)), build.add(build.mul(b, c), build.mul(a, s))]
    if interleaved:
        shape = (*turned[0].shape, 1)
        joined = build.concat([build.reshape(t, shape) for t in turned], len(shape) - 1)
        result = build.reshape(joined, (*shape[:-2], 2 * pairs))
    else:
        result = build.concat(turned, len(lead))
    rest = build.slice_(x, [*lead, (2 * pairs, x.shape[-1], 1)])
    return wrap(build.cast(build.concat([result, rest], len(lead)), node.dtype))
