"""Products and contractions against torch."""

from __future__ import annotations

import pytest
import torch

import lazygrad as lg
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

def spread(T, x):
    """A matrix whose singular values lie apart."""
    k = min(x.shape[-2:])
    return x + T.diag(T.arange(1, k + 1, dtype=x.dtype) * 2).new_zeros(x.shape).diagonal_scatter(
        T.arange(1, k + 1, dtype=x.dtype).expand(*x.shape[:-2], k) * 2, 0, -2, -1
    )


def symmetric(T, x):
    a = spread(T, x)
    return a + a.mT


def definite(T, x):
    return x @ x.mT + 3 * T.eye(x.shape[-1], dtype=x.dtype)


TALL, WIDE, BOTH = (2, 4, 3), (2, 3, 4), (2, 3, 3)
INF = float("inf")

# what has a sign of its own choosing is compared through what the sign leaves alone
FACTORIZATIONS = [
    *(
        case(f"svd-{shape}".replace(" ", ""), lambda T, x: _svd(T, *T.linalg.svd(spread(T, x), full_matrices=False)), shape, tolerance=50)
        for shape in (TALL, WIDE, BOTH, (1, 1))
    ),
    case("svd-full", lambda T, x: _svd(T, *T.linalg.svd(spread(T, x)), 3), TALL, second=False, tolerance=50),
    case("svd-legacy", lambda T, x: _svd(T, *(lambda u, s, v: (u, s, v.mT))(*T.svd(spread(T, x)))), WIDE, tolerance=50),
    case("svdvals", lambda T, x: (T.linalg.svdvals(spread(T, x)), T.linalg.svd(spread(T, x)).S), TALL, tolerance=50),
    case("eigh", lambda T, x: _eigh(T, *T.linalg.eigh(symmetric(T, x))), BOTH, tolerance=50),
    case("eigh-upper", lambda T, x: T.linalg.eigh(spread(T, x), UPLO="U").eigenvalues, BOTH, gradient=False, tolerance=50),
    case("eigvalsh", lambda T, x: T.linalg.eigvalsh(symmetric(T, x)), BOTH, tolerance=50),
    *(
        case(f"qr-{shape}".replace(" ", ""), lambda T, x: _qr(*T.linalg.qr(spread(T, x))), shape, tolerance=50)
        for shape in (TALL, WIDE, BOTH)
    ),
    case("qr-complete", lambda T, x: _qr(*T.linalg.qr(spread(T, x), mode="complete")), WIDE, tolerance=50),
    case("qr-r", lambda T, x: (T.linalg.qr(spread(T, x), mode="r")[0], T.linalg.qr(x, mode="r")[1].abs()), TALL, gradient=False),
    *(
        case(f"pinv-{shape}".replace(" ", ""), lambda T, x: T.linalg.pinv(spread(T, x)), shape, tolerance=50)
        for shape in (TALL, WIDE, BOTH)
    ),
    case("pinv-low-rank", lambda T, x: T.linalg.pinv(x[:, :, :1] @ x[:, :1]), BOTH, second=False, gradient=False, tolerance=500),
    case("pinv-tolerances", lambda T, x: (T.linalg.pinv(spread(T, x), rtol=0.5), T.linalg.pinv(spread(T, x), atol=2.5), T.pinverse(x)), TALL, gradient=False, tolerance=500),
    case("pinv-hermitian", lambda T, x: T.linalg.pinv(symmetric(T, x), hermitian=True), BOTH, gradient=False, tolerance=50),
    case("cholesky_solve", lambda T, x, b: (T.cholesky_solve(b, T.linalg.cholesky(definite(T, x))), T.cholesky_solve(b, T.linalg.cholesky(definite(T, x), upper=True), upper=True)), BOTH, (2, 3, 2)),
    case("cholesky_inverse", lambda T, x: T.cholesky_inverse(T.linalg.cholesky(definite(T, x))), BOTH, second=False),
    case("solve-right", lambda T, x, b: T.linalg.solve(spread(T, x), b, left=False), BOTH, (2, 2, 3)),
    case("solve-batch", lambda T, x, b: T.linalg.solve(spread(T, x), b), (3, 3), (2, 3, 2)),
    *(
        case(
            f"solve_triangular-{upper}-{left}-{ones}",
            lambda T, x, b, upper=upper, left=left, ones=ones: T.linalg.solve_triangular(spread(T, x), b, upper=upper, left=left, unitriangular=ones),
            BOTH, (2, 3, 3), tolerance=50,
        )
        for upper, left, ones in ((True, True, False), (False, True, False), (True, False, False), (False, False, True))
    ),
    case("inv_ex", lambda T, x: (*T.linalg.inv_ex(spread(T, x)), *T.linalg.solve_ex(spread(T, x), x), *T.linalg.cholesky_ex(definite(T, x))), BOTH, gradient=False),
    case("info", lambda T, x: (T.linalg.inv_ex(T.zeros(2, 2)).info, T.linalg.inv_ex(T.tensor([[1.0, 2, 1], [2, 4, 1], [1, 2, 0]])).info, T.linalg.cholesky_ex(T.tensor([[1.0, 2], [2, 1]])).info), (1,), gradient=False),
    case("logdet", lambda T, x: (T.logdet(definite(T, x)), definite(T, x).det(), *definite(T, x).slogdet()), BOTH, tolerance=10),
    case("logdet-negative", lambda T, x: T.logdet(T.tensor([[0.0, 1.0], [1.0, 0.0]])), (1,), gradient=False),
    case("matrix_exp", lambda T, x: (T.matrix_exp(x), T.linalg.matrix_exp(9 * x[0])), BOTH, second=False, tolerance=50),
    *(
        case(f"matrix_norm-{ord}", lambda T, x, ord=ord: (T.linalg.matrix_norm(spread(T, x), ord), T.linalg.norm(spread(T, x), ord, dim=(0, 2), keepdim=True), T.linalg.norm(spread(T, x)[0], ord)), (2, 3, 4), tolerance=50)
        for ord in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)
    ),
    *(
        case(f"vector_norm-{ord}", lambda T, x, ord=ord: (T.linalg.vector_norm(x, ord), T.linalg.norm(x[0], ord), T.linalg.vector_norm(x, ord, dim=0, keepdim=True)), (3, 4), tolerance=5, second=ord not in (0, 0.5))
        for ord in (2, 1, 3, 0, -1, 0.5, INF, -INF)
    ),
    case("norm-plain", lambda T, x: (T.linalg.norm(x), T.linalg.norm(x, dim=1), T.linalg.norm(x, dtype=T.float64)), (2, 3, 4)),
    *(case(f"cond-{p}", lambda T, x, p=p: T.linalg.cond(spread(T, x), p), BOTH, gradient=p not in (1, INF, "fro"), second=p in (None, 2), tolerance=50) for p in (None, 2, -2, 1, INF, "fro", "nuc")),
    case("matrix_rank", lambda T, x: (T.linalg.matrix_rank(x), T.linalg.matrix_rank(x[:, :, :1] @ x[:, :1]), T.linalg.matrix_rank(spread(T, x), atol=3.0), T.linalg.matrix_rank(symmetric(T, x), hermitian=True)), BOTH, gradient=False),
    case("lstsq", lambda T, x, b: T.linalg.lstsq(spread(T, x), b).solution, TALL, (2, 4, 2), tolerance=50),
    case("lstsq-all", lambda T, x, b: tuple(T.linalg.lstsq(spread(T, x), b, driver="gelsd")), TALL, (2, 4, 2), gradient=False, tolerance=50),
    case("multi_dot", lambda T, a, b, c, d: T.linalg.multi_dot([a, b, c, d]), (5,), (5, 2), (2, 7), (7,)),
    case("tensorinv", lambda T, x: T.linalg.tensorinv((spread(T, x)).reshape(2, 2, 4)), (4, 4), tolerance=50),
    case("tensorsolve", lambda T, x, b: (T.linalg.tensorsolve(spread(T, x).reshape(2, 2, 4), b), T.linalg.tensorsolve(spread(T, x).reshape(2, 4, 2), b, dims=(1,))), (4, 4), (2, 2), tolerance=50, second=False),
    case("linalg-diagonal", lambda T, x: (T.linalg.diagonal(x), T.linalg.diagonal(x, offset=1)), WIDE),
    case("linalg-cross", lambda T, x, y: T.linalg.cross(x, y), (3, 4, 3), (3, 4, 3)),
    case("matrix_power-negative", lambda T, x: T.linalg.matrix_power(spread(T, x), -2), BOTH, tolerance=50),
    case("vander", lambda T, x: T.linalg.vander(x), (4,), gradient=False),
]


def _svd(T, u, s, vh, k=None):
    u, vh = (u, vh) if k is None else (u[..., :k], vh[..., :k, :])
    return u.square(), s, vh.square(), (u * s.exp().unsqueeze(-2)) @ vh


def _eigh(T, values, vectors):
    return values, vectors.square(), (vectors * values.sin().unsqueeze(-2)) @ vectors.mT


def _qr(q, r):
    return q.square(), r.square(), q[..., :1] * r[..., :1, :]


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
    case("mm", lambda T, x, y: (x.mm(y), T.mm(x, y), T.spmm(x, y)), (2, 3), (3, 4)),
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
    *FACTORIZATIONS,
    case("vecdot", lambda T, x, y: T.linalg.vecdot(x, y), (2, 3), (2, 3)),
    case("einsum-sublists", lambda T, x, y: (T.einsum(x, [0, 1], y, [1, 2]), T.einsum(x, [0, 1], y, [1, 2], [2, 0]), T.einsum(x, [50, 51], y, [51, 2]), T.einsum(x, [..., 1], [...])), (2, 3), (3, 4)),
    case("tensordot-tensor", lambda T, x, y: T.tensordot(x, y, T.tensor([[1, 2], [0, 1]])), (2, 3, 4), (3, 4, 5)),
    *(case(f"cdist-{p}", lambda T, x, y, p=p: T.cdist(x, y, p=p, compute_mode="donot_use_mm_for_euclid_dist"), (2, 1, 3, 4), (3, 5, 4), second=False) for p in (0.0, 0.5, 1.0, 2.0, 3.0, INF)),
    *(case(f"cdist-itself-{p}", lambda T, x, p=p: T.cdist(x, x.clone(), p=p), (3, 4), second=False) for p in (0.0, 1.0, 1.5, 2.0, 3.0, INF)),
    case("cdist-empty", lambda T, x, y: (T.cdist(x, y), T.cdist(x[:0], y)), (3, 0), (2, 0), second=False),
    case("vander", lambda T, x: (T.linalg.vander(x), T.linalg.vander(x, N=2), T.vander(x[0], increasing=True)), (2, 3), dtypes=("float32", "int64"), gradient=False),
]


@pytest.mark.usefixtures("backend")
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
    bad("inv-half", lambda T, x: T.linalg.inv(x.half()), (3, 3)),
    bad("inv-int", lambda T, x: T.linalg.inv(x.long()), (3, 3)),
    bad("svd-1d", lambda T, x: T.linalg.svd(x), (3,)),
    bad("eigh-shape", lambda T, x: T.linalg.eigh(x), (2, 3)),
    bad("qr-mode", lambda T, x: T.linalg.qr(x, mode="thin"), (2, 3)),
    bad("qr-complete-gradient", lambda T, x: T.linalg.qr(x.requires_grad_(), mode="complete")[0].sum().backward(), (3, 2)),
    bad("qr-r-gradient", lambda T, x: T.linalg.qr(x.requires_grad_(), mode="r")[1].sum().backward(), (3, 2)),
    bad("solve-dtype", lambda T, x, b: T.linalg.solve(x, b.double()), (3, 3), (3, 2)),
    bad("matrix_norm-order", lambda T, x: T.linalg.matrix_norm(x, 3), (3, 3)),
    bad("matrix_norm-1d", lambda T, x: T.linalg.matrix_norm(x), (3,)),
    bad("norm-3d", lambda T, x: T.linalg.norm(x, 2), (3, 3, 3)),
    bad("multi_dot", lambda T, x: T.linalg.multi_dot([x]), (3, 3)),
    bad("tensorinv", lambda T, x: T.linalg.tensorinv(x), (2, 3, 5)),
    bad("lstsq", lambda T, x, b: T.linalg.lstsq(x, b), (3, 2), (2, 2)),
    bad("trace", lambda T, x: x.trace(), (2, 3, 4)),
    bad("outer", lambda T, x, y: T.outer(x, y), (2, 3), (3,)),
    bad("einsum-nothing", lambda T: T.einsum("i")),
    bad("einsum-number", lambda T, x: T.einsum(x, [0, 52]), (2, 3)),
    bad("cdist-columns", lambda T, x, y: T.cdist(x, y), (2, 3), (2, 4)),
    bad("cdist-p", lambda T, x: T.cdist(x, x, p=-1), (2, 3)),
    bad("cdist-1d", lambda T, x: T.cdist(x, x), (3,)),
    bad("cdist-type", lambda T, x: T.cdist(x, 1), (3, 3)),
    bad("kron-type", lambda T, x: T.kron(x, 2), (2, 2)),
    bad("vander", lambda T, x: T.vander(x), (2, 2)),
    bad("matrix_power-float", lambda T, x: x.matrix_power(2.5), (2, 2)),
    bad("mm-type", lambda T, x: T.mm(x, 3), (2, 3)),
    bad("index-type", lambda T, x, i: x.index_select(0, i.float()), (2, 3), ints(2, below=2)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


SINGULAR = [
    lambda T: T.linalg.inv(T.zeros(2, 2)),
    lambda T: T.linalg.solve(T.ones(2, 2), T.ones(2)),
    lambda T: T.linalg.cholesky(-T.eye(2)),
    lambda T: T.inverse(T.zeros(3, 2, 2)),
    lambda T: T.linalg.inv_ex(T.zeros(2, 2), check_errors=True).inverse,
]


@pytest.mark.parametrize("each", SINGULAR)
def test_what_a_matrix_does_not_allow_is_a_linalg_error_when_computed(each):
    with pytest.raises(torch.linalg.LinAlgError):
        each(torch)
    with pytest.raises(lg.linalg.LinAlgError):
        each(lg).tolist()
    assert issubclass(lg.linalg.LinAlgError, RuntimeError)


@pytest.mark.parametrize("name", ["svd", "eigh", "qr"])
def test_results_are_named_as_in_torch(name):
    a = [[2.0, 1.0], [1.0, 3.0]]
    theirs, mine = getattr(torch.linalg, name)(torch.tensor(a)), getattr(lg.linalg, name)(lg.tensor(a))
    for field in [f for f in dir(theirs) if not f.startswith(("_", "n_", "index", "count"))]:
        assert tuple(getattr(mine, field).shape) == tuple(getattr(theirs, field).shape)


def test_factorizations_are_lazy():
    x = lg.eye(3)
    u, s, vh = lg.linalg.svd(x)
    assert all(t.node.computed is None for t in (u, s, vh))
    assert s.tolist() == [1, 1, 1]
