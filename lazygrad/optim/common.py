"""Pieces that the update formulas share: takes and returns Nodes in the compute dtype."""

from __future__ import annotations

import math
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, like, mul, pointwise, scale, shift, sub
from lazygrad.ir.node import Node


def check(condition: bool, name: str, value: Any) -> None:
    """ValueError in torch's words where an option is out of range."""
    if not condition:
        raise ValueError(f"Invalid {name}: {value}")


def check_common(
    lr: Any = None, eps: Any = None, weight_decay: Any = None, betas: tuple[float, float] | None = None
) -> None:
    """The ranges that all optimizers agree on."""
    if isinstance(lr, (int, float)):
        check(lr >= 0, "learning rate", lr)
    elif lr is not None and lr.numel() != 1:
        raise ValueError(at_user_line("Tensor lr must be 1-element"))
    if eps is not None:
        check(eps >= 0, "epsilon value", eps)
    if betas is not None:
        for i, beta in enumerate(betas):
            check(0 <= beta < 1, f"beta parameter at index {i}", beta)
    if weight_decay is not None:
        check(weight_decay >= 0, "weight_decay value", weight_decay)


def lerp(start: Node, end: Node, weight: Node) -> Node:
    """start + weight * (end - start)."""
    return add(start, mul(weight, sub(end, start)))


def one_minus(node: Node) -> Node:
    return sub(like(node, 1), node)


def square(node: Node) -> Node:
    return mul(node, node)


def sqrt(node: Node) -> Node:
    return pointwise(ops.SQRT, node)


def bias_correction(beta: float | Node, step: Node) -> Node:
    """1 - beta^step, as -expm1(step * log beta): the difference itself would lose digits at first."""
    if isinstance(beta, Node):
        power = mul(step, pointwise(ops.LOG, beta))
    else:
        power = scale(step, math.log(beta)) if beta > 0 else like(step, -math.inf)
    return build.neg(pointwise(ops.EXPM1, power))


def second_moment(v: Node, g: Node, beta: float) -> Node:
    """beta * v + (1 - beta) * g^2."""
    return add(scale(v, beta), scale(square(g), 1 - beta))


def with_decay(group: dict[str, Any], scalar: dict[str, Node], p: Node, g: Node) -> Node:
    """The gradient of the loss with weight_decay / 2 * |p|^2 added."""
    if is_zero(group["weight_decay"]):
        return g
    return add(g, mul(scalar["weight_decay"], p))


def decayed(group: dict[str, Any], scalar: dict[str, Node], p: Node) -> Node:
    """Decoupled weight decay (Loshchilov & Hutter 2019): p * (1 - lr * weight_decay)."""
    if is_zero(group["weight_decay"]):
        return p
    return mul(p, one_minus(mul(scalar["lr"], scalar["weight_decay"])))


def is_zero(value: Any) -> bool:
    """A number that is 0; a tensor never counts as one, for its value may change."""
    return isinstance(value, (int, float)) and value == 0


def away(p: Node, rate: Node, direction: Node) -> Node:
    """p - rate * direction."""
    return sub(p, mul(rate, direction))


def over_root(numerator: Node, v: Node, eps: float) -> Node:
    """numerator / (sqrt(v) + eps)."""
    return build.div(numerator, shift(sqrt(v), eps))
