"""Products and contractions against torch."""

from __future__ import annotations

import pytest

from tests.support import bad, case, check, check_error, ints

MATMULS = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 0, 3), (3, 4)),
    ((1, 1), (1, 1)), ((2, 3, 1), (1, 4)),
]  # fmt: skip

EQUATIONS = [
    ("i,i->", (3,), (3,)), ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)), ("...ij,jk->...ik", (2, 5, 2, 3), (3, 4)), ("b...->...b", (2, 3, 4)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("bijk,jk,kl->bl", (2, 3, 4, 5), (4, 5), (5, 2)), ("ij,ij->ij", (2, 3), (2, 3)),
    ("iij,j->i", (3, 3, 2), (2,)), ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)), ("ij,k->", (2, 3), (4,)), ("ij,kj->ik", (2, 1), (4, 3)),
    ("...,...->...", (2, 3), (3,)), ("a,b,c->abc", (2,), (3,), (4,)), ("zA,Ab->bz", (2, 3), (3, 4)), (" i j , j -> i ", (2, 3), (3,)),
]  # fmt: skip

CASES = [
    *(
        case(
            f"matmul-{a}-{b}".replace(" ", ""),
            lambda T, x, y: (x @ y, T.matmul(x, y)),
            a,
            b,
            dtypes=("float32", "float64", "float16", "bfloat16", "int64"),
        )
        for a, b in MATMULS
    ),
    *(case(f"einsum-{e[0]}".replace(" ", ""), lambda T, *xs, e=e: T.einsum(e[0], *xs), *e[1:]) for e in EQUATIONS),
    case("einsum-sublist", lambda T, x, y: T.einsum(x, [0, 1], y, [1, 2], [0, 2]), (2, 3), (3, 4)),
    case("mm", lambda T, x, y: (x.mm(y), T.mm(x, y)), (2, 3), (3, 4)),
    case("bmm", lambda T, x, y: T.bmm(x, y), (5, 2, 3), (5, 3, 4)),
    case("mv", lambda T, x, y: x.mv(y), (2, 3), (3,)),
    case("dot", lambda T, x, y: (x.dot(y), T.vdot(x, y)), (3,), (3,), dtypes=("float32", "int64")),
    case("outer", lambda T, x, y: T.outer(x, y), (2,), (3,), dtypes=("float32", "int64", "bool")),
    case("inner", lambda T, x, y: T.inner(x, y), (2, 3), (4, 5, 3)),
    case("inner-0d", lambda T, x, y: T.inner(x, y), (2, 3), ()),
    case(
        "addmm",
        lambda T, c, x, y: (T.addmm(c, x, y), c.addmm(x, y, beta=0.5, alpha=2), T.addmm(c, x, y, beta=0)),
        (4,),
        (2, 3),
        (3, 4),
    ),
    case("addmv", lambda T, c, x, y: T.addmv(c, x, y), (2,), (2, 3), (3,)),
    case("addr", lambda T, c, x, y: T.addr(c, x, y, beta=2), (2, 3), (2,), (3,)),
    case("baddbmm", lambda T, c, x, y: T.baddbmm(c, x, y, alpha=3), (5, 1, 4), (5, 2, 3), (5, 3, 4)),
    case("addbmm", lambda T, c, x, y: T.addbmm(c, x, y), (2, 4), (5, 2, 3), (5, 3, 4)),
    case(
        "tensordot", lambda T, x, y: (T.tensordot(x, y, 1), T.tensordot(x, y, ([2, 0], [0, 1]))), (2, 3, 4), (4, 2, 5)
    ),
    case("tensordot-0", lambda T, x, y: T.tensordot(x, y, 0), (2,), (3, 1)),
    case("kron", lambda T, x, y: (T.kron(x, y), T.kron(x[0], y)), (2, 3), (4, 2)),
    case("cross", lambda T, x, y: (T.linalg.cross(x, y), T.cross(x, y, dim=1)), (2, 3), (2, 3)),
    case("cdist", lambda T, x, y: (T.cdist(x, y), T.cdist(x, y, p=1.0)), (4, 3), (5, 3), second=False, tolerance=5),
    case("matrix_power", lambda T, x: (x.matrix_power(3), x.matrix_power(0), x.matrix_power(1)), (2, 3, 3)),
    case("chain", lambda T, x, y, z: T.linalg.multi_dot([x, y, z]), (2, 3), (3, 4), (4, 5)),
    case(
        "inv",
        lambda T, x: (T.linalg.inv(x + 4 * T.eye(3, dtype=x.dtype)), T.inverse(x + 5 * T.eye(3, dtype=x.dtype))),
        (2, 3, 3),
    ),
    case(
        "solve",
        lambda T, x, b: (
            T.linalg.solve(x + 4 * T.eye(3, dtype=x.dtype), b),
            T.linalg.solve(x[0] + 4 * T.eye(3, dtype=x.dtype), b[0, :, 0]),
        ),
        (2, 3, 3),
        (2, 3, 2),
    ),
    case("cholesky", lambda T, x: T.linalg.cholesky(x @ x.mT + 3 * T.eye(3, dtype=x.dtype)), (2, 3, 3)),
    case("det", lambda T, x: (T.linalg.det(x), T.det(x[0]), *T.linalg.slogdet(x)), (2, 3, 3), tolerance=10),
    case(
        "svdvals",
        lambda T, x: (T.linalg.svdvals(x), T.linalg.svd(x)[1], T.linalg.matrix_rank(x), T.linalg.pinv(x)),
        (4, 3),
        gradient=False,
        tolerance=10,
    ),
    case(
        "eigh",
        lambda T, x: (T.linalg.eigh(x @ x.mT)[0], T.linalg.eigvalsh(x @ x.mT)),
        (4, 4),
        gradient=False,
        tolerance=10,
    ),
    case("qr", lambda T, x: T.linalg.qr(x)[0].abs(), (4, 3), gradient=False, tolerance=10),
    case("vecdot", lambda T, x, y: T.linalg.vecdot(x, y), (2, 3), (2, 3)),
]


@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


ERRORS = [
    bad("matmul", lambda T, x, y: x @ y, (2, 3), (2, 3)),
    bad("matmul-0d", lambda T, x, y: x @ y, (), (3,)),
    bad("matmul-batch", lambda T, x, y: x @ y, (2, 3, 4), (3, 4, 5)),
    bad("matmul-dtype", lambda T, x, y: x @ y.double(), (2, 3), (3, 2)),
    bad("matmul-int", lambda T, x, y: x @ y.long(), (2, 3), (3, 2)),
    bad("matmul-bool", lambda T, x, y: x.bool() @ y.bool(), (2, 3), (3, 2)),
    bad("mm", lambda T, x, y: x.mm(y), (2, 3), (3,)),
    bad("bmm", lambda T, x, y: x.bmm(y), (2, 2, 3), (3, 3, 2)),
    bad("mv", lambda T, x, y: x.mv(y), (2, 3), (2,)),
    bad("dot", lambda T, x, y: x.dot(y), (3,), (2,)),
    bad("addmm", lambda T, c, x, y: T.addmm(c, x, y), (5,), (2, 3), (3, 4)),
    bad("einsum-count", lambda T, x: T.einsum("ij,jk->ik", x), (2, 3)),
    bad("einsum-size", lambda T, x, y: T.einsum("ij,jk->ik", x, y), (2, 3), (2, 3)),
    bad("einsum-output", lambda T, x: T.einsum("ij->k", x), (2, 3)),
    bad("einsum-ndim", lambda T, x: T.einsum("ijk->k", x), (2, 3)),
    bad("einsum-diagonal", lambda T, x: T.einsum("ii->i", x), (2, 3)),
    bad("einsum-twice", lambda T, x: T.einsum("ij->ii", x), (2, 3)),
    bad("tensordot", lambda T, x, y: T.tensordot(x, y, 1), (2, 3), (2, 3)),
    bad("inv", lambda T, x: T.linalg.inv(x), (2, 3)),
    bad("solve", lambda T, x, b: T.linalg.solve(x, b), (3, 3), (2, 2)),
    bad("cross", lambda T, x, y: T.linalg.cross(x, y), (2, 4), (2, 4)),
    bad("trace", lambda T, x: x.trace(), (2, 3, 4)),
    bad("outer", lambda T, x, y: T.outer(x, y), (2, 3), (3,)),
    bad("mm-type", lambda T, x: T.mm(x, 3), (2, 3)),
    bad("index-type", lambda T, x, i: x.index_select(0, i.float()), (2, 3), ints(2, below=2)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)
