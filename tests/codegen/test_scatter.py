"""SCATTER in generated kernels: against NumPy, on hostile shapes, the same bits every time, for three GPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import lazygrad as lg
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.schedule.ordering import lower_bound, stable_order
from lazygrad.tensor.core import wrap

MODES = ("set", "add", "max", "min", "mul")
DTYPES = (np.int64, np.int32, np.int8, np.uint8, bool, np.float16, ml_dtypes.bfloat16, np.float64)
COMBINE = {"add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}


def computed(node: Node) -> np.ndarray:
    with lg.config(backend="triton"):
        return np.array(wrap(node).numpy())


def node_of(array: np.ndarray, shape: tuple[int, ...] | None = None) -> Node:
    node = lg.tensor(array).node
    return node if shape is None else build.expand(node, shape)


def expected(base: np.ndarray, index: np.ndarray, values: np.ndarray, axis: int, mode: str) -> np.ndarray:
    """One entry after the other, in float64 or whole numbers, rounded once."""
    half = base.dtype in (np.float16, ml_dtypes.bfloat16)
    result = base.astype(np.float64 if half or base.dtype.kind == "f" else base.dtype)
    index = np.broadcast_to(index, values.shape)
    for place in np.ndindex(values.shape):
        to = list(place)
        to[axis] = int(index[place])
        if not 0 <= to[axis] < base.shape[axis]:
            continue
        value = values[place]
        result[tuple(to)] = value if mode == "set" else COMBINE[mode](result[tuple(to)], value.astype(result.dtype))
    return result.astype(base.dtype)


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: object) -> np.ndarray:
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.3
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else -5, 6, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "axis", "entries", "rows_only"),
    [
        ((7,), 0, 20, False),  # every target several times
        ((50,), 0, 1, False),
        ((5, 3), 0, 4, False),  # so few that every element looks at each entry
        ((3, 6), 1, 9, False),
        ((2, 4, 3), 1, 11, False),
        ((6, 40), 0, 150, True),  # an embedding's gradient, with long segments
        ((4, 2, 5), 2, 70, True),  # one index for many lines, not along the first axis
        ((1, 9), 0, 80, True),  # all entries meet in one row
        ((1, 1), 0, 5, False),
        ((300, 2), 0, 6, True),  # most rows untouched
    ],
)
def test_modes_and_shapes(mode: str, shape: tuple[int, ...], axis: int, entries: int, rows_only: bool) -> None:
    rng = np.random.default_rng(3)
    whole = tuple(entries if i == axis else n for i, n in enumerate(shape))
    given = tuple(n if i == axis or not rows_only else 1 for i, n in enumerate(whole))
    base, values = random(rng, shape, np.float32), random(rng, whole, np.float32)
    index = rng.integers(0, shape[axis], given)
    node = build.scatter(node_of(base), node_of(index, whole), node_of(values), axis, mode)
    np.testing.assert_allclose(computed(node), expected(base, index, values, axis, mode), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entries", [3, 40])
def test_dtypes(mode: str, dtype: object, entries: int) -> None:
    rng = np.random.default_rng(4)
    base, values = random(rng, (9,), dtype), random(rng, (entries,), dtype)
    index = rng.integers(0, 9, entries)
    node = build.scatter(node_of(base), node_of(index), node_of(values), 0, mode)
    want = expected(base, index, values, 0, mode)
    if np.dtype(dtype) == np.float64 or np.dtype(dtype).kind in "iub":
        np.testing.assert_allclose(computed(node), want, rtol=1e-12)
    else:  # one unit in the last place: float64 and float32 may round to different neighbours
        np.testing.assert_allclose(computed(node).astype(float), want.astype(float), rtol=1e-2, atol=1e-3)


def test_a_half_is_rounded_once() -> None:
    """256 + 1 is 256 in bfloat16: added one by one, the ones would all be lost."""
    base, ones = np.array([256.0, 0.0], ml_dtypes.bfloat16), np.ones(64, ml_dtypes.bfloat16)
    node = build.scatter(node_of(base), node_of(np.zeros(64, np.int64)), node_of(ones), 0, "add")
    np.testing.assert_array_equal(computed(node).astype(float), [320.0, 0.0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("entries", [3, 40])
def test_out_of_range_goes_nowhere(mode: str, entries: int) -> None:
    rng = np.random.default_rng(5)
    base, values = random(rng, (6, 3), np.float32), random(rng, (entries, 3), np.float32)
    index = rng.integers(-9, 15, (entries, 1))
    node = build.scatter(node_of(base), node_of(index, (entries, 3)), node_of(values), 0, mode)
    np.testing.assert_allclose(computed(node), expected(base, index, values, 0, mode), rtol=1e-5)


@pytest.mark.parametrize("entries", [2, 9])
def test_an_index_shorter_than_the_base_reaches_a_corner(entries: int) -> None:
    rng = np.random.default_rng(6)
    base, values = random(rng, (5, 6, 4), np.float32), random(rng, (3, entries, 2), np.float32)
    index = rng.integers(0, 6, (3, entries, 2))
    node = build.scatter(node_of(base), node_of(index), node_of(values), 1, "add")
    np.testing.assert_allclose(computed(node), expected(base, index, values, 1, "add"), rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_nothing_to_scatter(shape: tuple[int, int]) -> None:
    base = np.ones((4, shape[1]), np.float32)
    index, values = node_of(np.zeros(shape, np.int64)), node_of(np.ones(shape, np.float32))
    node = build.scatter(node_of(base), index, values, 0, "add")
    np.testing.assert_array_equal(computed(node), base)


def test_nan_is_kept_by_extremes() -> None:
    values = np.array([1, np.nan, 2, 0, 5, 6], np.float32)
    index = np.array([0, 0, 0, 1, 1, 2])
    for mode in ("max", "min"):
        node = build.scatter(node_of(np.zeros(3, np.float32)), node_of(index), node_of(values), 0, mode)
        assert np.isnan(computed(node)[0]) and not np.isnan(computed(node)[1:]).any()


@pytest.mark.parametrize("count", [1, 2, 255, 1000])
def test_a_stable_order(count: int) -> None:
    rng = np.random.default_rng(7)
    keys = rng.integers(0, 50, count).astype(np.int32)
    ascending, order = stable_order(node_of(keys), 6)
    np.testing.assert_array_equal(computed(order), np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(computed(ascending), np.sort(keys))


def test_a_radix_sort_of_several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazygrad.schedule.ordering.RANKED", 8)
    monkeypatch.setattr("lazygrad.schedule.ordering.BLOCK", 32)
    monkeypatch.setattr("lazygrad.schedule.ordering.DIGIT_BITS", 4)
    keys = np.random.default_rng(8).integers(0, 1000, 150).astype(np.int32)
    ascending, order = stable_order(node_of(keys), 10)
    np.testing.assert_array_equal(computed(order)[:150], np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(computed(ascending)[:150], np.sort(keys))


@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_lower_bound(count: int) -> None:
    ascending = np.sort(np.random.default_rng(9).integers(0, 40, count).astype(np.int32))
    queries = np.arange(-1, 42, dtype=np.int32)
    found = computed(lower_bound(node_of(ascending), node_of(queries)))
    np.testing.assert_array_equal(found, np.searchsorted(ascending, queries))


def test_the_same_bits_every_time() -> None:
    rng = np.random.default_rng(10)
    values, index = random(rng, (400, 5), np.float32), rng.integers(0, 3, (400, 1))
    runs = []
    for _ in range(3):
        zeros = build.const(0, lg.float32, lg.tensor(0).node.device, (3, 5))
        runs.append(computed(build.scatter(zeros, node_of(index, (400, 5)), node_of(values), 0, "add")))
    assert runs[0].tobytes() == runs[1].tobytes() == runs[2].tobytes()
    np.testing.assert_allclose(runs[0], expected(np.zeros((3, 5), np.float32), index, values, 0, "add"), rtol=1e-4)


def test_gradient_of_an_embedding() -> None:
    rng = np.random.default_rng(11)
    weight, ids = random(rng, (11, 8), np.float32), rng.integers(0, 11, (4, 9))
    scale = random(rng, (4, 9, 8), np.float32)
    with lg.config(backend="triton"):
        table = lg.tensor(weight, requires_grad=True)
        (table[lg.tensor(ids)] * lg.tensor(scale)).sum().backward()
        got = np.array(table.grad.numpy())
    want = np.zeros_like(weight)
    np.add.at(want, ids.reshape(-1), scale.reshape(-1, 8))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_plain_path_agrees() -> None:
    rng = np.random.default_rng(12)
    base, values, index = random(rng, (5, 3), np.float32), random(rng, (9, 3), np.float32), rng.integers(0, 5, (9, 3))
    for mode in MODES:
        made = ops.SCATTER.ref(np, (0, mode), base, index, values)  # type: ignore[misc]
        np.testing.assert_allclose(made, expected(base, index, values, 0, mode), rtol=1e-5)


PROGRAM = """
import sys
from lazygrad.device import CPU, Target
from lazygrad.dtype import bfloat16, float32, int64
from lazygrad.ir import build, op as ops
from lazygrad.ir.simplify import simplify
from lazygrad.runtime.triton import compile_cubin
from lazygrad.schedule.canonical import Slot
from lazygrad.schedule.partition import partition
from lazygrad.schedule.plan import KernelStep
from lazygrad.schedule.planner import plan_kernels
from lazygrad.schedule.prepare import prepare

leaves = []
def buffer(dtype, *shape):
    leaves.append(build.buffer(Slot(len(leaves)), dtype, shape, CPU))
    return leaves[-1]

def zeros(*shape):
    return build.const(0, float32, CPU, shape)

ids = build.expand(build.reshape(buffer(int64, 32, 1024), (32768, 1)), (32768, 768))
rows = build.cast(buffer(bfloat16, 32768, 768), float32)
roots = [
    build.scatter(zeros(50304, 768), ids, rows, 0, "add"),
    build.scatter(buffer(bfloat16, 100, 7), buffer(int64, 100, 9), buffer(bfloat16, 100, 9), 1, "max"),
    build.scatter(buffer(int64, 1000), buffer(int64, 5000), buffer(int64, 5000), 0, "set"),
    build.scan(ops.CUMSUM, buffer(float32, 1000000), 0),
    build.scan(ops.CUMMAX, buffer(bfloat16, 300, 20000), 1),
    build.scan(ops.CUMPROD, buffer(float32, 64, 100, 50), 1),
    build.scan(ops.CUMMIN, buffer(int64, 64, 1000), 1),
]
done = set()
for arch, processors in ((80, 108), (90, 132), (100, 148)):
    target = Target("triton", arch=arch, multiprocessors=processors, shared_memory=101376)
    for root in roots:
        made = simplify(prepare(simplify([root]), target))
        plan = plan_kernels(made, leaves, partition(made, target), target)
        for step in plan.steps:
            assert isinstance(step, KernelStep), step.node
            kernel = step.choices[0]
            if (kernel, arch) not in done:
                done.add((kernel, arch))
                compile_cubin(kernel, target)
print(len(done), "kernels compiled")
"""


def test_every_kernel_compiles_without_a_gpu() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "kernels compiled" in done.stdout
