"""LAZYGRAD_CHECK: planted defects are found and described, sound kernels pass."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.codegen import spelling
from lazygrad.errors import CheckError, GraphError
from lazygrad.ir import op as ops
from lazygrad.nn import functional as F
from lazygrad.runtime import triton
from lazygrad.runtime.check import poison

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from gpt2_model import GPT2, SIZES


@pytest.fixture(autouse=True)
def checking():
    with lg.config(backend="triton", check=True):
        yield


def values(*shape: int, seed: int = 0, dtype: str = "float32") -> lg.Tensor:
    array = np.random.default_rng(seed).normal(size=shape)
    return lg.tensor(array).to(getattr(lg, dtype)).realize()


def plant(monkeypatch: pytest.MonkeyPatch, op: ops.Op, text: str) -> None:
    monkeypatch.setitem(spelling.SPELLINGS, op, lambda dtype, arg, *operands: text.format(*operands))


# -- planted defects ---------------------------------------------------------------------------------
def test_a_wrong_op_is_named_with_its_line_and_element(monkeypatch):
    plant(monkeypatch, ops.RSQRT, "(1.0 / tl.sqrt_rn({0} + 0.001))")
    x = values(5, 37)
    y = F.layer_norm(x, (37,)) * 2
    with pytest.raises(CheckError) as error:
        y.realize()
    said = str(error.value)
    assert said.startswith("kernel layer_norm_mul_kernel (") and ".py) differs from its ops in " in said
    assert "of 185 elements of its output, float32[5, 37] of mul" in said
    assert (
        "worst at [" in said
        and "the kernel has " in said
        and "op by op it is " in said
        and "rounding explains " in said
    )
    assert "rsqrt  float32[5, 1]  tests/runtime/test_check.py:" in said and "layer_norm" in said
    assert "LAZYGRAD_FUSE=0" in said


def test_one_wrong_element_is_found(monkeypatch):
    plant(monkeypatch, ops.EXP, "tl.where({0} == 2.5, 12.0, tl.exp({0}))")
    array = np.linspace(-1, 1, 21, dtype=np.float32).reshape(3, 7)
    array[2, 4] = 2.5
    with pytest.raises(CheckError, match=r"in 1 of 21 elements of its output") as error:
        lg.tensor(array).exp().realize()
    assert "worst at [2, 4]: the kernel has 12.0, op by op it is 12.1824" in str(error.value)
    assert "LAZYGRAD_FUSE=0" not in str(error.value)  # there is one op only


@pytest.mark.parametrize(
    ("op", "text", "make"),
    [
        (ops.ADD, "{0} + {1} + 1", lambda: lg.arange(5) + lg.arange(5).flip(0)),
        (ops.LT, "({0} <= {1})", lambda: lg.tensor([1.0, 2.0]) < lg.tensor([1.0, 3.0])),
        (ops.MAXIMUM, "tl.maximum({0}, {1})", lambda: lg.tensor([1.0, float("nan")]).maximum(lg.tensor([2.0, 3.0]))),
        (ops.LOG, "tl.log({0} + 1e-30)", lambda: lg.tensor([0.0, 1.0]).log()),
        (ops.TANH, "libdevice.tanh({0} * 1.001)", lambda: values(9, dtype="float32").tanh()),
        (ops.TANH, "libdevice.tanh({0} * 1.1)", lambda: values(9, dtype="bfloat16").tanh()),
    ],
    ids=["integer", "bool", "nan", "infinity", "float32", "bfloat16"],
)
def test_every_kind_of_value_is_compared(monkeypatch, op, text, make):
    make().realize()
    lg.engine._plans.clear()
    plant(monkeypatch, op, text)
    with pytest.raises(CheckError, match="differs from its ops"):
        make().realize()


def launched(monkeypatch: pytest.MonkeyPatch, launch) -> None:
    """Run `launch(arrays)` in place of interpreted kernels."""
    monkeypatch.setattr(triton.InterpretedKernel, "__call__", lambda self, arrays: launch(arrays))


def test_what_is_never_written_is_found(monkeypatch):
    x = values(3, 2)
    launched(monkeypatch, lambda arrays: None)
    with pytest.raises(CheckError, match=r"the kernel has nan \(never written\)"):
        x.log1p().realize()
    with pytest.raises(CheckError, match=r"\(never written\), op by op it is (True|False)"):
        (x > 0.25).realize()


def test_inputs_must_not_be_written(monkeypatch):
    x = values(4, 3)

    def launch(arrays):
        arrays[1][...] = np.expm1(arrays[0])
        arrays[0][0, 0] += 1

    launched(monkeypatch, launch)
    with pytest.raises(CheckError, match="wrote into value 0, which it may only read"):
        x.expm1().realize()


def test_a_pass_that_breaks_the_graph_is_named(monkeypatch):
    def wrong(roots):
        return [ops_make(r) for r in roots]

    def ops_make(root):
        return lg.engine.make(root.op, root.src, root.arg, lg.float64, root.shape, root.device)

    x = values(4, 5)
    monkeypatch.setattr(lg.engine, "simplify", wrong)
    with pytest.raises(GraphError, match="after simplify, EXP is not well formed"):
        x.exp().realize()


def test_poison():
    for dtype in ("float32", "float16", "bfloat16", "float64"):
        array = lg.empty(3, dtype=getattr(lg, dtype)).numpy() if dtype != "bfloat16" else None
        if array is not None:
            array = np.array(array)
            poison(array)
            assert np.isnan(array).all()


# -- what is sound passes ------------------------------------------------------------------------------
def test_cancellation_is_no_defect():
    """Sums whose terms cancel are rounding errors of any size relative to themselves."""
    x = values(64, 257)
    (x - x.mean(1, keepdim=True)).sum(1).realize()
    y = values(4, 4096, seed=1) * 1e4
    ((y + 1) - y).sum(1).realize()
    half = values(8, 300, seed=2, dtype="bfloat16")
    (F.softmax(half, 1).sum(1) - 1).realize()


def test_hostile_values():
    x = lg.tensor([0.0, -0.0, 1e-42, 1e38, -1e38, float("inf"), float("-inf"), float("nan"), 1.0])
    for f in (lg.exp, lg.log, lg.sqrt, lg.tanh, lg.sin, lg.floor, lg.abs, F.gelu, F.softplus):
        f(x).realize()
    (x * x - x).realize()
    x.reshape(3, 3).max(1).values.realize()
    F.softmax(x.reshape(3, 3), 1).realize()


def test_empty_and_single_elements():
    (lg.empty(0, 3) + 1).realize()
    (lg.tensor(2.0) * 3).realize()
    lg.empty(3, 0).sum(1).realize()


def train(config, steps: int, dtype: str) -> list[float]:
    """Losses of a few steps of AdamW with clipped gradients, every kernel checked."""
    lg.manual_seed(0)
    model = GPT2(config)
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-2)
    tokens = lg.tensor(np.random.default_rng(0).integers(0, config.rows, (2, config.context + 1)))
    losses = []
    for _ in range(steps):
        with lg.autocast("cpu", dtype=getattr(lg, dtype), enabled=dtype != "float32"):
            logits = model(tokens[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, config.rows), tokens[:, 1:].reshape(-1))
        loss.backward()
        lg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("dtype", "dropout", "fuse"), [("float32", 0.0, True), ("bfloat16", 0.1, True), ("float32", 0.1, False)]
)
def test_gpt_nano_learns_with_every_kernel_checked(dtype, dropout, fuse):
    config = replace(SIZES["nano"], vocabulary=50, rows=64, context=16, dropout=dropout)
    with lg.config(fuse=fuse):
        losses = train(config, 3 if fuse else 1, dtype)
    assert losses[-1] < losses[0] or not fuse
