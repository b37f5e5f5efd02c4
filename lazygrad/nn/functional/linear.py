"""Products and look-ups: linear, bilinear, embedding, one-hot, distances between vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazygrad.dtype import int64, promote
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import broadcast, normalize_axis
from lazygrad.tensor.autocast import autocast_operands, float32_operands
from lazygrad.tensor.core import wrap

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
                f"linear: mat1 and mat2 shapes cannot be multiplied ({list(x.shape)} and "
                f"{list(weight.shape)}^T)"
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


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` at the indices `input`. max_norm and scale_grad_by_freq are refused."""
    if max_norm is not None or scale_grad_by_freq:
        raise NotImplementedError(
            at_user_line("embedding: max_norm and scale_grad_by_freq are not supported")
        )
    index = input.node
    if index.dtype.category != 1:
        raise RuntimeError(
            at_user_line(
                f"Expected tensor for argument #1 'indices' to have an integer dtype, got {index.dtype.name}"
            )
        )
    entries = weight.node.shape[0]
    if padding_idx is not None and not -entries <= padding_idx < entries:
        raise AssertionError(at_user_line("Padding_idx must be within num_embeddings"))
    return wrap(library.embedding(index, weight.node, padding_idx))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 ones at the given classes; num_classes=-1 reads the largest class from the values."""
    if num_classes == -1:
        num_classes = int(tensor.numpy(force=True).max()) + 1
    node = build.cast(tensor.node, int64)
    here = build.iota(num_classes, node.device)
    hit = build.equal(build.reshape(node, (*node.shape, 1)), here)
    return wrap(build.cast(hit, int64))


def _norm(node: Node, p: float, axes: tuple[int, ...]) -> Node:
    if p == 2:
        return build.pointwise(ops.SQRT, build.reduce(ops.SUM, build.mul(node, node), axes))
    size = build.pointwise(ops.ABS, node)
    if p == 1:
        return build.reduce(ops.SUM, size, axes)
    if p == float("inf"):
        return build.reduce(ops.MAX, size, axes)
    powers = build.pointwise(ops.POW, size, build.like(size, p))
    total = build.reduce(ops.SUM, powers, axes)
    return build.pointwise(ops.POW, total, build.like(total, 1 / p))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along dim, eps)."""
    (node,) = float32_operands("normalize", input.node)
    x = library.wide(node)
    size = _norm(x, p, (normalize_axis(dim, x.ndim),) if x.ndim else ())
    floor = build.pointwise(ops.MAXIMUM, size, build.like(size, eps))
    return wrap(build.cast(build.div(x, floor), node.dtype))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along dim."""
    a, b = float32_operands("cosine_similarity", x1.node, x2.node)
    dtype = promote(a.dtype, b.dtype)
    shape = broadcast(a.shape, b.shape)
    axis = normalize_axis(dim, len(shape))
    a, b = (build.expand(library.wide(build.cast(n, dtype)), shape) for n in (a, b))
    lengths = [
        build.pointwise(ops.MAXIMUM, s, build.like(s, eps)) for s in (_norm(a, 2, (axis,)), _norm(b, 2, (axis,)))
    ]
    product = build.reduce(
        ops.SUM, build.mul(build.div(a, lengths[0]), build.div(b, lengths[1])), (axis,), False
    )
    return wrap(build.cast(product, dtype))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    difference = build.shift(build.sub(x1.node, x2.node), eps)
    result = _norm(difference, p, (difference.ndim - 1,))
    return wrap(result if keepdim else build.reshape(result, result.shape[:-1]))
