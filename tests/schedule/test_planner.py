"""Plans for a GPU, made without one: what is read again after a product that it also feeds."""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg
from lazygrad import engine
from lazygrad.config import current
from lazygrad.device import H200
from lazygrad.ir.node import uncomputed
from lazygrad.schedule.canonical import canonical_graph, structure_of
from lazygrad.schedule.plan import KernelStep, ProductThenKernel

RESIDUALS = {
    "x @ w + x": lambda x, w: x @ w + x,
    "x @ x + x": lambda x, w: x @ x + x,
    "x @ x + x.t()": lambda x, w: x @ x + x.t(),
    "x + relu(x @ w) * x": lambda x, w: x + (x @ w).relu() * x,
    "h @ w + h": lambda x, w: (x @ w) @ w + x @ w,
}


def plan_of(tensor):
    structure = structure_of([tensor.node], uncomputed([tensor.node]))
    with lg.config(backend="triton"):
        return engine.compile_plan(canonical_graph(structure), structure.leaves, H200, current())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", RESIDUALS)
def test_an_operand_may_be_read_again_by_what_follows_the_product(name, dtype):
    x, w = (lg.randn(16, 16, dtype=getattr(lg, dtype)).realize() for _ in range(2))
    steps = [s for s in plan_of(RESIDUALS[name](x, w)).steps if isinstance(s, KernelStep)]
    last = [c for c in steps[-1].choices if isinstance(c, ProductThenKernel)]
    assert last, "cuBLAS and a kernel after it are one choice"
    assert len(last[0].arguments) == len(last[0].kernel.params)


@pytest.mark.parametrize("name", RESIDUALS)
def test_its_value(name):
    generator = np.random.default_rng(0)
    x, w = generator.normal(size=(2, 16, 16)).astype(np.float32)
    with lg.config(backend="numpy"):
        want = RESIDUALS[name](lg.tensor(x), lg.tensor(w)).numpy()
    with lg.config(backend="triton"):
        got = RESIDUALS[name](lg.tensor(x), lg.tensor(w)).numpy()
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)
