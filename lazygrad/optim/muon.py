"""Muon: momentum whose matrix is made orthogonal before it is applied."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lazygrad.dtype import bfloat16, float32
from lazygrad.errors import names_what_it_makes
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, cast, div, like, pointwise, scale
from lazygrad.ir.node import Node
from lazygrad.optim.common import away, check, check_common, decayed, lerp, one_minus, sqrt, square
from lazygrad.optim.optimizer import Group, Optimizer, State

names_what_it_makes(__file__)


def orthogonal(g: Node, coefficients: tuple[float, float, float], steps: int, eps: float) -> Node:
    """Nearly the orthogonal factor of g, by the quintic Newton-Schulz iteration in bfloat16."""
    a, b, c = coefficients
    tall = g.shape[0] > g.shape[1]
    x = cast(build.transpose(g) if tall else g, bfloat16)
    wide = cast(x, float32)
    norm = sqrt(build.reduce(ops.SUM, square(wide), (0, 1)))
    x = cast(div(wide, pointwise(ops.MAXIMUM, norm, like(norm, eps))), bfloat16)
    for _ in range(steps):
        gram = build.dot(x, build.transpose(x))
        mixed = add(scale(cast(gram, float32), b), scale(cast(build.dot(gram, gram), float32), c))
        product = build.dot(cast(mixed, bfloat16), x)
        x = cast(add(scale(cast(x, float32), a), cast(product, float32)), bfloat16)
    return build.transpose(x) if tall else x


class Muon(Optimizer):
    """Jordan 2024, for matrices only: p -= lr * orthogonal(momentum), after decoupled weight decay."""

    changing = ("lr", "weight_decay", "momentum")
    counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_common(lr=lr, weight_decay=weight_decay)
        check(momentum >= 0, "momentum value", momentum)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}"
                    )

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        momentum = scalar["momentum"]
        buffer = lerp(state["momentum_buffer"], g, one_minus(momentum))
        direction = lerp(g, buffer, momentum) if group["nesterov"] else buffer
        q = orthogonal(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        else:
            ratio = math.sqrt(max(1, rows / columns))
        p = away(decayed(group, scalar, p), scale(scalar["lr"], ratio), cast(q, p.dtype))
        return p, {"momentum_buffer": buffer}
