"""Learning rate schedules: the same numbers as torch's, step by step, also when resumed or combined."""

from __future__ import annotations

import pytest
import torch

import lazygrad as lg
from lazygrad import nn, optim

CASES = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.95}),
    ("StepLR", {"step_size": 3}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9]}),
    ("ConstantLR", {"total_iters": 4}),
    ("LinearLR", {"total_iters": 6, "start_factor": 0.1}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("PolynomialLR", {"total_iters": 7, "power": 2}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 21}),
    (
        "OneCycleLR",
        {
            "max_lr": [1.0, 2.0],
            "epochs": 7,
            "steps_per_epoch": 3,
            "three_phase": True,
            "anneal_strategy": "linear",
        },
    ),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4, "step_size_down": 2, "mode": "triangular2"},
    ),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9}),
]
NAMES = [f"{name} {i}" for i, (name, _) in enumerate(CASES)]
THEIRS = (torch, torch.nn, torch.optim)
OURS = (lg, nn, optim)


def optimizer_of(lib, kind="SGD"):
    t, module, o = lib
    options = {"momentum": 0.9} if kind == "SGD" else {}
    groups = [
        {"params": [module.Parameter(t.zeros(2))]},
        {"params": [module.Parameter(t.zeros(1))], "lr": 0.2},
    ]
    return getattr(o, kind)(groups, lr=0.5, **options)


def numbers(optimizer):
    return [(g["lr"], g.get("momentum"), g.get("betas")) for g in optimizer.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_the_same_rates(name, options, kind):
    a, b = optimizer_of(THEIRS, kind), optimizer_of(OURS, kind)
    theirs = getattr(torch.optim.lr_scheduler, name)(a, **options)
    mine = getattr(optim.lr_scheduler, name)(b, **options)
    for _ in range(20):
        assert numbers(a) == numbers(b)
        assert mine.get_last_lr() == theirs.get_last_lr()
        a.step()
        b.step()
        theirs.step()
        mine.step()


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_resuming(name, options):
    first, second = optimizer_of(OURS), optimizer_of(OURS)
    one = getattr(optim.lr_scheduler, name)(first, **options)
    two = getattr(optim.lr_scheduler, name)(second, **options)
    for _ in range(7):
        one.step()
    two.load_state_dict(one.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(7):
        one.step()
        two.step()
        assert numbers(first) == numbers(second)


def test_combinations():
    results = []
    for lib in (THEIRS, OURS):
        optimizer = optimizer_of(lib)
        schedules = lib[2].lr_scheduler
        warm = schedules.LinearLR(optimizer, start_factor=0.1, total_iters=4)
        rates = []
        schedule = schedules.SequentialLR(optimizer, [warm, schedules.CosineAnnealingLR(optimizer, 8)], [4])
        optimizer.step()
        for _ in range(14):
            rates.append(optimizer.param_groups[0]["lr"])
            schedule.step()
        chained = schedules.ChainedScheduler(
            [schedules.StepLR(optimizer, 3), schedules.ExponentialLR(optimizer, 0.9)]
        )
        for _ in range(6):
            rates.append(optimizer.param_groups[1]["lr"])
            chained.step()
        results.append(rates)
    assert results[0] == results[1]


@pytest.mark.parametrize("options", [{}, {"mode": "max", "threshold_mode": "abs"}, {"min_lr": [0.1, 0.01]}])
def test_plateau(options):
    results = []
    for lib in (THEIRS, OURS):
        optimizer = optimizer_of(lib)
        schedule = lib[2].lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, cooldown=1, **options)
        rates = []
        for value in [3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]:
            schedule.step(lib[0].tensor(float(value)))
            rates.append(numbers(optimizer))
        results.append(rates)
    assert results[0] == results[1]


def test_rates_set_by_hand_count():
    parameter = nn.Parameter(lg.zeros(1))
    optimizer = optim.SGD([parameter], lr=1.0)
    for rate in (1.0, 0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = lg.ones(1)
        optimizer.step()
    assert parameter.item() == -1.75


def test_a_rate_may_be_a_tensor():
    parameter = nn.Parameter(lg.zeros(1))
    rate = lg.tensor(1.0)
    optimizer = optim.SGD([parameter], lr=rate)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        parameter.grad = lg.ones(1)
        optimizer.step()
        schedule.step()
    assert parameter.item() == -1.5 and rate.item() == 0.25


def test_errors():
    optimizer = optimizer_of(OURS)
    with pytest.raises(TypeError, match="not an Optimizer"):
        optim.lr_scheduler.StepLR(3, 1)
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas"):
        optim.lr_scheduler.LambdaLR(optimizer, [lambda e: 1.0])
    with pytest.raises(KeyError, match="initial_lr"):
        optim.lr_scheduler.StepLR(optimizer, 1, last_epoch=3)
    with pytest.raises(ValueError, match="total_steps"):
        optim.lr_scheduler.OneCycleLR(optimizer, 1.0)
