"""Transformations of every case of every table, lazygrad against itself: torch lacks rules for many of these.

vmap over a batch of three draws is the three calls one by one, and vmap of the gradient their gradients; the forward
derivative is the adjoint of the gradient; Jacobians pushed and pulled are equal.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import lazygrad as lg
from tests import support
from tests.coverage import all_cases
from tests.support import Case, to_numpy
from tests.test_seeds import CREATION, LAYERS, OPS

CASES = [c for c in (*all_cases(), *OPS, *LAYERS, *CREATION) if isinstance(c, Case) and c.inputs]
SMOOTH = [c for c in CASES if c.gradient and c.values]
SAMPLE = SMOOTH[::25]
TOLERANCE = 1e-8

# who asks for the values of one example, and so can't be mapped in some forms: results whose shape depends on values,
# numbers and truths for Python, and checks of arguments
NEED_VALUES = {
    "__getitem__", "masked_select", "nonzero", "one_hot", "repeat_interleave", "unique", "unique_consecutive", "bincount",
    "__contains__", "equal", "allclose", "inv_ex", "solve_ex", "cholesky_ex", "lstsq",
}  # fmt: skip


def refused(error: RuntimeError) -> bool:
    """Whether an error says, at a line, that one of these asks for a value."""
    found = re.search(r"vmap: (\w+)\(\) asks for the value of one example.*\.py:\d+", str(error))
    return found is not None and found[1] in NEED_VALUES


@pytest.fixture
def mappable(each: Case) -> None:
    """Skips a case that needs the values of one example, where the error says so."""
    try:
        lg.vmap(tensors_of(each), randomness="same")(*stacked(draws(each)))
    except RuntimeError as error:
        if not refused(error):
            raise
        pytest.skip(str(error))


def test_what_needs_values_says_so() -> None:
    """Only few cases do."""
    cases = {c.name: c for c in CASES}
    for name in ("read-mask", "masked_select", "nonzero", "unique", "bincount", "equality", "one_hot-counted", "len-iter"):
        each = cases[name]
        with pytest.raises(RuntimeError) as caught:
            lg.vmap(tensors_of(each))(*stacked(draws(each)))
        assert refused(caught.value)


def draws(each: Case, count: int = 3) -> list[list[lg.Tensor]]:
    """The case's inputs, drawn by as many seeds: in float64 where there are gradients."""
    dtype = "float64" if each.gradient else each.dtypes[0]
    name = zlib.crc32(each.name.encode())
    generators = [np.random.default_rng([name, seed]) for seed in range(count)]
    return [[support._lazy(i.array(g, dtype), i.dtype or dtype, False) for i in each.inputs] for g in generators]


def tensors_of(each: Case) -> Callable[..., tuple[lg.Tensor, ...]]:
    """The case as a function that returns its Tensors alone."""
    return lambda *xs: tuple(o for o in support._flat(each.function(lg, *xs)) if isinstance(o, lg.Tensor))


def floats_of(each: Case) -> Callable[..., tuple[lg.Tensor, ...]]:
    return lambda *xs: tuple(o for o in tensors_of(each)(*xs) if o.is_floating_point())


def float_positions(inputs: Sequence[lg.Tensor]) -> tuple[int, ...]:
    return tuple(i for i, x in enumerate(inputs) if x.is_floating_point())


def stacked(rows: Sequence[Sequence[lg.Tensor]]) -> list[lg.Tensor]:
    return [lg.stack(column) for column in zip(*rows, strict=True)]


def same(got: Sequence[lg.Tensor], want: Sequence[lg.Tensor], values: bool = True) -> None:
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and g.dtype is w.dtype
        if values:
            np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("each", CASES, ids=str)
def test_vmap(each: Case, mappable: None) -> None:
    rows = draws(each)
    function = tensors_of(each)
    got = lg.vmap(function, randomness="different")(*stacked(rows))
    same(got, stacked([function(*[x.clone() for x in row]) for row in rows]), each.values)


@pytest.mark.parametrize("each", SMOOTH, ids=str)
def test_vmap_of_the_gradient(each: Case, mappable: None) -> None:
    rows = draws(each)
    positions = float_positions(rows[0])
    if not positions or not floats_of(each)(*rows[0]):
        return
    gradient = lg.func.grad(lambda *xs: support._weights(floats_of(each)(*xs), 1, lg), positions)
    same(lg.vmap(gradient, randomness="same")(*stacked(rows)), stacked([gradient(*row) for row in rows]))


def in_floats(each: Case) -> tuple[Callable[..., tuple[lg.Tensor, ...]], tuple[lg.Tensor, ...]]:
    """The case as a function of its floating point inputs alone, and these."""
    (inputs,) = draws(each, 1)
    positions = float_positions(inputs)

    def function(*given: Any) -> tuple[lg.Tensor, ...]:
        whole = list(inputs)
        for i, x in zip(positions, given, strict=True):
            whole[i] = x
        return floats_of(each)(*whole)

    return function, tuple(inputs[i] for i in positions)


def like(tensors: Sequence[lg.Tensor], seed: int) -> tuple[lg.Tensor, ...]:
    generator = np.random.default_rng(seed)
    return tuple(lg.tensor(generator.uniform(-1, 1, tuple(t.shape))).to(t.dtype) for t in tensors)


def product(left: Sequence[lg.Tensor], right: Sequence[lg.Tensor]) -> Any:
    return sum((a * b).sum().double() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("each", SMOOTH, ids=str)
def test_pushing_is_the_adjoint_of_pulling(each: Case) -> None:
    """<w, J t> = <J^T w, t>"""
    function, primals = in_floats(each)
    outputs, pullback = lg.func.vjp(function, *primals)
    if not primals or not outputs:
        return
    tangents, cotangents = like(primals, 1), like(outputs, 2)
    moved = lg.func.jvp(function, primals, tangents)[1]
    left, right = product(cotangents, moved), product(pullback(cotangents), tangents)
    rounded = max(support.TOLERANCE[o.dtype.name] for o in outputs)
    np.testing.assert_allclose(to_numpy(left), to_numpy(right), rtol=100 * rounded, atol=100 * rounded)


@pytest.mark.parametrize("each", SAMPLE, ids=str)
def test_jacobians(each: Case) -> None:
    function, primals = in_floats(each)
    argnums = tuple(range(len(primals)))
    if not primals or not function(*primals):
        return
    pulled, pushed = (t(function, argnums)(*primals) for t in (lg.func.jacrev, lg.func.jacfwd))
    for rows, columns in zip(pulled, pushed, strict=True):
        same(rows, columns)


@pytest.mark.parametrize("each", [c for c in SAMPLE if c.second], ids=str)
def test_hessians_are_symmetric(each: Case) -> None:
    function, primals = in_floats(each)
    argnums = tuple(range(len(primals)))
    if not primals or not function(*primals):
        return
    found = lg.func.hessian(lambda *xs: support._weights(function(*xs), 1, lg), argnums)(*primals)
    for i, row in enumerate(found):
        for j, block in enumerate(row):
            lead = primals[i].ndim
            turned = found[j][i].permute(*range(primals[j].ndim, block.ndim), *range(primals[j].ndim))
            assert block.shape[:lead] == primals[i].shape
            known = block.isfinite().logical_and(turned.isfinite())  # 0 * inf where a slope has no end
            same([block.where(known, 0)], [turned.where(known, 0)])


@pytest.mark.parametrize("each", [c for c in CASES if len(c.inputs) > 1 and c.values], ids=str)
def test_vmap_over_one_input(each: Case, mappable: None) -> None:
    """The examples of one input in turn, along its last dimension; all of them share the others."""
    rows = draws(each)
    function = tensors_of(each)
    for i in range(len(each.inputs)):
        mixed = [[*rows[0][:i], row[i], *rows[0][i + 1 :]] for row in rows]
        last = lg.stack([row[i] for row in rows], -1)
        in_dims = tuple(-1 if i == j else None for j in range(len(each.inputs)))
        got = lg.vmap(function, in_dims, out_dims=-1, randomness="same")(*rows[0][:i], last, *rows[0][i + 1 :])
        want = [lg.stack(column, -1) for column in zip(*[function(*[x.clone() for x in m]) for m in mixed], strict=True)]
        same(got, want)
