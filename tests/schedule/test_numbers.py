"""Numbers that change from step to step become data; what a formula is made of stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lazygrad as lg
from lazygrad import engine
from lazygrad.schedule import numbers


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Any:
    """How many plans there are, counted from none."""
    monkeypatch.setattr(engine, "_plans", {})
    monkeypatch.setattr(numbers, "_forms", {})
    return lambda: len(engine._plans)


@pytest.mark.usefixtures("backend")
def test_a_changing_rate_is_planned_twice(plans: Any) -> None:
    x = lg.tensor(np.arange(6, dtype=np.float32))
    plain = np.arange(6, dtype=np.float32)
    for step in range(8):
        rate = 0.1 * 0.9**step
        np.testing.assert_array_equal((x - rate * x.cos() + 3).numpy(force=True), plain - np.float32(rate) * np.cos(plain) + 3)
    assert plans() == 2


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_only_what_differs_is_data(plans: Any, dtype: str) -> None:
    x = lg.tensor(np.linspace(0.1, 2, 7), dtype=getattr(lg, dtype)).realize()
    for a, b in [(0.3, 7.0), (0.4, 7.0), (0.3, 7.0), (0.7, 9.0), (0.8, 11.0)]:
        expected = (x.numpy(force=True) * np.asarray(a, dtype) + np.asarray(b, dtype)).astype(dtype)
        np.testing.assert_allclose((x * a + b).numpy(force=True), expected, rtol=1e-7)
    assert plans() == 3  # as it is; a as data; both as data


def test_what_tells_a_formula_is_no_data(plans: Any) -> None:
    """Exponents, and the numbers that simplification looks at."""
    x = lg.rand(5).realize()
    for power in (3.0, 5.0, 7.0):
        np.testing.assert_allclose((x**power).numpy(force=True), x.numpy(force=True) ** power, rtol=1e-6)
    for factor in (1.0, 2.0, 0.5, 0.0):
        np.testing.assert_array_equal((x * factor).numpy(force=True), x.numpy(force=True) * np.float32(factor))
    assert plans() >= 6


def test_infinite_and_whole_numbers_stay(plans: Any) -> None:
    x, n = lg.randn(4).realize(), lg.arange(4).realize()
    for bound in (float("inf"), 3.5, float("-inf")):
        np.testing.assert_array_equal(x.clamp(max=bound).numpy(force=True), np.minimum(x.numpy(force=True), np.float32(bound)))
    for k in (3, 4, 5):
        np.testing.assert_array_equal((n * k).numpy(force=True), np.arange(4) * k)


@pytest.mark.usefixtures("backend")
def test_an_update_by_hand_is_one_plan_a_step(plans: Any) -> None:
    """Momentum and a decaying rate, parameters that were filled in place and never read."""
    w = lg.empty(3, 2).fill_(0.5).requires_grad_()
    velocity, counts = lg.zeros_like(w), []
    x = lg.tensor(np.linspace(-1, 1, 12).reshape(4, 3), dtype=lg.float32)
    for step in range(10):
        loss = ((x @ w).tanh() - 0.25).square().mean()
        (grad,) = lg.autograd.grad(loss, [w])
        with lg.no_grad():
            velocity.mul_(0.9).add_(grad)
            w -= 0.3 / (1 + step) * velocity
        float(loss)
        counts.append(plans())
    assert counts[-1] == counts[3] <= 4


def test_clipped_gradients_and_an_optimizer_are_one_plan_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that are scaled in place wait for the update that reads them."""
    model = lg.nn.Sequential(lg.nn.Linear(3, 4), lg.nn.Tanh(), lg.nn.Linear(4, 1))
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-2)
    x, runs = lg.randn(5, 3).realize(), []
    execute = engine.execute
    monkeypatch.setattr(engine, "execute", lambda *given: runs.append(1) or execute(*given))
    for _ in range(6):
        runs.clear()
        loss = model(x).square().mean()
        loss.backward()
        lg.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
    assert len(runs) == 1
