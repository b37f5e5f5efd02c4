"""Kernels that walk rows part by part and add up their columns on the way: what joins them, values, bytes, bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.device import INTERPRETER
from lazygrad.nn import functional as F
from lazygrad.schedule.plan import KernelStep, kernel_of
from tests.graphs import bytes_loaded, bytes_stored, describe, kernels_of, nodes_of, plan_of, values_of

TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 2e-2, "float16": 3e-3}


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(sum(sum(s) for s in shapes))
    return [generator.standard_normal(s) for s in shapes]


def layer_norm(T: Any, x: Any, w: Any, b: Any) -> Any:
    return T.nn.functional.layer_norm(x, (x.shape[-1],), w, b)


def rms_norm(T: Any, x: Any, w: Any, b: Any) -> Any:
    return T.nn.functional.rms_norm(x, (x.shape[-1],), w) * 1.5


def residual(T: Any, x: Any, w: Any, b: Any) -> Any:
    """As in a transformer: the sum that is normalized goes on too, and its bias has a gradient."""
    total = x.tanh() + b
    return T.nn.functional.layer_norm(total, (x.shape[-1],), w) + total


def softmax_scaled(T: Any, x: Any, w: Any, b: Any) -> Any:
    return (x * w + b).softmax(-1)


FUNCTIONS = [layer_norm, rms_norm, residual, softmax_scaled]
SHAPES = [(48, 300), (96, 1030), (34, 513), (256, 20), (2, 32, 257), (300, 33)]


def gradients(T: Any, function: Any, dtype: str, given: list[np.ndarray[Any, Any]]) -> list[Any]:
    make = torch.from_numpy if T is torch else lg.tensor
    x, w, b, g = (make(a).to(getattr(T, dtype)) for a in given)
    if T is lg:
        for t in (x, w, b, g):
            t.realize()
    wanted = [t.requires_grad_() for t in (x, w, b)]
    found = T.autograd.grad(function(T, *wanted), wanted, g, allow_unused=True)
    return [t for t in found if t is not None]


def walks(steps: list[KernelStep]) -> list[KernelStep]:
    return [s for s in steps if "part = " in kernel_of(s).source and "x_start" in kernel_of(s).source]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_those_of_torch(function: Any, shape: tuple[int, ...]) -> None:
    width = shape[-1]
    given = arrays(shape, (width,), (width,), shape)
    for dtype in ("float64", "float32") if shape == SHAPES[0] else ("float64",):
        found = gradients(lg, function, dtype, given)
        kernels = kernels_of(lambda found=found: found, INTERPRETER)
        assert len(walks(kernels)) == 1 and len(kernels) == 2, describe(kernels)
        want = gradients(torch, function, dtype, given)
        for got, other, expected in zip(
            values_of(nodes_of(found), "triton"), values_of(nodes_of(found), "numpy"), want, strict=True
        ):
            scale = max(float(expected.abs().max()), 1.0) * TOLERANCE[dtype]
            np.testing.assert_allclose(got, expected.numpy(), rtol=0, atol=scale)
            np.testing.assert_allclose(got, other, rtol=0, atol=scale)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_adds_up_in_float32(dtype: str) -> None:
    given = arrays((64, 300), (300,), (300,), (64, 300))
    found = gradients(lg, layer_norm, dtype, given)
    wide = gradients(torch, layer_norm, "float64", [torch.from_numpy(a).to(getattr(torch, dtype)).double().numpy() for a in given])
    for got, want in zip(values_of(nodes_of(found), "triton"), wide, strict=True):
        scale = float(want.abs().max()) * TOLERANCE[dtype]
        np.testing.assert_allclose(got.astype(np.float64), want.numpy(), rtol=0, atol=scale)


def test_the_checker_follows_a_walk() -> None:
    given = arrays((48, 300), (300,), (300,), (48, 300))
    with lg.config(backend="triton", check=True):
        for gradient in gradients(lg, layer_norm, "float32", given):
            gradient.realize()


def test_second_gradients() -> None:
    given = arrays((32, 40), (40,), (40,), (32, 40))

    def second(T: Any) -> list[Any]:
        make = torch.from_numpy if T is torch else lg.tensor
        x, w, b, g = (make(a).to(T.float64).requires_grad_() for a in given)
        first = T.autograd.grad(layer_norm(T, x, w, b), [x, w, b], g, create_graph=True)
        return list(T.autograd.grad(sum((f * f).sum() for f in first), [x, w, g]))

    with lg.config(backend="triton"):
        for got, want in zip(second(lg), second(torch), strict=True):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-9)


# -- what is moved -------------------------------------------------------------------------------------
def on_h200(function: Callable[..., Any], rows: int, width: int) -> Any:
    x, g = (lg.tensor(np.zeros((rows, width), np.float32)).realize() for _ in range(2))
    w, b = (lg.tensor(np.zeros(width, np.float32)).realize() for _ in range(2))
    wanted = [t.requires_grad_() for t in (x, w, b)]
    return plan_of([t for t in lg.autograd.grad(function(lg, *wanted), wanted, g, allow_unused=True) if t is not None])


@pytest.mark.parametrize(("function", "sums"), [(layer_norm, 2), (rms_norm, 1), (residual, 2)])
def test_rows_are_read_once(function: Any, sums: int) -> None:
    """Beside the input, its gradient and the result, only the parts of the columns' sums are moved."""
    rows, width, parts = 4096, 768, 256
    plan = on_h200(function, rows, width)
    partial = sums * parts * width
    assert bytes_loaded(plan) <= 4 * (2 * rows * width + 2 * width + partial)
    assert bytes_stored(plan) == 4 * (rows * width + partial + sums * width)


def test_every_run_adds_in_the_same_order() -> None:
    texts = [[kernel_of(s).source for s in on_h200(layer_norm, 4096, 768).steps] for _ in range(2)]
    assert texts[0] == texts[1]
    assert not any("atomic" in text for text in texts[0])


@pytest.mark.parametrize(
    ("rows", "width", "reason"),
    [(4096, 16384, "more than registers hold"), (4099, 768, "iterate differently"), (256, 768, "iterate differently"),
     (1024, 64, "too few programs")],
)
def test_what_is_not_walked_says_why(rows: int, width: int, reason: str) -> None:
    """Rows too long for registers, rows without equal parts, rows too few to fill the GPU part by part."""
    plan = on_h200(layer_norm, rows, width)
    assert not walks([s for s in plan.steps if isinstance(s, KernelStep)])
    assert any(reason in why for _, _, why in plan.refusals)


def test_other_memory_is_not_walked_along() -> None:
    """Sums of columns that share nothing with the rows run on their own."""
    x, y = (lg.tensor(np.zeros((4096, 768), np.float32)).realize() for _ in range(2))
    kernels = kernels_of(lambda: [x.softmax(-1), y.sum(0)])
    assert not walks(kernels), describe(kernels)
    together = kernels_of(lambda: [x.softmax(-1), (x * y).sum(0)])
    assert len(walks(together)) == 1 and len(together) == 2, describe(together)


def test_a_sum_read_in_its_own_space_is_finished_first() -> None:
    """What is standardized by its columns can't be part of the walk that adds them up."""
    x = lg.tensor(np.random.default_rng(0).standard_normal((64, 300))).realize()
    out = [x.softmax(-1), x - x.sum(0), x.softmax(-1) * x.sum(0)]
    for got, want in zip(values_of(nodes_of(out), "triton"), values_of(nodes_of(out), "numpy"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_maxima_of_columns() -> None:
    x = lg.tensor(np.random.default_rng(0).standard_normal((64, 300)).astype(np.float32)).realize()
    out = [x.softmax(-1), x.amax(0), x.amin(0), x.prod(0)]
    assert len(walks(kernels_of(lambda: out, INTERPRETER))) == 1
    for got, want in zip(values_of(nodes_of(out), "triton"), values_of(nodes_of(out), "numpy"), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_a_norm_of_a_part_of_wider_rows() -> None:
    """Rows that are a slice of memory are walked as well: only their columns have to lie side by side."""
    wide = lg.tensor(np.random.default_rng(0).standard_normal((64, 700))).realize()
    g = lg.tensor(np.random.default_rng(1).standard_normal((64, 300))).realize()
    w = lg.ones(300, dtype=lg.float64).realize().requires_grad_()
    wide.requires_grad_()
    out = F.rms_norm(wide[:, 100:400], (300,), w)
    found = list(lg.autograd.grad(out, [wide, w], g))
    for got, want in zip(values_of(nodes_of(found), "triton"), values_of(nodes_of(found), "numpy"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
