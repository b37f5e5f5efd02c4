"""Gradients of what stands between two views, which are one view where nobody asks."""

from __future__ import annotations

import pytest
import torch

import lazygrad as lg
from lazygrad import engine

VIEWS = {
    "reshape": (lambda x: x.exp().reshape(2, 6), lambda y: y.reshape(3, 4)),
    "back": (lambda x: x.exp().reshape(2, 6), lambda y: y.reshape(4, 3)),
    "transposed back": (lambda x: x.exp().t(), lambda y: y.t()),
    "permute": (lambda x: x.exp().view(2, 2, 3).permute(2, 0, 1), lambda y: y.permute(1, 0, 2)),
    "slice": (lambda x: x.exp()[1:], lambda y: y[:, ::2]),
    "expand": (lambda x: x.exp()[None].expand(2, 4, 3), lambda y: y.expand(5, 2, 4, 3)),
    "views of a leaf": (lambda x: x.t(), lambda y: y.t()),
    "embedding": (lambda x: x[[[0, 1], [3, 0]],], lambda y: y.view(2, -1)),
}


def leaf(T):
    return T.arange(12.0, dtype=T.float64).div(10).reshape(4, 3).clone().requires_grad_()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("early", [True, False])
def test_retained_hooked_and_asked_for(name, early, backend):
    first, second = VIEWS[name]
    found = []
    for T in (torch, lg):
        x, seen = leaf(T), []
        middle = first(x)
        if early:
            middle.retain_grad()
            middle.register_hook(seen.append)
        loss = second(middle).pow(2).sum()
        if not early:
            middle.retain_grad()
            middle.register_hook(seen.append)
        (asked,) = T.autograd.grad(loss, middle, retain_graph=True)
        middle.grad = None  # torch's grad() has retained it too
        loss.backward()
        found.append([g.tolist() for g in (asked, middle.grad, x.grad, *seen)])
    assert found[0] == found[1]


def test_a_plan_has_one_view():
    """What autograd keeps apart is one for the compiler."""
    x = leaf(lg)
    x.tolist()
    plans = len(engine._plans)
    x.t().reshape(6, 2).reshape(2, 6).reshape(12).exp().tolist()
    x.t().reshape(12).exp().tolist()
    made = [list(engine._plans.values())[i].plan for i in range(plans, len(engine._plans))]
    assert len({len(plan.steps) for plan in made}) == 1
