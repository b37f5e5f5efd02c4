"""Sorting, which is how CuPy scatters here, gives what NumPy's own scattering gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lazygrad.ir import scattering
from lazygrad.ir.op import SegmentArg


class Elsewhere:
    """NumPy under another name, which is treated as CuPy is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


MODES = ["set", "add", "max", "min", "mul"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize(("shape", "axis", "entries"), [((5, 3), 0, 17), ((2, 7), 1, 1), ((4,), 0, 300), ((3, 2), 0, 0)])
def test_scatter(mode: str, dtype: str, shape: tuple[int, ...], axis: int, entries: int) -> None:
    generator = np.random.default_rng(entries)
    taken = tuple(entries if i == axis else n for i, n in enumerate(shape))
    index = generator.integers(0, shape[axis], taken)
    base, values = (generator.integers(-2, 3, s).astype(dtype) for s in (shape, taken))
    got, want = (scattering.scatter(xp, (axis, mode), base, index, values) for xp in (Elsewhere(), np))
    assert got.dtype == want.dtype == base.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_nan_wins(mode: str) -> None:
    base, values = np.array([0.0, 5.0, -5.0]), np.array([1.0, np.nan, -1.0, -7.0, 7.0])
    index = np.array([0, 0, 0, 1, 2])
    got, want = (scattering.scatter(xp, (0, mode), base, index, values) for xp in (Elsewhere(), np))
    np.testing.assert_array_equal(got, want)
    assert np.isnan(got[0]) and not np.isnan(got[1:]).any()


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("ordered", [False, True])
def test_segments(mode: str, ordered: bool) -> None:
    generator = np.random.default_rng(3)
    values = generator.integers(-3, 4, (11, 2)).astype(np.float32)
    begins, ends = np.array([0, 4, 4, 9]), np.array([4, 4, 9, 11])
    rest = (generator.permutation(11),) if ordered else ()
    base = generator.integers(-3, 4, (4, 2)).astype(np.float32)
    arg = SegmentArg(mode, ordered=ordered)
    got, want = (scattering.segments(xp, arg, base, values, begins, ends, *rest) for xp in (Elsewhere(), np))
    np.testing.assert_array_equal(got, want)
