"""Floating-point numbers taken apart, bytes read as another dtype, Bessel and other special functions, against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import FLOATS, bad, case, check, check_error, compare, fixed, over, within

S = (3, 4)
EDGES = fixed([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -2.5, 1e-40, -3e-39, 5e-324, 1.7e308, 3e38])
WIDE = fixed([-700.0, -80.0, -20.0, -8.0, -7.9, -1.0, 0.0, 1e-3, 0.5, 3.0, 7.99, 8.0, 8.01, 15.0, 50.0, 88.0])
HALVES = ("float16", "bfloat16")


def special(name):
    return lambda T, x: getattr(T.special, name)(x)


CASES = [
    *over(
        [(), (0,), (1,), (2, 3)],
        case("frexp", lambda T, x: tuple(T.frexp(x)), within(-5, 5), dtypes=FLOATS),
        case("nextafter", lambda T, x: T.nextafter(x, x * 0 + 0.3), within(-2, 2), dtypes=FLOATS, gradient=False),
        case("i0", lambda T, x: (T.i0(x), x.i0()), within(-3, 3), dtypes=(*FLOATS, "int64"), tolerance=4),
        case("angle", lambda T, x: (T.angle(x), x.angle()), (), dtypes=(*FLOATS, "int64", "bool")),
    ),
    case("frexp-edges", lambda T, x: tuple(x.frexp()), EDGES, dtypes=("float32", "float64"), gradient=False),
    case("frexp-halves", lambda T, x: tuple(x.frexp()), within(-0.001, 0.001, 40), dtypes=HALVES),
    case(
        "nextafter-edges",
        lambda T, x: [x.nextafter(T.full_like(x, v)) for v in (0.0, -0.0, 1.0, math.inf, -math.inf, math.nan)],
        EDGES,
        dtypes=FLOATS,
        gradient=False,
        tolerance=0,
    ),
    case("nextafter-broadcast", lambda T, x, y: T.nextafter(x, y), (3, 4), (4,), gradient=False, tolerance=0),
    case("ldexp", lambda T, x: (T.ldexp(x, T.tensor([1, 2, 3, 0])), x.ldexp(T.tensor(2))), S, dtypes=FLOATS),
    # torch's gradient takes 2 ** -2 for 0
    case("ldexp-down", lambda T, x: T.ldexp(x, T.tensor([-1, -2, -3, 0])), S, dtypes=FLOATS, gradient=False),
    case("ldexp-float", lambda T, x, y: T.ldexp(x, y), S, within(-2, 2, *S)),
    case("angle-edges", lambda T, x: x.angle(), EDGES, gradient=False),
    case("conj", lambda T, x: (T.conj(x), x.conj(), T.conj_physical(x), T.real(x), x.real, x.resolve_conj()), S),
    # torch's own float32 i0e and i1e are good to about 1e-6 beyond 8
    *(case(n, special(n), WIDE, dtypes=("float64", "float32"), tolerance=20) for n in ("i0e", "i1e")),
    *(case(n, special(n), within(-30, 30, 50), dtypes=("float64", "float32"), tolerance=20) for n in ("i0", "i1")),
    *(
        case(n, special(n), within(-3, 3, *S), dtypes=("float32", "float64"), tolerance=10)
        for n in ("expit", "erf", "erfc", "exp2", "expm1", "sinc", "ndtr", "round", "i0", "i1", "i0e", "i1e")
    ),
    *(
        case(n, special(n), within(0.1, 0.9, *S), dtypes=("float32", "float64"), tolerance=20)
        for n in ("digamma", "psi", "gammaln", "log1p", "logit", "erfinv", "ndtri", "entr")
    ),
    case("entr-edges", special("entr"), fixed([-1.0, 0.0, 1.0, math.inf, math.nan, -0.0]), gradient=False),
    case("xlog1py", lambda T, x, y: T.special.xlog1py(x, y), S, within(-0.5, 2, 4)),
    case(
        "xlog1py-edges",
        lambda T, x, y: T.special.xlog1py(x, y),
        fixed([0.0, 0.0, 1.0, 0.0]),
        fixed([-1.0, math.nan, -1.0, math.inf]),
        gradient=False,
    ),
    case("multigammaln", lambda T, x: T.special.multigammaln(x, 2), within(1.5, 3, *S), tolerance=10),
    case("softmax", lambda T, x: (T.special.softmax(x, 0), T.special.log_softmax(x, 1), T.special.logsumexp(x, 1)), S),
    case("polygamma", lambda T, x: T.special.polygamma(1, x), within(0.5, 3, *S), tolerance=50),
]

BYTES = fixed(np.arange(-24, 24).reshape(2, 24))
ERRORS = [
    bad("frexp-int", lambda T, x: T.frexp(x.long()), S),
    bad("nextafter-int", lambda T, x: T.nextafter(x.long(), x.long()), S),
    bad("imag", lambda T, x: x.imag, S),
    bad("imag-function", lambda T, x: T.imag(x), S),
    bad("view-0d", lambda T, x: x.view(T.int16), ()),
    bad("view-odd", lambda T, x: x.byte().view(T.int32), (3,)),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_as_torch(each):
    check(each)


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


@pytest.mark.parametrize("source", ["uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
def test_bytes_read_as_every_other_dtype(source):
    """view(dtype) over every pair of widths, and a write through it."""
    numbers = np.random.default_rng(1).integers(0, 256, (2, 48)).astype(np.uint8)
    theirs = torch.from_numpy(numbers).view(getattr(torch, source))
    mine = lg.tensor(numbers).view(getattr(lg, source))
    assert mine.dtype.name == source and tuple(mine.shape) == tuple(theirs.shape)
    for target in ("uint8", "int16", "int32", "int64", "bfloat16", "float32", "float64"):
        want, got = theirs.view(getattr(torch, target)), mine.view(getattr(lg, target))
        assert tuple(got.shape) == tuple(want.shape)
        compare(got.view(lg.uint8), want.view(torch.uint8), "uint8", what=f"{source} as {target}")


def test_a_write_through_other_widths_is_seen():
    for T in (torch, lg):
        x = T.tensor([1.0, 2.0], dtype=T.float32)
        x.view(T.uint8)[3] = 0
        x.view(T.int32)[1] = 0x40400000
        assert x.tolist() == [1.1754943508222875e-38 * 0 + x.tolist()[0], 3.0]
        assert x.view(T.int32).tolist() == [0x00800000, 0x40400000]


def test_i0_is_even_and_its_second_derivative_at_0_is_a_half():
    x = lg.zeros(1, dtype=lg.float64, requires_grad=True)
    (first,) = lg.autograd.grad(x.i0(), [x], create_graph=True)
    (second,) = lg.autograd.grad(first, [x])
    assert first.item() == 0.0 and second.item() == pytest.approx(0.5)


def test_narrow_formats_keep_their_range():
    """float16's i0 is computed in float32: I_0(11) is beyond neither."""
    for dtype in HALVES:
        x = [0.5, 4.0, 11.0]
        got = lg.tensor(x, dtype=getattr(lg, dtype)).i0()
        want = torch.tensor(x, dtype=getattr(torch, dtype)).i0()
        compare(got, want, dtype)
