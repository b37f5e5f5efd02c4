"""Products and vectors: linear, bilinear, one-hot, norms and distances; see embedding.py for look-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazygrad.dtype import int64, promote
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import broadcast, normalize_axis
from lazygrad.tensor.autocast import autocast_operands, float32_operands
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array
from lazygrad.tensor.reduce import vector_norm

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def linear_node(x: Node, weight: Node, bias: Node | None) -> Node:
    """x W^T + b as one product of two matrices, whatever leads in x."""
    if weight.ndim == 1:
        weight_2d = build.reshape(weight, (1, weight.numel))
        return build.reshape(linear_node(x, weight_2d, bias), x.shape[:-1])
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            at_user_line(
                f"linear: mat1 and mat2 shapes cannot be multiplied ({list(x.shape)} and {list(weight.shape)}^T)"
            )
        )
    rows = build.reshape(x, (x.numel // max(x.shape[-1], 1), x.shape[-1])) if x.shape[-1] else x
    product = build.dot(rows, build.transpose(weight))
    if bias is not None:
        product = build.add(product, build.cast(bias, product.dtype))
    return build.reshape(product, (*x.shape[:-1], weight.shape[0]))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias."""
    nodes = [input.node, weight.node, *([] if bias is None else [bias.node])]
    x, w, *b = autocast_operands(*nodes)
    return wrap(linear_node(x, w, b[0] if b else None))


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """sum over i, j of input1[i] * weight[o, i, j] * input2[j], plus bias."""
    x, y, w = input1.node, input2.node, weight.node
    lead, n = x.shape[:-1], x.numel // x.shape[-1]
    outputs, left, right = w.shape
    # (n, left) x (left, outputs * right), then a row-wise product with y
    by_left = build.reshape(build.permute(w, (1, 0, 2)), (left, outputs * right))
    half = build.reshape(build.dot(build.reshape(x, (n, left)), by_left), (n, outputs, right))
    pairs = build.mul(half, build.reshape(y, (n, 1, right)))
    result = build.reshape(build.reduce(ops.SUM, pairs, (2,)), (n, outputs))
    if bias is not None:
        result = build.add(result, bias.node)
    return wrap(build.reshape(result, (*lead, outputs)))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along dim, eps)."""
    (node,) = float32_operands("normalize", input.node)
    x = library.wide(node)
    size = vector_norm(x, p, (normalize_axis(dim, x.ndim),) if x.ndim else (), keepdim=True)
    floor = build.pointwise(ops.MAXIMUM, size, build.like(size, eps))
    return wrap(build.cast(build.div(x, floor), node.dtype))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along dim."""
    a, b = float32_operands("cosine_similarity", x1.node, x2.node)
    dtype = promote(a.dtype, b.dtype)
    shape = broadcast(a.shape, b.shape)
    axis = normalize_axis(dim, len(shape))
    a, b = (build.expand(library.wide(build.cast(n, dtype)), shape) for n in (a, b))
    norms = [vector_norm(n, 2, (axis,), keepdim=True) for n in (a, b)]
    lengths = [build.pointwise(ops.MAXIMUM, s, build.like(s, eps)) for s in norms]
    product = build.reduce(ops.SUM, build.mul(build.div(a, lengths[0]), build.div(b, lengths[1])), (axis,), False)
    return wrap(build.cast(product, dtype))


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows of (n, m): (0, 1), (0, 2), ..., (n - 2, n - 1)."""
    if input.ndim != 2:
        raise RuntimeError(at_user_line(f"pdist only supports 2D tensors, got: {input.ndim}D"))
    if p <= 0:
        raise RuntimeError(at_user_line(f"pdist only supports positive p values, got {p}"))
    rows, columns = (from_array(n, input.device, int64) for n in np.triu_indices(input.node.shape[0], 1))
    (x,) = float32_operands("pdist", input.node)
    difference = build.sub(library.embedding(rows, x), library.embedding(columns, x))
    return wrap(vector_norm(difference, p, (1,), keepdim=False))


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    difference = build.shift(build.sub(x1.node, x2.node), eps)
    return wrap(vector_norm(difference, p, (difference.ndim - 1,), keepdim))
