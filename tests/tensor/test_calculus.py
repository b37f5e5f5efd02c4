"""Sampled functions, histograms, weighted covariance and renorm, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import bad, case, check, check_error, compare, fixed, ints, within

S = (3, 5)
PLACES = fixed([0.0, 0.5, 2.0, 2.5, 4.0])
CASES = [
    case("trapezoid", lambda T, y: (T.trapezoid(y), T.trapezoid(y, dim=0), T.trapz(y, dx=0.5)), S),
    case("trapezoid-x", lambda T, y, x: T.trapezoid(y, x), S, PLACES),
    case("trapezoid-rows", lambda T, y, x: T.trapezoid(y, x), S, S),
    case("trapezoid-short", lambda T, y: (T.trapezoid(y), T.cumulative_trapezoid(y, dim=0)), (1, 1)),
    case("cumulative", lambda T, y: (T.cumulative_trapezoid(y), T.cumulative_trapezoid(y, dim=0, dx=2.0)), S),
    case("cumulative-x", lambda T, y, x: T.cumulative_trapezoid(y, x), S, PLACES),
    case("cumulative-int", lambda T, y: T.cumulative_trapezoid(y), S, dtypes=("int64",), gradient=False),
    case("gradient", lambda T, y: T.gradient(y), S),
    case("gradient-dim", lambda T, y: T.gradient(y, dim=1, spacing=0.5), S),
    case("gradient-negative", lambda T, y: T.gradient(y, dim=-1), S),
    case("gradient-steps", lambda T, y: T.gradient(y, spacing=[0.5, 2.0]), S),
    case("gradient-edge", lambda T, y: T.gradient(y, edge_order=2, spacing=2.0), (3, 4)),
    case("gradient-places", lambda T, y, x: T.gradient(y, spacing=(x,), dim=1), S, PLACES),
    case("gradient-places-edge", lambda T, y, x: T.gradient(y, spacing=(x,), dim=1, edge_order=2), S, PLACES),
    case("gradient-two", lambda T, y: T.gradient(y), (2,)),
    case("renorm", lambda T, x: (T.renorm(x, 2, 0, 1.0), x.renorm(1, 1, 0.7), x.renorm(3.0, -1, 100.0)), (3, 4, 2)),
    case("histogram", lambda T, x: tuple(T.histogram(x, 4)), within(0, 5, 20), gradient=False),
    case("histogram-one", lambda T, x: tuple(T.histogram(x, 3)), fixed([2.0, 2.0]), gradient=False),
    case("histogram-empty", lambda T, x: tuple(T.histogram(x, 3)), (0,), gradient=False),
    case("histogram-range", lambda T, x: tuple(T.histogram(x, 3, range=(1.0, 4.0))), within(0, 5, 20), gradient=False),
    case(
        "histogram-edges",
        lambda T, x, e: tuple(T.histogram(x, e.to(x.dtype))),
        within(0, 5, 4, 5),
        fixed([0.5, 1.0, 3.0, 4.0]),
        dtypes=("float32", "float64"),
        gradient=False,
    ),
    case(
        "histogram-density",
        lambda T, x, w: tuple(T.histogram(x, 4, weight=w, density=True)),
        within(0, 5, 20),
        within(0, 1, 20),
        gradient=False,
    ),
    case("cov", lambda T, x: (T.cov(x), T.cov(x, correction=0), T.cov(x[0]), T.corrcoef(x)), S),
    case("cov-fweights", lambda T, x, f: T.cov(x, fweights=f), S, ints(5, below=4, low=1)),
    case("cov-aweights", lambda T, x, a: T.cov(x, aweights=a), S, within(0.1, 1, 5)),
    case(
        "cov-weights",
        lambda T, x, f, a: (T.cov(x, fweights=f, aweights=a), T.cov(x, fweights=f, aweights=a, correction=0)),
        S,
        ints(5, below=4, low=1),
        within(0.1, 1, 5),
    ),
]

ERRORS = [
    bad("gradient-short", lambda T, y: T.gradient(y), (1,)),
    bad("gradient-edge", lambda T, y: T.gradient(y, edge_order=3), (5,)),
    bad("gradient-steps", lambda T, y: T.gradient(y, spacing=[1.0, 2.0, 3.0]), (5, 5)),
    bad("renorm-1d", lambda T, x: T.renorm(x, 2, 0, 1.0), (3,)),
    bad("renorm-int", lambda T, x: T.renorm(x.long(), 2, 0, 1.0), (3, 3)),
    bad("renorm-p", lambda T, x: T.renorm(x, -1, 0, 1.0), (3, 3)),
    bad("cov-3d", lambda T, x: T.cov(x), (2, 2, 2)),
    bad("cov-fweights", lambda T, x: T.cov(x, fweights=T.ones(5)), S),
    bad("cov-aweights", lambda T, x: T.cov(x, aweights=T.ones(5, dtype=T.int64)), S),
    bad("histogram-bins", lambda T, x: T.histogram(x, 0), (3,)),
    bad("histogram-int", lambda T, x: T.histogram(x.long(), 3), (3,)),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_as_torch(each):
    check(each)


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


WINDOWS = ("hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window")


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name):
    for length in (0, 1, 2, 7, 8):
        for periodic in (True, False):
            got, want = (getattr(T, name)(length, periodic, dtype=T.float64) for T in (lg, torch))
            compare(got, want, "float64", what=f"{name}({length}, {periodic})")
    compare(getattr(lg, name)(5), getattr(torch, name)(5), "float32", what=name)
    compare(lg.kaiser_window(6, True, 3.5), torch.kaiser_window(6, True, 3.5), "float32")
    compare(lg.hamming_window(6, True, 0.5, 0.4), torch.hamming_window(6, True, 0.5, 0.4), "float32")
    for T in (torch, lg):
        with pytest.raises(RuntimeError):
            getattr(T, name)(-1)
        with pytest.raises(RuntimeError):
            getattr(T, name)(3, dtype=T.int64)


def test_histogram_names():
    made = lg.histogram(lg.tensor(np.array([1.0, 2.0])), 2)
    assert made.hist.shape == (2,) and made.bin_edges.shape == (3,)
