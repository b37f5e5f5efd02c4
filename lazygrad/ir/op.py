"""The op table: what each operation is, how many sources it takes, what dtype it yields, what it means.

`ref(xp, arg, *arrays)` is the op's meaning on NumPy or CuPy (`xp`): the oracle of the tests, the checker's
second opinion and the fallback backend in one. Half-precision arrays never reach a pointwise `ref`: the
array runtime computes those in float32 and rounds once (see runtime/array.py).

A gradient stands in ir/grad.py, a Triton spelling in codegen/spelling.py; a test demands every cell.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazygrad.dtype import DType, bool_, int32, int64
from lazygrad.ir import lapack, scattering
from lazygrad.ir import special as numpy_special


class Kind(enum.Enum):
    SOURCE = "source"  # buffers, constants, iota: no operands
    MARKER = "marker"  # the value of its first source, with something to say to autograd
    EXAMPLE = "example"  # one slice of a batch, standing for all of them; gone before anything is computed
    APPLY = "apply"  # a result of a formula; expanded before anything is computed
    POINTWISE = "pointwise"
    MOVEMENT = "movement"  # the same elements elsewhere; composed into index expressions, never a kernel
    REDUCE = "reduce"
    CONTRACT = "contract"
    INDEXED = "indexed"  # addresses computed from values
    SEGMENT = "segment"  # runs of rows combined into one each; made by schedule/scatter.py
    SCAN = "scan"
    ATTENTION = "attention"
    LIBRARY = "library"  # run by NumPy/CuPy only: sorting, factorizations
    TRANSFER = "transfer"


@dataclass(frozen=True, eq=False)
class Op:
    """One row of the table. `result` maps source dtypes to the node's dtype (None: the builder gives it)."""

    name: str
    kind: Kind
    arity: int  # -1: any number
    ref: Callable[..., Any] | None
    result: Callable[[tuple[DType, ...]], DType] | None = None

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (OPS.__getitem__, (self.name,))


OPS: dict[str, Op] = {}


def _op(name: str, kind: Kind, arity: int, ref: Any, result: Any = None) -> Op:
    OPS[name] = Op(name, kind, arity, ref, result)
    return OPS[name]


def _first(dtypes: tuple[DType, ...]) -> DType:
    return dtypes[0]


def _last(dtypes: tuple[DType, ...]) -> DType:
    return dtypes[-1]


def _bool(dtypes: tuple[DType, ...]) -> DType:
    return bool_


def _int32(dtypes: tuple[DType, ...]) -> DType:
    return int32


def _int64(dtypes: tuple[DType, ...]) -> DType:
    return int64


def special(xp: Any) -> Any:
    """ir/special.py for NumPy, which has none of its own; CuPy's for CuPy."""
    return numpy_special if xp is np else importlib.import_module("cupyx.scipy.special")


# -- sources and markers ------------------------------------------------------------------------------
BUFFER = _op("BUFFER", Kind.SOURCE, 0, None)  # arg: the Buffer
CONST = _op("CONST", Kind.SOURCE, 0, None)  # arg: a Python number; always 0-d
IOTA = _op("IOTA", Kind.SOURCE, 0, lambda xp, n: xp.arange(n))  # arg: length; 0, 1, ... n-1

LEAF = _op("LEAF", Kind.MARKER, 1, lambda xp, arg, a: a, _first)  # arg: the leaf's number
DETACH = _op("DETACH", Kind.MARKER, 1, lambda xp, arg, a: a, _first)
# a copy: the same value, still when the memory that it was read from is written to
CLONE = _op("CLONE", Kind.MARKER, 1, lambda xp, arg, a: a, _first)
# one output of a call that brings its own gradient: src = value, the call's inputs ...; arg: an ir/custom.py CustomArg
CUSTOM = _op("CUSTOM", Kind.MARKER, -1, lambda xp, arg, a, *inputs: a, _first)
EXAMPLE = _op("EXAMPLE", Kind.EXAMPLE, 1, None, _first)  # arg: (number of the vmap, axis that counts the examples)
# the value of the first, the gradient history of the second: what was written under no_grad()
GRAFT = _op("GRAFT", Kind.MARKER, 2, lambda xp, arg, a, past: a, _first)

APPLY = _op("APPLY", Kind.APPLY, -1, None)  # src: a formula's operands; arg: an ir/formula.py Result

# -- pointwise ----------------------------------------------------------------------------------------


def _unary(name: str, f: Callable[[Any, Any], Any], result: Any = _first) -> Op:
    return _op(name, Kind.POINTWISE, 1, lambda xp, arg, a: f(xp, a), result)


def _binary(name: str, f: Callable[[Any, Any, Any], Any], result: Any = _first) -> Op:
    return _op(name, Kind.POINTWISE, 2, lambda xp, arg, a, b: f(xp, a, b), result)


NEG = _unary("NEG", lambda xp, a: xp.negative(a))
ABS = _unary("ABS", lambda xp, a: xp.abs(a))
SIGN = _unary("SIGN", lambda xp, a: xp.subtract(a > 0, a < 0, dtype=a.dtype))  # 0 for NaN, as in torch
EXP = _unary("EXP", lambda xp, a: xp.exp(a))
EXP2 = _unary("EXP2", lambda xp, a: xp.exp2(a))
EXPM1 = _unary("EXPM1", lambda xp, a: xp.expm1(a))
LOG = _unary("LOG", lambda xp, a: xp.log(a))
LOG2 = _unary("LOG2", lambda xp, a: xp.log2(a))
LOG10 = _unary("LOG10", lambda xp, a: xp.log10(a))
LOG1P = _unary("LOG1P", lambda xp, a: xp.log1p(a))
SQRT = _unary("SQRT", lambda xp, a: xp.sqrt(a))
RSQRT = _unary("RSQRT", lambda xp, a: 1 / xp.sqrt(a))
RECIPROCAL = _unary("RECIPROCAL", lambda xp, a: 1 / a)
SIGMOID = _unary("SIGMOID", lambda xp, a: 1 / (1 + xp.exp(-a)))
SIN = _unary("SIN", lambda xp, a: xp.sin(a))
COS = _unary("COS", lambda xp, a: xp.cos(a))
TAN = _unary("TAN", lambda xp, a: xp.tan(a))
ASIN = _unary("ASIN", lambda xp, a: xp.arcsin(a))
ACOS = _unary("ACOS", lambda xp, a: xp.arccos(a))
ATAN = _unary("ATAN", lambda xp, a: xp.arctan(a))
SINH = _unary("SINH", lambda xp, a: xp.sinh(a))
COSH = _unary("COSH", lambda xp, a: xp.cosh(a))
TANH = _unary("TANH", lambda xp, a: xp.tanh(a))
ASINH = _unary("ASINH", lambda xp, a: xp.arcsinh(a))
ACOSH = _unary("ACOSH", lambda xp, a: xp.arccosh(a))
ATANH = _unary("ATANH", lambda xp, a: xp.arctanh(a))
ERF = _unary("ERF", lambda xp, a: special(xp).erf(a))
ERFC = _unary("ERFC", lambda xp, a: special(xp).erfc(a))
ERFINV = _unary("ERFINV", lambda xp, a: special(xp).erfinv(a))
LGAMMA = _unary("LGAMMA", lambda xp, a: xp.where(xp.isinf(a), xp.inf, special(xp).gammaln(a)))
DIGAMMA = _unary("DIGAMMA", lambda xp, a: special(xp).digamma(a))
# arg: the order n >= 1 of the derivative of digamma
POLYGAMMA = _op("POLYGAMMA", Kind.POINTWISE, 1, lambda xp, n, a: _polygamma(xp, n, a), _first)
FLOOR = _unary("FLOOR", lambda xp, a: xp.floor(a))
CEIL = _unary("CEIL", lambda xp, a: xp.ceil(a))
ROUND = _unary("ROUND", lambda xp, a: xp.rint(a))  # half to even, as torch.round
TRUNC = _unary("TRUNC", lambda xp, a: xp.trunc(a))
ISNAN = _unary("ISNAN", lambda xp, a: xp.isnan(a), _bool)
NOT = _unary("NOT", lambda xp, a: xp.invert(a))  # logical on bool, bitwise on integers

ADD = _binary("ADD", lambda xp, a, b: xp.add(a, b))
SUB = _binary("SUB", lambda xp, a, b: xp.subtract(a, b))
MUL = _binary("MUL", lambda xp, a, b: xp.multiply(a, b))
DIV = _binary("DIV", lambda xp, a, b: xp.true_divide(a, b))  # floating point only
FLOORDIV = _binary("FLOORDIV", lambda xp, a, b: _floor_divide(xp, a, b))
TRUNCDIV = _binary("TRUNCDIV", lambda xp, a, b: _truncating_divide(xp, a, b))  # integers only
REMAINDER = _binary("REMAINDER", lambda xp, a, b: _remainder(xp, a, b))  # the divisor's sign, as Python's %
FMOD = _binary("FMOD", lambda xp, a, b: xp.fmod(a, b))  # the dividend's sign, as C's
POW = _binary("POW", lambda xp, a, b: xp.power(a, b))
ATAN2 = _binary("ATAN2", lambda xp, a, b: xp.arctan2(a, b))
HYPOT = _binary("HYPOT", lambda xp, a, b: xp.hypot(a, b))
COPYSIGN = _binary("COPYSIGN", lambda xp, a, b: xp.copysign(a, b))
MAXIMUM = _binary("MAXIMUM", lambda xp, a, b: xp.maximum(a, b))  # NaN wins, as in torch
MINIMUM = _binary("MINIMUM", lambda xp, a, b: xp.minimum(a, b))
LT = _binary("LT", lambda xp, a, b: xp.less(a, b), _bool)
LE = _binary("LE", lambda xp, a, b: xp.less_equal(a, b), _bool)
EQ = _binary("EQ", lambda xp, a, b: xp.equal(a, b), _bool)
NE = _binary("NE", lambda xp, a, b: xp.not_equal(a, b), _bool)
AND = _binary("AND", lambda xp, a, b: xp.bitwise_and(a, b))
OR = _binary("OR", lambda xp, a, b: xp.bitwise_or(a, b))
XOR = _binary("XOR", lambda xp, a, b: xp.bitwise_xor(a, b))
SHL = _binary("SHL", lambda xp, a, b: xp.left_shift(a, b))
SHR = _binary("SHR", lambda xp, a, b: xp.right_shift(a, b))

# the first operand's value, computed apart from it and not before the second: what is built on it is computed again
BARRIER = _binary("BARRIER", lambda xp, a, after: a)

WHERE = _op("WHERE", Kind.POINTWISE, 3, lambda xp, arg, c, a, b: xp.where(c, a, b), _last)
CAST = _op("CAST", Kind.POINTWISE, 1, lambda xp, dtype, a: _cast(xp, dtype, a))  # arg: the dtype
BITCAST = _op("BITCAST", Kind.POINTWISE, 1, lambda xp, dtype, a: a.view(dtype.numpy))  # arg: same width

# Philox-4x32-10 (Salmon et al. 2011): src = (seed, counter), both int64; yields the first output word.
PHILOX = _op("PHILOX", Kind.POINTWISE, 2, lambda xp, arg, seed, counter: philox(xp, seed, counter), _int32)

# -- movement: arg holds what the name says -----------------------------------------------------------
RESHAPE = _op("RESHAPE", Kind.MOVEMENT, 1, lambda xp, shape, a: a.reshape(shape), _first)
PERMUTE = _op("PERMUTE", Kind.MOVEMENT, 1, lambda xp, axes, a: a.transpose(axes), _first)
EXPAND = _op("EXPAND", Kind.MOVEMENT, 1, lambda xp, shape, a: xp.broadcast_to(a, shape), _first)
FLIP = _op("FLIP", Kind.MOVEMENT, 1, lambda xp, axes, a: xp.flip(a, axes), _first)
# arg: ((start, stop, step), ...), step > 0, one a dimension
SLICE = _op("SLICE", Kind.MOVEMENT, 1, lambda xp, arg, a: a[tuple(slice(*s) for s in arg)], _first)
# arg: (((before, after), ...), fill)
PAD = _op("PAD", Kind.MOVEMENT, 1, lambda xp, arg, a: xp.pad(a, arg[0], constant_values=arg[1]), _first)
# arg: SkewArg; out[.., i, .., j, ..] = a[.., i + step * j + start, .., j, ..], 0 where there is no such element
SKEW = _op("SKEW", Kind.MOVEMENT, 1, lambda xp, arg, a: _skew(xp, arg, a), _first)
CONCAT = _op("CONCAT", Kind.MOVEMENT, -1, lambda xp, axis, *a: xp.concatenate(a, axis), _first)

# -- reductions: arg = axes; the result keeps the reduced dimensions with size 1 ----------------------
SUM = _op("SUM", Kind.REDUCE, 1, lambda xp, axes, a: xp.sum(a, axis=axes, keepdims=True, dtype=a.dtype), _first)
PROD = _op("PROD", Kind.REDUCE, 1, lambda xp, axes, a: xp.prod(a, axis=axes, keepdims=True, dtype=a.dtype), _first)
MAX = _op("MAX", Kind.REDUCE, 1, lambda xp, axes, a: xp.max(a, axis=axes, keepdims=True), _first)
MIN = _op("MIN", Kind.REDUCE, 1, lambda xp, axes, a: xp.min(a, axis=axes, keepdims=True), _first)
# the first of equal elements; NaN counts as the extreme one; arg = (axis,)
ARGMAX = _op("ARGMAX", Kind.REDUCE, 1, lambda xp, axes, a: xp.argmax(a, axis=axes[0], keepdims=True), _int64)
ARGMIN = _op("ARGMIN", Kind.REDUCE, 1, lambda xp, axes, a: xp.argmin(a, axis=axes[0], keepdims=True), _int64)

# -- contraction: (..., m, k) x (..., k, n) -> (..., m, n), equal batch dimensions --------------------
DOT = _op("DOT", Kind.CONTRACT, 2, lambda xp, arg, a, b: xp.matmul(a, b), _first)

# -- indexed ------------------------------------------------------------------------------------------
# take_along_axis: out[.., i, ..] = data[.., index[.., i, ..], ..]; indices lie in [0, size); arg = axis
GATHER = _op("GATHER", Kind.INDEXED, 2, lambda xp, axis, data, index: _gather(xp, axis, data, index), _first)
# arg = (axis, "set" | "add" | "max" | "min" | "mul"): base with values put or combined at index along axis
SCATTER = _op(
    "SCATTER", Kind.INDEXED, 3, lambda xp, arg, base, at, values: scattering.scatter(xp, arg, base, at, values), _first
)

# values stored at unique positions that cover [0, n): what a permutation does. Made by schedule/ordering.py.
PLACE = _op("PLACE", Kind.INDEXED, 2, lambda xp, arg, values, at: scattering.place(xp, values, at), _first)
# base (rows, columns) with, in row r, the rows of values at entries begins[r] .. ends[r] - 1 combined into it;
# arg: a SegmentArg; src = base, values, begins, ends, [order], partial results of values in chunks, chunks of these ...
SEGMENT = _op("SEGMENT", Kind.SEGMENT, -1, lambda xp, arg, *src: scattering.segments(xp, arg, *src))

# -- scans: arg = axis --------------------------------------------------------------------------------
CUMSUM = _op("CUMSUM", Kind.SCAN, 1, lambda xp, axis, a: xp.cumsum(a, axis=axis, dtype=a.dtype), _first)
CUMPROD = _op("CUMPROD", Kind.SCAN, 1, lambda xp, axis, a: xp.cumprod(a, axis=axis, dtype=a.dtype), _first)
CUMMAX = _op("CUMMAX", Kind.SCAN, 1, lambda xp, axis, a: _accumulate(xp, xp.maximum, axis, a), _first)
CUMMIN = _op("CUMMIN", Kind.SCAN, 1, lambda xp, axis, a: _accumulate(xp, xp.minimum, axis, a), _first)

# -- run by the array library: arg = axis; a stable ascending sort ------------------------------------
ARGSORT = _op("ARGSORT", Kind.LIBRARY, 1, lambda xp, axis, a: _argsort(xp, axis, a), _int64)
# of two numbers each; no device function computes them
IGAMMA = _op("IGAMMA", Kind.LIBRARY, 2, lambda xp, arg, a, x: special(xp).gammainc(a, x), _first)
IGAMMAC = _op("IGAMMAC", Kind.LIBRARY, 2, lambda xp, arg, a, x: special(xp).gammaincc(a, x), _first)
ZETA = _op("ZETA", Kind.LIBRARY, 2, lambda xp, arg, s, q: special(xp).zeta(s, q), _first)
# factorizations of (..., n, n) matrices, in at least float32
# b is (..., n, k)
SOLVE = _op("SOLVE", Kind.LIBRARY, 2, lambda xp, arg, a, b: lapack.checked(xp.linalg.solve, a, b), _first)
CHOLESKY = _op("CHOLESKY", Kind.LIBRARY, 1, lambda xp, arg, a: lapack.checked(xp.linalg.cholesky, a), _first)
LOGABSDET = _op("LOGABSDET", Kind.LIBRARY, 1, lambda xp, arg, a: xp.linalg.slogdet(a)[1], _first)  # (...)
DET = _op("DET", Kind.LIBRARY, 1, lambda xp, arg, a: xp.linalg.det(a), _first)  # (...)
COFACTORS = _op("COFACTORS", Kind.LIBRARY, 1, lambda xp, arg, a: lapack.cofactors(xp, a), _first)
DETSIGN = _op("DETSIGN", Kind.LIBRARY, 1, lambda xp, arg, a: xp.linalg.slogdet(a)[0], _first)  # (...)

# the factors of (..., m, n) one after the other in one line, see ir/factorizations.py; arg: an EighArg;
# "full", "reduced" or "values"; "reduced" or "complete"; nothing; a PinvArg
EIGH = _op("EIGH", Kind.LIBRARY, 1, lambda xp, arg, a: lapack.eigh(xp, arg, a), _first)
SVD = _op("SVD", Kind.LIBRARY, 1, lambda xp, arg, a: lapack.svd(xp, arg, a), _first)
QR = _op(
    "QR", Kind.LIBRARY, 1, lambda xp, mode, a: lapack.in_one_line(xp, *lapack.checked(xp.linalg.qr, a, mode)), _first
)
LU = _op("LU", Kind.LIBRARY, 1, lambda xp, arg, a: lapack.lu(xp, a), _first)
PINV = _op("PINV", Kind.LIBRARY, 1, lambda xp, arg, a: lapack.pinv(xp, arg, a), _first)
# (..., k) pivots -> (..., count): where an LU's row swaps bring rows 0, 1, ... count - 1; arg = count
SWAPPED = _op("SWAPPED", Kind.LIBRARY, 1, lambda xp, count, pivots: lapack.swapped(xp, count, pivots), _int64)

# -- attention: src = q, k, v, [mask], [seed, offset], then for gradients (grad_out, lse, delta); arg: an
# ir/attention.py AttentionArg. Meaning: the decompositions in that file.
ATTENTION = _op("ATTENTION", Kind.ATTENTION, -1, None, _first)
ATTENTION_LSE = _op("ATTENTION_LSE", Kind.ATTENTION, -1, None)
ATTENTION_DQ = _op("ATTENTION_DQ", Kind.ATTENTION, -1, None, _first)
ATTENTION_DK = _op("ATTENTION_DK", Kind.ATTENTION, -1, None, _first)
ATTENTION_DV = _op("ATTENTION_DV", Kind.ATTENTION, -1, None, _first)

COPY = _op("COPY", Kind.TRANSFER, 1, None, _first)  # arg: the device


@dataclass(frozen=True)
class SegmentArg:
    """How a SEGMENT combines ("add", "max", "min", "mul"), how many rows each chunk of its partial results
    stands for, and whether entries are looked up in an `order` of rows."""

    mode: str
    chunk: int = 0
    ordered: bool = False


@dataclass(frozen=True)
class SkewArg:
    """How far a SKEW moves the lines of `axis`: by `start`, and by `step` more for each place along `by`; and how
    long it makes them."""

    axis: int
    by: int
    step: int
    start: int
    size: int

    def undone(self, size: int) -> SkewArg:
        """The transpose of this skew of lines of `size` elements: what takes each back to where it was."""
        return SkewArg(self.axis, self.by, -self.step, -self.start, size)


# -- meanings too long for a line ---------------------------------------------------------------------
def _cast(xp: Any, dtype: DType, a: Any) -> Any:
    if dtype is bool_:
        return a != 0
    with np.errstate(invalid="ignore", over="ignore"):
        return a.astype(dtype.numpy)


def _polygamma(xp: Any, n: int, a: Any) -> Any:
    order = n if xp is np else xp.asarray(n)  # CuPy takes no Python number
    return special(xp).polygamma(order, a).astype(a.dtype)


def _remainder(xp: Any, a: Any, b: Any) -> Any:
    """NumPy's, which is Python's %: CuPy's makes NaN of infinite divisors."""
    if xp is np or a.dtype.kind != "f":
        return xp.remainder(a, b)
    rest = xp.fmod(a, b)
    rest = xp.where((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest)
    return xp.where((rest == 0) & (b != 0), xp.copysign(xp.zeros_like(rest), b), rest)


def _floor_divide(xp: Any, a: Any, b: Any) -> Any:
    """NumPy's, which is Python's //: CuPy's rounds the quotient, and has another answer for what is infinite."""
    if xp is np or a.dtype.kind != "f":
        return xp.floor_divide(a, b)
    rest = xp.fmod(a, b)
    quotient = (a - rest) / b - ((rest != 0) & ((b < 0) != (rest < 0)))
    whole = xp.floor(quotient)
    whole = xp.where(quotient - whole > 0.5, whole + 1, whole)
    whole = xp.where(quotient == 0, xp.copysign(xp.zeros_like(whole), a / b), whole)
    return xp.where(b == 0, a / b, whole)


def _truncating_divide(xp: Any, a: Any, b: Any) -> Any:
    quotient = xp.floor_divide(a, b)
    inexact = quotient * b != a
    return (quotient + (inexact & ((a < 0) != (b < 0)))).astype(a.dtype)


def _gather(xp: Any, axis: int, data: Any, index: Any) -> Any:
    if index.size and xp is np and (index.min() < 0 or index.max() >= data.shape[axis]):
        bad = index[(index < 0) | (index >= data.shape[axis])].flat[0]
        raise IndexError(f"index {bad} is out of bounds for dimension {axis} with size {data.shape[axis]}")
    return xp.take_along_axis(_take_prefix(data, index, axis), index, axis=axis)


def _take_prefix(data: Any, index: Any, axis: int) -> Any:
    """torch.gather lets the index be shorter than the data along the other axes."""
    return data[tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(index.shape))]


def _skew(xp: Any, arg: SkewArg, a: Any) -> Any:
    axis, by, places = arg.axis, arg.by, a.shape[arg.by]
    shape = (*a.shape[:axis], arg.size, *a.shape[axis + 1 :])
    ends = arg.start, arg.start + arg.step * (places - 1)
    if a.size and arg.size and min(ends) >= 0 and max(ends) + arg.size <= a.shape[axis]:  # a view, then
        strides = [s + arg.step * a.strides[axis] if i == by else s for i, s in enumerate(a.strides)]
        started = a[tuple(slice(arg.start if i == axis else 0, None) for i in range(a.ndim))]
        return xp.lib.stride_tricks.as_strided(started, shape, strides)
    result = xp.zeros(shape, a.dtype)
    into: list[Any] = [slice(None)] * a.ndim
    of = list(into)
    for place in range(places):
        shift = arg.start + arg.step * place
        first, last = max(0, -shift), min(arg.size, a.shape[axis] - shift)
        if first < last:
            into[by] = of[by] = place
            into[axis], of[axis] = slice(first, last), slice(first + shift, last + shift)
            result[tuple(into)] = a[tuple(of)]
    return result


def _accumulate(xp: Any, combine: Any, axis: int, a: Any) -> Any:
    if xp is np:
        return combine.accumulate(a, axis=axis)
    result = a.copy()
    lead = xp.moveaxis(result, axis, 0)
    for i in range(1, lead.shape[0]):
        lead[i] = combine(lead[i - 1], lead[i])
    return result


def _argsort(xp: Any, axis: int, a: Any) -> Any:
    return xp.argsort(a, axis=axis, kind="stable")


def philox(xp: Any, seed: Any, counter: Any) -> Any:
    """The first word of Philox-4x32-10 with key = seed and counter words (low, high, 0, 0), as int32."""
    low, high = _halves(xp, xp.ascontiguousarray(counter))
    zero = xp.zeros_like(low)
    first = philox_4x32_10(xp, (low, high, zero, zero), _halves(xp, xp.asarray(seed)))[0]
    return first.astype(xp.uint32).view(xp.int32)


def _halves(xp: Any, words: Any) -> tuple[Any, Any]:
    """The low and the high 32 bits of 64."""
    wide = words.view(xp.uint64)
    return wide & xp.uint64(0xFFFFFFFF), wide >> xp.uint64(32)


def philox_4x32_10(xp: Any, counter: tuple[Any, ...], key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Four words of 32 random bits from four words of counter and two of key, all held in uint64."""
    mask = xp.uint64(0xFFFFFFFF)
    shift = xp.uint64(32)
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for round_ in range(10):
        if round_:
            k0, k1 = (k0 + xp.uint64(0x9E3779B9)) & mask, (k1 + xp.uint64(0xBB67AE85)) & mask
        p0, p1 = xp.uint64(0xD2511F53) * c0, xp.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ k0, p1 & mask, (p0 >> shift) ^ c3 ^ k1, p0 & mask
    return c0, c1, c2, c3
