"""Clipping and vectors of parameters against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import engine, nn


def parameters(library, module, scale=1.0):
    rng = np.random.default_rng(0)
    made = []
    for shape in [(3, 4), (5,), (), (0,)]:
        parameter = module.Parameter(library.tensor(rng.normal(size=shape)))
        parameter.grad = library.tensor(rng.normal(size=shape) * scale)
        made.append(parameter)
    made.append(module.Parameter(library.tensor(np.ones(2))))  # without a gradient
    return made


@pytest.mark.parametrize("norm", [2.0, 1.0, 3.0, float("inf")])
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clip_grad_norm(norm, limit):
    theirs, mine = parameters(torch, torch.nn), parameters(lg, nn)
    a = torch.nn.utils.clip_grad_norm_(theirs[:3], limit, norm)
    b = nn.utils.clip_grad_norm_(mine[:3], limit, norm)
    assert b.item() == pytest.approx(a.item(), rel=1e-12) and b.dtype is lg.float64
    for p, q in zip(theirs[:3], mine[:3]):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-6)


def test_clipping_reads_nothing_back(monkeypatch):
    mine = parameters(lg, nn)

    def refuse(*args, **kwargs):
        raise AssertionError("realized")

    monkeypatch.setattr(engine, "realize", refuse)
    nn.utils.clip_grad_norm_(mine, 1.0)
    nn.utils.clip_grad_value_(mine, 1.0)


def test_nonfinite_norms_are_refused_on_request():
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(parameters(lg, nn, float("inf")), 1.0, error_if_nonfinite=True)


def test_clip_grad_value_and_total_norm():
    theirs, mine = parameters(torch, torch.nn), parameters(lg, nn)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    nn.utils.clip_grad_value_(mine, 0.3)
    for p, q in zip(theirs[:-1], mine[:-1]):
        np.testing.assert_array_equal(q.grad.numpy(), p.grad.numpy())
    a = torch.nn.utils.get_total_norm([p.grad for p in theirs[:-1]])
    assert nn.utils.get_total_norm([p.grad for p in mine[:-1]]).item() == pytest.approx(a.item())


def test_no_gradients_at_all():
    assert nn.utils.clip_grad_norm_([nn.Parameter(lg.ones(2))], 1.0).item() == 0


def test_vectors():
    mine = parameters(lg, nn)
    vector = nn.utils.parameters_to_vector(mine)
    assert tuple(vector.shape) == (20,)
    nn.utils.vector_to_parameters(lg.arange(20).double(), mine)
    assert mine[1].tolist() == [12, 13, 14, 15, 16] and mine[0].requires_grad


def test_older_names():
    for T in (torch, lg):
        module = T.nn.utils.skip_init(T.nn.Linear, 3, out_features=2)
        assert tuple(module.weight.shape) == (2, 3) and module.weight.requires_grad
        assert T.nn.utils.convert_conv2d_weight_memory_format(module, T.contiguous_format) is module
        with pytest.warns(FutureWarning):
            assert T.nn.init.constant(module.weight, 2.0) is module.weight
        module(T.ones(1, 3)).sum().backward()
        with pytest.warns(FutureWarning):
            assert T.nn.utils.clip_grad_norm([module.weight], 1.0).item() == pytest.approx(6**0.5)
        assert T.nn.parameter.is_lazy(T.nn.LazyLinear(2).weight) and not T.nn.parameter.is_lazy(module.weight)
    with pytest.raises(TypeError, match="memory_format"):
        nn.utils.convert_conv2d_weight_memory_format(nn.Conv2d(1, 1, 1), 3)
