"""The op table is complete, and each of its ops means the same to NumPy, to Triton and to torch.

The hostile part is in the inputs: signed zeros, infinities, NaN, the largest and smallest numbers, overflow,
0-d and empty arrays, sizes that are no power of two, more than one block, rows too long for registers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from lazygrad.codegen.spelling import BY_LIBRARY, SPELLINGS
from lazygrad.dtype import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.attention import DECOMPOSITIONS
from lazygrad.ir.grad import THROUGH_PARTS, VJP, gradients
from lazygrad.ir.node import Node
from lazygrad.ir.op import OPS, Kind, Op, SkewArg
from tests.graphs import leaf, values_of

FLOATS = (float32, float64, float16, bfloat16)
SIGNED = (int8, int16, int32, int64)
INTEGERS = (uint8, *SIGNED)
REAL = (*FLOATS, *INTEGERS)
ALL = (*REAL, bool_)
BITS = (*INTEGERS, bool_)

EPSILON = {float64: 2.0**-52, float32: 2.0**-23, float16: 2.0**-10, bfloat16: 2.0**-7}
ANYWHERE = (-2.0, 2.0)


@dataclass(frozen=True)
class Row:
    """What torch calls a pointwise op, for which dtypes, and where it is smooth in each operand."""

    torch: Callable[..., Any]
    dtypes: Sequence[DType] = FLOATS
    smooth: tuple[tuple[float, float], ...] = ()  # empty: nothing to differentiate
    ulps: float = 8.0  # torch and NumPy round functions differently
    near_zero: float = 0.0  # an absolute error that may always be there
    arg: Any = None
    fits: Callable[..., Any] | None = None  # which operands it is defined for


def _nonzero(a: Any, b: Any) -> Any:
    lowest = np.iinfo(a.dtype).min if a.dtype.kind in "iu" else None
    return (b != 0) & ~((a == lowest) & (b == -1)) if lowest is not None else np.ones(a.shape, bool)


def _shift_fits(a: Any, b: Any) -> Any:
    return (b >= 0) & (b < 8 * a.dtype.itemsize)


def _power_fits(a: Any, b: Any) -> Any:
    return b >= 0 if a.dtype.kind in "iu" else np.ones(a.shape, bool)


def _no_pole(a: Any) -> Any:
    return (a > -10) & ((a > 0) | (a != np.floor(a)))


def _moderate(a: Any, b: Any) -> Any:
    """a / b has all its digits: beyond, fmod's exact remainder and a rounded quotient part ways."""
    quotient = np.abs(a.astype(np.float64) / b.astype(np.float64))
    return ~(quotient > 1e3) & ~(np.abs(a.astype(np.float64)) > 1e30)


T = torch
POINTWISE: dict[Op, Row] = {
    ops.NEG: Row(T.neg, REAL, (ANYWHERE,)),
    ops.ABS: Row(T.abs, REAL, ((0.2, 2),)),
    ops.SIGN: Row(T.sign, REAL, ((0.2, 2),)),
    ops.EXP: Row(T.exp, FLOATS, (ANYWHERE,)),
    ops.EXP2: Row(T.exp2, FLOATS, (ANYWHERE,)),
    ops.EXPM1: Row(T.expm1, FLOATS, (ANYWHERE,)),
    ops.LOG: Row(T.log, FLOATS, ((0.2, 3),)),
    ops.LOG2: Row(T.log2, FLOATS, ((0.2, 3),)),
    ops.LOG10: Row(T.log10, FLOATS, ((0.2, 3),)),
    ops.LOG1P: Row(T.log1p, FLOATS, ((-0.5, 3),)),
    ops.SQRT: Row(T.sqrt, FLOATS, ((0.2, 3),)),
    ops.RSQRT: Row(T.rsqrt, FLOATS, ((0.2, 3),)),
    ops.RECIPROCAL: Row(T.reciprocal, FLOATS, ((0.3, 2),)),
    ops.SIGMOID: Row(T.sigmoid, FLOATS, (ANYWHERE,)),
    ops.SIN: Row(T.sin, FLOATS, (ANYWHERE,)),
    ops.COS: Row(T.cos, FLOATS, (ANYWHERE,)),
    ops.TAN: Row(T.tan, FLOATS, ((-1, 1),)),
    ops.ASIN: Row(T.asin, FLOATS, ((-0.9, 0.9),)),
    ops.ACOS: Row(T.acos, FLOATS, ((-0.9, 0.9),)),
    ops.ATAN: Row(T.atan, FLOATS, (ANYWHERE,)),
    ops.SINH: Row(T.sinh, FLOATS, (ANYWHERE,)),
    ops.COSH: Row(T.cosh, FLOATS, (ANYWHERE,)),
    ops.TANH: Row(T.tanh, FLOATS, (ANYWHERE,)),
    ops.ASINH: Row(T.asinh, FLOATS, (ANYWHERE,)),
    ops.ACOSH: Row(T.acosh, FLOATS, ((1.2, 3),)),
    ops.ATANH: Row(T.atanh, FLOATS, ((-0.9, 0.9),)),
    ops.ERF: Row(T.erf, FLOATS, (ANYWHERE,)),
    ops.ERFC: Row(T.erfc, FLOATS, (ANYWHERE,), ulps=64),
    ops.ERFINV: Row(T.erfinv, FLOATS, ((-0.9, 0.9),), ulps=64),
    ops.LGAMMA: Row(T.lgamma, FLOATS, ((0.5, 3),), ulps=64, near_zero=1e-14),
    ops.DIGAMMA: Row(T.digamma, FLOATS, ((0.5, 3),), ulps=64, near_zero=1e-6),  # torch: in float32
    ops.POLYGAMMA: Row(lambda a: T.polygamma(1, a), (float32,), ((0.5, 3),), ulps=256, arg=1, fits=_no_pole),
    ops.FLOOR: Row(T.floor, FLOATS, ((0.1, 0.9),)),
    ops.CEIL: Row(T.ceil, FLOATS, ((0.1, 0.9),)),
    ops.ROUND: Row(T.round, FLOATS, ((0.6, 1.4),)),
    ops.TRUNC: Row(T.trunc, FLOATS, ((0.1, 0.9),)),
    ops.ISNAN: Row(T.isnan, FLOATS),
    ops.NOT: Row(T.bitwise_not, BITS),
    ops.ADD: Row(T.add, REAL, (ANYWHERE, ANYWHERE)),
    ops.SUB: Row(T.sub, REAL, (ANYWHERE, ANYWHERE)),
    ops.MUL: Row(T.mul, REAL, (ANYWHERE, ANYWHERE)),
    ops.DIV: Row(T.div, FLOATS, (ANYWHERE, (0.5, 2))),
    ops.FLOORDIV: Row(T.floor_divide, REAL, ((0.1, 0.4), (0.5, 2)), fits=_nonzero),
    ops.TRUNCDIV: Row(lambda a, b: T.div(a, b, rounding_mode="trunc"), INTEGERS, fits=_nonzero),
    ops.REMAINDER: Row(T.remainder, REAL, ((2.1, 2.4), (0.85, 1.0)), fits=_nonzero),
    ops.FMOD: Row(T.fmod, REAL, ((2.1, 2.4), (0.85, 1.0)), fits=_nonzero),
    ops.POW: Row(T.pow, REAL, ((0.5, 2), ANYWHERE), fits=_power_fits),
    ops.ATAN2: Row(T.atan2, FLOATS, ((0.3, 2), (0.3, 2))),
    ops.HYPOT: Row(T.hypot, FLOATS, ((0.3, 2), (0.3, 2))),
    ops.COPYSIGN: Row(T.copysign, FLOATS, ((0.3, 2), (0.3, 2))),
    ops.MAXIMUM: Row(T.maximum, ALL, ((0.1, 1), (1.1, 2))),
    ops.MINIMUM: Row(T.minimum, ALL, ((0.1, 1), (1.1, 2))),
    ops.LT: Row(T.lt, ALL),
    ops.LE: Row(T.le, ALL),
    ops.EQ: Row(T.eq, ALL),
    ops.NE: Row(T.ne, ALL),
    ops.AND: Row(T.bitwise_and, BITS),
    ops.OR: Row(T.bitwise_or, BITS),
    ops.XOR: Row(T.bitwise_xor, BITS),
    ops.SHL: Row(T.bitwise_left_shift, INTEGERS, fits=_shift_fits),
    ops.SHR: Row(T.bitwise_right_shift, INTEGERS, fits=_shift_fits),
    ops.BARRIER: Row(lambda a, after: a.clone(), ALL, (ANYWHERE, ANYWHERE)),
}
ELSEWHERE = {ops.WHERE, ops.CAST, ops.BITCAST, ops.PHILOX}  # pointwise ops with tests of their own

INTEGER_ONLY = {ops.TRUNCDIV, ops.NOT, ops.AND, ops.OR, ops.XOR, ops.SHL, ops.SHR, ops.PHILOX, ops.IOTA}
AFTER_AUTOGRAD = {ops.PLACE, ops.SEGMENT}  # what a schedule makes of other ops


# -- completeness -------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_every_cell_is_filled(op: Op) -> None:
    """Kind, meaning, gradient and spelling: what one op has, all have, or say why not."""
    assert OPS[op.name] is op and isinstance(op.kind, Kind)
    assert op.ref is not None or op in DECOMPOSITIONS or op.kind in (Kind.SOURCE, Kind.TRANSFER, Kind.EXAMPLE, Kind.APPLY)
    if op.kind is Kind.POINTWISE:
        assert (op in SPELLINGS) != (op in BY_LIBRARY), "spelled for Triton, or run by the library: one of them"
        assert (op in POINTWISE) != (op in ELSEWHERE), "has a row in this test"
        assert op.result is not None or op in (ops.CAST, ops.BITCAST)
    if not _is_differentiable(op):
        return
    if op in THROUGH_PARTS or op in (ops.CONCAT, ops.CUSTOM):
        return
    assert op in VJP, "no gradient, and nothing says that there is none"
    assert len(VJP[op]) == (5 if op is ops.ATTENTION else op.arity)


def _is_differentiable(op: Op) -> bool:
    if op.kind in (Kind.SOURCE, Kind.APPLY) or op in INTEGER_ONLY or op in AFTER_AUTOGRAD:
        return False
    if op.result is None:
        return True
    return bool(op.result((float64,) * max(op.arity, 1)).is_floating_point)


def test_nothing_stands_in_a_table_twice() -> None:
    assert not set(VJP) & set(THROUGH_PARTS)
    assert set(VJP) | set(THROUGH_PARTS) <= set(OPS.values())
    assert set(SPELLINGS) <= {o for o in OPS.values() if o.kind is Kind.POINTWISE}


# -- pointwise ----------------------------------------------------------------------------------------
def _hostile_numbers(dtype: DType) -> list[Any]:
    if dtype is bool_:
        return [False, True]
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        small = [0, 1, 2, 3, 7, 8, 31, 63]
        return [*small, info.max, info.max - 1, *([-1, -2, -3, -7, info.min, info.min + 1] if dtype.signed else [])]
    info = ml_dtypes.finfo(dtype.numpy)
    special = [0.0, -0.0, math.inf, -math.inf, math.nan]
    plain = [1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 0.1, -0.75, 20.0, -20.0, 100.0, -100.0]
    return [*special, *plain, float(info.max), -float(info.max), float(info.tiny), -float(info.tiny)]


def _hostile(dtype: DType, arity: int) -> list[np.ndarray[Any, Any]]:
    numbers = np.array(_hostile_numbers(dtype), dtype.numpy)
    if arity == 1:
        return [numbers]
    pairs = np.array(list(itertools.product(range(len(numbers)), repeat=2)))
    return [numbers[pairs[:, 0]], numbers[pairs[:, 1]]]


def _drawn(generator: np.random.Generator, dtype: DType, shape: Sequence[int], low: float, high: float) -> Any:
    if dtype is bool_:
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.is_integer:
        bottom = 0 if not dtype.signed else math.floor(low)
        return generator.integers(bottom, max(math.ceil(high), bottom) + 1, shape).astype(dtype.numpy)
    return generator.uniform(low, high, shape).astype(dtype.numpy)


def to_torch(array: np.ndarray[Any, Any]) -> torch.Tensor:
    if array.dtype == bfloat16.numpy:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def from_torch(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    tensor = tensor.detach().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(bfloat16.numpy)
    return tensor.numpy()


def assert_close(got: Any, want: Any, ulps: float, what: str, near_zero: float = 0.0) -> None:
    """Within `ulps` of the dtype; integers and bools exactly; NaN and infinities where they are expected."""
    assert got.shape == want.shape and got.dtype == want.dtype, (
        f"{what}: {got.dtype}{got.shape}, {want.dtype}{want.shape}"
    )
    if got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    epsilon = float(ml_dtypes.finfo(got.dtype).eps)
    tiny = float(ml_dtypes.finfo(got.dtype).tiny)
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=ulps * epsilon,
        atol=ulps * max(tiny, 1e-300) + near_zero, err_msg=what
    )


def _apply(row: Row, op: Op, nodes: Sequence[Node]) -> Node:
    return build.pointwise(op, *nodes, arg=row.arg)


PAIRS = [(op, dtype) for op, row in POINTWISE.items() for dtype in row.dtypes]


@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=[f"{o}-{d.name}" for o, d in PAIRS])
def test_pointwise_values(op: Op, dtype: DType) -> None:
    """Hostile numbers, then more than a block of ordinary ones: torch, NumPy and Triton agree."""
    row = POINTWISE[op]
    generator = np.random.default_rng(len(op.name))
    spans = row.smooth or ((-4.0, 4.0),) * op.arity
    ordinary = [_drawn(generator, dtype, (1037,), *span) for span in spans]
    for arrays, kind in ((_hostile(dtype, op.arity), "hostile"), (ordinary, "ordinary")):
        if row.fits is not None:
            keep = row.fits(*arrays)
            arrays = [a[keep] for a in arrays]
        if op in (ops.REMAINDER, ops.FMOD, ops.FLOORDIV) and dtype.is_floating_point:
            with np.errstate(all="ignore"):
                keep = _moderate(*arrays)
            arrays = [a[keep] for a in arrays]
        node = _apply(row, op, [leaf(a) for a in arrays])
        what = f"{op.name} of {kind} {dtype.name}"
        (mine,), (kernel,) = values_of([node]), values_of([node], "triton")
        try:
            want = from_torch(row.torch(*(to_torch(a) for a in arrays)))
        except (RuntimeError, NotImplementedError) as error:
            assert "not implemented" in str(error), error
            want = None
        if want is not None:
            assert_close(mine, want.astype(mine.dtype), row.ulps, f"{what}: NumPy and torch", row.near_zero)
        assert_close(kernel, mine, 2.0, f"{what}: Triton and NumPy")


@pytest.mark.parametrize("op", [o for o, row in POINTWISE.items() if row.smooth], ids=str)
def test_pointwise_gradients(op: Op) -> None:
    """First and second derivatives, against torch in float64; the second also computed by a kernel."""
    row = POINTWISE[op]
    generator = np.random.default_rng(3)
    arrays = [generator.uniform(*span, (3, 5)) for span in row.smooth]
    weights = [generator.uniform(0.5, 1.5, (3, 5)) for _ in range(1 + len(arrays))]
    leaves = [build.leaf(leaf(a), 1000 + i) for i, a in enumerate(arrays)]
    mine = _derivatives(_apply(row, op, leaves), leaves, weights)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    try:
        want = _torch_derivatives(row.torch(*tensors), tensors, weights)
    except RuntimeError as error:
        assert "not implemented" in str(error), error
        pytest.skip(f"torch has no second derivative: {error}")
    for got, expected in zip(values_of(mine), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    for got, expected in zip(values_of(mine, "triton"), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def _or_zero(node: Node | None, like: Node) -> Node:
    return build.like(like, 0) if node is None else node


def _derivatives(out: Node, leaves: list[Node], weights: list[Any]) -> list[Node]:
    first = [_or_zero(g, x) for g, x in zip(gradients([out], [leaf(weights[0])], leaves), leaves, strict=True)]
    live = [(g, w) for g, w in zip(first, weights[1:], strict=True) if g.needs_grad]
    second = gradients([g for g, _ in live], [leaf(w) for _, w in live], leaves) if live else [None] * len(leaves)
    return [*first, *(_or_zero(g, x) for g, x in zip(second, leaves, strict=True))]


def _torch_derivatives(out: torch.Tensor, inputs: list[torch.Tensor], weights: list[Any]) -> list[Any]:
    first = torch.autograd.grad(out, inputs, torch.tensor(weights[0]), create_graph=True, allow_unused=True)
    live = [(g, torch.tensor(w)) for g, w in zip(first, weights[1:], strict=True) if g is not None and g.requires_grad]
    second: Sequence[Any] = [None] * len(inputs)
    if live:
        second = torch.autograd.grad([g for g, _ in live], inputs, [w for _, w in live], allow_unused=True)
    zeros = [np.zeros(tuple(x.shape)) for x in inputs]
    return [z if g is None else g.numpy(force=True) for g, z in zip([*first, *second], zeros + zeros, strict=True)]


SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (3, 0, 2), (7,), (3, 5, 2), (1, 9, 1), (1025,), (33, 65)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pointwise_shapes(shape: tuple[int, ...]) -> None:
    """Every kind of shape, alone and broadcast against a 0-d one, in one kernel and in many."""
    generator = np.random.default_rng(1)
    a, b, c = (_drawn(generator, float32, s, -2, 2) for s in (shape, shape, ()))
    x, y, z = leaf(a), leaf(b), leaf(c)
    node = build.add(build.mul(build.pointwise(ops.SIN, x), y), build.where(build.less(x, z), z, y))
    want = np.sin(a) * b + np.where(a < c, c, b)
    for backend, fuse in (("numpy", True), ("triton", True), ("triton", False)):
        (got,) = values_of([node], backend, fuse)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6, err_msg=f"{backend} fuse={fuse}")


@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_where(dtype: DType) -> None:
    numbers = np.array(_hostile_numbers(dtype), dtype.numpy)
    condition = np.arange(len(numbers)) % 2 == 0
    node = build.where(leaf(condition), leaf(numbers), leaf(numbers[::-1].copy()))
    for backend in ("numpy", "triton"):
        assert_close(values_of([node], backend)[0], np.where(condition, numbers, numbers[::-1]), 0, backend)


CASTS = [(a, b) for a in ALL for b in ALL if a is not b]


@pytest.mark.parametrize(("source", "result"), CASTS, ids=[f"{a.name}-{b.name}" for a, b in CASTS])
def test_cast(source: DType, result: DType) -> None:
    """Every pair of dtypes. Out of an integer's range C, and so torch, leaves the result of a float open."""
    numbers = np.array(_hostile_numbers(source), source.numpy)
    if source.is_floating_point and result.is_integer:
        with np.errstate(invalid="ignore"):
            wide = numbers.astype(np.float64)
        info = np.iinfo(result.numpy)
        numbers = numbers[
            np.isfinite(wide) & (wide > max(info.min, -(2.0**31)) - 1) & (wide < min(info.max, 2**31 - 1))
        ]
    node = build.cast(leaf(numbers), result)
    want = from_torch(to_torch(numbers).to(getattr(torch, result.name)))
    for backend in ("numpy", "triton"):
        assert_close(values_of([node], backend)[0], want, 0, f"{backend}: {numbers}")


@pytest.mark.parametrize(
    ("source", "result"),
    [(float32, int32), (int32, float32), (float64, int64), (float16, int16), (bfloat16, int16), (int16, bfloat16)],
    ids=lambda d: d.name,
)
def test_bitcast(source: DType, result: DType) -> None:
    numbers = np.array([0, 1, -1, 2, 3, 100], source.numpy)
    node = build.pointwise(ops.BITCAST, leaf(numbers), arg=result)
    for backend in ("numpy", "triton"):
        assert_close(values_of([node], backend)[0], numbers.view(result.numpy), 0, backend)


@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_constants_keep_their_dtype(dtype: DType) -> None:
    """A constant beside a value, alone, and at the ends of its range."""
    for value in _hostile_numbers(dtype):
        array = np.array([1, 0, 1], dtype.numpy)
        wanted = np.array(value, dtype.numpy)
        condition = leaf(np.array([True, False, True]))
        node = build.where(condition, build.like(leaf(array), value), leaf(array))
        alone = build.const(value, dtype, node.device, (3,))
        for backend in ("numpy", "triton"):
            first, second = values_of([node, alone], backend)
            assert_close(first, np.where([True, False, True], wanted, array), 0, f"{backend} {value}")
            assert_close(second, np.full(3, wanted), 0, f"{backend} {value}")


# -- reductions ---------------------------------------------------------------------------------------
REDUCTIONS: dict[Op, tuple[Callable[..., Any], Sequence[DType]]] = {
    ops.SUM: (T.sum, REAL),
    ops.PROD: (T.prod, REAL),
    ops.MAX: (T.amax, ALL),
    ops.MIN: (T.amin, ALL),
    ops.ARGMAX: (T.argmax, REAL),
    ops.ARGMIN: (T.argmin, REAL),
}
REDUCED = [(op, dtype) for op, (_, dtypes) in REDUCTIONS.items() for dtype in dtypes]
# (shape, axes): rows and columns; one block, several, many; lengths that no block divides
SPACES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((7,), (0,)), ((1,), (0,)), ((3, 5), (1,)), ((3, 5), (0,)), ((3, 5), (0, 1)), ((2, 3, 5), (1,)),
    ((2, 3, 5), (0, 2)), ((1, 9, 1), (1,)), ((130, 3), (0,)), ((3, 1030), (1,)), ((65, 70), (0,)),
]  # fmt: skip
LONG_SPACES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 17001), (1,)), ((17001, 3), (0,)), ((70001,), (0,)), ((3, 5001, 2), (1,)),
]  # fmt: skip


def _torch_reduced(op: Op, array: Any, axes: tuple[int, ...], dtype: DType) -> Any:
    function = REDUCTIONS[op][0]
    tensor = to_torch(array)
    if op in (ops.ARGMAX, ops.ARGMIN):
        return from_torch(function(tensor, axes[0], keepdim=True))
    if op is ops.PROD:
        for axis in axes:
            tensor = function(tensor, axis, keepdim=True, dtype=tensor.dtype)
        return from_torch(tensor)
    if op is ops.SUM:
        return from_torch(function(tensor, axes, keepdim=True, dtype=tensor.dtype))
    return from_torch(function(tensor, axes, keepdim=True))


def _check_reduction(op: Op, dtype: DType, array: Any, axes: tuple[int, ...], node: Node | None = None) -> None:
    if op in (ops.ARGMAX, ops.ARGMIN) and len(axes) > 1:
        axes = axes[-1:]
    made = build.reduce(op, leaf(array) if node is None else node, axes)
    what = f"{op.name} of {dtype.name} {array.shape} over {axes}"
    try:
        want = _torch_reduced(op, array, axes, dtype)
    except RuntimeError as error:
        assert "not implemented" in str(error), error
        want = values_of([made])[0]
    length = math.prod(array.shape[a] for a in axes)
    # a sum of n terms in another order differs by less than n ulps of the sum of magnitudes
    for backend, fuse in (("numpy", True), ("triton", True), ("triton", False)):
        (got,) = values_of([made], backend, fuse)
        assert got.shape == want.shape and got.dtype == want.dtype, f"{what}: {got.dtype}{got.shape}"
        if op is ops.SUM and dtype.is_floating_point:
            with np.errstate(all="ignore"):
                size = np.sum(np.abs(array.astype(np.float64)), axis=axes, keepdims=True)
            bound = np.where(np.isfinite(size), size, 0) * EPSILON[dtype.compute] * (4 + math.sqrt(length))
            bound = bound + np.abs(np.nan_to_num(want.astype(np.float64), posinf=0, neginf=0)) * EPSILON[dtype]
            close = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= bound
            same = (got == want) | (np.isnan(got) & np.isnan(want))
            assert np.all(close | same), f"{what} on {backend} fuse={fuse}: {got} != {want}"
        else:
            assert_close(got, want, 4 + length, f"{what} on {backend} fuse={fuse}")


@pytest.mark.parametrize(("op", "dtype"), REDUCED, ids=[f"{o}-{d.name}" for o, d in REDUCED])
def test_reductions(op: Op, dtype: DType) -> None:
    """Every dtype, over rows, columns and everything; integers overflow, ties go to the first."""
    generator = np.random.default_rng(5)
    span = (0.9, 1.1) if op is ops.PROD and dtype.is_floating_point else (-3, 3)
    for shape, axes in SPACES:
        _check_reduction(op, dtype, _drawn(generator, dtype, shape, *span), axes)
    if dtype.is_integer:
        low, high = np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max
        _check_reduction(op, dtype, generator.integers(low, high, (6, 11), dtype.numpy), (1,))


@pytest.mark.parametrize(
    ("op", "dtype"),
    [(o, d) for o, (_, ds) in REDUCTIONS.items() for d in (float32, int64, bfloat16, bool_) if d in ds],
    ids=lambda v: getattr(v, "name", str(v)),
)
def test_long_reductions(op: Op, dtype: DType) -> None:
    """Rows beyond registers, columns walked in blocks, sums split between programs."""
    generator = np.random.default_rng(6)
    for shape, axes in LONG_SPACES:
        array = _drawn(generator, dtype, shape, -3, 3)
        if op is ops.PROD and dtype.is_floating_point:
            array = np.exp(generator.normal(size=shape) * 1e-3).astype(dtype.numpy)
            if dtype is bfloat16:
                continue  # every factor is 1
        if dtype is bool_:
            array = generator.uniform(size=shape) < (1e-5 if op is ops.MAX else 1 - 1e-5)
        _check_reduction(op, dtype, array, axes)


@pytest.mark.parametrize("op", [ops.SUM, ops.MAX, ops.MIN, ops.ARGMAX, ops.ARGMIN], ids=str)
@pytest.mark.parametrize("length", [6, 17001])
def test_reductions_of_hostile_numbers(op: Op, length: int) -> None:
    """NaN anywhere in a row wins, its first place counts; infinities of one sign stay, of both make NaN."""
    rows = np.zeros((6, length), np.float32)
    rows[0, 3] = math.nan
    rows[1, 1], rows[1, 4] = math.inf, math.inf
    rows[2, 2], rows[2, 5] = -math.inf, math.inf
    rows[3, 2], rows[3, 3], rows[3, -1] = 7, math.nan, math.nan
    rows[4] = -math.inf
    rows[5, 1], rows[5, 2] = -0.0, -1.0
    _check_reduction(op, float32, rows, (1,))
    _check_reduction(op, float32, np.ascontiguousarray(rows.T), (0,))


@pytest.mark.parametrize("op", [ops.ARGMAX, ops.ARGMIN], ids=str)
def test_the_first_of_equal_extremes_is_found(op: Op) -> None:
    for shape, axes in [((3, 50), (1,)), ((50, 3), (0,)), ((2, 17001), (1,)), ((9000, 2), (0,))]:
        array = np.random.default_rng(2).integers(0, 3, shape).astype(np.float32)
        _check_reduction(op, float32, array, axes)


def test_reductions_of_nothing() -> None:
    """A sum of nothing is 0, a product 1; an extreme of nothing is an error, of no rows has no elements."""
    empty = leaf(np.zeros((3, 0, 2), np.float32))
    for backend in ("numpy", "triton"):
        np.testing.assert_array_equal(values_of([build.reduce(ops.SUM, empty, (1,))], backend)[0], np.zeros((3, 1, 2)))
        np.testing.assert_array_equal(values_of([build.reduce(ops.PROD, empty, (1,))], backend)[0], np.ones((3, 1, 2)))
        assert values_of([build.reduce(ops.MAX, empty, (0,))], backend)[0].shape == (1, 0, 2)
        assert values_of([build.reduce(ops.SUM, empty, (2,))], backend)[0].shape == (3, 0, 1)
    with pytest.raises(IndexError, match="non-zero size"):
        build.reduce(ops.MAX, empty, (1,))


@pytest.mark.parametrize("op", [ops.SUM, ops.PROD, ops.MAX, ops.MIN], ids=str)
def test_reduction_gradients(op: Op) -> None:
    """First and second derivatives; equal extremes share the cotangent, products may hold zeros."""
    generator = np.random.default_rng(4)
    plain = generator.uniform(-2, 2, (3, 4, 5))
    ties = np.round(generator.uniform(-2, 2, (3, 4, 5)))
    for array, axes in itertools.product([plain, ties], [(2,), (1,), (0, 2)]):
        weights = [generator.uniform(0.5, 1.5, s) for s in (np.sum(plain, axis=axes, keepdims=True).shape, (3, 4, 5))]
        x = build.leaf(leaf(array), 1)
        mine = _derivatives(build.reduce(op, x, axes), [x], weights)
        tensor = torch.tensor(array, requires_grad=True)
        out = tensor
        if op is ops.PROD:
            for axis in axes:
                out = out.prod(axis, keepdim=True)
        else:
            out = REDUCTIONS[op][0](tensor, axes, keepdim=True)
        want = _torch_derivatives(out, [tensor], weights)
        for backend in ("numpy", "triton"):
            for got, expected in zip(values_of(mine, backend), want, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=backend)


# -- inputs that are views, and movement composed -----------------------------------------------------
def _skewed(a: Any, arg: SkewArg) -> Any:
    """SKEW by its definition, element by element."""
    result = np.zeros([arg.size if i == arg.axis else n for i, n in enumerate(a.shape)], a.dtype)
    for place in np.ndindex(*result.shape):
        source = list(place)
        source[arg.axis] += arg.step * place[arg.by] + arg.start
        if 0 <= source[arg.axis] < a.shape[arg.axis]:
            result[place] = a[tuple(source)]
    return result


SKEWS = {"skewed": SkewArg(1, 0, 1, 0, 2), "skewed outside": SkewArg(0, 2, -2, 3, 8), "skewed away": SkewArg(2, 1, 3, -5, 7)}
VIEWS: dict[str, tuple[Callable[[Node], Node], Callable[[Any], Any]]] = {
    "permuted": (lambda x: build.permute(x, (2, 0, 1)), lambda a: a.transpose(2, 0, 1)),
    "flipped": (lambda x: build.flip(x, (0, 2)), lambda a: np.flip(a, (0, 2))),
    "stepped": (lambda x: build.slice_(x, ((0, 6, 2), (1, 7, 3), (2, 9, 1))), lambda a: a[0:6:2, 1:7:3, 2:9]),
    "padded": (lambda x: build.pad(x, ((1, 0), (0, 2), (3, 1)), -1), lambda a: np.pad(a, ((1, 0), (0, 2), (3, 1)), constant_values=-1)),
    "expanded": (
        lambda x: build.expand(build.slice_(x, ((1, 2, 1), (0, 7, 1), (3, 4, 1))), (5, 7, 4)),
        lambda a: np.broadcast_to(a[1:2, :, 3:4], (5, 7, 4)),
    ),
    "reshaped": (lambda x: build.reshape(build.permute(x, (1, 0, 2)), (21, 3, 6)), lambda a: a.transpose(1, 0, 2).reshape(21, 3, 6)),
    "joined": (
        lambda x: build.concat([x, build.flip(x, (1,)), x], 1),
        lambda a: np.concatenate([a, np.flip(a, 1), a], 1),
    ),
    **{k: (lambda x, s=s: build.skew(x, s), lambda a, s=s: _skewed(a, s)) for k, s in SKEWS.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", [float32, int32, bool_, bfloat16], ids=lambda d: d.name)
def test_views_under_reductions(name: str, dtype: DType) -> None:
    """Reductions and pointwise ops over inputs that are no plain array."""
    view, twin = VIEWS[name]
    array = _drawn(np.random.default_rng(1), dtype, (6, 7, 9), -3, 3)
    node, want = view(leaf(array)), np.ascontiguousarray(twin(array))
    for backend, fuse in (("numpy", True), ("triton", True), ("triton", False)):
        (got,) = values_of([node], backend, fuse)
        assert_close(got, want, 0, f"{name} {backend} fuse={fuse}")
    for op in (ops.SUM, ops.MAX, ops.ARGMIN):
        if dtype not in REDUCTIONS[op][1]:
            continue
        for axes in ((0,), (1,), (2,), (1, 2), (0, 1, 2)):
            _check_reduction(op, dtype, want, axes, node)


def test_movement_composed() -> None:
    """Random chains of views over values computed in the kernel: the index algebra loses nothing."""
    generator = np.random.default_rng(11)
    for _ in range(60):
        array = generator.uniform(-1, 1, (4, 6, 5)).astype(np.float32)
        node = build.pointwise(ops.SIN, leaf(array))
        for _ in range(generator.integers(1, 7)):
            node = _moved(generator, node)
            if generator.uniform() < 0.2:
                node = build.shift(node, 1)
        values = [values_of([node], *path)[0] for path in (("numpy", True), ("triton", True), ("triton", False))]
        np.testing.assert_allclose(values[1], values[0], rtol=1e-6, err_msg=repr(node))
        np.testing.assert_allclose(values[2], values[0], rtol=1e-6, err_msg=repr(node))


def _moved(generator: np.random.Generator, node: Node) -> Node:
    choice = generator.integers(0, 7)
    if choice == 0:
        return build.permute(node, generator.permutation(node.ndim).tolist())
    if choice == 1:
        return build.flip(node, [i for i in range(node.ndim) if generator.uniform() < 0.5])
    if choice == 2 and node.numel < 4000:
        fill = float(generator.choice([0.0, 1.5, -math.inf]))
        return build.pad(node, [tuple(generator.integers(0, 3, 2)) for _ in node.shape], fill)
    if choice == 3:
        bounds = [(int(generator.integers(0, (n + 1) // 2)), n, int(generator.integers(1, 3))) for n in node.shape]
        return build.slice_(node, bounds)
    if choice == 4 and node.numel < 2000:
        axis = int(generator.integers(0, node.ndim))
        return build.concat([node, build.flip(node, (axis,))], axis)
    if choice == 5 and node.ndim > 1:
        axis, by = generator.permutation(node.ndim)[:2].tolist()
        step, start, size = (int(generator.integers(*ends)) for ends in ((-2, 3), (-3, 4), (1, 8)))
        return build.skew(node, SkewArg(axis, by, step, start, size))
    factors = [f for n in node.shape for f in _factors(n)]
    return build.reshape(node, tuple(generator.permutation(factors).tolist()) or (1,))


def _factors(n: int) -> list[int]:
    for prime in (2, 3, 5, 7):
        if n % prime == 0 and n > prime:
            return [prime, *_factors(n // prime)]
    return [n]


@pytest.mark.parametrize("name", [*VIEWS, "stepped by 3"])
def test_movement_gradients(name: str) -> None:
    view = VIEWS[name][0] if name in VIEWS else lambda x: build.slice_(x, ((1, 6, 3), (0, 7, 3), (0, 9, 4)))
    array = np.random.default_rng(1).uniform(-1, 1, (6, 7, 9))
    x = build.leaf(leaf(array), 1)
    out = view(build.mul(x, x))
    weight = np.random.default_rng(2).uniform(0.5, 1.5, out.shape)
    (g,) = gradients([out], [leaf(weight)], [x])
    assert g is not None
    # <w, J v> by finite differences along one direction; the map is linear in x * x
    direction = np.random.default_rng(3).uniform(-1, 1, array.shape)
    (moved,) = values_of([view(leaf(2 * array * direction))])
    for backend in ("numpy", "triton"):
        (got,) = values_of([g], backend)
        finite = np.where(np.isfinite(moved) & (values_of([view(leaf(np.ones_like(array)))])[0] == 1), moved, 0)
        np.testing.assert_allclose(np.sum(got * direction), np.sum(weight * finite), rtol=1e-9, err_msg=backend)


# -- contraction, indexing, scans ---------------------------------------------------------------------
PRODUCTS = [
    ((3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((33, 65), (65, 17)),
    ((2, 3, 4, 5), (2, 3, 5, 2)),
    ((5, 1, 7), (5, 7, 1)),
]


@pytest.mark.parametrize(
    "dtype", [float32, float64, float16, bfloat16, int32, int64, int8, uint8], ids=lambda d: d.name
)
def test_products(dtype: DType) -> None:
    """Batches, single rows and columns, views as operands, integers that overflow."""
    generator = np.random.default_rng(9)
    for left, right in PRODUCTS:
        a, b = (_drawn(generator, dtype, s, -3, 3) for s in (left, right))
        node = build.dot(leaf(a), leaf(b))
        turned = build.dot(build.transpose(leaf(b)), build.transpose(leaf(a)))
        want = a.astype(np.float64) @ b.astype(np.float64)
        want = want.astype(dtype.numpy) if dtype.is_floating_point else want.astype(np.int64).astype(dtype.numpy)
        for backend in ("numpy", "triton"):
            got, other = values_of([node, turned], backend)
            if dtype.is_floating_point:
                bound = 40 * EPSILON[dtype] * np.max(np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)))
                np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), atol=bound, rtol=0)
                np.testing.assert_allclose(
                    other.swapaxes(-1, -2).astype(np.float64), want.astype(np.float64), atol=bound, rtol=0
                )
            else:
                assert_close(got, want, 0, f"{backend} {left}")
                assert_close(np.ascontiguousarray(other.swapaxes(-1, -2)), want, 0, f"{backend} {left}")


def test_products_of_nothing() -> None:
    for left, right in [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0, 2, 3), (0, 3, 4))]:
        node = build.shift(build.dot(leaf(np.ones(left, np.float32)), leaf(np.ones(right, np.float32))), 1)
        for backend in ("numpy", "triton"):
            np.testing.assert_array_equal(values_of([node], backend)[0], np.ones(node.shape))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [float32, int64, bool_, bfloat16], ids=lambda d: d.name)
def test_gather(axis: int, dtype: DType) -> None:
    """take_along_axis, also by a shorter index, also behind a view and with a computed index."""
    generator = np.random.default_rng(axis)
    data = _drawn(generator, dtype, (5, 6, 7), -3, 3)
    shape = [4, 5, 6]
    shape[axis] = 9
    index = generator.integers(0, data.shape[axis], shape)
    node = build.gather(leaf(data), leaf(index), axis)
    want = from_torch(torch.gather(to_torch(data), axis, torch.from_numpy(index)))
    turned = build.gather(
        build.flip(leaf(data), (axis,)), build.sub(build.like(leaf(index), data.shape[axis] - 1), leaf(index)), axis
    )
    for backend, fuse in (("numpy", True), ("triton", True), ("triton", False)):
        for got in values_of([node, turned], backend, fuse):
            assert_close(got, want, 0, f"{backend} fuse={fuse}")


SCATTERED = {"add": "sum", "max": "amax", "min": "amin", "mul": "prod"}


@pytest.mark.parametrize("mode", ["set", *SCATTERED])
@pytest.mark.parametrize("dtype", [float32, int64], ids=lambda d: d.name)
def test_scatter(mode: str, dtype: DType) -> None:
    generator = np.random.default_rng(1)
    for axis in (0, 1):
        base, values = _drawn(generator, dtype, (5, 6), -3, 3), _drawn(generator, dtype, (4, 5), -3, 3)
        index = np.stack([generator.permutation(4) for _ in range(5)], 1) if mode == "set" and axis == 0 else None
        index = np.stack([generator.permutation(6)[:5] for _ in range(4)]) if mode == "set" and axis == 1 else index
        index = generator.integers(0, base.shape[axis], (4, 5)) if index is None else index
        node = build.shift(build.scatter(leaf(base), leaf(index), leaf(values), axis, mode), 1)
        where, given = torch.from_numpy(index), to_torch(values)
        want = (
            to_torch(base).scatter(axis, where, given)
            if mode == "set"
            else to_torch(base).scatter_reduce(axis, where, given, SCATTERED[mode])
        )
        for backend in ("numpy", "triton"):
            assert_close(values_of([node], backend)[0], from_torch(want + 1), 8, f"{backend} {mode}")


@pytest.mark.parametrize("mode", ["add", "set", "mul", "max"])
def test_indexed_gradients(mode: str) -> None:
    generator = np.random.default_rng(7)
    base, values = generator.uniform(0.5, 2, (5, 6)), generator.uniform(0.5, 2, (4, 6))
    index = np.stack([generator.permutation(5)[:4] for _ in range(6)], 1)
    weights = [generator.uniform(0.5, 1.5, s) for s in ((5, 6), (5, 6), (4, 6))]
    x, v = build.leaf(leaf(base), 1), build.leaf(leaf(values), 2)
    mine = _derivatives(build.scatter(x, leaf(index), build.mul(v, v), 0, mode), [x, v], weights)
    tx, tv = torch.tensor(base, requires_grad=True), torch.tensor(values, requires_grad=True)
    where = torch.from_numpy(index)
    out = tx.scatter(0, where, tv * tv) if mode == "set" else tx.scatter_reduce(0, where, tv * tv, SCATTERED[mode])
    want = _torch_derivatives(out, [tx, tv], weights) if mode != "max" else None
    for backend in ("numpy", "triton"):
        found = values_of(mine, backend)
        if want is None:  # torch has no second derivative of amax
            first = torch.autograd.grad(out, [tx, tv], torch.tensor(weights[0]), retain_graph=True)
            want_first = [g.numpy() for g in first]
            for got, expected in zip(found, want_first, strict=False):
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
        else:
            for got, expected in zip(found, want, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("length", [1, 4, 9])
def test_gather_gradients(length: int) -> None:
    generator = np.random.default_rng(length)
    data = generator.uniform(-1, 1, (5, 6))
    index = generator.integers(0, 6, (5, length))
    weights = [generator.uniform(0.5, 1.5, s) for s in ((5, length), (5, 6))]
    x = build.leaf(leaf(data), 1)
    mine = _derivatives(build.gather(build.mul(x, x), leaf(index), 1), [x], weights)
    tensor = torch.tensor(data, requires_grad=True)
    want = _torch_derivatives(torch.gather(tensor * tensor, 1, torch.from_numpy(index)), [tensor], weights)
    for backend in ("numpy", "triton"):
        for got, expected in zip(values_of(mine, backend), want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


SCANS: dict[Op, Callable[..., Any]] = {
    ops.CUMSUM: T.cumsum,
    ops.CUMPROD: T.cumprod,
    ops.CUMMAX: lambda a, d: T.cummax(a, d).values,
    ops.CUMMIN: lambda a, d: T.cummin(a, d).values,
}


@pytest.mark.parametrize("op", SCANS, ids=str)
@pytest.mark.parametrize("dtype", [float32, float64, int64, bfloat16], ids=lambda d: d.name)
def test_scans(op: Op, dtype: DType) -> None:
    generator = np.random.default_rng(1)
    for shape, axis in [((7,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 0), 1), ((3, 1100), 1)]:
        span = (0.98, 1.02) if op is ops.CUMPROD and dtype.is_floating_point else (-3, 3)
        array = _drawn(generator, dtype, shape, *span)
        if op in (ops.CUMMAX, ops.CUMMIN) and dtype.is_floating_point and array.size > 6:
            array[..., 4] = math.nan
        node = build.scan(op, leaf(array), axis)
        want = from_torch(SCANS[op](to_torch(array), axis))
        for backend in ("numpy", "triton"):
            (got,) = values_of([node], backend)
            atol = 8 * EPSILON.get(dtype, 0) * np.sqrt(max(shape[axis], 1)) * 3
            if dtype.is_floating_point:
                np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=atol, atol=atol)
            else:
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", SCANS, ids=str)
def test_scan_gradients(op: Op) -> None:
    generator = np.random.default_rng(8)
    array = generator.uniform(-2, 2, (3, 7))
    array[1, 3] = 0.0
    weights = [generator.uniform(0.5, 1.5, (3, 7)) for _ in range(2)]
    x = build.leaf(leaf(array), 1)
    mine = _derivatives(build.scan(op, build.mul(x, build.shift(x, 1)), 1), [x], weights)
    tensor = torch.tensor(array, requires_grad=True)
    want = _torch_derivatives(SCANS[op](tensor * (tensor + 1), 1), [tensor], weights)
    for backend in ("numpy", "triton"):
        for got, expected in zip(values_of(mine, backend), want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_argsort_is_stable_and_puts_nan_last() -> None:
    array = np.array([[3.0, math.nan, 1.0, 3.0, -math.inf, 1.0], [0.0, -0.0, math.inf, math.nan, 0.0, -1.0]])
    node = build.argsort(leaf(array), 1)
    want = torch.argsort(torch.tensor(array), dim=1, stable=True).numpy()
    for backend in ("numpy", "triton"):
        np.testing.assert_array_equal(values_of([node], backend)[0], want)
