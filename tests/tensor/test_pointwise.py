"""Pointwise operations against torch: every dtype, broadcasting, gradients, promotion."""

from __future__ import annotations

import math

import pytest
import torch

import lazygrad as lg
from tests.support import ALL, FLOATS, INTEGERS, REAL, bad, case, check, check_error, compare, fixed, mask, over, within

S = (3, 4)
EDGES = fixed([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -2.5])
SHAPES = [(), (0,), (1,), (2, 3)]

# name: the interval where the function and its derivatives are smooth
UNARY = {
    "abs": (0.2, 2), "acos": (-0.9, 0.9), "acosh": (1.2, 3), "asin": (-0.9, 0.9), "asinh": (-2, 2), "atan": (-2, 2), "atanh": (-0.9, 0.9),
    "ceil": (-2, 2), "cos": (-2, 2), "cosh": (-2, 2), "deg2rad": (-2, 2), "digamma": (0.5, 3), "erf": (-2, 2), "erfc": (-2, 2),
    "erfinv": (-0.9, 0.9), "exp": (-2, 2), "exp2": (-2, 2), "expm1": (-2, 2), "floor": (-2, 2), "frac": (-2, 2), "lgamma": (0.5, 3),
    "log": (0.2, 3), "log10": (0.2, 3), "log1p": (-0.5, 3), "log2": (0.2, 3), "logit": (0.1, 0.9), "neg": (-2, 2), "rad2deg": (-2, 2),
    "reciprocal": (0.3, 2), "relu": (-2, 2), "round": (-2, 2), "rsqrt": (0.3, 2), "sigmoid": (-2, 2), "sign": (-2, 2), "sin": (-2, 2),
    "sinc": (0.2, 2), "sinh": (-2, 2), "sqrt": (0.2, 2), "square": (-2, 2), "tan": (-1, 1), "tanh": (-2, 2), "trunc": (-2, 2),
    "isnan": (-2, 2), "isinf": (-2, 2), "isfinite": (-2, 2), "signbit": (-2, 2), "logical_not": (-2, 2), "nan_to_num": (-2, 2),
    "isposinf": (-2, 2), "isneginf": (-2, 2), "sgn": (-2, 2), "isreal": (-2, 2),
}  # fmt: skip
LOOSE = {"digamma": 10, "lgamma": 10, "erfinv": 10, "tan": 4, "logit": 4, "atanh": 4, "acos": 4, "sinc": 4}

BINARY = {
    "add": (-2, 2), "sub": (-2, 2), "mul": (-2, 2), "div": (0.5, 2), "pow": (0.5, 2), "atan2": (0.3, 2), "hypot": (0.3, 2),
    "copysign": (0.3, 2), "maximum": (-2, 2), "minimum": (-2, 2), "fmax": (-2, 2), "fmin": (-2, 2), "remainder": (0.5, 3),
    "fmod": (0.5, 3), "floor_divide": (0.5, 3), "eq": (-2, 2), "ne": (-2, 2), "lt": (-2, 2), "le": (-2, 2), "gt": (-2, 2), "ge": (-2, 2),
    "logical_and": (-1, 1), "logical_or": (-1, 1), "logical_xor": (-1, 1), "xlogy": (0.5, 2), "logaddexp": (-2, 2), "logaddexp2": (-2, 2),
    "float_power": (0.5, 2),
}  # fmt: skip

CASES = [
    *(
        case(
            name,
            lambda T, x, n=name: (getattr(T, n)(x), getattr(x, n)()),
            within(*span, *S),
            dtypes=ALL,
            tolerance=LOOSE.get(name, 1),
        )
        for name, span in UNARY.items()
    ),
    *(
        each
        for name in (
            "abs",
            "exp",
            "log",
            "sqrt",
            "sigmoid",
            "tanh",
            "erf",
            "lgamma",
            "digamma",
            "round",
            "sign",
            "relu",
            "logit",
            "sinc",
            "reciprocal",
            "isnan",
            "isfinite",
            "signbit",
            "nan_to_num",
            "ceil",
            "floor",
        )
        for each in [
            case(
                f"{name}-edges",
                lambda T, x, n=name: getattr(T, n)(x),
                EDGES,
                dtypes=("float32", "float64"),
                gradient=False,
                tolerance=10,
            )
        ]
    ),
    *over(
        SHAPES,
        *(
            case(n, lambda T, x, n=n: getattr(T, n)(x), within(0.3, 0.9))
            for n in ("exp", "log", "tanh", "square", "erf")
        ),
    ),
    *(
        case(
            f"{name}-2",
            lambda T, x, y, n=name: (getattr(T, n)(x, y), getattr(x, n)(y)),
            within(*span, *S),
            within(*span, 4),
            dtypes=ALL,
            tolerance=4,
        )
        for name, span in BINARY.items()
    ),
    *(
        case(
            f"{name}-ties", lambda T, x, y, n=name: getattr(T, n)(x, y), fixed([1.0, 2.0, 3.0]), fixed([1.0, 5.0, 0.0])
        )
        for name in ("maximum", "minimum", "fmax", "fmin")
    ),
    *(
        case(
            f"{name}-nan",
            lambda T, x, y, n=name: getattr(T, n)(x, y),
            EDGES,
            fixed([1.0, math.nan, 2.0, 3.0, math.nan, -1.0, math.inf, 0.0, 0.0]),
            gradient=False,
        )
        for name in (
            "maximum",
            "minimum",
            "fmax",
            "fmin",
            "eq",
            "lt",
            "ge",
            "atan2",
            "hypot",
            "copysign",
            "logaddexp",
            "xlogy",
            "pow",
            "div",
            "remainder",
            "fmod",
            "floor_divide",
        )
    ),
    case("logaddexp-equal", lambda T, x, y: (T.logaddexp(x, y), T.logaddexp2(x, y)), fixed([0.0, 1.0, -3.0]), fixed([0.0, 1.0, 2.0])),
    case(
        "operators",
        lambda T, x, y: (x + y, x - y, x * y, x / y, x**2, -x, abs(x), +x),
        within(0.5, 3, *S),
        within(0.5, 3, *S),
    ),
    case(
        "operators-number",
        lambda T, x: (x + 1, 1 - x, 2 * x, x / 2, 2 / x, x**3, 2**x),
        within(0.5, 3, *S),
        dtypes=REAL,
    ),
    case(
        "operators-whole",
        lambda T, x, y: (x // y, x % y, x // 2, 7 // x, x % 2, 5 % x),
        within(0.5, 3, *S),
        within(0.5, 3, *S),
        dtypes=REAL,
        gradient=False,
    ),
    case(
        "operators-float",
        lambda T, x: (x + 1.5, 1.5 - x, x * 2.5, x / 2.5, x > 1.5),
        within(0.5, 3, *S),
        dtypes=ALL,
        gradient=False,
    ),
    case(
        "operators-bits",
        lambda T, x, y: (x & y, x | y, x ^ y, ~x, x & 1, 3 | x, x == y),
        within(0, 9, *S),
        within(0, 9, *S),
        dtypes=("int64", "int32", "uint8", "bool"),
        gradient=False,
    ),
    case(
        "shifts",
        lambda T, x, y: (x << y, x >> y, x << 1, T.bitwise_right_shift(x, y)),
        within(0, 9, *S),
        within(0, 4, *S),
        dtypes=("int64", "int32"),
        gradient=False,
    ),
    case(
        "integers",
        lambda T, x, y: (
            x // y,
            x % y,
            T.fmod(x, y),
            T.div(x, y, rounding_mode="trunc"),
            x / y,
            T.gcd(x, y),
            T.lcm(x, y),
        ),
        fixed([-7, 7, -7, 7, 0], "int64"),
        fixed([2, 2, -2, -2, 3], "int64"),
        gradient=False,
    ),
    case(
        "rounding",
        lambda T, x, y: (T.div(x, y, rounding_mode="floor"), T.div(x, y, rounding_mode="trunc")),
        (3, 4),
        within(0.5, 2, 3, 4),
    ),
    case("alpha", lambda T, x, y: (T.add(x, y, alpha=2), x.sub(y, alpha=0.5), T.rsub(x, y), T.rsub(x, 1)), S, S),
    case("powers", lambda T, x: tuple(x.pow(p) for p in (0, 1, 2, 3, 0.5, -0.5, -1, 2.5, -2)), within(0.5, 2, *S)),
    case("power-negative-base", lambda T, x: (x**2, x**3, x**0), S),
    case(
        "power-whole",
        lambda T, x, n: (x**n, T.pow(2, n), T.pow(-1, n)),
        fixed([2, -2, 1, 1, -1, -1, 0, 0, 3, -3]),
        fixed([-1, -3, -5, 4, -3, -2, -1, 0, 3, 3]),
        dtypes=("int64", "int32", "int16", "int8"),
        gradient=False,
    ),
    case("power-unsigned", lambda T, x, n: (x**n, T.pow(3, n)), fixed([2, 7, 0]), fixed([3, 2, 0]), dtypes=("uint8",)),
    case("power-0", lambda T, x: (x**0, x**0.0), EDGES, dtypes=(*FLOATS, "int32")),
    case("power-of-number", lambda T, x: (T.pow(2, x), T.pow(0.5, x), T.float_power(2, x)), S),
    case("round-decimals", lambda T, x: T.round(x, decimals=1), S, gradient=False),
    case("logit-eps", lambda T, x: x.logit(0.1), within(-0.2, 1.2, *S)),
    case("nan_to_num-values", lambda T, x: T.nan_to_num(x, nan=3.0, posinf=7.0, neginf=-7.0), EDGES, gradient=False),
    case(
        "clamp",
        lambda T, x: (x.clamp(-1, 1), x.clamp(min=0.5), T.clamp(x, max=0), x.clip(-0.5), x.clamp_min(0.1)),
        S,
        dtypes=REAL,
    ),
    case(
        "clamp-tensor",
        lambda T, x, lo, hi: (x.clamp(lo, hi), T.clamp(x, min=lo), T.clamp_max(x, hi)),
        S,
        within(-2, -0.5, 4),
        within(0.5, 2, 3, 1),
    ),
    case("clamp-promote", lambda T, x: (x.clamp(0.5), x.clamp(1, 2)), (3, 4), dtypes=INTEGERS, gradient=False),
    case("lerp", lambda T, x, y, w: (x.lerp(y, 0.3), T.lerp(x, y, w), T.lerp(x, y, 0.8)), S, S, within(0, 1, *S)),
    case(
        "addcmul",
        lambda T, x, y, z: (T.addcmul(x, y, z), x.addcmul(y, z, value=2), T.addcdiv(x, y, z, value=0.5)),
        S,
        (4,),
        within(0.5, 2, *S),
    ),
    case("heaviside", lambda T, x, v: T.heaviside(x, v), fixed([-1.0, 0.0, 2.0, 0.0]), (4,), gradient=False),
    case(
        "isclose",
        lambda T, x: (
            T.isclose(x, x + 1e-7),
            T.isclose(x, x * 1.1),
            T.allclose(x, x + 1e-9),
            T.equal(x, x),
            T.equal(x, x[:2]),
        ),
        EDGES,
        gradient=False,
    ),
    case(
        "isclose-nan",
        lambda T, x: (T.isclose(x, x, equal_nan=True), T.allclose(x, x, equal_nan=True)),
        EDGES,
        gradient=False,
    ),
    case(
        "polygamma",
        lambda T, x: (T.polygamma(1, x), x.polygamma(2), T.mvlgamma(x + 2, 2)),
        within(0.5, 3, *S),
        tolerance=10,
    ),
    case(
        "xlogy-zero",
        lambda T, x, y: (T.xlogy(x, y), T.xlogy(0, y), T.xlogy(x, 2.0)),
        fixed([0.0, 0.0, 1.0, 0.0]),
        fixed([0.0, math.nan, 0.0, 2.0]),
        gradient=False,
    ),
    case("where", lambda T, m, x, y: T.where(m, x, y), mask(*S), S, (4,)),
    case(
        "logical-mixed",
        lambda T, x, y: (T.logical_and(x, y), x.logical_or(y)),
        within(-1, 1, *S),
        fixed([True, False, True, False], "bool"),
        dtypes=("float32", "int64"),
        gradient=False,
    ),
    case(
        "aliases",
        lambda T, x, y: (
            T.multiply(x, y),
            T.divide(x, y),
            T.subtract(x, y),
            T.negative(x),
            T.arctan2(x, y),
            T.greater(x, y),
            T.fix(x),
        ),
        S,
        S,
    ),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


@pytest.mark.parametrize("b", [*ALL, "number-bool", "number-int", "number-float", "0d-int64", "0d-float64", "0d-bool"])
@pytest.mark.parametrize("a", ALL)
def test_promotion(a, b):
    """The dtype of a + b for every pair, and of what Python numbers and 0-d tensors do to it."""
    for operation in (
        lambda T, x, y: x + y,
        lambda T, x, y: x * y,
        lambda T, x, y: x / y,
        lambda T, x, y: T.where(x == x, x, y),
    ):
        found = []
        for T in (torch, lg):
            x = T.ones(2, dtype=getattr(T, a))
            kind, _, name = b.partition("-")
            if kind == "number":
                y = {"bool": True, "int": 1, "float": 1.0}[name]
            elif kind == "0d":
                y = T.ones((), dtype=getattr(T, name))
            else:
                y = T.ones(2, dtype=getattr(T, b))
            found.append(operation(T, x, y))
            if not isinstance(y, (bool, int, float)):
                assert str(T.result_type(x, y)).split(".")[-1] == str((x + y).dtype).split(".")[-1]
        compare(found[1], found[0], a)


ERRORS = [
    bad("broadcast", lambda T, x, y: x + y, (2, 3), (2, 4)),
    bad("neg-bool", lambda T, x: -(x > 0), (2, 3)),
    bad("sub-bool", lambda T, x: (x > 0) - (x > 1), (2, 3)),
    bad("invert-float", lambda T, x: ~x, (2, 3)),
    bad("and-float", lambda T, x: x & x, (2, 3)),
    bad("int-power", lambda T, x: x.long() ** -1, (2, 3)),
    bad("clamp-none", lambda T, x: x.clamp(), (2, 3)),
    bad("div-mode", lambda T, x: T.div(x, x, rounding_mode="up"), (2, 3)),
    bad("heaviside-number", lambda T, x: T.heaviside(x, 1.0), (2, 3)),
    bad("frac-int", lambda T, x: x.long().frac(), (2, 3)),
    bad("logical-number", lambda T, x: T.logical_and(x, 1), (2, 3)),
    bad("lerp-dtype", lambda T, x: x.lerp(x.double(), 0.5), (2, 3)),
    bad("isclose-dtype", lambda T, x: T.isclose(x, x.double()), (2, 3)),
    bad("add-type", lambda T, x: T.add(x, "a"), (2, 3)),
    bad("alpha-int", lambda T, x: T.add(x.long(), x.long(), alpha=0.5), (2, 3)),
    bad("gcd-float", lambda T, x: T.gcd(x, x), (2, 3)),
    bad("bool-many", lambda T, x: bool(x), (2, 3)),
    bad("item-many", lambda T, x: x.item(), (2, 3)),
    bad("inplace-shape", lambda T, x, y: x.add_(y), (3,), (2, 3)),
    bad("inplace-dtype", lambda T, x: x.long().add_(1.5), (3,)),
    bad("inplace-leaf", lambda T, x: x.requires_grad_().add_(1), (3,)),
    bad("inplace-leaf-view", lambda T, x: x.requires_grad_()[0].add_(1), (3,)),
    bad("grad-int", lambda T, x: x.long().requires_grad_(), (3,)),
    bad("backward-many", lambda T, x: x.requires_grad_().mul(2).backward(), (3,)),
    bad("numpy-grad", lambda T, x: x.requires_grad_().numpy(), (3,)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


IN_PLACE = {
    "add_": lambda T, x, y: x.add_(y, alpha=2), "sub_": lambda T, x, y: x.sub_(y), "mul_": lambda T, x, y: x.mul_(y),
    "div_": lambda T, x, y: x.div_(2), "pow_": lambda T, x, y: x.pow_(2), "exp_": lambda T, x, y: x.exp_(),
    "clamp_": lambda T, x, y: x.clamp_(-1, 1), "copy_": lambda T, x, y: x.copy_(y), "fill_": lambda T, x, y: x.fill_(3),
    "zero_": lambda T, x, y: x.zero_(), "masked_fill_": lambda T, x, y: x.masked_fill_(x > 0, -1),
    "index_add_": lambda T, x, y: x.index_add_(1, T.tensor([0, 0]), x[:, :2] * 1), "index_fill_": lambda T, x, y: x.index_fill_(0, T.tensor([1]), 9),
    "scatter_": lambda T, x, y: x.scatter_(1, T.tensor([[0], [1], [2]]), 5.0), "lerp_": lambda T, x, y: x.lerp_(x * 2, 0.5),
    "addcmul_": lambda T, x, y: x.addcmul_(y, y), "addcdiv_": lambda T, x, y: x.addcdiv_(x * 1, y + 5, value=0.1),
    "relu_": lambda T, x, y: T.relu_(x), "sqrt_": lambda T, x, y: x.abs_().sqrt_(), "tril_": lambda T, x, y: x.tril_(),
    "unsqueeze_": lambda T, x, y: x.unsqueeze_(0), "t_": lambda T, x, y: x.t_(), "squeeze_": lambda T, x, y: x.unsqueeze_(0).squeeze_(),
    "eq_": lambda T, x, y: x.eq_(y), "cumsum_": lambda T, x, y: x.cumsum_(0), "round_": lambda T, x, y: x.round_(),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name):
    """The method changes its tensor, returns it, and keeps its dtype."""
    values = torch.linspace(-2, 2, 12).reshape(3, 4)
    found = []
    for T in (torch, lg):
        x, y = T.tensor(values.numpy()), T.tensor([1.0, 2.0, -1.0, 0.5])
        result = IN_PLACE[name](T, x, y)
        assert result is x
        found.append(x)
    compare(found[1], found[0], "float32", what=name)


def test_augmented_assignment():
    for T in (torch, lg):
        x = y = T.arange(6.0)
        x += 1
        x *= 2
        x -= 1
        x /= 2
        x **= 2
        x //= 1
        x %= 4
        assert y is x and y.tolist() == [0.0, 2.0, 2.0, 0.0, 0.0, 2.0]
