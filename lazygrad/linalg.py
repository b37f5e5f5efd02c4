"""lazygrad.linalg: products, norms and factorizations under torch.linalg's names."""

from __future__ import annotations

from typing import Any

from lazygrad.dtype import DType, float32, float64
from lazygrad.errors import LinAlgError, at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.runtime.array import library
from lazygrad.shape import broadcast
from lazygrad.tensor import Tensor
from lazygrad.tensor.arguments import axes_of, axis_of
from lazygrad.tensor.core import is_grad_enabled, wrap
from lazygrad.tensor.linalg import chain_matmul as multi_dot
from lazygrad.tensor.reduce import vector_norm as _vector_norm
from lazygrad.tensor.returns import SLogDet
from lazygrad.tensor.values import leaf_of

matmul = Tensor.matmul
cross = Tensor.cross
diagonal = Tensor.diagonal
matrix_power = Tensor.matrix_power


def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over `dim`, over everything without it."""
    node = x.node if dtype is None else build.cast(x.node, dtype)
    if not node.dtype.is_floating_point:
        raise RuntimeError(
            at_user_line(
                f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {node.dtype.name}"
            )
        )
    return wrap(_vector_norm(node, float(ord), axes_of(node, dim, "vector_norm"), keepdim))


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Norms of matrices: "fro", 1 and -1 (column sums), inf and -inf (row sums)."""
    rows, columns = (axis_of(A.node, d, "matrix_norm") for d in dim)
    A = A if dtype is None else A.to(dtype)
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if ord in (1, -1):
        summed, rest = rows, columns
    elif ord in (float("inf"), float("-inf")):
        summed, rest = columns, rows
    else:
        raise RuntimeError(at_user_line(f"linalg.matrix_norm: Order {ord} not supported."))
    sums = A.abs().sum(summed, keepdim=True)
    found = sums.amax(rest, keepdim=True) if ord > 0 else sums.amin(rest, keepdim=True)
    return found if keepdim else found.squeeze((rows, columns))


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """A vector norm, or a matrix norm where two dimensions (or a 2-D tensor with ord) are given."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    pair = dim is not None and not hasattr(dim, "__index__") and len(dim) == 2
    if isinstance(ord, str) or pair or (dim is None and A.ndim == 2):
        return matrix_norm(A, ord, dim if pair else (-2, -1), keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of products along `dim`."""
    return x.mul(y).sum(dim)


# -- factorizations: LAPACK through NumPy and CuPy ----------------------------------------------------
def _square(A: Tensor, name: str) -> Node:
    node = A.node
    if node.ndim < 2:
        raise RuntimeError(at_user_line(f"linalg.{name}: The input tensor A must have at least 2 dimensions."))
    if node.shape[-1] != node.shape[-2]:
        raise RuntimeError(
            at_user_line(
                f"linalg.{name}: A must be batches of square matrices, but they are {node.shape[-2]} by "
                f"{node.shape[-1]} matrices"
            )
        )
    return _full_precision(node, name)


def _full_precision(node: Node, name: str) -> Node:
    if node.dtype not in (float32, float64):
        raise RuntimeError(
            at_user_line(
                f"linalg.{name}: Expected a floating point tensor of float32 or float64. Got {node.dtype.name}"
            )
        )
    return node


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of A X = B (X A = B with left=False); B is a matrix or a vector, batches broadcast."""
    a, b = _square(A, "solve"), _full_precision(B.node, "solve")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            at_user_line(
                f"linalg.solve: Expected A and B to have the same dtype, but found {a.dtype.name} and {b.dtype.name}"
            )
        )
    if not left:
        return solve(A.mT, B.mT).mT
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    columns = build.reshape(b, (*b.shape, 1)) if vector else b
    if columns.shape[-2] != a.shape[-1]:
        raise RuntimeError(
            at_user_line(
                "linalg.solve: Incompatible shapes of A and B for the equation AX = B "
                f"({list(a.shape)} and {list(b.shape)})"
            )
        )
    batch = broadcast(a.shape[:-2], columns.shape[:-2])
    found = build.solve(build.expand(a, batch + a.shape[-2:]), build.expand(columns, batch + columns.shape[-2:]))
    return wrap(build.reshape(found, found.shape[:-1]) if vector else found)


def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices. LinAlgError, when it is computed, for singular ones."""
    a = _square(A, "inv")
    n = a.shape[-1]
    down, across = build.reshape(build.iota(n, a.device), (n, 1)), build.reshape(build.iota(n, a.device), (1, n))
    identity = build.cast(build.equal(down, across), a.dtype)
    return wrap(build.solve(a, build.expand(identity, a.shape)))


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L L^T = A (its transpose with upper=True), A symmetric positive definite."""
    found = wrap(build.cholesky(_square(A, "cholesky")))
    return found.mT if upper else found


def slogdet(A: Tensor) -> SLogDet:
    """(sign, log|det|) of the determinant."""
    a = _square(A, "slogdet")
    return SLogDet(wrap(build.det_sign(a)), wrap(build.log_abs_det(a)))


def det(A: Tensor) -> Tensor:
    """The determinant."""
    sign, size = slogdet(A)
    return sign.mul(size.exp())


def _eager(A: Tensor, name: str) -> tuple[Any, Any]:
    """(array, its library) of a factorization that has no derivative here."""
    _full_precision(A.node, name)
    if A.requires_grad and is_grad_enabled():
        raise NotImplementedError(
            at_user_line(f"linalg.{name}: lazygrad has no derivative of it; use it under no_grad")
        )
    return A._buffer().read(), library(A.device.type)


def _leaves(A: Tensor, *arrays: Any) -> tuple[Tensor, ...]:
    return tuple(wrap(leaf_of(array, A.dtype, A.device)) for array in arrays)


def svd(A: Tensor, full_matrices: bool = True) -> tuple[Tensor, ...]:
    """(U, S, Vh) with A = U diag(S) Vh, singular values falling."""
    array, xp = _eager(A, "svd")
    return _leaves(A, *xp.linalg.svd(array, full_matrices=full_matrices))


def svdvals(A: Tensor) -> Tensor:
    """The singular values, falling."""
    array, xp = _eager(A, "svdvals")
    return _leaves(A, xp.linalg.svd(array, compute_uv=False))[0]


def eigh(A: Tensor, UPLO: str = "L") -> tuple[Tensor, ...]:
    """(eigenvalues rising, eigenvectors) of symmetric matrices."""
    array, xp = _eager(A, "eigh")
    return _leaves(A, *xp.linalg.eigh(array, UPLO=UPLO))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, rising."""
    array, xp = _eager(A, "eigvalsh")
    return _leaves(A, xp.linalg.eigvalsh(array, UPLO=UPLO))[0]


def qr(A: Tensor, mode: str = "reduced") -> tuple[Tensor, ...]:
    """(Q, R) with A = Q R."""
    array, xp = _eager(A, "qr")
    return _leaves(A, *xp.linalg.qr(array, mode=mode))


def pinv(A: Tensor, rtol: float | None = None) -> Tensor:
    """The pseudoinverse."""
    array, xp = _eager(A, "pinv")
    cut = max(array.shape[-2:]) * float(xp.finfo(array.dtype).eps) if rtol is None else rtol
    return _leaves(A, xp.linalg.pinv(array, rcond=cut))[0]


def matrix_rank(A: Tensor, rtol: float | None = None) -> Tensor:
    """How many singular values aren't negligible."""
    values = svdvals(A)
    cut = max(A.node.shape[-2:]) * (2.0**-52 if A.dtype is float64 else 2.0**-23) if rtol is None else rtol
    return values.gt(values.amax(-1, True).mul(cut)).sum(-1)


def lstsq(A: Tensor, B: Tensor) -> tuple[Tensor]:
    """(X,) that minimises |A X - B|, through the pseudoinverse."""
    return (pinv(A).matmul(B),)


__all__ = [
    "LinAlgError",
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "vecdot",
    "vector_norm",
]
