"""Optimizers that divide by a running size of the gradient: RMSprop, Adagrad, Adadelta; and ASGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lazygrad.errors import names_what_it_makes
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, div, like, mul, pointwise, scale, shift, sub
from lazygrad.ir.node import Node
from lazygrad.optim.common import (
    away,
    check,
    check_common,
    lerp,
    one_minus,
    over_root,
    second_moment,
    sqrt,
    square,
    with_decay,
)
from lazygrad.optim.optimizer import Group, Optimizer, State

names_what_it_makes(__file__)


class RMSprop(Optimizer):
    """Tieleman & Hinton 2012: the gradient over the root of its running mean square (or variance:
    `centered`)."""

    changing = ("lr", "weight_decay", "momentum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_common(lr, eps, weight_decay)
        check(momentum >= 0, "momentum value", momentum)
        check(alpha >= 0, "alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        alpha = group["alpha"]
        g = with_decay(group, scalar, p, g)
        v = second_moment(state["square_avg"], g, alpha)
        after = {"square_avg": v}
        if group["centered"]:
            mean = add(scale(state["grad_avg"], alpha), scale(g, 1 - alpha))
            after["grad_avg"] = mean
            v = sub(v, square(mean))
        direction = over_root(g, v, group["eps"])
        if "momentum_buffer" in state:
            direction = add(mul(scalar["momentum"], state["momentum_buffer"]), direction)
            after["momentum_buffer"] = direction
        return away(p, scalar["lr"], direction), after


class Adagrad(Optimizer):
    """Duchi, Hazan & Singer 2011: the gradient over the root of the sum of its squares."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_common(lr, eps, weight_decay)
        check(lr_decay >= 0, "lr_decay value", lr_decay)
        check(initial_accumulator_value >= 0, "initial_accumulator_value value", initial_accumulator_value)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def initial(self, name: str, group: Group) -> float:
        return float(group["initial_accumulator_value"])

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        if group["lr_decay"] == 0:
            return scalar
        return {**scalar, "lr": div(scalar["lr"], shift(scale(shift(step, -1), group["lr_decay"]), 1))}

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        g = with_decay(group, scalar, p, g)
        total = add(state["sum"], square(g))
        return away(p, scalar["lr"], over_root(g, total, group["eps"])), {"sum": total}


class Adadelta(Optimizer):
    """Zeiler 2012: steps as large as the recent ones, in proportion to the gradient's recent size."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_common(lr, eps, weight_decay)
        check(0 <= rho <= 1, "rho value", rho)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        rho, eps = group["rho"], group["eps"]
        g = with_decay(group, scalar, p, g)
        v = second_moment(state["square_avg"], g, rho)
        delta = mul(div(sqrt(shift(state["acc_delta"], eps)), sqrt(shift(v, eps))), g)
        after = {"square_avg": v, "acc_delta": second_moment(state["acc_delta"], delta, rho)}
        return away(p, scalar["lr"], delta), after


class ASGD(Optimizer):
    """Polyak & Juditsky 1992: gradient descent at a falling rate; `ax` is the average of the parameters."""

    counted = ("eta", "mu")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_common(lr=lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("ax",)

    def initial(self, name: str, group: Group) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        lr, alpha = scalar["lr"], group["alpha"]
        base = shift(mul(scale(lr, group["lambd"]), step), 1)
        rate = div(lr, pointwise(ops.POW, base, like(base, alpha)))
        waited = shift(step, -group["t0"])
        share = pointwise(ops.RECIPROCAL, pointwise(ops.MAXIMUM, waited, like(waited, 1)))
        return {**scalar, "next_eta": rate, "next_mu": share}

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        g = with_decay(group, scalar, p, g)
        p = mul(p, one_minus(scale(scalar["eta"], group["lambd"])))
        p = away(p, scalar["eta"], g)
        return p, {"ax": lerp(state["ax"], p, scalar["mu"])}
