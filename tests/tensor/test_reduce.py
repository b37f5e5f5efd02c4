"""Reductions, scans and norms against torch."""

from __future__ import annotations

import math

import pytest

from tests.support import ALL, FLOATS, REAL, bad, case, check, check_error, distinct, fixed, over, within

S = (2, 3, 4)
SHAPES = [(), (1,), (5,), (2, 3), (3, 1, 2), (2, 3, 4)]
NANS = [[1.0, math.nan, 3.0], [math.nan, math.nan, -1.0], [2.0, 0.0, math.inf]]

ANY_SHAPE = [
    case("sum", lambda T, x: x.sum(), (), dtypes=ALL),
    case("sum-1", lambda T, x: (x.sum(-1), x.sum(-1, keepdim=True)), (), dtypes=REAL),
    case("mean", lambda T, x: (x.mean(), x.mean(-1), x.mean(0, True)), (), dtypes=FLOATS),
    case("prod", lambda T, x: (x.prod(), x.prod(-1), x.prod(0, keepdim=True)), (), dtypes=ALL),
    case("amax", lambda T, x: (x.amax(), x.amax(-1), x.amin(0, True), x.amin()), (), dtypes=ALL),
    case("aminmax", lambda T, x: (*T.aminmax(x), *x.aminmax(dim=0)), (), dtypes=REAL),
    case("max", lambda T, x: (x.max(), x.min()), (), dtypes=ALL),
    case("argmax", lambda T, x: (x.argmax(), x.argmin(-1), x.argmax(0, True), x.argmin(None, True)), (), dtypes=REAL),
    case("all", lambda T, x: (x.all(), x.any(), x.all(-1), x.any(0, True)), (), dtypes=ALL),
    case("count_nonzero", lambda T, x: (x.count_nonzero(), T.count_nonzero(x, 0)), (), dtypes=ALL),
    case("logsumexp", lambda T, x: (x.logsumexp(-1), T.logsumexp(x, 0, keepdim=True)), (), dtypes=FLOATS),
    case(
        "norm",
        lambda T, x: (x.norm(), x.norm(1), x.norm(math.inf), x.norm(3, -1), x.norm(2, 0, True)),
        (),
        dtypes=FLOATS,
    ),
    case("cumsum", lambda T, x: x.cumsum(-1), (), dtypes=ALL),
    case("cumprod", lambda T, x: T.cumprod(x, 0), (), dtypes=ALL, tolerance=4),
    case("cummax", lambda T, x: (*x.cummax(-1), *x.cummin(0)), (), dtypes=REAL),
    case("logcumsumexp", lambda T, x: x.logcumsumexp(-1), (), dtypes=("float32", "float64")),
    case("softmax", lambda T, x: (x.softmax(-1), T.log_softmax(x, 0)), (), dtypes=FLOATS),
    case("median", lambda T, x: x.median(), (), dtypes=("float32", "int64")),
    case("nansum", lambda T, x: x.nansum(), (), dtypes=FLOATS),
]

CASES = [
    *over(SHAPES, *ANY_SHAPE),
    case("sum-empty", lambda T, x: (x.sum(), x.sum(0), x.sum(1), x.prod(), x.sum((0, 1))), (0, 3), dtypes=ALL),
    case("mean-empty", lambda T, x: (x.mean(), x.mean(1), x.mean(0)), (0, 3), gradient=False),
    case("all-empty", lambda T, x: (x.all(), x.any(), x.all(0), x.any(1)), (0, 3), dtypes=ALL),
    case("amax-empty-rest", lambda T, x: (x.amax(1), x.max(1), x.argmax(1)), (0, 3)),
    case("sum-dims", lambda T, x: (x.sum((0, 2)), x.sum([0, -1], keepdim=True), x.sum(())), S, dtypes=REAL),
    case("sum-dtype", lambda T, x: x.sum(1, dtype=T.float64), S, dtypes=("int32", "float32", "bool")),
    case("mean-dtype", lambda T, x: x.mean(dtype=T.float32), S, dtypes=("int64", "float16")),
    case("prod-zero", lambda T, x: (x.prod(), x.prod(1)), fixed([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])),
    case("max-dim", lambda T, x: (*x.max(1), *x.min(0, keepdim=True)), S, dtypes=ALL),
    case("max-ties", lambda T, x: (x.max(1)[0], x.amax(1), x.max()), fixed([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])),
    case("max-other", lambda T, x, y: (T.max(x, y), T.min(x, y)), (2, 3), (3,)),
    case("max-nan", lambda T, x: (x.max(), x.amin(1), x.argmax(1), *x.min(1)), fixed(NANS), gradient=False),
    case("cummax-nan", lambda T, x: (*x.cummax(1), *x.cummin(0)), fixed(NANS), gradient=False),
    case("nan-sums", lambda T, x: (x.nansum(1), x.nanmean(1), x.nansum()), fixed(NANS), second=False),
    case("any-dims", lambda T, x: (x.any((0, 2)), x.all((0, 1))), S, dtypes=("bool",)),
    case("var", lambda T, x: (x.var(), x.var(1), x.var((0, 2), keepdim=True)), S, dtypes=FLOATS),
    case(
        "var-correction",
        lambda T, x: (x.var(1, correction=0), x.var(1, unbiased=False), x.var(0, correction=2)),
        (4, 3),
    ),
    case("var-bool", lambda T, x: (x.var(False), x.std(True)), (4, 3)),
    case("std", lambda T, x: (x.std(), x.std(0), x.std((0, 1), correction=0)), S, dtypes=FLOATS),
    case("var_mean", lambda T, x: (*T.var_mean(x, 1), *T.std_mean(x, (0, 2), keepdim=True)), S),
    case("std-flat", lambda T, x: x.std(1), fixed([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]), second=False),
    case(
        "logsumexp-far",
        lambda T, x: x.logsumexp(1),
        fixed([[1e4, 1e4], [-1e4, 0.0], [-math.inf, -math.inf]]),
        gradient=False,
    ),
    case("norm-zero", lambda T, x: (x.norm(), x.norm(dim=1)), fixed([[0.0, 0.0], [3.0, 4.0]]), second=False),
    case("norm-fro", lambda T, x: (x.norm("fro"), x.norm(dim=(0, 1)), x.norm(0), x.norm(0.5, 1)), (3, 4)),
    case(
        "vector_norm", lambda T, x: tuple(T.linalg.vector_norm(x, p, 1) for p in (0, 1, 2, 3.5, math.inf, -math.inf)), S
    ),
    case("matrix_norm", lambda T, x: tuple(T.linalg.matrix_norm(x, p) for p in ("fro", 1, -1, math.inf)), S),
    case("linalg-norm", lambda T, x: (T.linalg.norm(x), T.linalg.norm(x, 1), T.linalg.norm(x, 2, 1)), (3, 4)),
    case("dist", lambda T, x, y: (T.dist(x, y), T.dist(x, y, 1)), (3, 4), (4,)),
    case("cumsum-dtype", lambda T, x: x.cumsum(1, dtype=T.float32), S, dtypes=("int32", "bool"), gradient=False),
    case("cumprod-zero", lambda T, x: x.cumprod(1), fixed([[1.0, 0.0, 3.0, 2.0], [2.0, 0.0, 0.0, 5.0]])),
    case("logcumsumexp-far", lambda T, x: x.logcumsumexp(0), fixed([-1e3, 0.0, 1e3, 5.0])),
    case("diff", lambda T, x: (x.diff(), x.diff(2, 0), x.diff(n=9)), (3, 4), dtypes=ALL),
    case("diff-pad", lambda T, x, y: x.diff(dim=1, prepend=y, append=y), (3, 4), (3, 1)),
    case("median-dim", lambda T, x: (*x.median(1), *T.median(x, 0, keepdim=True)), distinct(4, 5)),
    case(
        "median-nan",
        lambda T, x: (x.median(), x.median(1)[0], x.nanmedian(), x.nanmedian(1)[0]),
        fixed(NANS),
        gradient=False,
    ),
    case("quantile", lambda T, x: (x.quantile(0.3), x.quantile(0.5, 1), T.quantile(x, 0.25, 0, True)), distinct(4, 5)),
    case(
        "quantile-many", lambda T, x: x.quantile(T.tensor([0.1, 0.9], dtype=x.dtype), 1, keepdim=True), distinct(4, 5)
    ),
    case(
        "quantile-kinds",
        lambda T, x: tuple(x.quantile(0.37, interpolation=k) for k in ("lower", "higher", "midpoint", "nearest")),
        distinct(7),
    ),
    case("nanquantile", lambda T, x: (x.nanquantile(0.5, 1), x.quantile(0.5, 1)), fixed(NANS), gradient=False),
    case("mode", lambda T, x: x.mode(1)[0], within(0, 3, 3, 7), dtypes=("int64",)),
    case("trace", lambda T, x: x.trace(), (3, 4)),
    case(
        "half-sum",
        lambda T, x: (x.sum(), x.mean(), x.var()),
        within(10.0, 30.0, 4000),
        dtypes=("float16",),
        gradient=False,
    ),
    case("trapezoid", lambda T, x: (T.trapezoid(x), T.trapezoid(x, dx=0.5, dim=0)), (3, 4)),
    case("all-of-no-dim", lambda T, x: (x.all(()), x.any(dim=(), keepdim=True)), S, dtypes=("bool", "float32", "uint8")),
    case("aminmax", lambda T, x: (*T.aminmax(x, dim=-1, keepdim=True), *x.aminmax()), (3, 4), dtypes=REAL),
    case("median-nothing", lambda T, x: (x.median(), x.nanmedian()), (0,), dtypes=("float32", "uint8", "int64")),
    case(
        "quantile-infinite",
        lambda T, x: (x.quantile(0.25, 1), x.nanquantile(0.6, 1, interpolation="midpoint")),
        fixed([[-math.inf, 3.0, math.inf], [1.0, 2.0, math.inf], [-math.inf, -math.inf, 2.0]]),
        dtypes=("float32", "float64"),
        gradient=False,
    ),
    case(
        "trapezoid-whole",
        lambda T, x: (T.trapezoid(x), T.trapezoid(x[:, :1]), T.cumulative_trapezoid(x[:, :1]), T.trapezoid(x[:, :0])),
        (3, 4),
        dtypes=("int64", "uint8", "float32"),
    ),
    case("cov-whole", lambda T, x: (T.cov(x), T.corrcoef(x)), fixed([[1, 2, 5], [3, 1, 4]]), dtypes=("int64", "uint8"), gradient=False),
    case("renorm-nan", lambda T, x: x.renorm(2, 0, 1.0), fixed([[3.0, 4.0], [math.nan, 2.0]]), gradient=False),
    case("cov", lambda T, x: (T.cov(x), T.corrcoef(x)), (3, 5), second=False),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


ERRORS = [
    bad("sum-dim", lambda T, x: x.sum(2), (2, 3)),
    bad("sum-twice", lambda T, x: x.sum((0, 0)), (2, 3)),
    bad("mean-int", lambda T, x: x.long().mean(), (2, 3)),
    bad("var-int", lambda T, x: x.long().var(), (2, 3)),
    bad("max-empty", lambda T, x: x.max(), (0,)),
    bad("max-empty-dim", lambda T, x: x.max(0), (0, 3)),
    bad("argmax-empty", lambda T, x: x.argmax(), (0,)),
    bad("amax-empty", lambda T, x: x.amax(0), (0, 3)),
    bad("amax-empty-all", lambda T, x: x.amax(), (0, 3)),
    bad("max-dim", lambda T, x: x.max(3), (2, 3)),
    bad("cumsum-dim", lambda T, x: x.cumsum(2), (2, 3)),
    bad("softmax-dim", lambda T, x: x.softmax(2), (2, 3)),
    bad("softmax-int", lambda T, x: x.long().softmax(0), (2, 3)),
    bad("quantile-range", lambda T, x: x.quantile(1.5), (3,)),
    bad("dim-bool", lambda T, x: x.sum(True), (2, 3)),
    bad("dims-bool", lambda T, x: x.cumsum(False), (2, 3)),
    bad("aminmax-dims", lambda T, x: T.aminmax(x, dim=(0, 1)), (2, 3)),
    bad("norm-of-nothing", lambda T, x: x.norm(math.inf, 0), (0, 3)),
    bad("norm-negative-of-nothing", lambda T, x: x.norm(-1), (0, 3)),
    bad("quantile-points", lambda T, x: x.quantile(T.tensor([[0.5]])), (3,)),
    bad("trapezoid-bool", lambda T, x: T.trapezoid(x > 0), (3,)),
    bad("cov-bool", lambda T, x: T.cov(x > 0), (2, 3)),
    bad("norm-int", lambda T, x: T.linalg.vector_norm(x.long()), (3,)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)
