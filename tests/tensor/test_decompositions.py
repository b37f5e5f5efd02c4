"""LU, reflections, determinants of singular matrices and the SVD of a few singular values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import bad, case, check, check_error, ints

SHAPES = [(3, 3), (1, 1), (2, 3, 3), (2, 2, 2, 2), (0, 3, 3), (0, 0), (4, 3), (2, 3, 4), (0, 3), (3, 0)]
SQUARE = [s for s in SHAPES if s[-1] == s[-2]]
PRECISE = {"dtypes": ("float32", "float64"), "tolerance": 100}


def heavy(T, x):
    """With a diagonal that keeps it from being singular."""
    return x + 4 * T.eye(x.shape[-1], dtype=x.dtype)


CASES = [
    *(
        case(f"lu{list(s)}".replace(" ", ""), lambda T, x: (T.linalg.lu_factor(x), T.linalg.lu(x), T.linalg.lu_factor_ex(x)), s, **PRECISE)
        for s in SHAPES
    ),
    *(
        case(f"lu-old{list(s)}".replace(" ", ""), lambda T, x: (x.lu(), T.lu(x, get_infos=True), T.lu_unpack(*T.linalg.lu_factor(x))), s, gradient=False, **PRECISE)
        for s in SHAPES
    ),
    *(
        case(
            f"lu_solve{list(s)}-{left}-{adjoint}".replace(" ", ""),
            lambda T, x, b, left=left, adjoint=adjoint: T.linalg.lu_solve(*T.linalg.lu_factor(heavy(T, x)), b, left=left, adjoint=adjoint),
            s, s, **PRECISE,
        )
        for s in SQUARE for left in (True, False) for adjoint in (False, True)
    ),
    case("lu_solve-old", lambda T, x, b: (T.lu_solve(b, *T.linalg.lu_factor(heavy(T, x))), b.lu_solve(*heavy(T, x).lu())), (3, 3), (3, 2), **PRECISE),
    case("lu-unpack-parts", lambda T, x: (T.lu_unpack(*x.lu(), unpack_data=False)[0], T.lu_unpack(*x.lu(), unpack_pivots=False)[1:]), (3, 3), gradient=False),
    case("lu-info", lambda T, x: T.linalg.lu_factor_ex(x.outer(x)).info, (3,), gradient=False),
    case("triangular_solve", lambda T, b, x: (T.triangular_solve(b, heavy(T, x)), b.triangular_solve(heavy(T, x), upper=False), T.triangular_solve(b, heavy(T, x), transpose=True), T.triangular_solve(b, x, unitriangular=True)), (3, 2), (3, 3), **PRECISE),
    *(
        case(f"householder{list(s)}".replace(" ", ""), lambda T, x, t: (T.linalg.householder_product(x, t), T.orgqr(x, t), x.orgqr(t)), s, (*s[:-2], k), **PRECISE)
        for s, k in (((3, 3), 3), ((4, 3), 2), ((2, 4, 3), 3), ((3, 2), 0), ((1, 1), 1), ((0, 3, 2), 2))
    ),
    *(case(f"det{list(s)}".replace(" ", ""), lambda T, x: (T.linalg.det(x), x.det()), s, **PRECISE) for s in SQUARE),
    case("logdet", lambda T, x: (heavy(T, x).logdet(), T.slogdet(x)), (2, 3, 3), **PRECISE),
]  # fmt: skip


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


ERRORS = [
    bad("lu-vector", lambda T, x: T.linalg.lu(x), (3,)),
    bad("lu-pivot", lambda T, x: T.linalg.lu_factor(x, pivot=False), (3, 3)),
    bad("lu-check", lambda T, x: T.linalg.lu_factor_ex(x * 0, check_errors=True), (3, 3)),
    bad("lu_solve-wide", lambda T, x: T.linalg.lu_solve(*T.linalg.lu_factor(x), x), (2, 3)),
    bad("lu_solve-pivots", lambda T, x, p: T.linalg.lu_solve(x, p, x), (2, 2), ints(2, below=2)),
    bad("lu_unpack-pivots", lambda T, x, p: T.lu_unpack(x, p), (2, 2), ints(2, below=2)),
    bad("householder-wide", lambda T, x, t: T.linalg.householder_product(x, t), (2, 3), (2,)),
    bad("householder-many", lambda T, x, t: T.linalg.householder_product(x, t), (3, 2), (3,)),
    bad("pca", lambda T, x: T.pca_lowrank(x, q=5), (4, 3)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


SINGULAR = {
    "rank 1 of 2": [[1.0, 2.0], [2.0, 4.0]],
    "rank 2 of 3": [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]],
    "rank 1 of 3": [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [-1.0, -2.0, -3.0]],
    "zeros": [[0.0, 0.0], [0.0, 0.0]],
    "regular": [[1.0, 2.0], [3.0, 4.0]],
}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", SINGULAR)
def test_a_determinants_gradient_is_its_cofactors(name):
    """Which torch gives for regular matrices alone: for singular ones its gradient is 0, or off by its perturbation."""
    a = np.array(SINGULAR[name])
    x = lg.tensor(a, requires_grad=True)
    (gradient,) = lg.autograd.grad(x.det(), x)
    n = len(a)
    minors = [[np.delete(np.delete(a, i, 0), j, 1) for j in range(n)] for i in range(n)]
    wanted = [[(-1) ** (i + j) * np.linalg.det(minors[i][j]) for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(gradient.numpy(force=True), wanted, atol=1e-12)


def test_lu_pivots_are_those_of_lapack():
    a = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    mine, theirs = lg.linalg.lu_factor(lg.tensor(a)), torch.linalg.lu_factor(torch.tensor(a))
    assert mine.pivots.tolist() == theirs.pivots.tolist() and mine.pivots.dtype is lg.int32
    assert mine._fields == ("LU", "pivots") and lg.linalg.lu(lg.tensor(a))._fields == ("P", "L", "U")


@pytest.mark.parametrize("low_rank", [lambda T, x: T.svd_lowrank(x, q=4), lambda T, x: T.pca_lowrank(x, q=4, center=False)])
def test_low_rank(low_rank):
    generator = np.random.default_rng(0)
    a = generator.normal(size=(9, 3)) @ generator.normal(size=(3, 7))
    for T in (torch, lg):
        x = T.tensor(a)
        u, s, v = low_rank(T, x)
        assert tuple(u.shape) == (9, 4) and tuple(s.shape) == (4,) and tuple(v.shape) == (7, 4)
        assert ((u * s) @ v.mT).allclose(x) and s.allclose(T.linalg.svdvals(x)[:4])
    centered = lg.pca_lowrank(lg.tensor(a), q=3)
    assert centered.S.allclose(lg.linalg.svdvals(lg.tensor(a - a.mean(0)))[:3])
