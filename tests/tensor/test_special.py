"""Special functions against torch: gamma's family, the normal distribution, polynomials, functions with removable
singularities."""

from __future__ import annotations

import math

import pytest
import torch

import lazygrad as lg
from tests.support import bad, case, check, check_error, fixed, over, within

S = (3, 4)
SHAPES = [(), (0,), (1,), (5,), (2, 3)]
WIDE = ("float32", "float64")
PLACES = fixed([-30.0, -9.0, -3.0, -1.0, -0.2, 0.0, 0.4, 2.0, 3.99, 4.0, 5.0, 40.0, math.inf, -math.inf, math.nan])
FIRST = fixed([0.0, 0.0, 0.5, 2.0, 9.0, 30.0, 200.0, math.inf, 1.0, -1.0, 3.0, math.nan])
SECOND = fixed([0.0, 1.0, 0.0, 2.5, 20.0, 12.0, 190.0, 1.0, math.inf, 1.0, -1.0, 1.0])
LOOSE = 30  # torch's own series of igamma and trigamma stop after nine digits


def special(name):
    return lambda T, *x: getattr(T.special, name)(*x)


# name: the interval in which a function of one argument is smooth
NORMAL = {"log_ndtr": (-6, 3), "erfcx": (-2, 6), "ndtr": (-2, 2), "ndtri": (0.1, 0.9)}
POLYNOMIALS = [name for name in dir(torch.special) if "_polynomial_" in name]

CASES = [
    *(
        case(name, special(name), within(*span, *S), dtypes=(*WIDE, "int64"), tolerance=10)
        for name, span in NORMAL.items()
    ),
    *(
        case(f"{name}-edges", special(name), PLACES, dtypes=WIDE, gradient=False, tolerance=10)
        for name in ("log_ndtr", "erfcx", "ndtr", "spherical_bessel_j0")
    ),
    *over(SHAPES, case("log_ndtr", special("log_ndtr"), within(-3, 3))),
    case("modified_bessel", lambda T, x: (T.special.modified_bessel_i0(x), T.special.modified_bessel_i1(x)), S, gradient=False),
    # the incomplete gamma functions: gradients flow to the second argument
    *(
        each
        for name in ("igamma", "igammac")
        for each in (
            case(
                name,
                lambda T, a, x, n=name: (getattr(T, n)(a.detach(), x), getattr(a.detach(), n)(x)),
                within(0.5, 4, *S),
                within(0.5, 6, 4),
                dtypes=(*WIDE, "float16", "bfloat16"),
                tolerance=LOOSE,
            ),
            case(f"{name}-edges", lambda T, a, x, n=name: getattr(T, n)(a, x), FIRST, SECOND, dtypes=WIDE, gradient=False),
        )
    ),
    case("gammainc", lambda T, x: (T.special.gammainc(x, x), T.special.gammaincc(x, x)), within(1, 9, *S), gradient=False),
    case("igamma-in-place", lambda T, a, x: (a.clone().igamma_(x), a.clone().igammac_(x)), within(1, 9, *S), within(1, 9, *S),
         gradient=False),
    case("zeta", lambda T, s, q: T.special.zeta(s.detach(), q), within(1.5, 6, *S), within(0.5, 6, 4), dtypes=WIDE, tolerance=LOOSE),
    case("zeta-number", lambda T, q: (T.special.zeta(2, q), T.special.zeta(q + 1, 2.5)), within(0.5, 6, *S), gradient=False),
    case(
        "zeta-edges",
        special("zeta"),
        fixed([1.0, 0.5, 3.0, 3.0, 2.5, 3.0, 2.0, math.nan]),
        fixed([2.0, 2.0, 0.0, -2.0, -2.5, -2.5, -0.3, 2.0]),
        dtypes=WIDE,
        gradient=False,
    ),
    *(
        case(f"polygamma-{n}", lambda T, x, n=n: (T.polygamma(n, x), x.polygamma(n)), within(0.5, 6, *S), tolerance=10 * LOOSE)
        for n in (0, 1, 2, 3, 6)
    ),
    case("lgamma-zeros", lambda T, x: T.lgamma(x), fixed([1.0, 2.0]), dtypes=WIDE, gradient=False),
    # polynomials: torch has no gradients of them
    *(
        case(f"{name}", lambda T, x, n=name: tuple(getattr(T.special, n)(x, k) for k in (0, 1, 2, 5)), within(-1, 1.5, *S),
             dtypes=(*WIDE, "int64"), gradient=False, tolerance=10)
        for name in POLYNOMIALS
    ),
    case("polynomial-degrees", special("legendre_polynomial_p"), within(-1, 1, 2, 5), fixed([0.0, 1.0, 3.0, -1.0, 7.0]), gradient=False),
    # limits that the quotient or product doesn't have
    case("sinc", lambda T, x: (T.sinc(x), T.special.sinc(x)), within(-3, 3, *S), dtypes=("float32", "float64", "float16", "bfloat16", "int32")),
    case("sinc-zero", lambda T, x: T.sinc(x), fixed([0.0, 1e-9, 1e-3, 0.15, 0.16, -0.1]), dtypes=WIDE, second=False),
    case("xlogy-zero", lambda T, x, y: T.xlogy(x, y), fixed([0.0, 0.0, 2.0, 0.0]), fixed([0.5, 3.0, 0.5, 1.0]), dtypes=WIDE),
    case("xlog1py-zero", special("xlog1py"), fixed([0.0, 0.0, 2.0, 0.0]), fixed([-0.5, 3.0, 0.5, 0.0]), dtypes=WIDE),
    case(
        "xlogy-edges",
        lambda T, x, y: (T.xlogy(x, y), T.special.xlog1py(x, y)),
        fixed([0.0, 0.0, 1.0, 0.0, 0.0, math.nan]),
        fixed([0.0, math.nan, -1.0, math.inf, -2.0, 0.0]),
        dtypes=WIDE,
        gradient=False,
    ),
    case("logit-ends", lambda T, x: T.logit(x), fixed([0.0, 1.0, 0.5]), dtypes=WIDE, second=False),
    case("logaddexp2", lambda T, x, y: T.logaddexp2(x, y), S, (4,), dtypes=("float32", "float64", "float16", "bfloat16")),
    case("logaddexp-mixed", lambda T, x, y: (T.logaddexp(x, y), T.logaddexp2(x, y)), fixed([1, 2], "int64"), fixed([0.5, 3.0])),
]  # fmt: skip

ERRORS = [
    bad("igamma-gradient", lambda T, x: T.igamma(x.requires_grad_(), x.detach()).sum().backward(), within(1, 2, *S)),
    bad("zeta-gradient", lambda T, x: T.special.zeta(x.requires_grad_(), x.detach()).sum().backward(), within(2, 3, *S)),
    bad("igamma-shapes", lambda T, x: T.igamma(x, x[:2, :3]), S),
    bad("igamma-list", lambda T, x: T.igamma(x, [1.0]), S),
    bad("polygamma-negative", lambda T, x: T.polygamma(-1, x), S),
    bad("mvlgamma-order", lambda T, x: T.mvlgamma(x, 0), S),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_as_torch(each):
    check(each)


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


def test_incomplete_gamma_has_all_its_digits():
    """P(30, 30) from the sum of its Poisson probabilities, in 40 digits; torch's where a is large."""
    pairs = [30.0, 1e6], [30.0, 1e6 + 2000]
    a, x = (lg.tensor(v, dtype=lg.float64) for v in pairs)
    small, large = lg.igamma(a, x).tolist()
    assert small == pytest.approx(0.52428301389368006904, rel=1e-14)
    assert large == pytest.approx(torch.igamma(*(torch.tensor(v, dtype=torch.float64) for v in pairs))[1].item(), rel=1e-9)
    assert lg.igamma(a, x).add(lg.igammac(a, x)).tolist() == pytest.approx([1, 1], rel=1e-15)


def test_sinc_has_its_second_derivative_at_0():
    """-pi^2 / 3, where torch's is NaN."""
    x = lg.zeros(1, dtype=lg.float64, requires_grad=True)
    (first,) = lg.autograd.grad(lg.sinc(x), [x], create_graph=True)
    (second,) = lg.autograd.grad(first, [x])
    assert first.item() == 0 and second.item() == pytest.approx(-(math.pi**2) / 3, rel=1e-12)


@pytest.mark.parametrize("name", ["bessel_j0", "modified_bessel_k1", "airy_ai"])
def test_what_is_missing_says_so(name):
    with pytest.raises(NotImplementedError, match=rf"{name}\(\): .*special.i0.*\.py:"):
        getattr(lg.special, name)(lg.ones(2))


def test_polynomials_differentiate():
    """The slope of Legendre's P_n at 1 is n (n + 1) / 2."""
    x = lg.ones(1, dtype=lg.float64, requires_grad=True)
    (slope,) = lg.autograd.grad(lg.special.legendre_polynomial_p(x, 6), [x])
    assert slope.item() == pytest.approx(21)
