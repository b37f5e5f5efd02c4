"""Pooling whose results or places need more than one kernel of windows: indices, unpooling, fractional, lp."""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


def ties(*shape):
    """What ReLU leaves: many equal zeros."""
    return np.maximum(np.round(numbers(*shape)), 0)


@pytest.mark.parametrize("size", [1, 2, (3, 5), (None, 4)])
def test_adaptive_max_takes_the_first_of_equals(compare, size):
    x = ties(2, 2, 6, 8)
    compare(lambda lib, x: lib.F.adaptive_max_pool2d(x, size), x)
    compare(lambda lib, x: lib.F.adaptive_max_pool2d(x, size, return_indices=True)[1], x)


def test_adaptive_in_one_and_three_dimensions(compare):
    compare(lambda lib, x: lib.F.adaptive_max_pool1d(x, 3), ties(2, 3, 7))
    compare(lambda lib, x: lib.F.adaptive_max_pool3d(x, (2, 1, 3)), ties(1, 2, 3, 4, 5))
    compare(lambda lib, x: lib.F.adaptive_max_pool3d_with_indices(x, 2)[1], ties(2, 3, 4, 5))
    compare(lambda lib, x: lib.F.adaptive_avg_pool3d(x, (2, None, 3)), numbers(1, 2, 3, 4, 5))
    with pytest.raises(RuntimeError, match="Expected 3D"):
        F.adaptive_avg_pool2d(lg.zeros(3, 3), 2)
    with pytest.raises(RuntimeError, match="2 elements"):
        F.adaptive_avg_pool2d(lg.zeros(1, 3, 3), (1, 2, 3))


def test_wrong_numbers_of_dimensions():
    with pytest.raises(RuntimeError, match=r"max_pool2d: Expected 3D \(unbatched\) or 4D"):
        F.max_pool2d(lg.zeros(3, 3), 2)
    with pytest.raises(RuntimeError, match="avg_pool1d"):
        F.avg_pool1d(lg.zeros(3), 2)


@pytest.mark.parametrize("positions", [1, 2, 3])
@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0])
def test_lp_pool(compare, positions, norm):
    x = np.abs(numbers(2, 2, *[5] * positions)) + 0.1
    compare(lambda lib, x: getattr(lib.F, f"lp_pool{positions}d")(x, norm, 2, ceil_mode=norm == 2), x)


UNPOOLS = [(1, {"kernel_size": 2}, 8), (1, {"kernel_size": 3, "stride": 2, "padding": 1}, 7)]
UNPOOLS += [(2, {"kernel_size": 2}, 6), (2, {"kernel_size": 3, "stride": 2}, 7), (3, {"kernel_size": 2}, 4)]


@pytest.mark.parametrize(("positions", "options", "size"), UNPOOLS)
def test_max_unpool(compare, positions, options, size):
    def program(lib, x):
        values, indices = getattr(lib.F, f"max_pool{positions}d")(x, **options, return_indices=True)
        return getattr(lib.F, f"max_unpool{positions}d")(values * 2, indices, **options, output_size=x.shape[-positions:])

    compare(program, numbers(2, 3, *[size] * positions))
    compare(program, numbers(3, *[size] * positions))


def test_max_unpool_without_size(compare):
    def program(lib, x):
        pool = lib.nn.MaxPool2d(2, return_indices=True)
        unpool = lib.nn.MaxUnpool2d(2)
        assert repr(unpool) == "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"
        return unpool(*pool(x[..., :4, :6]))

    compare(program, numbers(2, 3, 5, 7))


def test_max_unpool_errors():
    values, indices = F.max_pool2d(lg.tensor(numbers(2, 3, 5, 7)), 2, return_indices=True)
    with pytest.raises(ValueError, match="invalid output_size"):
        F.max_unpool2d(values, indices, 2, output_size=(9, 9))
    with pytest.raises(RuntimeError, match="int64"):
        F.max_unpool2d(values, values, 2)
    with pytest.raises(IndexError), lg.config(backend="numpy"):  # a kernel leaves out what lies outside
        F.max_unpool2d(values, indices + 100, 2).numpy(force=True)


@pytest.mark.parametrize("positions", [2, 3])
def test_fractional_max_pool(compare, positions):
    x, samples = numbers(2, 3, *[9] * positions), RNG.random((2, 3, positions))
    name = f"fractional_max_pool{positions}d"

    def program(lib, x, places=False, **options):
        return getattr(lib.F, name)(x, 2, **options, return_indices=True, _random_samples=lib.t.tensor(samples))[places]

    compare(lambda lib, x: program(lib, x, output_size=4), x)
    compare(lambda lib, x: program(lib, x, True, output_ratio=(0.6,) * positions), x)
    compare(lambda lib, x: program(lib, x, output_size=1), x)
    module = getattr(lg.nn, f"FractionalMaxPool{positions}d")(3, output_ratio=0.5)
    assert tuple(module(lg.tensor(x[0])).shape) == (3, *[4] * positions)
    with pytest.raises(ValueError, match="either"):
        getattr(lg.nn, f"FractionalMaxPool{positions}d")(3)
    with pytest.raises(RuntimeError, match="too large"):
        getattr(F, name)(lg.tensor(x), 4, 9)
