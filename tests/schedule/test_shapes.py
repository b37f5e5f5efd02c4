"""A computation that comes in ever new shapes gets no kernels for each, and right values all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

import lazygrad as lg
from lazygrad import engine
from lazygrad.schedule import shapes
from tests.runtime.pretended_gpu import pretended_gpu


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shapes, "_shapes", {})
    monkeypatch.setattr(shapes, "_asked", {})
    with pretended_gpu():
        yield


def backends() -> Counter[str]:
    return Counter(plan.target.backend for plan in engine._plans.values())


def softmax_of(length: int) -> None:
    values = np.random.default_rng(length).normal(size=(2, length)).astype(np.float32)
    e = np.exp(values - values.max(1, keepdims=True))
    got = (lg.from_numpy(values).softmax(1) @ lg.ones(length, 3)).numpy()
    np.testing.assert_allclose(got, np.repeat((e / e.sum(1, keepdims=True)).sum(1, keepdims=True), 3, 1), rtol=1e-5)


def test_growing_text_gets_kernels_for_few_lengths() -> None:
    for length in range(5, 45):
        softmax_of(length)
    assert backends() == {"triton": 8, "cupy": 32}


def test_what_comes_back_gets_kernels() -> None:
    for length in range(5, 20):
        softmax_of(length)
    for _ in range(4):
        softmax_of(19)
    assert backends() == {"triton": 9, "cupy": 7}


def test_the_number_of_shapes_is_a_setting() -> None:
    with lg.config(shapes=0):
        for length in range(5, 20):
            softmax_of(length)
    assert backends() == {"triton": 15}
    with pytest.raises(ValueError, match="shapes is -1"), lg.config(shapes=-1):
        pass


def test_other_formulas_are_other_forms() -> None:
    for length in range(5, 13):
        softmax_of(length)
    x = lg.from_numpy(np.ones(300, np.float32))
    np.testing.assert_array_equal((x.cumsum(0) * 2).numpy(), np.arange(1, 301) * 2)
    assert backends() == {"triton": 9}
