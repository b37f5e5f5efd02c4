"""Adafactor: Adam without momentum, whose second moment of a matrix is kept as a row and a column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lazygrad.errors import names_what_it_makes
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import cast, div, like, mul, pointwise, scale
from lazygrad.ir.node import Node
from lazygrad.optim.common import away, check, check_common, decayed, lerp, sqrt, square
from lazygrad.optim.optimizer import Group, Optimizer, State
from lazygrad.shape import Shape
from lazygrad.tensor.limits import finfo

names_what_it_makes(__file__)


def mean(node: Node, axes: tuple[int, ...]) -> Node:
    """The mean over axes, which stay as axes of size 1."""
    count = 1
    for axis in axes:
        count *= node.shape[axis]
    return scale(build.reduce(ops.SUM, node, axes), 1 / max(count, 1))


def rms(node: Node) -> Node:
    """The root of the mean square of all elements, 0-d."""
    return build.reshape(sqrt(mean(square(node), tuple(range(node.ndim)))), ())


def at_least(node: Node, low: float) -> Node:
    return pointwise(ops.MAXIMUM, node, like(node, low))


class Adafactor(Optimizer):
    """Shazeer & Stern 2018, as torch has it: `lr` bounds the relative step size min(lr, 1 / sqrt(t)).

    With R, C the running means of g^2 over rows and columns, V = R C / max(mean R, eps1), u = g / max(sqrt(V), eps1):
    p -= max(eps2, rms(p)) * rho * u / max(1, rms(u) / d). Vectors keep V itself.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_common(lr=lr, weight_decay=weight_decay)
        check(beta2_decay <= 0, "beta2_decay value", beta2_decay)
        check(eps[0] is None or eps[0] >= 0, "epsilon1 value", eps[0])
        check(eps[1] >= 0, "epsilon2 value", eps[1])
        check(d >= 1, "clipping threshold d", d)
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def running(self, group: Group, p: Node) -> dict[str, Shape]:
        if p.ndim < 2:
            return {"variance": p.shape}
        return {"row_var": (*p.shape[:-1], 1), "col_var": (*p.shape[:-2], 1, p.shape[-1])}

    def own_options(self, group: Group, parameter: Any) -> Group:
        return {"eps1": finfo(parameter.dtype).eps if group["eps"][0] is None else group["eps"][0]}

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        assert step is not None
        gain = pointwise(ops.POW, step, like(step, group["beta2_decay"]))
        limit = pointwise(ops.RECIPROCAL, sqrt(step))
        return {**scalar, "gain": gain, "rho": pointwise(ops.MINIMUM, scalar["lr"], limit)}

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        eps1, eps2 = group["eps1"], group["eps"][1]
        size = mul(at_least(rms(p), eps2), scalar["rho"])
        p = decayed(group, scalar, p)
        squares = square(g)
        if "variance" in state:
            v = lerp(state["variance"], squares, scalar["gain"])
            after = {"variance": v}
        else:
            rows = lerp(state["row_var"], mean(squares, (p.ndim - 1,)), scalar["gain"])
            columns = lerp(state["col_var"], mean(squares, (p.ndim - 2,)), scalar["gain"])
            v = div(mul(rows, columns), at_least(mean(rows, (p.ndim - 2,)), eps1))
            after = {"row_var": rows, "col_var": columns}
        direction = mul(pointwise(ops.RSQRT, at_least(v, eps1 * eps1)), g)
        clip = at_least(scale(rms(direction), 1 / group["d"]), 1.0)
        return away(p, cast(div(size, clip), p.dtype), direction), after
