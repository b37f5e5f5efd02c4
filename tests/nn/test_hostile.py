"""Layers on empty batches, in half precision, trained at random, and differentiated twice, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


EMPTY = {
    "Linear": (lambda n: n.Linear(4, 3), (0, 4)),
    "Conv2d": (lambda n: n.Conv2d(2, 3, 2), (0, 2, 4, 4)),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(2, 3, 2), (0, 2, 4, 4)),
    "MaxPool2d": (lambda n: n.MaxPool2d(2), (0, 2, 4, 4)),
    "AvgPool1d": (lambda n: n.AvgPool1d(2), (0, 2, 4)),
    "AdaptiveMaxPool2d": (lambda n: n.AdaptiveMaxPool2d(2), (0, 2, 4, 3)),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d(2), (0, 2, 4, 3)),
    "LayerNorm": (lambda n: n.LayerNorm(4), (0, 4)),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(4), (0, 4, 2)),
    "ReflectionPad1d": (lambda n: n.ReflectionPad1d(1), (0, 2, 4)),
    "GELU": (lambda n: n.GELU(), (0, 4)),
    "CosineSimilarity": (lambda n: n.CosineSimilarity(), (0, 3), (0, 3)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_batches(compare_modules, name):
    make, *shapes = EMPTY[name]
    compare_modules(make, *(numbers(*s) for s in shapes))


HALVES = {
    "LSTM": (lambda n: n.LSTM(3, 4, proj_size=2), (5, 2, 3)),
    "MultiheadAttention": (lambda n: n.MultiheadAttention(8, 2, add_bias_kv=True), (3, 2, 8)),
    "ConvTranspose3d": (lambda n: n.ConvTranspose3d(2, 2, 2), (1, 2, 2, 2, 2)),
    "AdaptiveMaxPool1d": (lambda n: n.AdaptiveMaxPool1d(3), (2, 3, 7)),
    "LPPool2d": (lambda n: n.LPPool2d(2, 2), (1, 2, 4, 4)),
    "InstanceNorm3d": (lambda n: n.InstanceNorm3d(2), (1, 2, 3, 3, 3)),
}


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves(name, dtype):
    make, shape = HALVES[name]
    mine, theirs = make(nn), make(torch.nn).double()
    x = np.abs(numbers(*shape))
    mine.to(getattr(lg, dtype))
    theirs.load_state_dict({k: torch.tensor(v.detach().double().numpy()) for k, v in mine.state_dict().items()})
    y = lg.tensor(x, dtype=getattr(lg, dtype))
    call = lambda m, x: m(x, x, x)[0] if name == "MultiheadAttention" else m(x)
    found, exact = call(mine, y), call(theirs, torch.tensor(y.double().numpy()))
    if isinstance(found, tuple):
        found, exact = found[0], exact[0]
    assert found.dtype is getattr(lg, dtype)
    step = {"bfloat16": 2.0**-8, "float16": 2.0**-11}[dtype]
    np.testing.assert_allclose(found.double().numpy(force=True), exact.detach().numpy(), rtol=8 * step, atol=8 * step)


# -- at random ----------------------------------------------------------------------------------------
def test_alpha_dropout_keeps_mean_and_variance():
    lg.manual_seed(0)
    x = lg.randn(400, 300, requires_grad=True)
    y = nn.AlphaDropout(0.2)(x)
    values = y.numpy(force=True)
    assert abs(values.mean()) < 0.02 and abs(values.std() - 1) < 0.02
    y.sum().backward()
    kept = x.grad.numpy() != 0
    assert abs(kept.mean() - 0.8) < 0.01 and len(np.unique(x.grad.numpy()[kept])) == 1
    channels = nn.FeatureAlphaDropout(0.5)(lg.randn(20, 30, 4, 5)).numpy()
    constant = channels.reshape(600, 20).std(1) == 0
    assert 0.4 < constant.mean() < 0.6
    assert F.alpha_dropout(x, 0.3) is x


@pytest.mark.parametrize("name", ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"])
def test_dropout_layers(name):
    lg.manual_seed(0)
    positions = int(name[-2]) if name[-1] == "d" else 0
    layer, x = getattr(nn, name)(0.25), lg.ones(50, 40, *[2] * positions, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    values = y.numpy(force=True)
    np.testing.assert_array_equal(x.grad.numpy(), values)
    np.testing.assert_allclose(np.unique(values), [0, 1 / 0.75], rtol=1e-6)
    assert abs((values != 0).mean() - 0.75) < 0.03
    assert (values.reshape(2000, -1).std(1) == 0).all() and layer.eval()(x) is x


def test_rrelu_slopes():
    lg.manual_seed(0)
    x = lg.full((1000,), -1.0, requires_grad=True)
    y = nn.RReLU(0.1, 0.4)(x)
    y.sum().backward()
    slopes = -y.numpy(force=True)
    assert 0.1 <= slopes.min() < 0.12 and 0.38 < slopes.max() <= 0.4
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6)


def test_dropout_inside_layers_belongs_to_training():
    lg.manual_seed(0)
    x = lg.randn(4, 2, 8)
    layers = [nn.LSTM(8, 8, 2, dropout=0.5), nn.TransformerEncoderLayer(8, 2, 16), nn.GroupedQueryAttention(8, 2, dropout=0.5)]
    for layer in layers:
        first = lambda layer=layer: (y[0] if isinstance(y := layer(x), tuple) else y).numpy(force=True)
        assert (first() != first()).any()
        layer.eval()
        np.testing.assert_array_equal(first(), first())


# -- twice --------------------------------------------------------------------------------------------
TWICE = {
    "AdaptiveMaxPool2d": (lambda n: n.AdaptiveMaxPool2d((2, 3)), (1, 2, 5, 4)),
    "LSTM": (lambda n: n.LSTM(3, 4, proj_size=2), (3, 2, 3)),
    "MultiheadAttention": (lambda n: n.MultiheadAttention(8, 2, add_zero_attn=True), (3, 2, 8)),
    "InstanceNorm3d": (lambda n: n.InstanceNorm3d(2), (1, 2, 2, 3, 2)),
    "ConvTranspose3d": (lambda n: n.ConvTranspose3d(2, 2, 2), (1, 2, 2, 2, 2)),
    "weight_norm": (
        lambda n: (torch.nn.utils if n is torch.nn else nn.utils).parametrizations.weight_norm(n.Linear(3, 2)),
        (4, 3),
    ),
}


@pytest.mark.parametrize("name", TWICE)
def test_second_gradients(compare_modules, name):
    make, shape = TWICE[name]

    def call(module, x):
        grad = torch.autograd.grad if isinstance(x, torch.Tensor) else lg.autograd.grad
        y = module(x, x, x) if name == "MultiheadAttention" else module(x)
        y = y[0] if isinstance(y, tuple) else y
        (g,) = grad((y.tanh() ** 2).sum(), x, create_graph=True)
        return (g**2).sum()

    compare_modules(make, numbers(*shape), call=call)
