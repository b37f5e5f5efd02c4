"""Parametrizations, weight_norm, spectral_norm, orthogonal and fusion against torch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn.utils import parametrizations, parametrize

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


def utils(n):
    return torch.nn.utils if n is torch.nn else nn.utils


LAYERS = {
    "Linear": (lambda n: n.Linear(4, 3), (5, 4)),
    "Conv2d": (lambda n: n.Conv2d(2, 3, 2), (1, 2, 4, 4)),
    "ConvTranspose1d": (lambda n: n.ConvTranspose1d(2, 3, 2), (1, 2, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weight_norm(compare_modules, name, dim, old):
    make, shape = LAYERS[name]

    def normed(n):
        place = utils(n) if old else utils(n).parametrizations
        return place.weight_norm(make(n), dim=dim)

    mine, theirs = compare_modules(normed, numbers(*shape))
    if old:
        nn.utils.remove_weight_norm(mine)
        torch.nn.utils.remove_weight_norm(theirs)
    else:
        parametrize.remove_parametrizations(mine, "weight")
        torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight")
    assert type(mine).__name__ == name and sorted(mine.state_dict()) == sorted(theirs.state_dict())
    np.testing.assert_allclose(mine.weight.numpy(force=True), theirs.weight.detach().numpy(), rtol=1e-9)
    mine(lg.tensor(numbers(*shape))).sum().backward()
    assert mine.weight.grad is not None


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.filterwarnings("ignore:.*spectral_norm")
def test_spectral_norm(compare_modules, name, old):
    make, shape = LAYERS[name]

    def normed(n):
        place = utils(n) if old else utils(n).parametrizations
        return place.spectral_norm(make(n), n_power_iterations=2)

    mine, theirs = compare_modules(normed, numbers(*shape))
    x = numbers(*shape)
    for mode in (True, False, False):
        a, b = theirs.train(mode)(torch.tensor(x)), mine.train(mode)(lg.tensor(x))
        np.testing.assert_allclose(b.numpy(force=True), a.detach().numpy(), rtol=1e-9)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[key].numpy(force=True), value.numpy(), rtol=1e-9, err_msg=key)
    if old:
        nn.utils.remove_spectral_norm(mine)
        torch.nn.utils.remove_spectral_norm(theirs)
        np.testing.assert_allclose(mine.weight.numpy(force=True), theirs.weight.detach().numpy(), rtol=1e-9)
    many = parametrizations.spectral_norm(nn.Linear(6, 5).double(), n_power_iterations=100)
    many(lg.zeros(1, 6).double())
    assert np.linalg.norm(many.weight.numpy(force=True), 2) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_orthogonal(shape):
    layer = parametrizations.orthogonal(nn.Linear(*reversed(shape), bias=False).double())
    optimizer = lg.optim.SGD(layer.parameters(), lr=0.03)
    target = lg.tensor(numbers(2, shape[0]))
    values = []
    for _ in range(4):
        loss = ((layer(lg.ones(2, shape[1]).double()) - target) ** 2).sum()
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        w = layer.weight.numpy(force=True)
        product = w @ w.T if shape[0] <= shape[1] else w.T @ w
        np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)
    assert values[-1] < values[0]
    q = np.linalg.qr(numbers(*shape) if shape[0] >= shape[1] else numbers(*shape[::-1]))[0]
    given = q if shape[0] >= shape[1] else q.T
    layer.weight = lg.tensor(given)
    np.testing.assert_allclose(layer.weight.numpy(force=True), given, atol=1e-12)
    with pytest.raises(NotImplementedError, match="Cayley"):
        parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="matrix_exp")


def symmetric(n):
    class Symmetric(n.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def doubled(n):
    class Doubled(n.Module):
        def forward(self, x):
            return 2 * x

        def right_inverse(self, x):
            return x / 2

    return Doubled()


def test_one_on_top_of_another(compare_modules):
    def make(n):
        layer = n.Linear(3, 3)
        module = utils(n).parametrize
        module.register_parametrization(layer, "weight", symmetric(n))
        return module.register_parametrization(layer, "weight", doubled(n))

    mine, _ = compare_modules(make, numbers(2, 3))
    with lg.no_grad():
        mine.weight = lg.ones(3, 3).double()
    np.testing.assert_allclose(mine.weight.numpy(force=True), np.ones((3, 3)))
    np.testing.assert_array_equal(mine.parametrizations.weight.original.numpy(force=True), np.triu(np.full((3, 3), 0.5)))
    assert parametrize.is_parametrized(mine) and parametrize.is_parametrized(mine, "weight")
    assert not parametrize.is_parametrized(mine, "bias")
    assert parametrize.type_before_parametrizations(mine) is nn.Linear
    twin = copy.deepcopy(mine)
    parametrize.remove_parametrizations(twin, "weight", leave_parametrized=False)
    assert type(twin) is nn.Linear and not parametrize.is_parametrized(twin) and parametrize.is_parametrized(mine)
    np.testing.assert_array_equal(twin.weight.numpy(force=True), np.triu(np.full((3, 3), 0.5)))
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(mine)


def test_the_parameter_stays_the_optimizers():
    layer = nn.Linear(2, 2, bias=False)
    weight = layer.weight
    parametrize.register_parametrization(layer, "weight", symmetric(nn))
    assert layer.parametrizations.weight.original is weight
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight and np.allclose(weight.numpy(force=True), weight.numpy(force=True).T)


def test_cached_and_errors():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(x)
            return x + 1

    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Counted())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
        with parametrize.cached():
            _ = layer.weight
    assert len(calls) == 1 and layer.weight is not layer.weight and len(calls) == 3
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(layer, "nothing", symmetric(nn))
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(nn.Linear(3, 3), "weight", nn.Flatten(0))
    with pytest.raises(ValueError, match="does not have a parametrization"):
        parametrize.remove_parametrizations(nn.Linear(2, 2), "weight")
    with pytest.raises(RuntimeError, match="two WeightNorm"):
        nn.utils.weight_norm(nn.utils.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_weight_norm(nn.Linear(2, 2))


@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_fusion_with_batch_norm(transpose, bias):
    conv = (nn.ConvTranspose2d if transpose else nn.Conv2d)(2, 3, 2, bias=bias).double()
    norm = nn.BatchNorm2d(3).double()
    x = lg.tensor(numbers(4, 2, 5, 5))
    for _ in range(3):
        norm(conv(x))
    with pytest.raises(AssertionError, match="eval"):
        nn.utils.fuse_conv_bn_eval(conv, norm, transpose)
    conv.eval(), norm.eval()
    fused = nn.utils.fuse_conv_bn_eval(conv, norm, transpose)
    np.testing.assert_allclose(fused(x).numpy(force=True), norm(conv(x)).numpy(force=True), rtol=1e-9)
    linear, norm = nn.Linear(4, 3, bias=bias).double(), nn.BatchNorm1d(3, affine=False).double()
    norm(linear(lg.tensor(numbers(6, 4))))
    linear.eval(), norm.eval()
    x = lg.tensor(numbers(2, 4))
    fused = nn.utils.fuse_linear_bn_eval(linear, norm)
    np.testing.assert_allclose(fused(x).numpy(force=True), norm(linear(x)).numpy(force=True), rtol=1e-9)
