"""Every combination of every optimizer's options beside torch's: ten steps, a gradient that comes late, one that is
missing once, a rate changed by hand; in float64, and a few in bfloat16."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn, optim

SHAPES = [(4, 3), (3,), (), (2, 3, 2)]
SIGN = {"maximize": [False, True]}
DECAY = {"weight_decay": [0, 0.1]}
GRID = {
    "SGD": {"momentum": [0, 0.9], "dampening": [0, 0.3], "nesterov": [False, True]},
    "Adam": {"betas": [(0.9, 0.999), (0.5, 0.7)], "amsgrad": [False, True], "decoupled_weight_decay": [False, True]},
    "AdamW": {"amsgrad": [False, True]},
    "Adamax": {},
    "NAdam": {"decoupled_weight_decay": [False, True], "momentum_decay": [4e-3, 0.1]},
    "RAdam": {"decoupled_weight_decay": [False, True], "betas": [(0.9, 0.999), (0.9, 0.9)]},
    "RMSprop": {"momentum": [0, 0.5], "centered": [False, True], "alpha": [0.99, 0.5]},
    "Adagrad": {"lr_decay": [0, 0.1], "initial_accumulator_value": [0, 0.3]},
    "Adadelta": {"rho": [0.9, 0.5]},
    "Rprop": {"etas": [(0.5, 1.2), (0.3, 2.0)], "step_sizes": [(1e-6, 50), (1e-3, 0.02)]},
    "ASGD": {"lambd": [1e-4, 0.1], "t0": [3, 1e6], "alpha": [0.75, 0.5]},
    "Adafactor": {"d": [1.0, 2.0], "eps": [(None, 1e-3), (1e-5, 0.1)], "beta2_decay": [-0.8, -0.5], "lr": [0.01, 0.5]},
}


def combinations(name):
    grid = GRID[name] | SIGN | ({} if name == "Rprop" else DECAY)
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        if not (options.get("nesterov") and (options["momentum"] == 0 or options["dampening"] != 0)):
            yield options


def ten_steps(name, options, dtype):
    """The parameters of both after ten steps, as float64 arrays."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s) for s in SHAPES]
    theirs = [torch.tensor(v, dtype=getattr(torch, dtype)).requires_grad_() for v in values]
    mine = [nn.Parameter(lg.tensor(v, dtype=getattr(lg, dtype))) for v in values]
    a = getattr(torch.optim, name)(theirs, **options)
    b = getattr(optim, name)(mine, **options)
    for i in range(10):
        if i == 4:
            for optimizer in (a, b):
                optimizer.param_groups[0]["lr"] *= 0.7
        for k, (p, q) in enumerate(zip(theirs, mine, strict=True)):
            g = rng.normal(size=q.shape)
            absent = (k == 1 and i < 3) or (k == 3 and i == 6)
            p.grad = None if absent else torch.tensor(g, dtype=p.dtype)
            q.grad = None if absent else lg.tensor(g, dtype=q.dtype)
        a.step()
        b.step()
    return [p.detach().double().numpy() for p in theirs], [q.detach().double().numpy() for q in mine]


@pytest.mark.parametrize(
    ("name", "options"),
    [(n, o) for n in GRID for o in combinations(n)],
    ids=[f"{n}-{i}" for n in GRID for i, _ in enumerate(combinations(n))],
)
def test_every_combination(name, options):
    for want, got in zip(*ten_steps(name, options, "float64"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", GRID)
def test_bfloat16_parameters(name):
    """torch rounds after every operation, lazygrad once a step: they agree as far as bfloat16 goes."""
    for want, got in zip(*ten_steps(name, {}, "bfloat16"), strict=True):
        np.testing.assert_allclose(got, want, rtol=0.05, atol=0.05)
