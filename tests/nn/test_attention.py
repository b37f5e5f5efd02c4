"""scaled_dot_product_attention against torch: masks, causal, grouped heads, dropout, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def heads(*shape):
    return RNG.normal(size=shape)


BOOL = RNG.random((5, 7)) > 0.4
HIDDEN_ROW = BOOL.copy()
HIDDEN_ROW[2] = False
MASKS = {
    "none": None,
    "bool": BOOL,
    "bool per head": RNG.random((2, 3, 5, 7)) > 0.4,
    "bool per batch": RNG.random((2, 1, 5, 7)) > 0.4,
    "row": RNG.random((1, 7)) > 0.3,
    "float": RNG.normal(size=(5, 7)),
    "float per head": RNG.normal(size=(1, 3, 5, 7)),
    "a row that sees nothing": HIDDEN_ROW,
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(compare, name):
    mask = MASKS[name]
    arrays = [heads(2, 3, 5, 8), heads(2, 3, 7, 8), heads(2, 3, 7, 4)]

    def program(lib, q, k, v, *mask):
        return lib.F.scaled_dot_product_attention(q, k, v, *mask)

    compare(program, *arrays, *([] if mask is None else [mask]), tolerance=1e-8)


@pytest.mark.parametrize("sizes", [(5, 5), (5, 7), (7, 5), (1, 1)])
def test_causal(compare, sizes):
    arrays = [heads(2, 3, sizes[0], 8), heads(2, 3, sizes[1], 8), heads(2, 3, sizes[1], 8)]
    compare(lambda lib, *t: lib.F.scaled_dot_product_attention(*t, is_causal=True, scale=0.3), *arrays)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 2, 3)])
def test_any_number_of_leading_dimensions(compare, lead):
    arrays = [heads(*lead, 5, 8), heads(*lead, 6, 8), heads(*lead, 6, 8)]
    compare(lambda lib, *t: lib.F.scaled_dot_product_attention(*t), *arrays)


def test_grouped_heads(compare):
    arrays = [heads(2, 6, 5, 8), heads(2, 2, 5, 8), heads(2, 2, 5, 8)]
    compare(lambda lib, *t: lib.F.scaled_dot_product_attention(*t, is_causal=True, enable_gqa=True), *arrays)


def test_transposed_inputs(compare):
    def program(lib, x):
        q, k, v = (part.view(2, 5, 3, 4).transpose(1, 2) for part in x.split(12, dim=2))
        return lib.F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 5, 12)

    compare(program, heads(2, 5, 36))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves(dtype):
    arrays = [heads(2, 2, 6, 8) for _ in range(3)]
    mine = F.scaled_dot_product_attention(*(lg.tensor(a, dtype=getattr(lg, dtype)) for a in arrays))
    assert mine.dtype is getattr(lg, dtype)
    rounded = (torch.tensor(a).to(getattr(torch, dtype)).double() for a in arrays)
    exact = torch.nn.functional.scaled_dot_product_attention(*rounded)
    np.testing.assert_allclose(mine.numpy().astype(np.float64), exact.numpy(), atol=2e-2)


def test_dropout_drops_weights_and_repeats_in_the_gradient():
    lg.manual_seed(0)
    q = lg.zeros(1, 2, 64, 8)
    v = lg.eye(64).reshape(1, 1, 64, 64).expand(1, 2, 64, 64).contiguous().requires_grad_()
    y = F.scaled_dot_product_attention(q, lg.zeros(1, 2, 64, 8), v, dropout_p=0.25)
    weights = y.detach().numpy()  # v is the identity, so the result is the dropped-out probabilities
    dropped = weights == 0
    assert abs(dropped.mean() - 0.25) < 0.03
    np.testing.assert_allclose(weights[~dropped], 1 / 64 / 0.75, rtol=1e-5)
    y.sum().backward()
    np.testing.assert_allclose(v.grad.numpy()[..., 0], weights.sum(-2), rtol=1e-5)


def test_errors():
    x = lg.zeros(2, 3, 4, 8)
    with pytest.raises(RuntimeError, match="same dtype"):
        F.scaled_dot_product_attention(x, x, x.double())
    with pytest.raises(RuntimeError, match="should not be set when is_causal"):
        F.scaled_dot_product_attention(x, x, x, lg.ones(4, 4, dtype=lg.bool), is_causal=True)
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(x, x, x, lg.ones(3, 5, dtype=lg.bool))
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(x, lg.zeros(2, 3, 4, 7), x)
