"""Two fast axes: transposed copies and column reductions take tiles in which every access is whole lines of memory.

Values are compared with NumPy by interpreted kernels; what coalesces is read off the kernels an H200 would get.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.codegen import index as ix
from lazygrad.codegen.kernel import Kernel
from tests.graphs import kernels_of, values_of


def numbers(*shape: int, dtype: Any = np.float32) -> Any:
    made = np.random.default_rng(0).integers(-50, 50, shape)
    return (made > 0) if dtype is bool else made.astype(dtype)


def tensor(array: Any, dtype: Any = None) -> lg.Tensor:
    made = lg.tensor(array)
    return (made if dtype is None else made.to(dtype)).realize()


def kernel(function: Callable[[], Any]) -> Kernel:
    (step,) = kernels_of(function)
    (only,) = step.choices
    assert isinstance(only, Kernel)
    return only


def blocks(source: str) -> dict[str, int]:
    return {name: int(size) for name, size in re.findall(r"(\w)_BLOCK: tl\.constexpr = (\d+)", source)}


# -- which tile ---------------------------------------------------------------------------------------
def test_a_transposed_copy_has_two_fast_axes() -> None:
    x = tensor(numbers(512, 1024))
    made = kernel(lambda: x.t().contiguous())
    assert blocks(made.source) == {"Y": 64, "X": 64}
    assert "in0_ptr + (x * 1024 + y)" in made.source
    assert "permute_out + (y * 512 + x)" in made.source
    assert made.grid == (8 * 16, 1, 1)
    assert "mask" not in made.source


def test_the_batch_of_a_batched_transpose_is_a_number() -> None:
    x = tensor(numbers(6, 128, 64))
    made = kernel(lambda: x.transpose(1, 2).contiguous())
    assert blocks(made.source) == {"Y": 64, "X": 64}
    assert "z = tile // 2\n" in made.source
    assert "(z * 8192 + x * 64 + y)" in made.source


def test_only_the_axis_that_overhangs_is_masked() -> None:
    x = tensor(numbers(128, 100))
    made = kernel(lambda: x.t() + 1)
    assert "y_inside = y < 100" in made.source
    assert "x_inside" not in made.source


def test_one_transposed_operand_is_enough() -> None:
    x, y = tensor(numbers(128, 256)), tensor(numbers(256, 128))
    made = kernel(lambda: x + y.t())
    assert blocks(made.source) == {"Y": 64, "X": 64}


def test_what_is_read_once_a_row_needs_no_plane() -> None:
    x, y = tensor(numbers(128, 256)), tensor(numbers(128, 1))
    assert blocks(kernel(lambda: x * y).source) == {"I": 1024}
    assert blocks(kernel(lambda: x * y + x.flip(1)).source) == {"I": 1024}


def test_heads_that_move_with_whole_lines_need_no_plane() -> None:
    x = tensor(numbers(2, 16, 4, 64))
    assert blocks(kernel(lambda: x.permute(0, 2, 1, 3).contiguous()).source) == {"I": 1024}


def test_channels_last_and_first() -> None:
    x = tensor(numbers(4, 96, 20, 20))
    assert blocks(kernel(lambda: x.permute(0, 2, 3, 1).contiguous()).source) == {"Y": 64, "X": 64}
    y = tensor(numbers(4, 20, 20, 3))
    assert blocks(kernel(lambda: y.permute(0, 3, 1, 2).contiguous()).source) == {"Y": 4, "X": 512}


def test_parts_of_a_column_sum_read_whole_lines() -> None:
    x = tensor(numbers(16384, 320), lg.bfloat16)
    partial, whole = (step.choices[0] for step in kernels_of(lambda: x.sum(0)))
    assert isinstance(partial, Kernel) and isinstance(whole, Kernel)
    assert blocks(partial.source)["X"] == 64
    assert re.search(r"in0_ptr \+ \(z \* \d+ \+ r \* 320 \+ x\)", partial.source)
    assert "%" not in partial.source.split("tl.load")[1]
    assert partial.grid[0] >= 4 * 64


def test_parts_begin_at_whole_blocks() -> None:
    x = tensor(numbers(9001, 512), lg.bfloat16)
    partial = kernels_of(lambda: x.sum(0))[0].choices[0]
    assert isinstance(partial, Kernel)
    each = re.search(r"z \* (\d+) \+ r < 9001", partial.source)
    assert each is not None and int(each.group(1)) % 64 == 0
    assert "r_inside" not in partial.source


def test_few_channels_are_split_over_the_batch() -> None:
    x = tensor(numbers(32, 16, 5000), lg.bfloat16)
    partial = kernels_of(lambda: x.sum((0, 2)))[0].choices[0]
    assert isinstance(partial, Kernel)
    assert partial.grid[0] == 32 * 16


def test_row_statistics_do_not_decide_how_columns_are_walked() -> None:
    x, g = tensor(numbers(8192, 512), lg.bfloat16), tensor(numbers(8192, 512), lg.bfloat16)
    scale = tensor(numbers(8192, 1))
    for step in kernels_of(lambda: (x * g * scale).sum(0)):
        made = step.choices[0]
        assert isinstance(made, Kernel)
        assert blocks(made.source)["X"] >= 16


def test_what_is_reduced_in_both_orders_is_read_in_blocks_of_both() -> None:
    x, y = tensor(numbers(512, 512)), tensor(numbers(512, 512))
    made = blocks(kernel(lambda: (x + y.t()).sum(1)).source)
    assert made["X"] >= 16 and made["R"] >= 32


# -- how memory is walked -----------------------------------------------------------------------------
def test_contiguous_along() -> None:
    x, y = ix.var("x", 100), ix.var("y", 64)
    for expression, along_x in [
        (x + y * 100, True), (99 - x, True), (x % 10 + x // 10 * 64, True), (x * 2 + y, False), (x // 2 + y, False),
        (y, False),
    ]:  # fmt: skip
        assert ix.contiguous_along(expression, x) is along_x


# -- values -------------------------------------------------------------------------------------------
SHAPES = [(33, 65), (64, 64), (17, 1), (1, 40), (3, 100), (100, 3), (70, 129)]
DTYPES = [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8, bool]


def same(function: Callable[..., lg.Tensor], *arrays: Any, dtype: Any = None) -> None:
    """NumPy and interpreted kernels agree to the bit (the numbers are small integers)."""
    roots = [function(*(lg.tensor(a) if dtype is None else lg.tensor(a).to(dtype) for a in arrays)).node]
    for expected, got in zip(values_of(roots), values_of(roots, "triton"), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_transposed_copies_of_every_dtype(dtype: Any) -> None:
    same(lambda x: x.t().contiguous(), numbers(70, 45, dtype=dtype))


def test_transposed_copies_of_bfloat16() -> None:
    same(lambda x: x.t().contiguous(), numbers(70, 45), dtype=lg.bfloat16)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_transposed_operands(shape: tuple[int, int]) -> None:
    x, y = numbers(*shape), numbers(*shape[::-1])
    same(lambda x, y: x.t() * 2 + y, x, y)
    same(lambda x, y: (x - y.t()).flip(0), x, y)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (3, 2, 1, 0), (0, 3, 1, 2), (2, 3, 0, 1), (1, 0, 3, 2)], ids=str)
def test_permutations(order: tuple[int, ...]) -> None:
    same(lambda x: x.permute(*order) + 1, numbers(3, 18, 5, 20))


@pytest.mark.parametrize("shape", [(0, 40), (40, 0), (2, 0, 3)], ids=str)
def test_empty(shape: tuple[int, ...]) -> None:
    same(lambda x: x.transpose(0, 1).contiguous(), numbers(*shape))


def test_padded_sliced_joined_and_gathered() -> None:
    x, y = numbers(40, 50), numbers(50, 40)
    same(lambda x: lg.nn.functional.pad(x.t(), (1, 2, 3, 4)), x)
    same(lambda x: x.t()[3:45, 2:38] * 3, x)
    same(lambda x: x.t()[::2, ::3] * 3, x)
    same(lambda x, y: lg.cat([x.t(), y]), x, y)
    same(lambda x, y: lg.cat([x.t(), y], 1), x, y)
    same(lambda x: x.t()[lg.tensor([3, 1, 30])] + 1, x)
    same(lambda x: x.t().contiguous().view(25, 80), x)


def test_two_results_of_one_plane() -> None:
    x = tensor(numbers(40, 50))
    roots = [(x.t() + 1).node, (x.t() * 2).node]
    assert blocks(kernel(lambda: [x.t() + 1, x.t() * 2]).source) == {"Y": 64, "X": 64}
    for expected, got in zip(values_of(roots), values_of(roots, "triton"), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", [(1500, 40), (1500, 100), (700, 33), (600, 3), (600, 1), (2, 900, 48)], ids=str)
def test_column_reductions(shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    axis = len(shape) - 2
    same(lambda x: x.sum(axis), x)
    same(lambda x: x.amax(axis), x)
    same(lambda x: x.sum(axis), x, dtype=lg.bfloat16)
    same(lambda x: (x > 0).any(axis), x)
    same(lambda x: x.argmax(axis), x)


@pytest.mark.parametrize("shape", [(8, 3, 5000), (3, 5, 9000), (700, 3, 60), (2, 2, 3, 20000)], ids=str)
def test_reductions_of_both_ends(shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    axes = (0, *range(2, len(shape)))
    same(lambda x: x.sum(axes), x)
    same(lambda x: x.amax(axes), x)


@pytest.mark.parametrize("count", [1, 4097, 20000, 70001])
def test_whole_reductions(count: int) -> None:
    x = numbers(count)
    same(lambda x: x.sum(), x)
    same(lambda x: x.amin(), x)


def test_column_sums_beside_what_they_sum() -> None:
    """The pack of dq, dk, dv and the gradient of its bias: one kernel writes and sums."""
    parts = [numbers(700, 40) for _ in range(3)]

    def packed(*parts: lg.Tensor) -> lg.Tensor:
        joined = lg.cat(parts, 1)
        return lg.cat([joined.sum(0, keepdim=True), joined])

    same(packed, *parts)


def test_scans_down_columns() -> None:
    same(lambda x: x.cumsum(1), numbers(3, 50, 40))
    same(lambda x: x.cumsum(0), numbers(90, 33))


def test_gradients_are_those_of_torch() -> None:
    """First and second gradients through transposed operands and column sums, in float64."""
    x, y = np.random.default_rng(0).normal(size=(40, 70)), np.random.default_rng(1).normal(size=(70, 40))

    def gradients(lib: Any, x: Any, y: Any) -> list[Any]:
        x, y = x.requires_grad_(), y.requires_grad_()
        out = ((x.t() * y).sin() + y).sum(0)
        first = lib.autograd.grad((out * out).sum(), [x, y], create_graph=True)
        return [out, *first, *lib.autograd.grad((first[0] * first[0]).sum(), [x, y])]

    expected = gradients(torch, torch.from_numpy(x), torch.from_numpy(y))
    roots = [t.detach().node for t in gradients(lg, lg.tensor(x), lg.tensor(y))]
    for want, got in zip(expected, values_of(roots, "triton"), strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-10, atol=1e-10)
