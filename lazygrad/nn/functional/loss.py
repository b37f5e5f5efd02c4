"""Losses with torch's names, arguments and reductions; those with margins stand in margin_loss.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import promote
from lazygrad.errors import at_user_line
from lazygrad.ir import build, losses
from lazygrad.ir.node import Node
from lazygrad.nn.functional.linear import linear
from lazygrad.shape import broadcast
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Formula = Callable[[Node, Node], Node]


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """torch's two old arguments, where given, in terms of the new one."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _nodes(name: str, *tensors: Tensor | None) -> list[Node | None]:
    given = [t.node for t in tensors if t is not None]
    found = iter(float32_operands(name, *given))
    return [None if t is None else next(found) for t in tensors]


def pairwise_loss(
    name: str, formula: Formula, input: Tensor, target: Tensor, reduction: str, weight: Tensor | None = None
) -> Tensor:
    x, y, w = _nodes(name, input, target, weight)
    assert x is not None and y is not None
    dtype = promote(x.dtype, y.dtype)
    x, y = build.cast(x, dtype), build.cast(y, dtype)
    try:
        broadcast(x.shape, y.shape)
    except ValueError as error:
        raise RuntimeError(at_user_line(f"{name}: {error}")) from None
    return wrap(losses.elementwise(formula, x, y, w, reduction))


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target] over dimension 1; targets are class indices or probabilities."""
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(at_user_line(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}"))
    x, w = _nodes("cross_entropy", input, weight)
    assert x is not None
    chosen = legacy_reduction(size_average, reduce, reduction)
    return wrap(losses.cross_entropy(x, target.node, w, ignore_index, chosen, label_smoothing))


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """cross_entropy of linear(input, linear_weight, linear_bias): input (N, features) or (features,), weight
    (classes, *, features), bias (classes, *), logits (N, classes, *).

    `options` are torch's ways to compute it in chunks, LinearCrossEntropyOptions: they change no value.
    """
    sizes = f"{list(input.shape)} and {list(linear_weight.shape)}"
    if linear_weight.ndim < 2 or input.ndim < 2 < linear_weight.ndim:
        raise RuntimeError(
            at_user_line(
                "linear_cross_entropy: expected input (N, features) and weight (classes, *, features), or (features,) "
                f"and (classes, features), got {sizes}"
            )
        )
    if ignore_index is not None and target.is_floating_point():
        raise RuntimeError(at_user_line("ignore_index cannot be specified when target contains probabilities"))
    bias = None if linear_bias is None else linear_bias.flatten()
    logits = linear(input, linear_weight.flatten(0, -2), bias)
    logits = logits.reshape(*input.shape[:-1], *linear_weight.shape[:-1])
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        logits, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[target] over dimension 1, where input holds log-probabilities."""
    x, w = _nodes("nll_loss", input, weight)
    assert x is not None
    chosen = legacy_reduction(size_average, reduce, reduction)
    return wrap(losses.nll_loss(x, target.node, w, ignore_index, chosen))


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2."""
    return pairwise_loss(
        "mse_loss", losses.mse, input, target, legacy_reduction(size_average, reduce, reduction), weight
    )


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    return pairwise_loss("l1_loss", losses.l1, input, target, legacy_reduction(size_average, reduce, reduction), weight)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Quadratic below beta, linear above."""
    if beta < 0:
        raise RuntimeError(at_user_line("smooth_l1_loss does not support negative values for beta."))
    chosen = legacy_reduction(size_average, reduce, reduction)
    return pairwise_loss("smooth_l1_loss", losses.smooth_l1(beta), input, target, chosen)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Quadratic up to delta, linear above."""
    if delta <= 0:
        raise RuntimeError(at_user_line("huber_loss does not support non-positive values for delta."))
    return pairwise_loss("huber_loss", losses.huber(delta), input, target, reduction, weight)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * input)) for targets of 1 and -1."""
    chosen = legacy_reduction(size_average, reduce, reduction)
    return pairwise_loss("soft_margin_loss", losses.soft_margin, input, target, chosen)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(y log x + (1 - y) log(1 - x)) for probabilities x."""
    if input.node.shape != target.node.shape:
        raise ValueError(
            at_user_line(
                f"Using a target size ({list(target.node.shape)}) that is different to the input size "
                f"({list(input.node.shape)}) is deprecated. Please ensure they have the same size."
            )
        )
    chosen = legacy_reduction(size_average, reduce, reduction)
    return pairwise_loss("binary_cross_entropy", losses.binary_cross_entropy, input, target, chosen, weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without its loss of range."""
    if input.node.shape != target.node.shape:
        raise ValueError(
            at_user_line(
                f"Target size ({list(target.node.shape)}) must be the same as input size ({list(input.node.shape)})"
            )
        )
    formula = losses.binary_cross_entropy_with_logits(None if pos_weight is None else pos_weight.node)
    chosen = legacy_reduction(size_average, reduce, reduction)
    return pairwise_loss("binary_cross_entropy_with_logits", formula, input, target, chosen, weight)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log target - input), where input holds log-probabilities; "batchmean" divides by the
    batch."""
    chosen = legacy_reduction(size_average, reduce, reduction)
    if chosen != "batchmean":
        return pairwise_loss("kl_div", losses.kl_div(log_target), input, target, chosen)
    total = pairwise_loss("kl_div", losses.kl_div(log_target), input, target, "sum")
    return total.div(input.node.shape[0]) if input.node.ndim else total


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under a Poisson distribution."""
    chosen = legacy_reduction(size_average, reduce, reduction)
    return pairwise_loss("poisson_nll_loss", losses.poisson_nll(log_input, full, eps), input, target, chosen)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood under a normal distribution of the given variance."""
    x, y = input.node, target.node
    v = build.like(x, var) if isinstance(var, (int, float)) else var.node
    if v.shape != x.shape and v.shape == x.shape[:-1]:
        v = build.reshape(v, (*v.shape, 1))
    loss = losses.gaussian_nll(x, build.cast(y, x.dtype), build.cast(v, x.dtype), full, eps)
    return wrap(losses.reduced(loss, reduction))
