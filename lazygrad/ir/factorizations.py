"""Factorizations of matrices: takes Nodes (..., m, n), returns Nodes of the factors, and their gradients.

A node has one result, so the factors of one matrix lie one after the other in one line; `parts` cuts it. Each
op has a vjp in ops that have one, so gradients of gradients follow. Where two singular values or eigenvalues
are equal, vectors have no derivative, and the gradient through them is infinite or NaN, as in torch.

Formulas: Giles 2008 (Cholesky, determinant, solve), Townsend 2016 (SVD), Walter and Lehmann 2012 (QR), Golub
and Pereyra 1973 (pseudoinverse); for symmetric matrices V ((V^T dV) / (l_j - l_i)) V^T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lazygrad.dtype import DType, bool_, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, cast, div, dot, like, mul, neg, scale, solve, sub, transpose, where
from lazygrad.ir.node import Node, make
from lazygrad.ir.op import Op
from lazygrad.shape import Shape


@dataclass(frozen=True)
class EighArg:
    """Which triangle is read, and whether eigenvectors are asked for."""

    upper: bool = False
    vectors: bool = True


@dataclass(frozen=True)
class PinvArg:
    """Singular values not above max(atol, rtol * the largest) count as zero."""

    atol: float
    rtol: float


# -- builders ----------------------------------------------------------------------------------
def eigh_shapes(a: Node, arg: EighArg) -> list[Shape]:
    """Eigenvalues, then eigenvectors."""
    n = a.shape[-1]
    return [(n,), (n, n)] if arg.vectors else [(n,)]


def svd_shapes(a: Node, arg: str) -> list[Shape]:
    """U, S, V^T of "full" or "reduced"; S alone of "values"."""
    m, n = a.shape[-2:]
    k = min(m, n)
    found: dict[str, list[Shape]] = {
        "values": [(k,)], "reduced": [(m, k), (k,), (k, n)], "full": [(m, m), (k,), (n, n)]
    }  # fmt: skip
    return found[arg]


def qr_shapes(a: Node, arg: str) -> list[Shape]:
    """Q, R of "reduced" or "complete"."""
    m, n = a.shape[-2:]
    k = min(m, n) if arg == "reduced" else m
    return [(m, k), (k, n)]


def lu_shapes(a: Node, arg: None) -> list[Shape]:
    """L below the diagonal and U from it on, then the pivots."""
    m, n = a.shape[-2:]
    return [(m, n), (min(m, n),)]


SHAPES: dict[Op, Callable[[Node, Any], list[Shape]]] = {
    ops.EIGH: eigh_shapes, ops.SVD: svd_shapes, ops.QR: qr_shapes, ops.LU: lu_shapes
}  # fmt: skip


def factorization(op: Op, a: Node, arg: Any) -> Node:
    """EIGH, SVD, QR or LU: the factors, one after the other in one line."""
    length = sum(math.prod(s) for s in SHAPES[op](a, arg))
    return make(op, (a,), arg, a.dtype, (*a.shape[:-2], length), a.device)


def pinv(a: Node, arg: PinvArg) -> Node:
    """The pseudoinverse."""
    return make(ops.PINV, (a,), arg, a.dtype, (*a.shape[:-2], a.shape[-1], a.shape[-2]), a.device)


def cofactors(a: Node) -> Node:
    """det(A) A^-T, also of singular matrices."""
    return make(ops.COFACTORS, (a,), None, a.dtype, a.shape, a.device)


def swapped(pivots: Node, count: int) -> Node:
    """The rows 0, 1, ... count - 1 in the order that an LU's pivots bring them into."""
    return make(ops.SWAPPED, (pivots,), count, int64, (*pivots.shape[:-1], count), pivots.device)


def permutation(pivots: Node, count: int, dtype: DType) -> Node:
    """P of A = P L U: 1 where its row is what its column was swapped with."""
    rows = build.reshape(build.iota(count, pivots.device), (count, 1))
    return cast(build.equal(rows, _row(swapped(pivots, count))), dtype)


def lower_and_upper(packed: Node) -> tuple[Node, Node]:
    """L (m, k), whose diagonal is 1, and U (k, n) of an LU (m, n) in one matrix, with k = min(m, n)."""
    k, last = min(packed.shape[-2:]), packed.ndim - 1
    below = triangle(_first(packed, last, k), lower=True, diagonal=0.0)
    return add(below, identity(below)), triangle(_first(packed, last - 1, k), lower=False)


def parts(line: Node, shapes: Sequence[Shape]) -> list[Node]:
    """The last dimension cut into pieces of these shapes."""
    found, start, batch = [], 0, line.shape[:-1]
    for shape in shapes:
        stop = start + math.prod(shape)
        piece = build.slice_(line, [*((0, n, 1) for n in batch), (start, stop, 1)])
        found.append(build.reshape(piece, (*batch, *shape)))
        start = stop
    return found


def factors(op: Op, a: Node, arg: Any) -> list[Node]:
    """The factors of a matrix."""
    return parts(factorization(op, a, arg), SHAPES[op](a, arg))


# -- small pieces ------------------------------------------------------------------------------
def triangle(node: Node, lower: bool, diagonal: float = 1.0) -> Node:
    """One triangle of square matrices, their diagonal times a factor, 0 elsewhere."""
    rows, columns = _places(node)
    inside = build.less(columns, rows) if lower else build.less(rows, columns)
    kept = where(inside, node, like(node, 0))
    return add(kept, scale(on_diagonal(node), diagonal)) if diagonal else kept


def on_diagonal(node: Node) -> Node:
    """Square matrices with all but their diagonal 0."""
    rows, columns = _places(node)
    return where(build.equal(rows, columns), node, like(node, 0))


def identity(node: Node) -> Node:
    """The identity matrix in the dtype of square matrices."""
    rows, columns = _places(node)
    return cast(build.equal(rows, columns), node.dtype)


def _places(node: Node) -> tuple[Node, Node]:
    m, n = node.shape[-2:]
    return build.reshape(build.iota(m, node.device), (m, 1)), build.reshape(build.iota(n, node.device), (1, n))


def _row(values: Node) -> Node:
    return build.reshape(values, (*values.shape[:-1], 1, values.shape[-1]))


def _column(values: Node) -> Node:
    return build.reshape(values, (*values.shape, 1))


def _skew(node: Node) -> Node:
    return sub(node, transpose(node))


def _spread(values: Node) -> Node:
    """values[j] - values[i] at (i, j), 1 on the diagonal."""
    n = values.shape[-1]
    differences = sub(_row(values), _column(values))
    rows, columns = _places(build.const(False, bool_, values.device, (n, n)))
    return where(build.equal(rows, columns), like(differences, 1), differences)


def _first(node: Node, axis: int, count: int) -> Node:
    bounds = [(0, n, 1) for n in node.shape]
    bounds[axis] = (0, count, 1)
    return build.slice_(node, bounds)


def _rest(node: Node, axis: int, count: int) -> Node:
    bounds = [(0, n, 1) for n in node.shape]
    bounds[axis] = (count, node.shape[axis], 1)
    return build.slice_(node, bounds)


# -- gradients ---------------------------------------------------------------------------------
def unsolve(g: Node, out: Node, a: Node, b: Node) -> Node:
    """Of X = A^-1 B for A: -A^-T g X^T."""
    return neg(dot(solve(transpose(a), g), transpose(out)))


def uncholesky(g: Node, out: Node, a: Node) -> Node:
    """sym(L^-T Phi(L^T g) L^-1), where Phi takes the lower triangle and halves its diagonal."""
    upper = transpose(out)
    left = solve(upper, triangle(dot(upper, g), lower=True, diagonal=0.5))
    whole = transpose(solve(upper, transpose(left)))
    return scale(add(whole, transpose(whole)), 0.5)


def unlogdet(g: Node, out: Node, a: Node) -> Node:
    """g A^-T."""
    inverse = solve(transpose(a), build.expand(identity(a), a.shape))
    return mul(build.reshape(g, (*g.shape, 1, 1)), inverse)


def undet(g: Node, out: Node, a: Node) -> Node:
    """g times the cofactors, which are finite where the matrix is singular."""
    return mul(build.reshape(g, (*g.shape, 1, 1)), cofactors(a))


def uncofactors(g: Node, out: Node, a: Node) -> Node:
    """(<g, C> C - C g^T C) / det(A); NaN where the matrix is singular."""
    along = build.reduce(ops.SUM, mul(g, out), (a.ndim - 2, a.ndim - 1))
    numerator = sub(mul(along, out), dot(dot(out, transpose(g)), out))
    return div(numerator, build.reshape(build.det(a), along.shape))


def unlu(g: Node, out: Node, a: Node) -> Node:
    """P L^-T (tril(L^T g_L) + triu(g_U U^T)) U^-T, where tril leaves out the diagonal, and what lies beyond the square
    part: of wide matrices U's columns are L^-1 A's, of tall ones L's rows A's U^-1."""
    m, n = a.shape[-2:]
    k, row, column = min(m, n), a.ndim - 2, a.ndim - 1
    (packed, pivots), (g_packed, _) = (parts(x, lu_shapes(a, None)) for x in (out, g))
    lower, upper = lower_and_upper(packed)
    g_lower = triangle(_first(g_packed, column, k), lower=True, diagonal=0.0)
    g_upper = triangle(_first(g_packed, row, k), lower=False)
    beyond = None
    if n > k:
        beyond = solve(transpose(lower), _rest(g_upper, column, k))
        g_lower = sub(g_lower, dot(beyond, transpose(_rest(upper, column, k))))
    if m > k:
        beyond = transpose(solve(upper, transpose(_rest(g_lower, row, k))))
        g_upper = sub(g_upper, dot(transpose(_rest(lower, row, k)), beyond))
    lower, g_lower, upper, g_upper = (
        _first(x, axis, k) for x, axis in ((lower, row), (g_lower, row), (upper, column), (g_upper, column))
    )
    inner = add(
        triangle(dot(transpose(lower), g_lower), lower=True, diagonal=0.0),
        triangle(dot(g_upper, transpose(upper)), lower=False),
    )
    found = transpose(solve(upper, transpose(solve(transpose(lower), inner))))
    if beyond is not None:
        found = build.concat([found, beyond], column if n > k else row)
    order = build.cast(pivots, int64)
    return dot(permutation(order, m, a.dtype), found)


def uneigh(g: Node, out: Node, a: Node) -> Node:
    """V (diag(g_l) + (V^T g_V) / (l_j - l_i)) V^T, for the triangle that was read."""
    arg: EighArg = out.arg
    if not arg.vectors:
        vectors = factors(ops.EIGH, a, EighArg(arg.upper))[1]
        return dot(mul(vectors, _row(g)), transpose(vectors))
    (values, vectors), (g_values, g_vectors) = (parts(x, eigh_shapes(a, arg)) for x in (out, g))
    turned = div(dot(transpose(vectors), g_vectors), _spread(values))
    inner = add(sub(turned, on_diagonal(turned)), on_diagonal(build.expand(_row(g_values), turned.shape)))
    return dot(dot(vectors, inner), transpose(vectors))


def unsvd(g: Node, out: Node, a: Node) -> Node:
    """U ([skew(U^T g_U) / E] S + S [skew(V^T g_V) / E] + diag(g_S)) V^T, and what lies outside of U's and V's
    columns, with E = s_j^2 - s_i^2. Columns beyond min(m, n) of full matrices carry no gradient."""
    m, n = a.shape[-2:]
    k = min(m, n)
    if out.arg == "values":
        u, _, vh = factors(ops.SVD, a, "reduced")
        return dot(mul(u, _row(g)), vh)
    (u, s, vh), (g_u, g_s, g_vh) = (parts(x, svd_shapes(a, out.arg)) for x in (out, g))
    u, g_u = (_first(x, u.ndim - 1, k) for x in (u, g_u))
    vh, g_vh = (_first(x, vh.ndim - 2, k) for x in (vh, g_vh))
    apart = _spread(mul(s, s))
    ut_gu, vt_gv = dot(transpose(u), g_u), dot(vh, transpose(g_vh))
    inner = add(
        mul(div(_skew(ut_gu), apart), _row(s)),
        add(mul(_column(s), div(_skew(vt_gv), apart)), on_diagonal(build.expand(_row(g_s), apart.shape))),
    )
    if m > k:
        outside = div(sub(g_u, dot(u, ut_gu)), _row(s))
        found = dot(add(dot(u, inner), outside), vh)
    else:
        found = dot(u, dot(inner, vh))
    if n > k:
        outside = div(sub(g_vh, dot(transpose(vt_gv), vh)), _column(s))
        found = add(found, dot(u, outside))
    return found


def unqr(g: Node, out: Node, a: Node) -> Node:
    """(g_Q + Q copyltu(R g_R^T - g_Q^T Q)) R^-T; columns beyond the rows are Q times theirs of R."""
    m, n = a.shape[-2:]
    if out.arg == "complete" and m > n:
        raise RuntimeError(
            at_user_line("The QR decomposition is not differentiable when mode='complete' and nrows > ncols")
        )
    (q, r), (g_q, g_r) = (parts(x, qr_shapes(a, out.arg)) for x in (out, g))
    if m >= n:
        return _unqr_square(q, r, g_q, g_r)
    last = a.ndim - 1
    wide = [(0, size, 1) for size in a.shape[:-2]] + [(0, m, 1), (m, n, 1)]
    g_rest = dot(q, build.slice_(g_r, wide))  # of the columns Y beyond, for which R has Q^T Y
    g_q = add(g_q, dot(build.slice_(a, wide), transpose(build.slice_(g_r, wide))))
    return build.concat([_unqr_square(q, _first(r, last, m), g_q, _first(g_r, last, m)), g_rest], last)


def _unqr_square(q: Node, r: Node, g_q: Node, g_r: Node) -> Node:
    inner = triangle(sub(dot(g_r, transpose(r)), dot(transpose(q), g_q)), lower=False)
    whole = sub(add(inner, transpose(inner)), on_diagonal(inner))
    rows = add(g_q, dot(q, whole))
    return transpose(solve(r, transpose(rows)))


def unpinv(g: Node, out: Node, a: Node) -> Node:
    """The derivative of the pseudoinverse where the rank doesn't change."""
    p, gt = out, transpose(g)
    pt = transpose(p)
    if a.shape[-2] <= a.shape[-1]:
        k = dot(gt, p)
        kp = dot(k, pt)
        found = sub(add(kp, dot(dot(pt, p), sub(gt, dot(k, a)))), transpose(dot(p, k)))
        return sub(found, dot(dot(a, p), kp))
    k = dot(p, gt)
    pk = dot(pt, k)
    found = sub(add(pk, dot(dot(sub(gt, dot(a, k)), p), pt)), transpose(dot(k, p)))
    return sub(found, dot(dot(pk, p), a))
