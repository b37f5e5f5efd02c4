"""Sorting, searching and counting against torch."""

from __future__ import annotations

import math

import pytest

from tests.support import REAL, bad, case, check, check_error, distinct, fixed, ints, over, within

TIES = within(0, 3, 3, 8)
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
    bad("bincount", lambda T, x: x.bincount(), (3,)),
    bad("bucketize", lambda T, x, b: T.bucketize(x, b), (3,), (2, 2)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)
