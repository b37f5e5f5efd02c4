"""LU with what is solved by it, products of reflections, and the SVD of the few largest singular values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.dtype import int32
from lazygrad.errors import LinAlgError, at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.factorizations import factors, identity, lower_and_upper, permutation, triangle
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import randn
from lazygrad.tensor.factorizations import matrices, precise, qr, solve_triangular, svd
from lazygrad.tensor.keywords import public
from lazygrad.tensor.returns import SVD, LUFactor, LUFactorInfo, LUMatrices, TriangularSolution

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Decompositions(TensorBase):
    __slots__ = ()

    def lu(self, pivot: bool = True, get_infos: bool = False) -> Any:
        """(LU, pivots) as linalg.lu_factor gives them; with get_infos=True also what linalg.lu_factor_ex adds."""
        found = lu_factor_ex(self, pivot=pivot)
        return tuple(found) if get_infos else (found.LU, found.pivots)

    def lu_solve(self, LU_data: Any, LU_pivots: Any) -> Tensor:
        """X of A X = self, A being factored into LU_data and LU_pivots."""
        return lu_solve(LU_data, LU_pivots, self)

    def triangular_solve(
        self, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
    ) -> TriangularSolution:
        """(X of A X = self, A): torch's old linalg.solve_triangular, whose `transpose` solves with A^T."""
        kept = A.mT if transpose else A
        solution = solve_triangular(kept, self, upper=upper is not transpose, unitriangular=unitriangular)
        return TriangularSolution(solution, A.clone())

    def orgqr(self, input2: Any) -> Tensor:
        """linalg.householder_product(self, input2)."""
        return householder_product(self, input2)


# -- LU -----------------------------------------------------------------------------------------------
def _factored(A: Any, pivot: bool, name: str) -> tuple[Node, Node]:
    """LU in one matrix (..., m, n), int32 pivots (..., min(m, n))."""
    if not pivot:
        raise NotImplementedError(at_user_line(f"linalg.{name}: LU without pivoting is not implemented"))
    packed, pivots = factors(ops.LU, matrices(A, name), None)
    return packed, build.cast(build.detach(pivots), int32)


def lu_factor(A: Any, *, pivot: bool = True) -> LUFactor:
    """(LU, pivots) of A = P L U: L, whose diagonal is 1, below the diagonal of one matrix (..., m, n) and U from it on;
    int32 pivots (..., min(m, n)): the row, counted from 1, that each step swapped with its own."""
    return LUFactor(*map(wrap, _factored(A, pivot, "lu_factor")))


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False) -> LUFactorInfo:
    """(LU, pivots, info): as lu_factor, and of each matrix the first 0 on U's diagonal, counted from 1, or 0 for none.

    LinAlgError for such a 0 with check_errors=True, which computes info now.
    """
    packed, pivots = map(wrap, _factored(A, pivot, "lu_factor_ex"))
    zeros = packed.detach().diagonal(0, -2, -1).eq(0)
    shape = zeros.shape[:-1]
    info = zeros.to(int32).argmax(-1).add(1).where(zeros.any(-1), 0) if zeros.shape[-1] else zeros.new_zeros(shape)
    info = info.to(int32)
    if check_errors and info.any():
        raise LinAlgError(at_user_line("linalg.lu_factor_ex: U has a 0 on its diagonal: the matrix is singular"))
    return LUFactorInfo(packed, pivots, info)


def lu(A: Any, *, pivot: bool = True) -> LUMatrices:
    """(P, L, U) with A = P L U: a permutation (..., m, m), a lower triangle (..., m, k) with ones on its diagonal and
    an upper one (..., k, n), k = min(m, n)."""
    packed, pivots = _factored(A, pivot, "lu")
    return _unpacked(packed, pivots)


def _unpacked(packed: Node, pivots: Node) -> LUMatrices:
    swaps = permutation(pivots, packed.shape[-2], packed.dtype)
    return LUMatrices(wrap(swaps), *map(wrap, lower_and_upper(packed)))


@public
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> LUMatrices:
    """(P, L, U) of what lu_factor gives; empty where they aren't asked for."""
    check_tensor(LU_data, "lu_unpack", "LU_data")
    _check_pivots(LU_pivots, "lu_unpack")
    found, nothing = _unpacked(LU_data.node, LU_pivots.node), LU_data.new_empty(0)
    data = found[1:] if unpack_data else (nothing, nothing)
    return LUMatrices(found.P if unpack_pivots else nothing, *data)


def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X of A X = B (X A = B with left=False; A^T for A with adjoint=True), A being factored by lu_factor."""
    check_tensor(LU, "lu_solve", "LU")
    check_tensor(B, "lu_solve", "B")
    _check_pivots(pivots, "lu_solve")
    if LU.ndim < 2 or LU.shape[-1] != LU.shape[-2]:
        raise RuntimeError(at_user_line(f"linalg.lu_solve: A must be batches of square matrices, got {list(LU.shape)}"))
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    P = wrap(permutation(pivots.node, LU.shape[-1], LU.dtype))
    if adjoint:
        last = solve_triangular(LU.mT, solve_triangular(LU.mT, B, upper=False), upper=True, unitriangular=True)
        return P.matmul(last)
    first = solve_triangular(LU, P.mT.matmul(B), upper=False, unitriangular=True)
    return solve_triangular(LU, first, upper=True)


def _check_pivots(pivots: Any, name: str) -> None:
    check_tensor(pivots, name, "pivots")
    if pivots.dtype is not int32:
        raise RuntimeError(
            at_user_line(f"linalg.{name}: pivots should be a Tensor of scalar type int32, got {pivots.dtype.name}")
        )


# -- reflections --------------------------------------------------------------------------------------
def householder_product(A: Any, tau: Any) -> Tensor:
    """The first n columns of (I - tau_1 v_1 v_1^T) ... (I - tau_k v_k v_k^T), (..., m, n): v_i has 1 at place i, zeros
    above, and below it what column i of A (..., m, n) has there; tau is (..., k), k <= n <= m."""
    a, scales = matrices(A, "householder_product"), precise(tau.node, "householder_product")
    m, n = a.shape[-2:]
    if m < n or scales.shape[-1] > n:
        raise RuntimeError(
            at_user_line(
                "linalg.householder_product: input.shape[-2] must be at least input.shape[-1], and that at least "
                f"tau.shape[-1], got {list(a.shape)} and {list(scales.shape)}"
            )
        )
    below = triangle(a, lower=True, diagonal=0.0)
    vectors = wrap(build.add(below, identity(a)))
    result: Tensor = wrap(build.expand(identity(a), a.shape))
    for i in reversed(range(scales.shape[-1])):
        v = vectors.select(-1, i).unsqueeze(-1)
        result = result.sub(v.mul(tau.select(-1, i)[..., None, None]).matmul(v.mT.matmul(result)))
    return result


# -- the largest singular values ------------------------------------------------------------------------
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> SVD:
    """(U, S, V) of the about q largest singular values of A - M: the SVD in a basis that products with random vectors
    span (Halko, Martinsson and Tropp 2011)."""
    A = A if M is None else A.sub(M.expand(A.shape))
    A = wrap(matrices(A, "svd_lowrank"))
    guess = randn(A.shape[-1], 6 if q is None else q, dtype=A.dtype, device=A.device)
    basis = qr(A.matmul(guess)).Q
    for _ in range(2 if niter is None else niter):
        basis = qr(A.matmul(qr(A.mT.matmul(basis)).Q)).Q
    u, s, vh = svd(basis.mT.matmul(A), full_matrices=False)
    return SVD(basis.matmul(u), s, vh.mT)


def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> SVD:
    """svd_lowrank of A with its columns' means taken off: V holds the principal directions."""
    check_tensor(A, "pca_lowrank", "A")
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(
            at_user_line(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
        )
    return svd_lowrank(A.sub(A.mean(-2, keepdim=True)) if center else A, q, niter)


__all__ = [
    "Decompositions",
    "householder_product",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "lu_unpack",
    "pca_lowrank",
    "svd_lowrank",
]
