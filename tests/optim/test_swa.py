"""Averages of weights beside torch's: parameters, buffers, state dicts, batch norm's statistics, the schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.optim import swa_utils

AVERAGES = {
    "equal": lambda S: {},
    "ema": lambda S: {"avg_fn": S.get_ema_avg_fn(0.9)},
    "multi-ema": lambda S: {"multi_avg_fn": S.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    "multi-equal": lambda S: {"multi_avg_fn": S.get_swa_multi_avg_fn()},
    "own": lambda S: {"avg_fn": lambda average, current, count: (average + current * count) / (count + 1)},
}
WEIGHTS = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)


def averaged(T, options):
    S = T.optim.swa_utils
    model = T.nn.Sequential(T.nn.Linear(3, 2), T.nn.BatchNorm1d(2))
    kept = S.AveragedModel(model, **options(S))
    for weight in WEIGHTS:
        with T.no_grad():
            model[0].weight.copy_(T.tensor(weight))
            model[0].bias.copy_(T.tensor(weight[:, 0]))
        model(T.tensor(WEIGHTS[0]))
        kept.update_parameters(model)
    return kept


@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name):
    theirs, mine = (averaged(T, AVERAGES[name]).state_dict() for T in (torch, lg))
    assert list(mine) == list(theirs)
    for key, value in theirs.items():
        assert mine[key].dtype.name == str(value.dtype).removeprefix("torch.")
        np.testing.assert_allclose(mine[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key)


def test_saved_averages_go_on():
    first, second = averaged(lg, AVERAGES["equal"]), averaged(lg, AVERAGES["ema"])
    second.load_state_dict(first.state_dict())
    assert second.n_averaged.item() == 5
    np.testing.assert_allclose(second.module[0].weight.numpy(force=True), WEIGHTS.mean(0), rtol=1e-5)


def test_statistics_of_batch_norms():
    batches = np.random.default_rng(1).normal(2.0, 3.0, (4, 6, 3)).astype(np.float32)
    found = []
    for T in (torch, lg):
        T.manual_seed(0)
        model = T.nn.Sequential(T.nn.BatchNorm1d(3), T.nn.Dropout(0.1)).eval()
        T.optim.swa_utils.update_bn([(T.tensor(b), None) for b in batches], model)
        assert not model.training and model[0].momentum == 0.1
        found.append({k: v.numpy() for k, v in model.state_dict().items()})
    for key, value in found[0].items():
        np.testing.assert_allclose(found[1][key], value, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize("options", [{}, {"anneal_strategy": "linear", "anneal_epochs": 4}, {"anneal_epochs": 0}])
@pytest.mark.parametrize("after", [0, 3])
def test_schedule(options, after):
    rates = []
    for T in (torch, lg):
        optimizer = T.optim.SGD([{"params": [T.nn.Parameter(T.zeros(1))], "lr": r} for r in (0.5, 1.0)])
        decay = T.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        schedule = T.optim.swa_utils.SWALR(optimizer, [0.05, 0.2], **options)
        found = []
        for i in range(15):
            optimizer.step()
            (decay if i < after else schedule).step()
            found.append([g["lr"] for g in optimizer.param_groups])
            if i == 9:
                schedule.load_state_dict(schedule.state_dict())
        rates.append(found)
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-12)


def test_errors():
    model = lg.nn.Linear(1, 1)
    with pytest.raises(AssertionError, match="Only one"):
        swa_utils.AveragedModel(model, avg_fn=len, multi_avg_fn=len)
    with pytest.raises(ValueError, match="decay"):
        swa_utils.get_ema_multi_avg_fn(1.5)
    with pytest.raises(ValueError, match="anneal_strategy"):
        swa_utils.SWALR(lg.optim.SGD(model.parameters()), 0.1, anneal_strategy="sine")
