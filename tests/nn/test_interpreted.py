"""What is composed of several gathers, scatters or steps, in Triton's interpreter against torch."""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


PROGRAMS = {
    "grid_sample": (
        lambda lib, x, g: lib.F.grid_sample(x, g, padding_mode="reflection", align_corners=False),
        numbers(1, 2, 3, 3),
        RNG.uniform(-1.5, 1.5, size=(1, 2, 2, 2)),
    ),
    "max_unpool": (
        lambda lib, x: lib.F.max_unpool1d(*lib.F.max_pool1d(x, 2, return_indices=True), 2),
        numbers(1, 2, 6),
    ),
    "adaptive indices": (
        lambda lib, x: lib.F.adaptive_max_pool1d(x, 3, return_indices=True)[1],
        np.maximum(np.round(numbers(1, 2, 7)), 0),
    ),
    "embedding_bag": (
        lambda lib, w, i, o: lib.F.embedding_bag(i, w, o, mode="max"),
        numbers(5, 3),
        np.array([0, 3, 3, 1, 4]),
        np.array([0, 0, 2]),
    ),
    "ctc": (
        lambda lib, x, y: lib.F.ctc_loss(lib.F.log_softmax(x, -1), y, lib.t.tensor([3, 3]), lib.t.tensor([1, 2])),
        numbers(3, 2, 3),
        np.array([[1, 0], [2, 1]]),
    ),
    "multilabel": (
        lambda lib, x, y: lib.F.multilabel_margin_loss(x, y),
        numbers(2, 3),
        np.array([[2, 0, -1], [-1, 1, 2]]),
    ),
    "pdist": (lambda lib, x: lib.F.pdist(x), numbers(4, 3)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_interpreted(compare, name):
    program, *arrays = PROGRAMS[name]
    with lg.config(backend="triton"):
        compare(program, *arrays, tolerance=1e-8)


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotary_interpreted(sides, interleaved):
    outcome, _, _, ours = sides
    layer, x = lg.nn.RotaryEmbedding(4, 8, interleaved=interleaved), numbers(1, 3, 2, 6).astype("float32")
    plain, (plain_grad,) = outcome(ours, lambda lib, x: layer(x), [x])
    expected, expected_grad = plain.numpy(force=True), plain_grad.numpy()
    with lg.config(backend="triton"):
        made, (grad,) = outcome(ours, lambda lib, x: layer(x), [x])
        np.testing.assert_allclose(made.numpy(force=True), expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(grad.numpy(), expected_grad, rtol=1e-6, atol=1e-6)
