"""Scans in generated kernels: against torch, along any axis, in registers, in loops and in parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import wrap

SCANS = {"cumsum": ops.CUMSUM, "cumprod": ops.CUMPROD, "cummax": ops.CUMMAX, "cummin": ops.CUMMIN}


def computed(node: Node) -> torch.Tensor:
    with lg.config(backend="triton"):
        array = np.array(wrap(node).float().numpy() if node.dtype.compute is not node.dtype else wrap(node).numpy())
    return torch.from_numpy(array)


def expected(name: str, values: torch.Tensor, axis: int) -> torch.Tensor:
    made = getattr(torch, name)(values, axis)
    return made if name in ("cumsum", "cumprod") else made[0]


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((5,), 0), ((3, 5, 7), 0), ((3, 5, 7), 1), ((3, 5, 7), 2), ((2, 300), 1), ((300, 2), 0), ((1, 1), 1),
        ((4, 0), 1), ((0, 4), 1),
    ],
)
def test_shapes(name: str, shape: tuple[int, ...], axis: int) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    got = computed(build.scan(SCANS[name], lg.tensor(values.numpy()).node, axis))
    torch.testing.assert_close(got, expected(name, values, axis), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64])
def test_dtypes(name: str, dtype: torch.dtype) -> None:
    values = torch.randint(-2, 3, (4, 30), generator=torch.Generator().manual_seed(2)).to(dtype)
    got = computed(build.scan(SCANS[name], lg.tensor(values.numpy()).node, 1))
    assert torch.equal(got, expected(name, values, 1).to(dtype))


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_is_rounded_once(name: str, dtype: str) -> None:
    values = (1 + 0.1 * torch.randn(3, 40, generator=torch.Generator().manual_seed(3))).to(getattr(torch, dtype))
    node = build.cast(lg.tensor(values.float().numpy()).node, getattr(lg, dtype))
    want = expected(name, values.float(), 1).to(getattr(torch, dtype)).float()
    torch.testing.assert_close(computed(build.scan(SCANS[name], node, 1)), want, rtol=1e-2, atol=0)


@pytest.mark.parametrize("name", ["cummax", "cummin", "cumsum", "cumprod"])
def test_nan_stays(name: str) -> None:
    values = torch.tensor([[1.0, 3.0, float("nan"), 9.0, -9.0], [float("nan"), 1.0, 2.0, 3.0, float("inf")]])
    got = computed(build.scan(SCANS[name], lg.tensor(values.numpy()).node, 1))
    torch.testing.assert_close(got, expected(name, values, 1), equal_nan=True)


@pytest.mark.parametrize("name", ["cumsum", "cummax"])
@pytest.mark.parametrize(("shape", "axis"), [((100_000,), 0), ((2, 20_001), 1), ((9, 20_000), 1), ((5_000, 3), 0)])
def test_long_lines(name: str, shape: tuple[int, ...], axis: int) -> None:
    """Walked in blocks that carry what came before, or scanned in parts; whole numbers, so exactly equal."""
    values = torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(4)).float()
    got = computed(build.scan(SCANS[name], lg.tensor(values.numpy()).node, axis))
    assert torch.equal(got, expected(name, values, axis))


def test_a_carry_through_nan_and_infinity() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(5)).repeat(9, 1)
    values[3, 5000] = float("nan")
    values[4, 9000] = float("inf")
    for name in ("cummax", "cumsum"):
        got = computed(build.scan(SCANS[name], lg.tensor(values.numpy()).node, 1))
        torch.testing.assert_close(got, expected(name, values, 1), equal_nan=True, rtol=1e-3, atol=1e-3)


def test_pointwise_work_and_reductions_share_the_kernel() -> None:
    values = torch.rand(6, 50, generator=torch.Generator().manual_seed(6))
    with lg.config(backend="triton"):
        x = lg.tensor(values.numpy())
        weights = lg.softmax(x * 3, -1)
        reached = weights.cumsum(-1)
        got = (reached < 0.5).float() * reached + reached.sum(-1, keepdim=True)
        got = torch.from_numpy(np.array(got.numpy()))
    want = torch.softmax(values * 3, -1).cumsum(-1)
    want = (want < 0.5).float() * want + want.sum(-1, keepdim=True)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_a_scan_of_a_scan_and_of_a_reversed_one() -> None:
    values = torch.randn(4, 33, generator=torch.Generator().manual_seed(7))
    with lg.config(backend="triton"):
        x = lg.tensor(values.numpy())
        got = torch.from_numpy(np.array(x.cumsum(1).cummax(1)[0].flip(1).cumsum(1).numpy()))
    want = values.cumsum(1).cummax(1)[0].flip(1).cumsum(1)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_indices_of_running_extremes() -> None:
    values = torch.randint(-3, 4, (5, 40), generator=torch.Generator().manual_seed(8)).float()
    with lg.config(backend="triton"):
        x = lg.tensor(values.numpy())
        got = {name: [np.array(part.numpy()) for part in getattr(x, name)(1)] for name in ("cummax", "cummin")}
    for name, (best, place) in got.items():
        want = getattr(torch, name)(values, 1)
        np.testing.assert_array_equal(best, want[0].numpy())
        np.testing.assert_array_equal(place, want[1].numpy())


def test_gradient_of_cumsum() -> None:
    values = torch.randn(3, 20, generator=torch.Generator().manual_seed(9), requires_grad=True)
    (values.cumsum(1) ** 2).sum().backward()
    with lg.config(backend="triton"):
        x = lg.tensor(values.detach().numpy(), requires_grad=True)
        (x.cumsum(1) ** 2).sum().backward()
        got = np.array(x.grad.numpy())
    np.testing.assert_allclose(got, values.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_the_same_bits_every_time() -> None:
    values = torch.randn(30_000, generator=torch.Generator().manual_seed(10)).numpy()
    runs = [computed(build.scan(ops.CUMSUM, lg.tensor(values).node, 0)).numpy().tobytes() for _ in range(2)]
    assert runs[0] == runs[1]
