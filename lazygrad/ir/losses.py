"""Losses: takes Nodes of predictions and targets, returns the Node of the loss, in torch's formulas.

Every formula runs in the compute dtype and is rounded once, after the reduction ("mean", "sum", "none").
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir import op as ops
from lazygrad.ir.build import (
    add,
    cast,
    const,
    detach,
    div,
    equal,
    expand,
    gather,
    less,
    like,
    logical_not,
    mul,
    neg,
    pointwise,
    reduce,
    reshape,
    scale,
    shift,
    sub,
    where,
)
from lazygrad.ir.library import last, log1p_exp, mean, relu, square, unary, wide
from lazygrad.ir.node import Node
from lazygrad.shape import broadcast

names_what_it_makes(__file__, generic=("total", "reduced", "elementwise", "margin"))


def total(node: Node) -> Node:
    """The sum of everything, 0-d."""
    return reduce(ops.SUM, node, tuple(range(node.ndim)), keepdim=False)


def reduced(node: Node, reduction: str) -> Node:
    """ "none", "mean" or "sum" of a loss per element. ValueError for anything else."""
    if reduction == "none":
        return node
    if reduction == "sum":
        return total(node)
    if reduction == "mean":
        return reshape(mean(node, tuple(range(node.ndim))), ())
    raise ValueError(at_user_line(f"{reduction} is not a valid value for reduction"))


def elementwise(
    formula: Callable[[Node, Node], Node], input: Node, target: Node, weight: Node | None, reduction: str
) -> Node:
    """A loss of pairs: both in the compute dtype of their common dtype, weighted, reduced, rounded."""
    x, y = wide(input), wide(target)
    shape = broadcast(x.shape, y.shape)
    loss = expand(formula(expand(x, shape), expand(y, shape)), shape)
    if weight is None:
        return cast(reduced(loss, reduction), input.dtype)
    loss = mul(loss, cast(weight, loss.dtype))
    return cast(reduced(loss, reduction), input.dtype)


def mse(x: Node, y: Node) -> Node:
    return square(sub(x, y))


def l1(x: Node, y: Node) -> Node:
    return unary(ops.ABS, sub(x, y))


def smooth_l1(beta: float) -> Callable[[Node, Node], Node]:
    """Girshick 2015: quadratic below beta, linear above, divided by beta."""

    def formula(x: Node, y: Node) -> Node:
        distance = l1(x, y)
        if beta == 0:
            return distance
        near = scale(square(distance), 0.5 / beta)
        return where(less(distance, like(distance, beta)), near, shift(distance, -0.5 * beta))

    return formula


def huber(delta: float) -> Callable[[Node, Node], Node]:
    """Huber 1964: quadratic up to delta, linear above."""

    def formula(x: Node, y: Node) -> Node:
        distance = l1(x, y)
        far = scale(shift(distance, -0.5 * delta), delta)
        return where(pointwise(ops.LE, distance, like(distance, delta)), scale(square(distance), 0.5), far)

    return formula


def soft_margin(x: Node, y: Node) -> Node:
    """log(1 + exp(-y x))."""
    return unary(ops.LOG1P, unary(ops.EXP, neg(mul(y, x))))


def _log_at_least_minus_100(x: Node) -> Node:
    """log(x), -100 where it would be less, without a NaN in the gradient at 0."""
    tiny = pointwise(ops.LE, x, like(x, math.exp(-100)))
    return where(tiny, like(x, -100), unary(ops.LOG, where(tiny, like(x, 1), x)))


def binary_cross_entropy(x: Node, y: Node) -> Node:
    """-(y log x + (1 - y) log(1 - x)), each log limited to -100."""
    one = like(x, 1)
    hit, miss = _log_at_least_minus_100(x), _log_at_least_minus_100(sub(one, x))
    return neg(add(mul(y, hit), mul(sub(one, y), miss)))


def binary_cross_entropy_with_logits(positive: Node | None) -> Callable[[Node, Node], Node]:
    """-(p y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))) with p the weight of positive targets."""

    def formula(x: Node, y: Node) -> Node:
        miss = log1p_exp(neg(x))
        if positive is None:
            return add(mul(sub(like(y, 1), y), x), miss)
        factor = shift(mul(shift(cast(positive, x.dtype), -1), y), 1)
        return add(mul(sub(like(y, 1), y), x), mul(factor, miss))

    return formula


def kl_div(log_target: bool) -> Callable[[Node, Node], Node]:
    """target * (log target - input), where input holds log-probabilities; 0 where the target is 0."""

    def formula(x: Node, y: Node) -> Node:
        if log_target:
            return mul(unary(ops.EXP, y), sub(y, x))
        positive = less(like(y, 0), y)
        entropy = mul(y, unary(ops.LOG, where(positive, y, like(y, 1))))
        return sub(entropy, mul(y, x))

    return formula


def poisson_nll(log_input: bool, full: bool, eps: float) -> Callable[[Node, Node], Node]:
    """exp(x) - y x (or x - y log(x + eps)), with Stirling's approximation of log(y!) where `full`."""

    def formula(x: Node, y: Node) -> Node:
        if log_input:
            loss = sub(unary(ops.EXP, x), mul(y, x))
        else:
            loss = sub(x, mul(y, unary(ops.LOG, shift(x, eps))))
        if not full:
            return loss
        many = less(like(y, 1), y)
        safe = where(many, y, like(y, 1))
        half_log = scale(unary(ops.LOG, scale(safe, 2 * math.pi)), 0.5)
        stirling = add(sub(mul(safe, unary(ops.LOG, safe)), safe), half_log)
        return add(loss, where(many, stirling, like(y, 0)))

    return formula


def gaussian_nll(x: Node, y: Node, variance: Node, full: bool, eps: float) -> Node:
    """(log v + (x - y)^2 / v) / 2 with the variance v at least eps (a limit autograd doesn't see)."""
    excess = relu(sub(like(variance, eps), variance))
    v = add(variance, detach(excess))
    loss = scale(add(unary(ops.LOG, v), div(square(sub(x, y)), v)), 0.5)
    return shift(loss, 0.5 * math.log(2 * math.pi)) if full else loss


def margin(x: Node) -> Node:
    """max(0, x) of a margin: gradient 1 at 0, as torch's clamp has it."""
    return where(less(x, like(x, 0)), like(x, 0), x)


def hinge_embedding(bound: float) -> Callable[[Node, Node], Node]:
    """x where y is 1, max(0, bound - x) where it is -1."""

    def formula(x: Node, y: Node) -> Node:
        zero = like(x, 0)
        apart = where(equal(y, like(y, 1)), zero, margin(sub(like(x, bound), x)))
        return add(apart, where(equal(y, like(y, -1)), zero, x))

    return formula


# -- classification -----------------------------------------------------------------------------------
def _class_axis(node: Node) -> int:
    return 1 if node.ndim > 1 else 0


def _check_classes(name: str, input: Node, target: Node) -> None:
    if input.ndim == 0:
        raise ValueError(at_user_line(f"{name}: Expected 1 or more dimensions (got 0)"))
    axis = _class_axis(input)
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if input.ndim > 1 and target.ndim and input.shape[0] != target.shape[0]:
        raise ValueError(
            at_user_line(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
            )
        )
    if target.shape != expected:
        raise RuntimeError(at_user_line(f"Expected target size {list(expected)}, got {list(target.shape)}"))
    if target.dtype.is_floating_point or not target.dtype.category:
        raise RuntimeError(at_user_line(f"{name}: expected class indices, got a target of dtype {target.dtype.name}"))


def _picked(rows: Node, index: Node) -> Node:
    """rows[i, index[i]] with the class axis kept at size 1."""
    return gather(rows, index, rows.ndim - 1)


def _weighted_mean(loss: Node, factor: Node, valid: Node, reduction: str, weighted: bool) -> Node:
    """Loss per line, zero where not valid; the mean is over what is valid, weighted by class."""
    loss = where(valid, mul(loss, factor) if weighted else loss, like(loss, 0))
    if reduction != "mean":
        return reduced(loss, reduction)
    shares = where(valid, factor, like(factor, 0))
    return div(total(loss), total(shares))


def nll_loss(log_p: Node, target: Node, weight: Node | None, ignore: int, reduction: str) -> Node:
    """-weight[t] * log_p[t] for class indices t along dimension 1; lines whose target is `ignore` don't
    count."""
    _check_classes("nll_loss", log_p, target)
    rows = last(wide(log_p), _class_axis(log_p))
    index, valid = _indices(target, ignore)
    loss = neg(_picked(rows, index))
    factor = _class_weights(weight, rows, index)
    loss, factor, valid = (reshape(n, target.shape) for n in (loss, factor, valid))
    return cast(_weighted_mean(loss, factor, valid, reduction, weight is not None), log_p.dtype)


def _indices(target: Node, ignore: int) -> tuple[Node, Node]:
    """(indices in range with an axis of size 1 at the end, which of them count)."""
    index = reshape(cast(target, int64), (*target.shape, 1))
    valid = logical_not(equal(index, like(index, ignore)))
    return where(valid, index, like(index, 0)), valid


def _class_weights(weight: Node | None, rows: Node, index: Node) -> Node:
    if weight is None:
        return const(1, rows.dtype, rows.device, index.shape)
    return gather(expand(cast(weight, rows.dtype), rows.shape), index, rows.ndim - 1)


def cross_entropy(
    logits: Node, target: Node, weight: Node | None, ignore: int, reduction: str, smoothing: float
) -> Node:
    """logsumexp(x) - x[t] along dimension 1, for class indices t or, where the shapes agree, probabilities.

    Label smoothing (Szegedy et al. 2016) mixes in the mean loss over all classes; `weight` is per class.
    """
    if target.shape == logits.shape and target.dtype.is_floating_point:
        return _soft_cross_entropy(logits, target, weight, reduction, smoothing)
    _check_classes("cross_entropy", logits, target)
    rows = last(wide(logits), _class_axis(logits))
    shifted, normalizer = _log_normalizer(rows)
    index, valid = _indices(target, ignore)
    loss = sub(normalizer, _picked(shifted, index))
    factor = _class_weights(weight, rows, index)
    loss, factor, valid = (reshape(n, target.shape) for n in (loss, factor, valid))
    hard = _weighted_mean(loss, factor, valid, reduction, weight is not None)
    if smoothing == 0:
        return cast(hard, logits.dtype)
    # smooth part: the sum over classes of weight * (normalizer - x), with hard's denominator
    per_class = sub(normalizer, shifted)
    if weight is not None:
        per_class = mul(per_class, cast(weight, rows.dtype))
    smooth = reduce(ops.SUM, per_class, (rows.ndim - 1,), keepdim=False)
    smooth = where(valid, smooth, like(smooth, 0))
    if reduction == "mean":
        smooth = div(total(smooth), total(where(valid, factor, like(factor, 0))))
    else:
        smooth = reduced(smooth, reduction)
    mixed = add(scale(hard, 1 - smoothing), scale(smooth, smoothing / rows.shape[-1]))
    return cast(mixed, logits.dtype)


def _log_normalizer(rows: Node) -> tuple[Node, Node]:
    """(x - max, log(sum(exp(x - max)))) along the last axis: log p = first - second."""
    axis = (rows.ndim - 1,)
    shifted = sub(rows, detach(reduce(ops.MAX, rows, axis)))
    return shifted, unary(ops.LOG, reduce(ops.SUM, unary(ops.EXP, shifted), axis))


def _soft_cross_entropy(logits: Node, target: Node, weight: Node | None, reduction: str, smoothing: float) -> Node:
    axis = _class_axis(logits)
    rows, p = last(wide(logits), axis), last(wide(target), axis)
    classes = rows.shape[-1]
    if smoothing:
        p = shift(scale(p, 1 - smoothing), smoothing / classes)
    shifted, normalizer = _log_normalizer(rows)
    per_class = mul(sub(normalizer, shifted), p)
    if weight is not None:
        per_class = mul(per_class, cast(weight, rows.dtype))
    loss = reduce(ops.SUM, per_class, (rows.ndim - 1,), keepdim=False)
    if reduction == "mean":  # over lines, not over classes and not by weight
        return cast(scale(total(loss), 1 / max(loss.numel, 1)), logits.dtype)
    return cast(reduced(loss, reduction), logits.dtype)
