"""nn.utils.prune against torch: masks, names, several prunings of one parameter, gradients."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

import lazygrad as lg

PRUNE = {library: importlib.import_module(f"{library.__name__}.nn.utils.prune") for library in (torch, lg)}
WEIGHT = np.random.default_rng(0).permutation(24).reshape(4, 6) / 24 - 0.4
STEPS = {
    "identity": lambda T, p, m: p.identity(m, "weight"),
    "smallest": lambda T, p, m: p.l1_unstructured(m, "weight", 5),
    "part": lambda T, p, m: p.l1_unstructured(m, "weight", amount=0.3),
    "rows": lambda T, p, m: p.ln_structured(m, "weight", 2, n=2, dim=0),
    "columns": lambda T, p, m: p.ln_structured(m, "weight", 0.5, n=1, dim=-1),
    "scores": lambda T, p, m: p.l1_unstructured(
        m, "weight", 4, importance_scores=T.arange(24.0).reshape(4, 6)
    ),
    "mask": lambda T, p, m: p.custom_from_mask(m, "weight", T.eye(4, 6)),
}
COMBINED = [[name] for name in STEPS] + [
    ["smallest", "part"],
    ["rows", "columns"],
    ["part", "rows"],
    ["columns", "smallest", "identity"],
    ["part", "mask"],
]


def layer(T):
    module = T.nn.Linear(6, 4)
    with T.no_grad():
        module.weight.copy_(T.tensor(WEIGHT))
    return module


@pytest.mark.parametrize("steps", COMBINED, ids="-".join)
def test_masks_are_torchs(steps):
    found = []
    for T, prune in PRUNE.items():
        module = layer(T)
        for step in steps:
            STEPS[step](T, prune, module)
        assert prune.is_pruned(T.nn.Sequential(module))
        module(T.ones(1, 6)).sum().backward()
        found.append((list(module.state_dict()), module.weight_mask.tolist(), module.weight_orig.grad.tolist()))
        kept = module.weight.detach().tolist()
        prune.remove(module, "weight")
        assert module.weight.tolist() == kept and not prune.is_pruned(module)
        assert isinstance(module.weight, T.nn.Parameter) and sorted(module.state_dict()) == ["bias", "weight"]
    assert found[0] == found[1]


def test_of_several_parameters_at_once():
    found = []
    for T, prune in PRUNE.items():
        first, second = layer(T), T.nn.Linear(2, 2)
        with T.no_grad():
            second.weight.copy_(T.tensor([[0.01, 2.0], [-0.02, 3.0]]))
        for amount in (4, 0.2):
            pairs = [(first, "weight"), (second, "weight")]
            prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=amount)
        found.append((first.weight_mask.tolist(), second.weight_mask.tolist()))
    assert found[0] == found[1]


def test_at_random():
    prune = PRUNE[lg]
    module = prune.random_unstructured(layer(lg), "weight", 0.25)
    assert (module.weight_mask == 0).sum().item() == 6
    module = prune.random_structured(layer(lg), "weight", 2, dim=1)
    assert sorted(module.weight_mask.sum(0).tolist()) == [0, 0, 4, 4, 4, 4]


@pytest.mark.parametrize("amount", [-1, 1.5, "x", 25])
def test_errors(amount):
    raised = []
    for T, prune in PRUNE.items():
        with pytest.raises((ValueError, TypeError)) as caught:
            prune.l1_unstructured(layer(T), "weight", amount)
        raised.append(type(caught.value))
        with pytest.raises(ValueError, match="pruned before"):
            prune.remove(layer(T), "weight")
    assert raised[0] is raised[1]
