"""Losses that ask for a margin: between scores, between distances, between classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library, losses
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.nn.functional.linear import pairwise_distance
from lazygrad.nn.functional.loss import legacy_reduction, pairwise_loss
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where the target is 1, max(0, margin - input) where it is -1."""
    chosen = legacy_reduction(size_average, reduce, reduction)
    return pairwise_loss("hinge_embedding_loss", losses.hinge_embedding(margin), input, target, chosen)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target * (input1 - input2) + margin)."""
    first, second, y = (n for n in float32_operands("margin_ranking_loss", input1.node, input2.node, target.node))
    difference = build.sub(first, second)
    signed = build.mul(build.neg(build.cast(y, difference.dtype)), difference)
    loss = losses.margin(build.shift(signed, margin))
    return wrap(losses.reduced(loss, legacy_reduction(size_average, reduce, reduction)))


def _inner(a: Node, b: Node) -> Node:
    """The products of the last dimension's vectors."""
    products = build.mul(a, b)
    return build.reduce(ops.SUM, products, (products.ndim - 1,), False)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1."""
    a, b = float32_operands("cosine_embedding_loss", input1.node, input2.node)
    size = build.mul(*(build.shift(_inner(n, n), 1e-12) for n in (a, b)))
    cosine = build.div(_inner(a, b), build.pointwise(ops.SQRT, size))
    y = build.cast(target.node, cosine.dtype)
    apart = losses.margin(build.shift(cosine, -margin))
    together = build.sub(build.like(cosine, 1), cosine)
    loss = build.where(build.equal(y, build.like(y, 1)), together, apart)
    return wrap(losses.reduced(loss, legacy_reduction(size_average, reduce, reduction)))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin)."""
    given = (anchor.node, positive.node, negative.node)
    anchor, positive, negative = (wrap(n) for n in float32_operands("triplet_margin_loss", *given))
    near = pairwise_distance(anchor, positive, p, eps).node
    far = pairwise_distance(anchor, negative, p, eps).node
    if swap:
        far = build.pointwise(ops.MINIMUM, far, pairwise_distance(positive, negative, p, eps).node)
    loss = losses.margin(build.shift(build.sub(near, far), margin))
    return wrap(losses.reduced(loss, legacy_reduction(size_average, reduce, reduction)))


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), by default for pairwise_distance as d.

    With `swap` the negative's distance is the smaller of that to the anchor and that to the positive.
    """
    if margin <= 0:
        raise ValueError(at_user_line(f"margin must be greater than 0, got {margin}"))
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive).node, distance(anchor, negative).node
    if swap:
        far = build.pointwise(ops.MINIMUM, far, distance(positive, negative).node)
    return wrap(losses.reduced(losses.margin(build.shift(build.sub(near, far), margin)), reduction))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over wrong classes of max(0, margin - x[target] + x[i])^p. ValueError unless p is 1 or 2."""
    if p not in (1, 2):
        raise ValueError(at_user_line("only p == 1 and p == 2 supported"))
    (scores,) = float32_operands("multi_margin_loss", input.node)
    x = scores if scores.ndim == 2 else build.reshape(scores, (1, scores.numel))
    index = build.reshape(build.cast(target.node, int64), (x.shape[0], 1))
    picked = build.gather(x, index, 1)
    excess = library.relu(build.shift(build.sub(x, picked), margin))
    excess = build.mul(excess, excess) if p == 2 else excess
    if weight is not None:
        excess = build.mul(excess, build.gather(build.expand(build.cast(weight.node, x.dtype), x.shape), index, 1))
    wrong = build.logical_not(build.equal(build.iota(x.shape[1], x.device), index))
    excess = build.where(wrong, excess, build.like(excess, 0))
    loss = build.reshape(build.scale(build.reduce(ops.SUM, excess, (1,)), 1 / x.shape[1]), target.node.shape)
    return wrap(losses.reduced(loss, legacy_reduction(size_average, reduce, reduction)))


def _rows_of_classes(name: str, input: Node, target: Node) -> tuple[Node, Node]:
    """Both as (N, C)."""
    if input.shape != target.shape or input.ndim not in (1, 2):
        raise RuntimeError(
            at_user_line(
                f"{name}: inconsistent target size {list(target.shape)} for input of size {list(input.shape)}: both "
                "should be (N, C) or (C,)"
            )
        )
    shape = (input.numel // max(input.shape[-1], 1), input.shape[-1])
    return build.reshape(input, shape), build.reshape(target, shape)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over right classes j and wrong classes i of max(0, 1 - (x[j] - x[i])) / C, for (N, C) or (C,).

    Each row of the integer target lists its right classes, up to the first negative number.
    """
    (scores,) = float32_operands("multilabel_margin_loss", input.node)
    x, listed = _rows_of_classes("multilabel_margin_loss", scores, build.cast(target.node, int64))
    rows, classes = x.shape
    valid = build.cast(build.less(build.like(listed, -1), listed), int64)
    valid = build.less(build.like(listed, 0), build.scan(ops.CUMPROD, valid, 1))
    chosen = build.where(valid, listed, build.like(listed, 0))
    names = build.reshape(build.iota(classes, x.device), (1, 1, classes))
    pairs = (rows, classes, classes)  # (sample, place in its list, class)
    listed_there = build.reshape(valid, (rows, classes, 1))
    hit = build.logical_and(listed_there, build.equal(build.reshape(chosen, (rows, classes, 1)), names))
    right = build.reduce(ops.MAX, build.cast(hit, int64), (1,))
    wrong = build.equal(right, build.like(right, 0))
    gap = build.sub(build.reshape(build.gather(x, chosen, 1), (rows, classes, 1)), build.reshape(x, (rows, 1, classes)))
    loss = library.relu(build.sub(build.like(gap, 1), gap))
    counts = build.logical_and(build.expand(listed_there, pairs), build.expand(wrong, pairs))
    total = build.reduce(ops.SUM, build.where(counts, loss, build.like(loss, 0)), (1, 2), False)
    each = build.reshape(build.scale(total, 1 / classes), input.node.shape[:-1])
    return wrap(losses.reduced(each, legacy_reduction(size_average, reduce, reduction)))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(y log sigmoid(x) + (1 - y) log sigmoid(-x)), its mean over the classes of the last dimension."""
    x = input.node
    y = build.cast(target.node, x.dtype)
    positive, negative = library.logsigmoid(x), library.logsigmoid(build.neg(x))
    loss = build.neg(build.add(build.mul(y, positive), build.mul(build.sub(build.like(y, 1), y), negative)))
    if weight is not None:
        loss = build.mul(loss, build.cast(weight.node, loss.dtype))
    mean = library.mean(loss, (loss.ndim - 1,))
    each = build.reshape(mean, mean.shape[:-1])
    return wrap(losses.reduced(each, legacy_reduction(size_average, reduce, reduction)))
