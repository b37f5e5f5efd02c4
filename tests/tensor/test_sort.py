"""Sorting, searching and counting against torch."""

from __future__ import annotations

import math

import pytest

from tests.support import REAL, bad, case, check, check_error, distinct, fixed, ints, over, within

TIES = within(0, 3, 3, 8)
NANS_WIDE = fixed([[1.0, math.nan, 3.0, -math.inf, 2.0, 0.0]] * 4)
NANS = fixed([[1.0, math.nan, 3.0, -math.inf], [math.nan, 0.0, math.nan, math.inf]])

CASES = [
    *over(
        [(), (1,), (7,), (3, 5), (0, 3), (2, 3, 4)],
        case("sort", lambda T, x: (*x.sort(), *x.sort(0, descending=True)), distinct(), dtypes=REAL),
        case("argsort", lambda T, x: (x.argsort(), T.argsort(x, 0, True)), distinct()),
        case("msort", lambda T, x: T.msort(x), distinct()),
    ),
    case(
        "sort-stable",
        lambda T, x: (*x.sort(stable=True), *T.sort(x, dim=1, descending=True, stable=True)),
        TIES,
        dtypes=("int64", "bool", "uint8"),
    ),
    case("sort-nan", lambda T, x: (*x.sort(stable=True), *x.sort(descending=True, stable=True)), NANS, gradient=False),
    case("topk", lambda T, x: (*x.topk(3), *T.topk(x, 2, 0, largest=False)), distinct(4, 6), dtypes=REAL),
    case("topk-0", lambda T, x: (*x.topk(0), *x[0, 0].topk(1)), distinct(4, 6)),
    case("kthvalue", lambda T, x: (*x.kthvalue(3), *T.kthvalue(x, 1, 0, keepdim=True)), distinct(4, 6)),
    case(
        "searchsorted",
        lambda T, x: (T.searchsorted(T.tensor([1, 3, 5, 7]), x), T.searchsorted(T.tensor([1, 3, 5, 7]), x, right=True)),
        within(0, 9, 3, 4),
        dtypes=("int64", "float32"),
        gradient=False,
    ),
    case(
        "searchsorted-rows",
        lambda T, s, x: T.searchsorted(s.sort(1)[0], x, side="right"),
        distinct(3, 5),
        (3, 4),
        gradient=False,
    ),
    case(
        "searchsorted-scalar",
        lambda T, s: (T.searchsorted(s.sort()[0], 0.5), T.searchsorted(s.sort()[0], 1, out_int32=True)),
        distinct(6),
        gradient=False,
    ),
    case(
        "bucketize",
        lambda T, x: (
            T.bucketize(x, T.tensor([-1.0, 0.0, 1.0])),
            T.bucketize(x, T.tensor([-1.0, 0.0, 1.0]), right=True),
        ),
        (3, 4),
        gradient=False,
    ),
    case(
        "unique",
        lambda T, x: (x.unique(), *x.unique(return_inverse=True, return_counts=True)),
        ints(3, 6, below=5),
        gradient=False,
    ),
    case(
        "unique-dim",
        lambda T, x: T.unique(x, dim=0, return_inverse=True, return_counts=True),
        ints(6, 2, below=2),
        gradient=False,
    ),
    case(
        "unique_consecutive",
        lambda T, x: T.unique_consecutive(x, return_inverse=True, return_counts=True),
        ints(12, below=2),
        gradient=False,
    ),
    case(
        "bincount",
        lambda T, x: (x.bincount(), x.bincount(minlength=9), T.bincount(x, T.arange(8.0))),
        ints(8, below=5),
        gradient=False,
    ),
    case(
        "searchsorted-nan",
        lambda T, x: tuple(T.searchsorted(x.sort(1)[0], x, right=r) for r in (False, True)),
        NANS,
        dtypes=("float32", "float64", "bfloat16"),
        gradient=False,
    ),
    case(
        "searchsorted-sorter",
        lambda T, x: (T.searchsorted(x, x, sorter=x.argsort(1)), T.searchsorted(x[0], 0, side="right", sorter=x[0].argsort())),
        distinct(3, 6),
        gradient=False,
    ),
    case(
        "searchsorted-nothing",
        lambda T, x: (T.searchsorted(x[0, :0], x), T.searchsorted(x, x[:, :0]), T.bucketize(x[:0], x[0].sort()[0])),
        (3, 4),
        gradient=False,
    ),
    case("searchsorted-mixed", lambda T, x: T.searchsorted(T.tensor([0.5, 1.5]), x), ints(3, below=3), gradient=False),
    case("unique-nan", lambda T, x: x.unique(return_inverse=True, return_counts=True), NANS,
         dtypes=("float32", "float64", "float16", "bfloat16"), gradient=False),
    case("unique-halves", lambda T, x: x.unique(), fixed([2.0, -0.0, 0.0, 2.0, -1.0]), dtypes=("float16", "bfloat16"), gradient=False),
    case(
        "unique-nothing",
        lambda T, x: (*T.unique(x, return_inverse=True, return_counts=True), T.unique(x, dim=0), T.unique_consecutive(x, dim=0)),
        ints(0, 3, below=2),
        gradient=False,
    ),
    case(
        "unique_consecutive-dim",
        lambda T, x: (
            *T.unique_consecutive(x, return_inverse=True, return_counts=True, dim=0),
            *T.unique_consecutive(x, return_inverse=True, dim=-1),
        ),
        ints(9, 2, below=2),
        gradient=False,
    ),
    case("histc-one-value", lambda T, x: (x.histc(4, 2, 2), x.histc(bins=3, min=1, max=3)), fixed([1.0, 2.0, 2.0, 5.0]), gradient=False),
    case(
        "histogram",
        lambda T, x: (*T.histogram(x, 4), *T.histogram(x, 3, range=(-1.0, 1.0), density=True), *T.histogram(x, 5, weight=x.abs())),
        (3, 8),
        dtypes=("float32", "float64"),
        gradient=False,
    ),
    case(
        "histogram-edges",
        lambda T, x: (*T.histogram(x, T.tensor([-1.0, 0.0, 0.5, 2.0])), *T.histogram(x[:0], 3)),
        (20,),
        gradient=False,
    ),
    *(
        case(f"histogramdd-{name}", f, (40, 2), dtypes=("float32", "float64"), gradient=False)
        for name, f in {
            "numbers": lambda T, x: (*T.histogramdd(x, [3, 2]), *T.histogramdd(x, 2), *T.histogramdd(x.reshape(5, 8, 2), [1, 4])),
            "range": lambda T, x: T.histogramdd(x, [3, 2], range=[-1.0, 1.0, -0.5, 2.0], weight=x[:, 0].abs(), density=True),
            "edges": lambda T, x: T.histogramdd(x, [T.tensor([-1, 0, 2]).to(x.dtype), T.tensor([-2, 0.5, 1]).to(x.dtype)]),
        }.items()
    ),
    case("topk-ends", lambda T, x: (x.topk(6)[0], x.topk(6, 1, False)[0], x.topk(4, dim=0, largest=True, sorted=True)[0]), NANS_WIDE,
         gradient=False),
    case("kthvalue-nan", lambda T, x: (x.kthvalue(1)[0], x.kthvalue(6, 1)[0]), NANS_WIDE, gradient=False),
    case("histc", lambda T, x: (x.histc(5), T.histc(x, 4, -1, 1), x.histc(3, 0, 0)), (30,), gradient=False),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


ERRORS = [
    bad("topk", lambda T, x: x.topk(4), (2, 3)),
    bad("kthvalue", lambda T, x: x.kthvalue(0), (2, 3)),
    bad("sort-dim", lambda T, x: x.sort(2), (2, 3)),
    bad("searchsorted", lambda T, s, x: T.searchsorted(s, x), (2, 3), (3, 3)),
    bad("kthvalue-nothing", lambda T, x: x.kthvalue(1), (2, 0)),
    bad("searchsorted-side", lambda T, x: T.searchsorted(x, x, side="left", right=True), (3,)),
    bad("searchsorted-sides", lambda T, x: T.searchsorted(x, x, side="up"), (3,)),
    bad("searchsorted-number", lambda T, x: T.searchsorted(x, 1.0), (2, 3)),
    bad("searchsorted-0d", lambda T, x: T.searchsorted(x, x), ()),
    bad("searchsorted-sorter", lambda T, x: T.searchsorted(x, x, sorter=T.tensor([0])), (3,)),
    bad("searchsorted-sorter-dtype", lambda T, x: T.searchsorted(x, x, sorter=x), (3,)),
    bad("unique-nothing", lambda T, x: x.unique(dim=0), (3, 0)),
    bad("unique_consecutive-nothing", lambda T, x: x.unique_consecutive(dim=1), (0, 3)),
    bad("unique-0d", lambda T, x: x.unique(dim=0), ()),
    bad("histc-bins", lambda T, x: x.histc(0), (3,)),
    bad("histc-order", lambda T, x: x.histc(3, 2, 1), (3,)),
    bad("histc-infinite", lambda T, x: x.histc(3, -math.inf, 1), (3,)),
    bad("histogram-bins", lambda T, x: T.histogram(x, 0), (3,)),
    bad("histogram-range", lambda T, x: T.histogram(x, 3, range=(2.0, 1.0)), (3,)),
    bad("histogram-int", lambda T, x: T.histogram(x.long(), 3), (3,)),
    bad("histogramdd-bins", lambda T, x: T.histogramdd(x, [3]), (3, 2)),
    bad("histogramdd-weight", lambda T, x: T.histogramdd(x, [3, 2], weight=x), (3, 2)),
    bad("histogramdd-int", lambda T, x: T.histogramdd(x.long(), [3, 2]), (3, 2)),
    bad("bincount", lambda T, x: x.bincount(), (3,)),
    bad("bucketize", lambda T, x, b: T.bucketize(x, b), (3,), (2, 2)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)
