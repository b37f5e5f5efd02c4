"""Philox-4x32-10: the published vectors, the same bits from NumPy and Triton, and what is made of them.

The vectors are those of kat_vectors in Random123 (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"): https://github.com/DEShawResearch/random123/blob/main/tests/kat_vectors
"""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.ir import build
from lazygrad.ir.op import philox, philox_4x32_10
from tests.graphs import leaf, values_of

VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _words(text: str) -> tuple[np.ndarray, ...]:
    return tuple(np.array([int(word, 16)], np.uint64) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter: str, key: str, expected: str) -> None:
    found = philox_4x32_10(np, _words(counter), _words(key))
    assert " ".join(f"{int(word[0]):08x}" for word in found) == expected


def test_the_op_is_the_first_word_under_a_64_bit_counter() -> None:
    """Counter words are (low, high, 0, 0), key words those of the seed."""
    for seed, counter in [(0, 0), (1, 2), (-1, -1), (0x299F31D0A4093822, 0x05A308D3243F6A88), (-7, 2**63 - 1)]:
        low, high = counter & 0xFFFFFFFF, counter >> 32 & 0xFFFFFFFF
        words = [np.array([w], np.uint64) for w in (low, high, 0, 0)]
        key = [np.array([w], np.uint64) for w in (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)]
        expected = int(philox_4x32_10(np, tuple(words), tuple(key))[0][0])
        got = philox(np, np.array(seed, np.int64), np.array([counter], np.int64))
        assert got.dtype == np.int32 and int(got.view(np.uint32)[0]) == expected


@pytest.mark.parametrize("fuse", [True, False])
def test_triton_draws_the_same_bits(fuse: bool) -> None:
    """Across 2**32 and 2**63, for negative seeds, in blocks and beyond them."""
    edges = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63 - 1, -1, -(2**63), 12345678901234567]
    counters = np.concatenate([np.array(edges, np.int64), np.arange(1500, dtype=np.int64) + 2**32 - 700])
    for seed in (0, 67280421310721, -1, -(2**63), 2**31):
        node = build.philox(leaf(np.array(seed, np.int64)), leaf(counters))
        want = philox(np, np.array(seed, np.int64), counters)
        np.testing.assert_array_equal(values_of([node])[0], want)
        np.testing.assert_array_equal(values_of([node], "triton", fuse)[0], want)


@pytest.mark.parametrize("draw", [lg.rand, lg.randn], ids=["rand", "randn"])
@pytest.mark.parametrize("dtype", [lg.float32, lg.float64, lg.float16, lg.bfloat16], ids=lambda d: d.name)
def test_a_seed_gives_the_same_numbers_everywhere(draw: object, dtype: object) -> None:
    """NumPy, one kernel, a kernel an op; drawn in one piece or behind other draws."""
    drawn = []
    for backend, fuse in (("numpy", True), ("triton", True), ("triton", False)):
        with lg.config(backend=backend, fuse=fuse):
            lg.manual_seed(3)
            lg.rand(7)
            drawn.append(draw(33, 35, dtype=dtype).double().numpy())  # type: ignore[operator]
    tolerance = 0 if draw is lg.rand else {"float32": 1e-5, "float64": 1e-13}.get(dtype.name, 1e-2)  # type: ignore[attr-defined]
    for other in drawn[1:]:
        np.testing.assert_allclose(other, drawn[0], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [lg.float32, lg.float64, lg.float16, lg.bfloat16], ids=lambda d: d.name)
def test_uniform_statistics(dtype: object) -> None:
    """In [0, 1), flat, and independent of the neighbour: five standard errors."""
    lg.manual_seed(0)
    n = 1 << 16
    u = lg.rand(n, dtype=dtype).double().numpy()
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(12 * n) + 2.0**-8 * (dtype is lg.bfloat16) + 2.0**-11 * (
        dtype is lg.float16
    )
    assert abs(u.var() - 1 / 12) < 5 / np.sqrt(180 * n)
    counts = np.histogram(u, 64, (0, 1))[0]
    chi = float(np.sum((counts - n / 64) ** 2) / (n / 64))
    assert chi < 63 + 5 * np.sqrt(2 * 63)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / np.sqrt(n)


def test_normal_statistics() -> None:
    lg.manual_seed(1)
    n = 1 << 16
    z = lg.randn(n).double().numpy()
    assert np.all(np.isfinite(z))
    assert abs(z.mean()) < 5 / np.sqrt(n)
    assert abs(z.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * np.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 5 / np.sqrt(n)
    assert np.abs(z).max() > 3.5


def test_streams_of_seeds_and_draws_are_apart() -> None:
    lg.manual_seed(0)
    first, second = lg.rand(1000).numpy(), lg.rand(1000).numpy()
    lg.manual_seed(1)
    other = lg.rand(1000).numpy()
    assert len({*first.tolist(), *second.tolist(), *other.tolist()}) > 2990
    lg.manual_seed(0)
    np.testing.assert_array_equal(lg.rand(1000).numpy(), first)
