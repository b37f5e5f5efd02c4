"""Plain training loops reach a steady state: nothing grows, nothing compiles again, nothing runs twice.

The loops are written as anyone would write them, with results still held in the caller's variables when the
next step begins.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lazygrad as lg
from lazygrad import engine, nn
from lazygrad.ir.node import live_nodes, toposort, uncomputed
from lazygrad.ir.op import Kind
from lazygrad.nn import functional as F
from lazygrad.runtime.buffer import live_buffers
from lazygrad.schedule.plan import OpStep, Plan

SETTLED = 4  # steps after which nothing may grow (every 10th step looks at the loss)


class Model(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.hidden = nn.Linear(8, 16)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(16, 11)

    def forward(self, tokens: lg.Tensor) -> lg.Tensor:
        return self.out(self.dropout(F.gelu(self.hidden(self.norm(self.embedding(tokens))))))


def batches(seed: int = 0) -> Iterator[tuple[lg.Tensor, lg.Tensor]]:
    generator = np.random.default_rng(seed)
    while True:
        tokens = generator.integers(0, 11, (4, 6))
        yield lg.tensor(tokens), lg.tensor((tokens * 3 + 1) % 11)


def counted() -> tuple[int, int, int]:
    gc.collect()
    return live_nodes(), len(live_buffers()), len(engine._plans)


@contextmanager
def executed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Plan]]:
    """The plans that are run inside, in order."""
    ran: list[Plan] = []
    original = engine.execute

    def execute(plan: Plan, *rest: Any) -> Any:
        ran.append(plan)
        return original(plan, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "execute", execute)
        yield ran


def products_in(plans: list[Plan]) -> int:
    """How many matrix products these plans compute."""
    steps = [s for plan in plans for s in plan.steps]
    bodies = [(s.node,) if isinstance(s, OpStep) else s.body for s in steps]
    return sum(n.op.kind is Kind.CONTRACT for body in bodies for n in body)


def assert_steady(step: Callable[[int], Any], steps: int, period: int = 10) -> None:
    """The counts after every whole period are those after the first."""
    seen = []
    kept = None
    for i in range(steps):
        kept = step(i)  # the caller holds what it was given until the next step is through
        if i >= SETTLED and i % period == period - 1:
            seen.append(counted())
    assert kept is not None
    assert len(set(seen[1:])) == 1, f"nodes, buffers, plans: {seen}"


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: lg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: lg.optim.SGD(p, lr=0.1, momentum=0.9),
    "AdamW": lambda p: lg.optim.AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_loop_does_not_grow(name: str) -> None:
    """Forward, loss, backward, step, zero_grad; the loss is looked at now and then, the logits never."""
    lg.manual_seed(0)
    model, data = Model(dropout=0.1), batches()
    optimizer = OPTIMIZERS[name](model.parameters())
    losses: list[float] = []

    def step(i: int) -> Any:
        tokens, targets = next(data)
        logits = model(tokens)
        loss = F.cross_entropy(logits.view(-1, 11), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if i % 10 == 0:
            losses.append(loss.item())
        return logits, loss

    assert_steady(step, 100)
    assert losses[-1] < 0.7 * losses[0]


def resident_bytes() -> int:
    """Memory that this process has from the system; 0 where the system doesn't say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if statm.exists() else 0


def test_two_thousand_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is looked at now and then, the logits are still held when the next step begins: memory, nodes and
    buffers stay what they were, nothing is compiled after the second step of either kind (with a look and without),
    and no product is computed twice."""
    lg.manual_seed(0)
    model, data = Model(dropout=0.1), batches()
    optimizer = lg.optim.AdamW(model.parameters(), lr=0.01)
    compiled: list[int] = []
    number = [0]
    original = engine.compile_plan

    def compile_plan(*args: Any) -> Plan:
        compiled.append(number[0])
        return original(*args)

    monkeypatch.setattr(engine, "compile_plan", compile_plan)
    monkeypatch.setattr(engine, "_plans", {})  # other tests have this model too

    def step(i: int) -> Any:
        number[0] = i
        tokens, targets = next(data)
        logits = model(tokens)
        loss = F.cross_entropy(logits.view(-1, 11), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if i % 10 < 2:
            loss.item()
        return logits, loss

    memory = []
    with executed(monkeypatch) as ran:

        def watched(i: int) -> Any:
            kept = step(i)
            if i % 10 == 9:
                assert i < 20 or products_in(ran) == 6 * 10, f"{products_in(ran)} products in steps {i - 9} to {i}"
                ran.clear()
            if i % 500 == 499:
                memory.append(resident_bytes())
            return kept

        assert_steady(watched, 2000, period=100)
    assert compiled and max(compiled) <= 3, f"plans were compiled in steps {compiled}"
    assert memory[-1] - memory[0] < 4 << 20, f"bytes from the system at steps 500, 1000, ...: {memory}"


def test_a_loop_that_never_looks_does_not_grow() -> None:
    """Without a single .item() each step computes the one before it."""
    lg.manual_seed(0)
    model, data = Model(), batches()
    optimizer = lg.optim.AdamW(model.parameters(), lr=0.01)

    def step(i: int) -> Any:
        tokens, targets = next(data)
        loss = F.cross_entropy(model(tokens).view(-1, 11), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=i % 2 == 0)
        return loss

    assert_steady(step, 100)


def test_accumulating_gradients_does_not_grow() -> None:
    lg.manual_seed(0)
    model, data = Model(), batches()
    optimizer = lg.optim.SGD(model.parameters(), lr=0.05)

    def step(i: int) -> Any:
        for _ in range(3):
            tokens, targets = next(data)
            (F.cross_entropy(model(tokens).view(-1, 11), targets.view(-1)) / 3).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return i

    assert_steady(step, 60)


def test_a_loop_without_an_optimizer_does_not_grow() -> None:
    """Updates written by hand, in place, under no_grad."""
    lg.manual_seed(0)
    weight = lg.randn(6, 3, requires_grad=True)
    inputs, wanted = lg.randn(20, 6), lg.randn(20, 3)
    losses = []

    def step(i: int) -> Any:
        loss = ((inputs @ weight - wanted) ** 2).mean()
        loss.backward()
        with lg.no_grad():
            weight.sub_(0.1 * weight.grad)
        weight.grad = None
        if i % 10 == 0:
            losses.append(loss.item())
        return loss

    assert_steady(step, 100)
    assert losses == sorted(losses, reverse=True)


def test_a_running_value_does_not_grow() -> None:
    """A state that each step replaces, looked at every tenth time, and a buffer that is updated in place."""
    state, total = lg.zeros(5), lg.zeros(5)
    held = {"state": state}

    def step(i: int) -> Any:
        held["state"] = (held["state"] * 0.9 + i % 2).tanh()
        total.add_(held["state"])
        if i % 10 == 9:
            held["state"].tolist()
            total.tolist()
        return i

    assert_steady(step, 100)


def test_inference_does_not_grow() -> None:
    lg.manual_seed(0)
    model, data = Model().eval(), batches()

    def step(i: int) -> Any:
        with lg.no_grad():
            logits = model(next(data)[0])
        return logits.argmax(-1).tolist()

    assert_steady(step, 60)


# -- values held across updates -----------------------------------------------------------------------
@pytest.mark.parametrize("backend", ["numpy", "triton"])
def test_what_is_held_across_an_update_keeps_its_value(backend: str) -> None:
    """Computed from the old value, it is the old one's, whenever it is looked at."""
    with lg.config(backend=backend):
        weight = lg.tensor(np.arange(6.0)).requires_grad_()
        before = weight.detach().clone()
        double, row = weight * 2, weight[1:3] + 0
        with lg.no_grad():
            weight.add_(1)
        again = weight * 2
        weight.tolist()
        with lg.no_grad():
            weight.mul_(0)
        np.testing.assert_array_equal(before.numpy(), np.arange(6.0))
        np.testing.assert_array_equal(double.detach().numpy(), 2 * np.arange(6.0))
        np.testing.assert_array_equal(row.detach().numpy(), [1, 2])
        np.testing.assert_array_equal(again.detach().numpy(), 2 * np.arange(6.0) + 2)
        np.testing.assert_array_equal(weight.detach().numpy(), np.zeros(6))


@pytest.mark.parametrize("backend", ["numpy", "triton"])
def test_logits_of_the_step_before_are_still_right(backend: str) -> None:
    """The logits were made from parameters that the optimizer has overwritten since."""
    with lg.config(backend=backend):
        lg.manual_seed(0)
        model, data = Model(), batches()
        optimizer = lg.optim.SGD(model.parameters(), lr=0.5)
        tokens, targets = next(data)
        with lg.no_grad():
            expected = model(tokens).numpy()
        logits = model(tokens)
        F.cross_entropy(logits.view(-1, 11), targets.view(-1)).backward()
        optimizer.step()
        model.out.weight.tolist()
        np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
        with lg.no_grad():
            assert not np.allclose(model(tokens).numpy(), expected)


# -- nothing runs twice -------------------------------------------------------------------------------
def test_one_step_computes_each_product_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products forward, two for each backward (the first needs none for its input): with no look before
    the step, everything is one plan."""
    lg.manual_seed(0)
    model, data = Model(), batches()
    optimizer = lg.optim.SGD(model.parameters(), lr=0.1)

    def step() -> lg.Tensor:
        tokens, targets = next(data)
        loss = F.cross_entropy(model(tokens).view(-1, 11), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    for _ in range(3):
        step().item()
    with executed(monkeypatch) as ran:
        step().item()
    assert products_in(ran) == 6, [len(plan.steps) for plan in ran]


def test_looking_at_the_loss_before_backward_runs_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """loss.item() keeps what backward will need: the forward products are not computed again."""
    lg.manual_seed(0)
    model, data = Model(), batches()
    optimizer = lg.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        tokens, targets = next(data)
        loss = F.cross_entropy(model(tokens).view(-1, 11), targets.view(-1))
        loss.item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        model.out.weight.tolist()

    for _ in range(3):
        step()
    with executed(monkeypatch) as ran:
        step()
    assert products_in(ran) == 6, f"{products_in(ran)} products in {len(ran)} plans; 6 would do"


def test_nothing_compiles_after_the_second_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changing learning rate, other data, other random numbers: the same plans."""
    lg.manual_seed(0)
    model, data = Model(dropout=0.2), batches()
    optimizer = lg.optim.AdamW(model.parameters(), lr=0.01)
    schedule = lg.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    compiled: list[int] = []  # the steps in which a plan was
    losses: list[float] = []
    original = engine.compile_plan

    def compile_plan(*args: Any) -> Plan:
        compiled.append(len(losses))
        return original(*args)

    monkeypatch.setattr(engine, "compile_plan", compile_plan)
    for _ in range(20):
        tokens, targets = next(data)
        loss = F.cross_entropy(model(tokens).view(-1, 11), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    assert compiled and max(compiled) <= 2, f"plans were compiled in steps {compiled}"


@pytest.mark.parametrize("start", [lambda: lg.tensor(np.linspace(0, 1, 5)), lambda: lg.linspace(0, 1, 5)], ids=["data", "constant"])
def test_a_number_read_in_every_round_plans_no_round_again(monkeypatch: pytest.MonkeyPatch, start: Any) -> None:
    """x = f(x) with f cheap: what the last rounds computed is kept in time, and plans repeat."""
    sizes: list[int] = []  # nodes of each plan that was compiled
    original = engine.compile_plan

    def compile_plan(roots: Any, *rest: Any) -> Plan:
        sizes.append(len(toposort(roots)))
        return original(roots, *rest)

    monkeypatch.setattr(engine, "compile_plan", compile_plan)
    x, expected = start(), np.linspace(0, 1, 5)
    for _ in range(100):
        x = x * 0.5 + x.sin()
        expected = expected * 0.5 + np.sin(expected)
        assert x.sum().item() == pytest.approx(expected.sum())
    assert len(sizes) < 40 and max(sizes) < 120, sizes


def test_selecting_again_and_again_plans_little() -> None:
    """Non-maximum suppression in small: a mask cuts down what is left, one number of it is read."""
    left, seen = lg.tensor(np.arange(60)), []
    while left.numel():
        seen.append(left[0].item())
        left = left[1:][left[1:] % (len(seen) + 1) != 0]
        assert len(uncomputed([left.node])) < 80
    reference, expected = list(range(60)), []
    while reference:
        expected.append(reference[0])
        reference = [r for r in reference[1:] if r % (len(expected) + 1)]
    assert seen == expected
