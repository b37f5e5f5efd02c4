"""Factorizations of matrices and what is solved with them: lazy, batched, differentiable, by LAPACK.

NumPy and CuPy bring LAPACK; a matrix that doesn't allow what is asked raises LinAlgError when it is computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU
from lazygrad.dtype import float32, float64, int32
from lazygrad.errors import LinAlgError, at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.factorizations import EighArg, PinvArg, factorization, factors, identity, pinv, triangle
from lazygrad.ir.node import Node
from lazygrad.runtime.array import download
from lazygrad.shape import broadcast
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.returns import QR, SVD, CholeskyInfo, Eigh, InverseInfo, LinalgSVD, ResultInfo, SLogDet
from lazygrad.tensor.values import computed, largest, leaf_of

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

EPSILON = {float32: 2.0**-23, float64: 2.0**-52}

# Padé's approximant of degree 13 to exp, and the norm up to which it is exact to double precision (Higham 2005)
PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
PADE_REACH = 5.371920351148152


class Factorizations(TensorBase):
    __slots__ = ()

    def det(self) -> Tensor:
        """The determinant of square matrices. Its gradient is right for singular ones too."""
        return wrap(build.det(square(self, "det")))

    def logdet(self) -> Tensor:
        """The log of the determinant; NaN where it is negative."""
        sign, size = slogdet(self)
        return size.where(sign.ge(0), math.nan)

    def slogdet(self) -> SLogDet:
        """(sign, log|det|) of the determinant."""
        return slogdet(self)

    def inverse(self) -> Tensor:
        """The inverse of square matrices. LinAlgError, when it is computed, for singular ones."""
        a = square(self, "inv")
        return wrap(build.solve(a, build.expand(identity(a), a.shape)))

    def pinverse(self, rcond: float = 1e-15) -> Tensor:
        """The pseudoinverse; singular values below rcond times the largest count as zero."""
        return wrap(pinv(matrices(self, "pinv"), PinvArg(0.0, rcond)))

    def cholesky(self, upper: bool = False) -> Tensor:
        """The lower triangular L with L L^T = self (its transpose with upper=True)."""
        found = wrap(build.cholesky(square(self, "cholesky")))
        return found.mT if upper else found

    def cholesky_solve(self, input2: Any, upper: bool = False) -> Tensor:
        """X of A X = self, where input2 is the Cholesky factor of A."""
        first, second = (input2.mT, input2) if upper else (input2, input2.mT)
        return solve_triangular(second, solve_triangular(first, self, upper=False), upper=True)

    def cholesky_inverse(self, upper: bool = False) -> Tensor:
        """The inverse of A, where self is the Cholesky factor of A."""
        factor = square(self, "cholesky_inverse")
        return wrap(build.expand(identity(factor), factor.shape)).cholesky_solve(self, upper)

    def svd(self, some: bool = True, compute_uv: bool = True) -> SVD:
        """(U, S, V) with self = U diag(S) V^T; see also linalg.svd, which returns V^T."""
        if not compute_uv:
            m, n = matrices(self, "svd").shape[-2:]
            blank = [wrap(build.const(0, self.dtype, self.device, (*self.shape[:-2], k, k))) for k in (m, n)]
            return SVD(blank[0], svdvals(self), blank[1])
        u, s, vh = svd(self, full_matrices=not some)
        return SVD(u, s, vh.mT)

    def qr(self, some: bool = True) -> QR:
        """(Q, R) with self = Q R."""
        return qr(self, "reduced" if some else "complete")

    def matrix_exp(self) -> Tensor:
        """The exponential of square matrices: Padé's approximant of the matrix halved so often that it is exact,
        squared as often again. Computes the matrix's norm now."""
        a = square(self, "matrix_exp")
        if not a.numel:
            return self.clone()
        norm = largest(wrap(build.detach(a)).abs().sum(-2), "matrix_exp")
        halvings = max(0, math.ceil(math.log2(norm / PADE_REACH))) if math.isfinite(norm) and norm else 0
        x = build.scale(a, 2.0**-halvings)
        powers = [build.expand(identity(x), x.shape)]
        powers += [build.dot(x, x)]
        powers += [build.dot(powers[1], powers[1])]
        powers += [build.dot(powers[1], powers[2])]

        def polynomial(first: int) -> Node:
            """Every other coefficient from `first` on, of powers of x^2."""
            c = PADE[first::2]
            high = [build.scale(powers[i], c[i + 3]) for i in (1, 2, 3)]
            low = [build.scale(powers[i], c[i]) for i in (0, 1, 2, 3)]
            inner = build.dot(powers[3], build.add(build.add(high[0], high[1]), high[2]))
            return build.add(inner, build.add(build.add(low[0], low[1]), build.add(low[2], low[3])))

        odd, even = build.dot(x, polynomial(1)), polynomial(0)
        result = build.solve(build.sub(even, odd), build.add(even, odd))
        for _ in range(halvings):
            result = build.dot(result, result)
        return wrap(result)


# -- what operands must be ----------------------------------------------------------------------------
def matrices(A: Any, name: str) -> Node:
    """(..., m, n) in float32 or float64. RuntimeError for anything else."""
    check_tensor(A, name, "A")
    node: Node = A.node
    if node.ndim < 2:
        raise RuntimeError(at_user_line(f"linalg.{name}: The input tensor A must have at least 2 dimensions."))
    return precise(node, name)


def square(A: Any, name: str) -> Node:
    """(..., n, n) in float32 or float64. RuntimeError for anything else."""
    check_tensor(A, name, "A")
    node: Node = A.node
    if node.ndim >= 2 and node.shape[-1] != node.shape[-2]:
        raise RuntimeError(
            at_user_line(
                f"linalg.{name}: A must be batches of square matrices, but they are {node.shape[-2]} by "
                f"{node.shape[-1]} matrices"
            )
        )
    return matrices(A, name)


def precise(node: Node, name: str) -> Node:
    """RuntimeError unless float32 or float64, or what autocast makes float32."""
    (node,) = float32_operands(name, node)
    if not node.dtype.is_floating_point:
        raise RuntimeError(
            at_user_line(f"linalg.{name}: Expected a floating point or complex tensor as input. Got {node.dtype.name}")
        )
    if node.dtype not in EPSILON:
        raise RuntimeError(at_user_line(f"linalg.{name}: Low precision dtypes not supported. Got {node.dtype.name}"))
    return node


def _same_dtype(a: Node, b: Node, name: str) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            at_user_line(
                f"linalg.{name}: Expected A and B to have the same dtype, but found {a.dtype.name} and {b.dtype.name}"
            )
        )


def tolerance(A: Any, atol: float | None, rtol: float | None) -> PinvArg:
    """torch's defaults: max(m, n) * epsilon of the largest singular value, unless atol is given alone."""
    if rtol is None:
        rtol = 0.0 if atol else max(A.node.shape[-2:]) * EPSILON[A.dtype]
    return PinvArg(float(atol or 0.0), float(rtol))


# -- solving ------------------------------------------------------------------------------------------
def solve(A: Any, B: Any, *, left: bool = True) -> Tensor:
    """X of A X = B (X A = B with left=False); B is a matrix or a vector, batches broadcast."""
    a, b = square(A, "solve"), precise(B.node, "solve")
    _same_dtype(a, b, "solve")
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    columns = build.reshape(b, (*b.shape, 1)) if vector else b
    if not left:
        if vector:
            raise RuntimeError(at_user_line("linalg.solve: Vector broadcasting of the left hand side is not supported"))
        return solve(A.mT, B.mT).mT
    found = _solved(a, columns, "solve")
    return wrap(build.reshape(found, found.shape[:-1]) if vector else found)


def _solved(a: Node, b: Node, name: str) -> Node:
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise RuntimeError(
            at_user_line(
                f"linalg.{name}: Incompatible shapes of A and B for the equation AX = B "
                f"({list(a.shape)} and {list(b.shape)})"
            )
        )
    try:
        batch = broadcast(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        raise RuntimeError(at_user_line(f"linalg.{name}: {error}")) from None
    return build.solve(build.expand(a, batch + a.shape[-2:]), build.expand(b, batch + b.shape[-2:]))


def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X of A X = B (X A = B with left=False), where only one triangle of A is read; its diagonal counts as ones
    with unitriangular=True. LinAlgError, when it is computed, for zeros on the diagonal."""
    a, b = square(A, "solve_triangular"), precise(B.node, "solve_triangular")
    _same_dtype(a, b, "solve_triangular")
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    kept = triangle(a, lower=not upper, diagonal=0.0 if unitriangular else 1.0)
    return wrap(_solved(build.add(kept, identity(a)) if unitriangular else kept, b, "solve_triangular"))


def slogdet(A: TensorBase) -> SLogDet:
    """(sign, log|det|) of the determinant."""
    a = square(A, "slogdet")
    return SLogDet(wrap(build.det_sign(a)), wrap(build.log_abs_det(a)))


# -- without an error: what failed is told by numbers ---------------------------------------------------
def _info(A: Any, first_failure: Any, name: str) -> Tensor:
    """For each matrix 0, or where it doesn't allow the factorization, counted from 1. Computes it now."""
    array = download(computed(A.detach(), name))
    found = np.zeros(array.shape[:-2], np.int32)
    for place in np.ndindex(found.shape):
        found[place] = first_failure(array[place])
    return wrap(build.copy(leaf_of(found, int32, CPU), A.device))


def _zero_pivot(matrix: np.ndarray[Any, Any]) -> int:
    """The first zero pivot of elimination with the largest element on top, counted from 1; 0 for none."""
    left = matrix.copy()
    for i in range(len(left)):
        top = i + int(np.argmax(np.abs(left[i:, i])))
        if left[top, i] == 0:
            return i + 1
        left[[i, top]] = left[[top, i]]
        left[i + 1 :] -= np.outer(left[i + 1 :, i] / left[i, i], left[i])
    return 0


def _first_indefinite(matrix: np.ndarray[Any, Any]) -> int:
    """The size of the first leading part that isn't positive definite; 0 for none."""
    left = np.tril(matrix) + np.tril(matrix, -1).T
    for i in range(len(left)):
        if not left[i, i] > 0:
            return i + 1
        left[i + 1 :] -= np.outer(left[i + 1 :, i] / left[i, i], left[i])
    return 0


def _allowed(A: Any, info: Tensor, check_errors: bool, name: str, what: str) -> Tensor:
    """A, with the identity in place of matrices that failed."""
    failed = np.flatnonzero(info.cpu().numpy())
    if not failed.size:
        return A
    if check_errors:
        raise LinAlgError(at_user_line(f"linalg.{name}: (Batch element {failed[0]}): the input matrix is {what}"))
    return A.where(info.eq(0)[..., None, None], wrap(identity(A.node)))


def inv_ex(A: TensorBase, *, check_errors: bool = False) -> InverseInfo:
    """(inverse, info): info is not 0 for singular matrices, whose inverse is left open. Computes A now."""
    A = wrap(square(A, "inv_ex"))
    info = _info(A, _zero_pivot, "inv_ex")
    return InverseInfo(_allowed(A, info, check_errors, "inv_ex", "singular").inverse(), info)


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> ResultInfo:
    """(result, info): info is not 0 for singular matrices, whose result is left open. Computes A now."""
    A = wrap(square(A, "solve_ex"))
    info = _info(A, _zero_pivot, "solve_ex")
    return ResultInfo(solve(_allowed(A, info, check_errors, "solve_ex", "singular"), B, left=left), info)


def cholesky_ex(A: TensorBase, *, upper: bool = False, check_errors: bool = False) -> CholeskyInfo:
    """(L, info): info is not 0 for matrices that aren't positive definite, whose L is left open. Computes A now."""
    A = wrap(square(A, "cholesky_ex"))
    info = _info(A, _first_indefinite, "cholesky_ex")
    allowed = _allowed(A, info, check_errors, "cholesky_ex", "not positive-definite")
    return CholeskyInfo(allowed.cholesky(upper), info)


# -- factors --------------------------------------------------------------------------------------------
def svd(A: TensorBase, full_matrices: bool = True, *, driver: str | None = None) -> LinalgSVD:
    """(U, S, Vh) with A = U diag(S) Vh, singular values falling."""
    return LinalgSVD(*map(wrap, factors(ops.SVD, matrices(A, "svd"), "full" if full_matrices else "reduced")))


def svdvals(A: TensorBase, *, driver: str | None = None) -> Tensor:
    """The singular values, falling."""
    return wrap(factorization(ops.SVD, matrices(A, "svdvals"), "values"))


def eigh(A: TensorBase, UPLO: str = "L") -> Eigh:
    """(eigenvalues rising, eigenvectors) of symmetric matrices, of which one triangle is read."""
    return Eigh(*map(wrap, factors(ops.EIGH, square(A, "eigh"), EighArg(_is_upper(UPLO)))))


def eigvalsh(A: TensorBase, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, rising."""
    return wrap(factorization(ops.EIGH, square(A, "eigvalsh"), EighArg(_is_upper(UPLO), vectors=False)))


def _is_upper(UPLO: str) -> bool:
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(at_user_line(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}"))
    return UPLO.upper() == "U"


def qr(A: TensorBase, mode: str = "reduced") -> QR:
    """(Q, R) with A = Q R; Q is empty with mode="r"."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            at_user_line(f"qr received unrecognized mode '{mode}'; it should be 'reduced', 'complete' or 'r'")
        )
    q, r = factors(ops.QR, matrices(A, "qr"), "complete" if mode == "complete" else "reduced")
    if mode == "r":
        return QR(wrap(build.const(0, A.dtype, A.device, (0,))), wrap(build.detach(r)))
    return QR(wrap(q), wrap(r))


__all__ = [
    "EPSILON",
    "Factorizations",
    "cholesky_ex",
    "eigh",
    "eigvalsh",
    "inv_ex",
    "matrices",
    "precise",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "square",
    "svd",
    "svdvals",
    "tolerance",
]
