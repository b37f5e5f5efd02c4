"""Sums over the rows that a kernel reduces, and what the last of its programs finishes: values, order, what is left apart."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.device import INTERPRETER
from lazygrad.schedule import prepare
from lazygrad.schedule.plan import kernel_of
from tests.graphs import describe, kernels_of, nodes_of, plan_of, values_of

REPOSITORY = Path(__file__).resolve().parents[2]


def numbers(*shape: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both(function: Any, *given: np.ndarray[Any, Any], grad: bool = True) -> tuple[list[Any], list[Any]]:
    """What `function` and its gradients are in lazygrad (not yet computed) and in torch."""
    found = []
    for T, make in ((lg, lambda a: lg.tensor(a).realize()), (torch, torch.from_numpy)):
        inputs = [make(a) for a in given]
        floats = [t.requires_grad_() for t in inputs if t.is_floating_point()] if grad else []
        out = function(T, *inputs)
        found.append([out, *(T.autograd.grad(out, floats) if floats else ())])
    return found[0], found[1]


def agree(lazy: list[Any], expected: list[Any], tolerance: float = 1e-11) -> None:
    for backend in ("triton", "numpy"):
        for got, want in zip(values_of(nodes_of(lazy), backend), expected, strict=True):
            np.testing.assert_allclose(got, want.detach().numpy(), rtol=tolerance, atol=tolerance)


# -- losses: rows, their sums in parts, the sum of those -------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"ignore_index": 3}, {"reduction": "sum"}, {"label_smoothing": 0.1}], ids=str)
@pytest.mark.parametrize("shape", [(2304, 5), (40, 7), (1, 300), (2050, 3)], ids=str)
def test_cross_entropy(shape: tuple[int, int], options: dict[str, Any]) -> None:
    targets = np.arange(shape[0]) % shape[1]
    agree(*both(lambda T, x, t: T.nn.functional.cross_entropy(x, t, **options), numbers(*shape), targets))


def test_cross_entropy_of_long_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are walked in blocks, inside a walk over the rows of a part."""
    monkeypatch.setattr(prepare, "MOST_PARTS", 8)  # as few rows as can be computed here
    x, targets = numbers(32, 17000, dtype=np.float32), np.arange(32) * 7
    lazy, expected = both(lambda T, x, t: T.nn.functional.cross_entropy(x, t), x, targets, grad=False)
    kernels = kernels_of(lambda: lazy, INTERPRETER)
    assert len(kernels) == 1, describe(kernels)
    source = kernel_of(kernels[0]).source
    assert source.index("for x_start") < source.index("for r_start")
    agree(lazy, expected, 1e-5)


def test_values_of_rows_beside_sums_of_columns() -> None:
    """One walk for both, in the same parts."""

    def function(T: Any, x: Any, w: Any) -> Any:
        return (T.nn.functional.rms_norm(x, (x.shape[-1],), w).square().mean(-1) + 1).log().mean()

    agree(*both(function, numbers(2112, 36), numbers(36)))


def test_two_results_of_one_walk() -> None:
    x = lg.tensor(numbers(1200, 9)).realize()
    out = [x.logsumexp(-1).mean(), x.amax(-1).sum(), x.softmax(-1)]
    for got, want in zip(values_of(nodes_of(out), "triton"), values_of(nodes_of(out), "numpy"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


# -- sums of everything ----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("size", [1, 700, 20011, 65536])
def test_the_last_program_finishes_a_sum(dtype: str, size: int) -> None:
    x = lg.tensor(np.arange(size) * 7 % 11 % 2).to(getattr(lg, dtype)).realize()
    out = [x.sum(), x.amax()]
    kernels = kernels_of(lambda: out, INTERPRETER)
    assert len(kernels) == 1, describe(kernels)
    for got, want in zip(values_of(nodes_of(out), "triton"), values_of(nodes_of(out), "numpy"), strict=True):
        np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-2 if "16" in dtype else 1e-6)


def test_the_checker_sees_what_is_finished() -> None:
    x = lg.tensor(numbers(30000)).realize()
    with lg.config(backend="triton", check=True):
        assert float(x.square().mean().sqrt()) == pytest.approx(float(np.sqrt(np.mean(numbers(30000) ** 2))))


def test_a_tail_reads_more_than_its_head_wrote() -> None:
    """Parameters of both, under names of their own."""
    x, y = lg.tensor(numbers(7, 4)).realize(), lg.tensor(numbers(1)).realize()
    means = x.mean(0)
    out = [means.var(correction=0) * y, (means * y).sum() + y.sum()]
    for got, want in zip(values_of(nodes_of(out), "triton"), values_of(nodes_of(out), "numpy"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_unfused_has_no_tails() -> None:
    plan = plan_of(lg.tensor(numbers(30000)).realize().sum(), fuse=False)
    assert not any(kernel_of(s).ticket for s in plan.steps)


def test_what_one_program_can_not_take_in_stays_apart() -> None:
    x = lg.tensor(np.zeros((1 << 20, 3), np.float32)).realize()
    kernels = kernels_of(lambda: [x.amax(-1), x.amax(-1).cumsum(0).sum()])
    assert len(kernels) > 1


PROGRAM = """
import re, sys
from lazygrad.device import Target
from lazygrad.codegen.kernel import Kernel
import pickle
from lazygrad.runtime import triton
compiler = triton.importlib.import_module("triton.compiler")
kept = []
made = compiler.ASTSource
original = triton._triton(False).compile
def compile(*args, **options):
    kept.append(original(*args, **options))
    return kept[-1]
triton._triton(False).compile = compile
triton.compile_cubin(pickle.loads(sys.stdin.buffer.read()), Target("triton", arch=90, multiprocessors=132, shared_memory=232448))
print(kept[-1].asm["ptx"])
"""


def test_the_ticket_orders_memory(tmp_path: Path) -> None:
    """All that a program stored, then a barrier, then the ticket with acquire and release; the last one reads behind it,
    through no cache that could hold what was there before."""
    kernel = kernel_of(kernels_of(lambda: lg.tensor(np.zeros((4096, 768), np.float32)).realize().sum())[0])
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"LAZYGRAD_CACHE_DIR": str(tmp_path / "l"), "TRITON_CACHE_DIR": str(tmp_path / "t"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=pickle.dumps(kernel), env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    ptx = done.stdout.decode()
    ticket = re.search(r"atom\.\S*acq_rel\S*add", ptx)
    assert ticket, ptx
    before, after = ptx[: ticket.start()], ptx[ticket.end() :]
    store, barrier = before.rindex("st.global"), max(before.rfind("bar.sync"), before.rfind("barrier"))
    assert store < barrier, "a program must have stored its part before it takes a ticket"
    assert "ld.global" in after and "ld.global.nc" not in ptx
