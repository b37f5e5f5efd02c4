"""affine_grid and grid_sample against torch: modes, paddings, corners, gradients to both."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)
MODES = list(itertools.product(["bilinear", "nearest", "bicubic"], ["zeros", "border", "reflection"], [True, False]))


@pytest.mark.parametrize(("mode", "padding", "corners"), MODES)
def test_grid_sample(compare, mode, padding, corners):
    x, grid = RNG.normal(size=(2, 3, 4, 5)), RNG.uniform(-2.3, 2.3, size=(2, 3, 6, 2))
    if mode == "nearest":  # no gradient to the grid, where torch has zeros
        compare(lambda lib, x: lib.F.grid_sample(x, lib.t.tensor(grid), mode, padding, corners), x)
        return
    compare(lambda lib, x, g: lib.F.grid_sample(x, g, mode, padding, corners), x, grid, tolerance=1e-8)
    if mode != "bicubic":
        x, grid = RNG.normal(size=(1, 2, 3, 4, 5)), RNG.uniform(-1.7, 1.7, size=(1, 2, 3, 2, 3))
        compare(lambda lib, x, g: lib.F.grid_sample(x, g, mode, padding, corners), x, grid, tolerance=1e-8)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_of_one_element(compare, corners, padding):
    x, grid = RNG.normal(size=(1, 1, 1, 3)), RNG.uniform(-2, 2, size=(1, 2, 2, 2))
    compare(lambda lib, x, g: lib.F.grid_sample(x, g, padding_mode=padding, align_corners=corners), x, grid)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 1, 3), (2, 3, 2, 3, 4)])
def test_affine_grid(compare, corners, size):
    n = len(size) - 2
    compare(lambda lib, t: lib.F.affine_grid(t, size, align_corners=corners), RNG.normal(size=(2, n, n + 1)))


def test_halves_and_errors():
    x, grid = RNG.normal(size=(1, 1, 4, 4)), RNG.uniform(-1, 1, size=(1, 2, 2, 2))
    half = F.grid_sample(lg.tensor(x).half(), lg.tensor(grid).half(), align_corners=False)
    exact = F.grid_sample(lg.tensor(x).half().double(), lg.tensor(grid).half().double(), align_corners=False)
    assert half.dtype is lg.float16
    np.testing.assert_allclose(half.numpy().astype(float), exact.numpy(), rtol=2e-3, atol=1e-3)
    with pytest.raises(ValueError, match="mode"):
        F.grid_sample(lg.tensor(x), lg.tensor(grid), "cubic")
    with pytest.raises(RuntimeError, match="same dtype"):
        F.grid_sample(lg.tensor(x), lg.tensor(grid).float())
    with pytest.raises(RuntimeError, match="expected input"):
        F.grid_sample(lg.tensor(x), lg.zeros(1, 2, 2, 3).double())
    with pytest.raises(ValueError, match="theta"):
        F.affine_grid(lg.zeros(1, 3, 3), (1, 1, 2, 2))
