"""Bytes and operations of a step."""

from __future__ import annotations

import pytest

import lazygrad as lg
from lazygrad.inspect.cost import cost_of
from lazygrad.inspect.style import bytes_text, counted, seconds_text
from lazygrad.nn import functional as F
from tests.inspect.test_source import leaf, plan_of


def costs(*tensors: lg.Tensor) -> list[tuple[int, int]]:
    plan = plan_of(*tensors)
    found = [cost_of(step, plan) for step in plan.steps]
    return [(c.bytes, c.flops) for c in found]


def test_each_input_once_and_the_output():
    x = leaf(8, 16)
    assert costs(x * x + leaf(16)) == [(4 * (128 + 16 + 128), 0)]
    assert costs(x.sum(1)) == [(4 * (128 + 8), 0)]


def test_a_slice_and_a_gather_take_a_part():
    assert costs(leaf(64, 64)[:2].exp()) == [(4 * (128 + 128), 0)]
    rows = F.embedding(lg.tensor([1, 2, 3]), leaf(1000, 8))
    assert costs(rows) == [(3 * 8 + 4 * (24 + 24), 0)]


def test_products_count_multiplications_and_additions():
    assert costs(leaf(8, 16) @ leaf(16, 4)) == [(4 * (128 + 64 + 32), 2 * 8 * 16 * 4)]


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal):
    q, k, v = (leaf(2, 3, 32, 16) for _ in range(3))
    found = costs(F.scaled_dot_product_attention(q, k, v, is_causal=causal))
    assert sum(flops for _, flops in found) == 2 * 2 * (2 * 3 * 32 * 32 * 16) // (2 if causal else 1)


def test_numbers_for_people():
    assert [seconds_text(s) for s in (12.34e-6, 4.5678e-3, 7.0, 123.4)] == ["12.3 us", "4.57 ms", "7.00 s", "123 s"]
    assert [bytes_text(b) for b in (0, 512, 12 * 1024, 3.4 * 2**30)] == ["0 B", "512 B", "12.0 KiB", "3.40 GiB"]
    assert [counted(n, "op") for n in (0, 1, 2)] == ["0 ops", "1 op", "2 ops"]
