"""autocast: which operations run in which dtype, nesting, decorators, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F


def test_dtypes_by_operation():
    x = lg.randn(4, 8)
    layer = nn.Linear(8, 8)
    with lg.autocast("cpu", dtype=lg.bfloat16):
        y = layer(x)
        assert y.dtype is lg.bfloat16
        assert (x @ layer.weight).dtype is lg.bfloat16
        assert F.gelu(y).dtype is lg.bfloat16
        assert F.mse_loss(y, y).dtype is lg.float32
        assert F.cross_entropy(y, lg.tensor([0, 1, 2, 3])).dtype is lg.float32
        q = lg.randn(1, 2, 4, 8)
        assert F.scaled_dot_product_attention(q, q, q).dtype is lg.bfloat16
        assert F.linear(x.double(), layer.weight.double()).dtype is lg.float64
    assert layer(x).dtype is lg.float32


def test_lists_follow_torch_on_the_cpu():
    x = torch.randn(4, 8)
    mine = lg.randn(4, 8)
    functions = ["softmax", "log_softmax", "gelu", "silu", "softplus", "relu", "normalize"]
    with torch.autocast("cpu", dtype=torch.bfloat16), lg.autocast("cpu", dtype=lg.bfloat16):
        a, b = torch.nn.functional.linear(x, torch.randn(8, 8)), F.linear(mine, lg.randn(8, 8))
        for name in functions:
            arguments = {"dim": -1} if "softmax" in name else {}
            theirs = getattr(torch.nn.functional, name)(a, **arguments)
            ours = getattr(F, name)(b, **arguments)
            assert str(theirs.dtype).split(".")[1] == ours.dtype.name, name


def recurrent(name, T, x):
    module = getattr(T.nn, name)(4, 4)
    found = module(x)
    found = found[0] if isinstance(found, tuple) else found
    return found[-1]


FOLLOWED = {
    "prelu": (lambda T, x: T.nn.functional.prelu(x, T.ones(4)), (2, 4)),
    "cosine_embedding": (lambda T, x: T.nn.functional.cosine_embedding_loss(x, x, T.tensor([1, -1])), (2, 4)),
    "triplet": (lambda T, x: T.nn.functional.triplet_margin_loss(x, x, x), (2, 4)),
    "multi_margin": (lambda T, x: T.nn.functional.multi_margin_loss(x, T.tensor([0, 1])), (2, 4)),
    "ctc": (lambda T, x: T.nn.functional.ctc_loss(x, T.tensor([[1, 2]]), T.tensor([4]), T.tensor([2])), (4, 1, 3)),
    "affine_grid": (lambda T, x: T.nn.functional.affine_grid(x, (1, 1, 2, 2), align_corners=False), (1, 2, 3)),
    "grid_sample": (lambda T, x: T.nn.functional.grid_sample(x, x, align_corners=False), (1, 2, 2, 2)),
    "avg_pool2d": (lambda T, x: T.nn.functional.avg_pool2d(x, 2), (1, 4, 4)),
    "lp_pool3d": (lambda T, x: T.nn.functional.lp_pool3d(x, 2, 2), (1, 4, 4, 4)),
    "max_unpool1d": (lambda T, x: T.nn.functional.max_unpool1d(x, T.tensor([[[0, 2]]]), 2), (1, 1, 2)),
    "adaptive_max_pool3d": (lambda T, x: T.nn.functional.adaptive_max_pool3d(x, 2), (1, 4, 4, 4)),
    "adaptive_avg_pool2d": (lambda T, x: T.nn.functional.adaptive_avg_pool2d(x, 2), (1, 4, 4)),
    "reflect_pad1d": (lambda T, x: T.nn.functional.pad(x, (1, 1), "reflect"), (1, 1, 4)),
    "circular_pad1d": (lambda T, x: T.nn.functional.pad(x, (1, 1), "circular"), (1, 1, 4)),
    "tensordot": (lambda T, x: T.tensordot(x, x, 2), (2, 4)),
    **{
        name: (lambda T, x, name=name: recurrent(name, T, x), (2, 4) if "Cell" in name else (2, 3, 4))
        for name in ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
    },
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", FOLLOWED)
def test_dtypes_on_the_cpu_are_torchs(name, dtype):
    program, shape = FOLLOWED[name]
    with torch.autocast("cpu", dtype=torch.bfloat16), lg.autocast("cpu", dtype=lg.bfloat16):
        theirs, mine = (program(T, T.rand(shape).to(getattr(T, dtype))) for T in (torch, lg))
    assert str(theirs.dtype) == f"torch.{mine.dtype.name}"


def test_gradients_reach_float32_weights():
    layer = nn.Linear(8, 3)
    with lg.autocast("cpu"):
        loss = F.cross_entropy(layer(lg.randn(5, 8)), lg.tensor([0, 1, 2, 0, 1]))
    loss.backward()
    assert layer.weight.grad.dtype is lg.float32 and layer.bias.grad.dtype is lg.float32


def test_nesting_and_decorators():
    layer = nn.Linear(2, 2)
    x = lg.ones(1, 2)
    with lg.autocast("cpu", dtype=lg.bfloat16):
        with lg.autocast("cpu", enabled=False):
            assert layer(x).dtype is lg.float32
            assert not lg.is_autocast_enabled("cpu")
        with lg.autocast("cpu", dtype=lg.float16):
            assert layer(x).dtype is lg.float16
        assert layer(x).dtype is lg.bfloat16 and lg.is_autocast_enabled("cpu")

    @lg.amp.autocast("cpu", dtype=lg.bfloat16)
    def run():
        return layer(x)

    assert run().dtype is lg.bfloat16 and run().dtype is lg.bfloat16
    with lg.autocast("cuda", dtype=lg.bfloat16):  # another device's: work here is left alone
        assert layer(x).dtype is lg.float32
    with pytest.raises(RuntimeError, match="device_type"):
        lg.autocast("tpu")


def test_grad_scaler_skips_overflowing_steps():
    layer = nn.Linear(2, 1)
    optimizer = lg.optim.AdamW(layer.parameters(), lr=0.1)
    scaler = lg.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    scales, weights = [], []
    for factor in (1.0, float("inf"), 1.0, 1.0, 1.0):
        loss = (layer(lg.ones(1, 2)) * factor).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scales.append(scaler.get_scale())
        weights.append(layer.weight.numpy(force=True).copy())
    assert scales == [8, 4, 4, 8, 8]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[1] != weights[2]).all()
    assert optimizer.state[layer.weight]["step"].item() == 4
