"""Layers that learn their input's size from the first input or from a state_dict."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn

CASES = {
    "LazyLinear": (lambda n: n.LazyLinear(3), (2, 4)),
    "LazyConv1d": (lambda n: n.LazyConv1d(4, 3, groups=2), (2, 2, 5)),
    "LazyConv2d": (lambda n: n.LazyConv2d(3, 2, bias=False), (2, 5, 4)),
    "LazyConv3d": (lambda n: n.LazyConv3d(3, 2, padding=1), (1, 2, 3, 3, 3)),
    "LazyConvTranspose1d": (lambda n: n.LazyConvTranspose1d(4, 3, 2), (2, 2, 5)),
    "LazyConvTranspose2d": (lambda n: n.LazyConvTranspose2d(4, 3, 2, 1, 1, groups=2), (2, 2, 5, 4)),
    "LazyConvTranspose3d": (lambda n: n.LazyConvTranspose3d(2, 2), (1, 3, 2, 2, 2)),
    "LazyBatchNorm1d": (lambda n: n.LazyBatchNorm1d(), (4, 3)),
    "LazyBatchNorm2d": (lambda n: n.LazyBatchNorm2d(affine=False), (2, 3, 4, 4)),
    "LazyBatchNorm3d": (lambda n: n.LazyBatchNorm3d(track_running_stats=False), (2, 3, 2, 2, 2)),
    "LazyInstanceNorm1d": (lambda n: n.LazyInstanceNorm1d(affine=True), (2, 3, 4)),
    "LazyInstanceNorm2d": (lambda n: n.LazyInstanceNorm2d(affine=True, track_running_stats=True), (2, 3, 4, 4)),
    "LazyInstanceNorm3d": (lambda n: n.LazyInstanceNorm3d(affine=True), (2, 3, 2, 2, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_first_input_or_state_gives_the_shapes(name):
    make, shape = CASES[name]
    theirs, mine, loaded = make(torch.nn), make(nn), make(nn)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    theirs.double().float()
    a = theirs(torch.tensor(x))
    mine.double().float()
    held = list(mine.parameters())
    mine(lg.tensor(x))
    assert type(mine).__name__ == type(theirs).__name__ == name.replace("Lazy", "")
    assert all(p is q and type(q) is nn.Parameter for p, q in zip(held, mine.parameters(), strict=True))
    assert str(mine) == str(theirs)
    fresh = make(torch.nn)  # torch's statistics have moved with its first input
    fresh(torch.tensor(x))
    fresh.load_state_dict(theirs.state_dict())
    state = {k: lg.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    loaded.load_state_dict(state)
    np.testing.assert_allclose(
        loaded(lg.tensor(x)).numpy(force=True), fresh(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    assert str(loaded) == str(fresh) and a.shape == torch.Size(mine(lg.tensor(x)).shape)


def test_what_is_not_known_yet():
    layer = nn.LazyLinear(3)
    assert isinstance(layer.weight, nn.UninitializedParameter) and repr(layer.weight) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="uninitialized parameter"):
        _ = layer.weight.shape
    twin = copy.deepcopy(layer)
    layer(lg.zeros(2, 5))
    assert tuple(layer.weight.shape) == (3, 5) and layer.weight.numpy(force=True).std() > 0.1
    twin(lg.zeros(2, 4))
    assert tuple(twin.weight.shape) == (3, 4) and type(layer) is type(twin) is nn.Linear
    with pytest.raises(RuntimeError, match=r"3D \(unbatched\)"):
        nn.LazyConv2d(3, 2)(lg.zeros(2, 2))
    trained = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    trained(lg.ones(2, 3)).sum().backward()
    assert tuple(trained[2].weight.grad.shape) == (1, 4)
