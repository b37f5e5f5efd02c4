"""Adam and its descendants."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lazygrad.dtype import float64
from lazygrad.errors import names_what_it_makes
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, cast, div, like, mul, pointwise, scale, shift, sub, where
from lazygrad.ir.node import Node
from lazygrad.optim.common import (
    away,
    bias_correction,
    check,
    check_common,
    decayed,
    lerp,
    one_minus,
    second_moment,
    sqrt,
    with_decay,
)
from lazygrad.optim.optimizer import Group, Optimizer, State

names_what_it_makes(__file__)

Betas = tuple[float, float]


class Adam(Optimizer):
    """Kingma & Ba 2015: p -= lr * m / (sqrt(v) + eps) with m, v the bias-corrected running means of g and
    g^2."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_common(lr, eps, weight_decay, betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        beta1 = scalar["beta1"]
        size = div(scalar["lr"], bias_correction(beta1, step))
        root = sqrt(bias_correction(group["betas"][1], step))
        return {**scalar, "size": size, "root": root, "gain": one_minus(beta1)}

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        if group["decoupled_weight_decay"]:
            p = decayed(group, scalar, p)
        else:
            g = with_decay(group, scalar, p, g)
        m = lerp(state["exp_avg"], g, scalar["gain"])
        v = second_moment(state["exp_avg_sq"], g, group["betas"][1])
        after = {"exp_avg": m, "exp_avg_sq": v}
        if group["amsgrad"]:
            after["max_exp_avg_sq"] = v = pointwise(ops.MAXIMUM, state["max_exp_avg_sq"], v)
        denominator = shift(div(sqrt(v), scalar["root"]), group["eps"])
        return away(p, scalar["size"], div(m, denominator)), after


class AdamW(Adam):
    """Loshchilov & Hutter 2019: Adam whose weight decay shrinks the parameter, not the gradient."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class Adamax(Optimizer):
    """Kingma & Ba 2015, section 7: Adam with the running maximum of |g| instead of v."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_common(lr, eps, weight_decay, betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        size = div(scalar["lr"], bias_correction(scalar["beta1"], step))
        return {**scalar, "size": size, "gain": one_minus(scalar["beta1"])}

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        g = with_decay(group, scalar, p, g)
        m = lerp(state["exp_avg"], g, scalar["gain"])
        fading = scale(state["exp_inf"], group["betas"][1])
        u = pointwise(ops.MAXIMUM, fading, shift(pointwise(ops.ABS, g), group["eps"]))
        return away(p, scalar["size"], div(m, u)), {"exp_avg": m, "exp_inf": u}


class NAdam(Optimizer):
    """Dozat 2016: Adam with Nesterov's momentum, under a warming momentum schedule."""

    counted = ("mu_product",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_common(lr, eps, weight_decay, betas)
        check(momentum_decay >= 0, "momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def initial(self, name: str, group: Group) -> float:
        return 1.0 if name == "mu_product" else 0.0

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        decay = group["momentum_decay"] * math.log(0.96)

        def momentum(count: Node) -> Node:
            warming = shift(scale(pointwise(ops.EXP, scale(count, decay)), -0.5), 1)
            return mul(scalar["beta1"], warming)

        now, coming = momentum(step), momentum(shift(step, 1))
        product = mul(scalar["mu_product"], now)
        return {
            **scalar,
            "next_mu_product": product,
            "by_gradient": div(mul(scalar["lr"], one_minus(now)), one_minus(product)),
            "by_momentum": div(mul(scalar["lr"], coming), one_minus(mul(product, coming))),
            "correction": bias_correction(group["betas"][1], step),
            "gain": one_minus(scalar["beta1"]),
        }

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        if group["decoupled_weight_decay"]:
            p = decayed(group, scalar, p)
        else:
            g = with_decay(group, scalar, p, g)
        m = lerp(state["exp_avg"], g, scalar["gain"])
        v = second_moment(state["exp_avg_sq"], g, group["betas"][1])
        denominator = shift(sqrt(div(v, scalar["correction"])), group["eps"])
        direction = add(mul(scalar["by_gradient"], g), mul(scalar["by_momentum"], m))
        return sub(p, div(direction, denominator)), {"exp_avg": m, "exp_avg_sq": v}


class RAdam(Optimizer):
    """Liu et al. 2020: Adam whose adaptive rate is switched on, rectified, once its variance is tractable."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_common(lr, eps, weight_decay, betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def moments(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        # 0-d in float64: rho is a small difference of large numbers
        t = cast(step, float64)
        beta = group["betas"][1]
        correction = bias_correction(beta, t)
        limit = 2 / (1 - beta) - 1
        rho = sub(like(t, limit), div(scale(mul(t, one_minus(correction)), 2), correction))
        shares = scale(mul(shift(rho, -4), shift(rho, -2)), limit / ((limit - 4) * (limit - 2)))
        trusted = build.less(like(rho, 5), rho)
        rectified = sqrt(mul(where(trusted, div(shares, rho), like(rho, 0)), correction))
        dtype = step.dtype
        return {
            **scalar,
            "size": div(scalar["lr"], bias_correction(scalar["beta1"], step)),
            "gain": one_minus(scalar["beta1"]),
            "trusted": trusted,
            "rectified": cast(rectified, dtype),
        }

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        if group["decoupled_weight_decay"]:
            p = decayed(group, scalar, p)
        else:
            g = with_decay(group, scalar, p, g)
        m = lerp(state["exp_avg"], g, scalar["gain"])
        v = second_moment(state["exp_avg_sq"], g, group["betas"][1])
        adaptive = div(scalar["rectified"], shift(sqrt(v), group["eps"]))
        factor = where(scalar["trusted"], adaptive, like(adaptive, 1))
        return away(p, scalar["size"], mul(m, factor)), {"exp_avg": m, "exp_avg_sq": v}
