"""Stochastic gradient descent with momentum, and methods of its family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lazygrad.errors import names_what_it_makes
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, like, mul, pointwise, scale, sub, where
from lazygrad.ir.node import Node
from lazygrad.optim.common import (
    away,
    check,
    check_common,
    decayed,
    lerp,
    one_minus,
    with_decay,
)
from lazygrad.optim.optimizer import Group, Optimizer, State

names_what_it_makes(__file__)


class SGD(Optimizer):
    """p -= lr * d with d the gradient, or its running sum d = momentum * d + (1 - dampening) * g."""

    changing = ("lr", "weight_decay", "momentum")
    counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_common(lr=lr, weight_decay=weight_decay)
        check(momentum >= 0, "momentum value", momentum)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        self._started: set[int] = set()

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def own_options(self, group: Group, parameter: Any) -> Group:
        # the first sum is the gradient itself: only with dampening is that not what zeros give
        first = group["dampening"] != 0 and id(parameter) not in self._started
        self._started.add(id(parameter))
        return {"first": first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._started = {id(p) for p, values in self.state.items() if "momentum_buffer" in values}

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        g = with_decay(group, scalar, p, g)
        if "momentum_buffer" not in state:
            return away(p, scalar["lr"], g), {}
        momentum = scalar["momentum"]
        share = 1.0 if group["first"] else 1.0 - group["dampening"]
        total = add(mul(momentum, state["momentum_buffer"]), g if share == 1 else scale(g, share))
        direction = add(g, mul(momentum, total)) if group["nesterov"] else total
        return away(p, scalar["lr"], direction), {"momentum_buffer": total}


class Lion(Optimizer):
    """Chen et al. 2023: the sign of an interpolation of momentum and gradient, decoupled weight decay."""

    counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        check_common(lr=lr, weight_decay=weight_decay, betas=betas)
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg",)

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        m = state["exp_avg"]
        direction = pointwise(ops.SIGN, lerp(m, g, one_minus(scalar["beta1"])))
        p = away(decayed(group, scalar, p), scalar["lr"], direction)
        return p, {"exp_avg": lerp(m, g, like(m, 1 - group["betas"][1]))}


class Rprop(Optimizer):
    """Riedmiller & Braun 1993: step sizes grow while the gradient keeps its sign, shrink where it flips."""

    changing = ("lr",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_common(lr=lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("prev", "step_size")

    def initial(self, name: str, group: Group) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        shrink, grow = group["etas"]
        low, high = group["step_sizes"]
        agreement = mul(g, state["prev"])
        zero = like(g, 0)
        flipped = build.less(agreement, zero)
        factor = where(build.less(zero, agreement), like(g, grow), where(flipped, like(g, shrink), like(g, 1)))
        size = pointwise(ops.MAXIMUM, mul(state["step_size"], factor), like(g, low))
        size = pointwise(ops.MINIMUM, size, like(g, high))
        g = where(flipped, zero, g)
        return sub(p, mul(pointwise(ops.SIGN, g), size)), {"prev": g, "step_size": size}
