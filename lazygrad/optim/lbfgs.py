"""L-BFGS: steps along an approximate inverse Hessian made of the last changes of gradient and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.optim.common import check_common
from lazygrad.optim.line_search import Point, strong_wolfe
from lazygrad.optim.optimizer import Optimizer
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode, protected, wrap
from lazygrad.tensor.creation import tensor


class LBFGS(Optimizer):
    """Liu & Nocedal 1989. step() needs a closure that evaluates the model and calls backward().

    One group only; the state is that of the first parameter, as in torch. The method decides by values, so
    it reads a few numbers from the device in every iteration.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_common(lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params: list[Any] = self.param_groups[0]["params"]

    # -- all parameters as one vector
    def _gradient(self) -> Tensor:
        parts: list[Node] = []
        for p in self._params:
            node = build.like(p.node, 0) if p.grad is None else p.grad.node
            parts.append(build.reshape(build.detach(node), (node.numel,)))
        return wrap(build.concat(parts, 0)).realize()

    def _move(self, values: list[Node], length: float, direction: Tensor) -> None:
        """Parameters = values + length * direction."""
        size = tensor(length, dtype=direction.dtype, device=direction.device)
        step, start = (direction * size).node, 0
        for p, value in zip(self._params, values, strict=True):
            part = build.slice_(step, [(start, start + value.numel, 1)])
            p._write(build.add(value, build.cast(build.reshape(part, value.shape), value.dtype)))
            start += value.numel

    def _values(self) -> list[Node]:
        return [protected(build.detach(p.realize().node)) for p in self._params]

    @staticmethod
    def _largest(vector: Tensor) -> float:
        size = build.pointwise(ops.ABS, vector.node)
        return float(wrap(build.reduce(ops.MAX, size, (0,))).item())

    @staticmethod
    def _dot(a: Tensor, b: Tensor) -> Tensor:
        return wrap(build.reduce(ops.SUM, build.mul(a.node, b.node), (0,), keepdim=False))

    # -- the direction
    def _remember(self, state: dict[str, Any], gradient: Tensor, history: int) -> None:
        y = gradient - state["prev_flat_grad"]
        s = state["d"] * tensor(state["t"], dtype=y.dtype, device=y.device)
        ys = self._dot(y, s)
        if ys.item() <= 1e-10:
            return
        for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / ys)):
            if len(state[name]) == history:
                state[name].pop(0)
            state[name].append(value.realize())
        state["H_diag"] = (ys / self._dot(y, y)).realize()

    def _direction(self, state: dict[str, Any], gradient: Tensor) -> Tensor:
        """- H * gradient by the two loops of Nocedal (1980)."""
        q = -gradient
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        factors = []
        for y, s, ro in reversed(pairs):
            factor = self._dot(s, q) * ro
            q = q - y * factor
            factors.append(factor)
        d = q * state["H_diag"]
        for (y, s, ro), factor in zip(pairs, reversed(factors), strict=True):
            d = d + s * (factor - self._dot(y, d) * ro)
        return d.realize()

    # -- stepping
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations, evaluating `closure` at each; returns the loss before."""
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that evaluates the model")
        with grad_mode(False):
            return self._iterate(closure)

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, float, Tensor]:
        with grad_mode(True):
            loss = closure()
        return loss, float(loss), self._gradient()

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        for name, value in (("func_evals", 0), ("n_iter", 0)):
            state.setdefault(name, value)
        first, loss, gradient = self._evaluate(closure)
        state["func_evals"] += 1
        evaluations = 1
        if self._largest(gradient) <= group["tolerance_grad"]:
            return first
        lr = float(group["lr"])
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1)
                total = wrap(build.reduce(ops.SUM, build.pointwise(ops.ABS, gradient.node), (0,)))
                state["t"] = min(1.0, 1.0 / float(total.item())) * lr
            else:
                self._remember(state, gradient, group["history_size"])
                state["d"] = self._direction(state, gradient)
                state["t"] = lr
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            slope = float(self._dot(gradient, state["d"]).item())
            if slope > -group["tolerance_change"]:
                break
            used = 0
            values = self._values()
            if group["line_search_fn"]:
                start = Point(0.0, loss, slope, gradient)
                point, used = self._search(closure, values, start, group["max_eval"] - evaluations)
                loss, gradient, state["t"] = point.loss, point.gradient, point.t
                self._move(values, state["t"], state["d"])
            else:
                self._move(values, state["t"], state["d"])
                if iteration != group["max_iter"]:
                    _, loss, gradient = self._evaluate(closure)
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if self._finished(group, state, gradient, loss, iteration, evaluations):
                break
        return first

    def _search(self, closure: Callable[[], Any], values: list[Node], start: Point, most: int) -> tuple[Point, int]:
        direction = self.state[self._params[0]]["d"]

        def evaluate(t: float) -> Point:
            self._move(values, t, direction)
            _, loss, gradient = self._evaluate(closure)
            return Point(t, loss, float(self._dot(gradient, direction).item()), gradient)

        reach = self._largest(direction)
        return strong_wolfe(evaluate, start, self.state[self._params[0]]["t"], reach, most=most)

    def _finished(
        self, group: dict[str, Any], state: dict[str, Any], gradient: Tensor, loss: float, i: int, used: int
    ) -> bool:
        if i == group["max_iter"] or used >= group["max_eval"]:
            return True
        change = group["tolerance_change"]
        return (
            self._largest(gradient) <= group["tolerance_grad"]
            or self._largest(state["d"]) * abs(state["t"]) <= change
            or abs(loss - state["prev_loss"]) < change
        )
