"""lazygrad.linalg: norms, products and factorizations under torch.linalg's names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.absent import eig, eigvals, ldl_factor, ldl_factor_ex, ldl_solve
from lazygrad.dtype import DType
from lazygrad.errors import LinAlgError, at_user_line
from lazygrad.ir import build
from lazygrad.ir.factorizations import pinv as pinv_node
from lazygrad.ir.factorizations import triangle
from lazygrad.tensor import Tensor
from lazygrad.tensor.arguments import axes_of, axis_of, integers
from lazygrad.tensor.autocast import autocast_operands
from lazygrad.tensor.core import wrap
from lazygrad.tensor.decompositions import householder_product, lu, lu_factor, lu_factor_ex, lu_solve
from lazygrad.tensor.factorizations import (
    cholesky_ex,
    eigh,
    eigvalsh,
    inv_ex,
    matrices,
    precise,
    qr,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    square,
    svd,
    svdvals,
    tolerance,
)
from lazygrad.tensor.keywords import function_of, public
from lazygrad.tensor.reduce import vector_norm as _vector_norm
from lazygrad.tensor.returns import LeastSquares
from lazygrad.tensor.sequences import rising_powers

matmul = function_of(Tensor.matmul)
matrix_power = function_of(Tensor.matrix_power)
matrix_exp = function_of(Tensor.matrix_exp)
inv = function_of(Tensor.inverse, "A")
det = function_of(Tensor.det, "A")


# -- products -----------------------------------------------------------------------------------------
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along a dimension of size 3."""
    return input.cross(other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as a view."""
    return A.diagonal(offset, dim1, dim2)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of products along `dim`."""
    a, b = map(wrap, autocast_operands(x.node, y.node, name="vecdot"))
    return a.mul(b).sum(dim)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices in the order that takes the fewest multiplications; the first and the last may be
    vectors."""
    listed = list(tensors)
    if len(listed) < 2:
        raise RuntimeError(at_user_line(f"multi_dot(): expected at least 2 tensors but got {len(listed)}"))
    row, column = listed[0].ndim == 1, listed[-1].ndim == 1
    listed[0] = listed[0].unsqueeze(0) if row else listed[0]
    listed[-1] = listed[-1].unsqueeze(1) if column else listed[-1]
    for i, matrix in enumerate(listed):
        if matrix.ndim != 2:
            raise RuntimeError(at_user_line(f"multi_dot(): tensor {i} must be 2D but got {matrix.ndim}D"))
    found = _product(listed, _splits([m.shape[0] for m in listed] + [listed[-1].shape[1]]), 0, len(listed) - 1)
    shape = found.shape[row : 2 - column]
    return found.reshape(tuple(shape))


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each chain of matrices, sizes[i] x sizes[i + 1], so that fewest numbers are multiplied."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            ways = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            cut[i, j] = min(ways, key=ways.__getitem__)
            cost[i, j] = ways[cut[i, j]]
    return cut


def _product(listed: list[Tensor], cut: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return listed[i]
    return _product(listed, cut, i, cut[i, j]).matmul(_product(listed, cut, cut[i, j] + 1, j))


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """(..., n, N): the powers 0, 1, ... N - 1 of each element, one element a row."""
    return rising_powers(x, N)


# -- norms --------------------------------------------------------------------------------------------
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over `dim`, over everything without it; the largest for inf, the smallest for -inf,
    how many aren't zero for 0."""
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
    """Norms of matrices: "fro"; "nuc", 2 and -2 of the singular values (their sum, largest, smallest); 1 and -1 of
    the columns' sums, inf and -inf of the rows'."""
    if A.ndim < 2:
        raise RuntimeError(at_user_line("linalg.matrix_norm: The input tensor A must have at least 2 dimensions."))
    rows, columns = (axis_of(A.node, d, "matrix_norm") for d in dim)
    if rows == columns:
        raise RuntimeError(at_user_line(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})"))
    A = A if dtype is None else A.to(dtype)
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        values = svdvals(A.movedim((rows, columns), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
        kept = tuple(1 if i in (rows, columns) else n for i, n in enumerate(A.shape))
        return found.reshape(kept) if keepdim else found
    if ord in (1, -1):
        summed, rest = rows, columns
    elif ord in (math.inf, -math.inf):
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
    if dim is None and A.ndim != 1:
        raise RuntimeError(
            at_user_line(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.")
        )
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """How much solving with A may magnify an error: the largest singular value over the smallest, or
    norm(A, p) * norm(inv(A), p)."""
    A = wrap(matrices(A, "cond"))
    if p in (None, 2, -2):
        values = svdvals(A)
        large, small = values.amax(-1), values.amin(-1)
        return small.div(large) if p == -2 else large.div(small)
    return matrix_norm(wrap(square(A, "cond")), p).mul(matrix_norm(A.inverse(), p))


def matrix_rank(
    A: Tensor,
    tol: float | None = None,
    hermitian: bool = False,
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> Tensor:
    """How many singular values (of symmetric matrices with hermitian=True, eigenvalues' sizes) are above
    max(atol, rtol * the largest)."""
    A = wrap(matrices(A, "matrix_rank"))
    limit = tolerance(A, atol if tol is None else tol, 0.0 if tol is not None else rtol)
    values = eigvalsh(A).abs() if hermitian else svdvals(A)
    if not A.numel():
        return values.gt(0).sum(-1)
    return values.gt(values.amax(-1, True).mul(limit.rtol).clamp(min=limit.atol)).sum(-1)


# -- factorizations -----------------------------------------------------------------------------------
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L L^T = A (its transpose with upper=True), A symmetric positive definite."""
    return A.cholesky(upper)


def pinv(
    A: Tensor,
    rcond: float | None = None,
    hermitian: bool = False,
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> Tensor:
    """The pseudoinverse; singular values not above max(atol, rtol * the largest) count as zero. Of a matrix that is
    said to be symmetric the lower triangle is read."""
    node = square(A, "pinv") if hermitian else matrices(A, "pinv")
    if hermitian:
        lower = triangle(node, lower=True, diagonal=0.5)
        node = build.add(lower, build.transpose(lower))
    return wrap(pinv_node(node, tolerance(A, atol, rtol if rcond is None else rcond)))


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> LeastSquares:
    """(solution, residuals, rank, singular_values): the solution minimises |A X - B|, by the pseudoinverse.

    residuals, rank and singular_values are empty where torch's driver ("gelsy" unless given) leaves them so.
    """
    driver = driver or "gelsy"
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            at_user_line(f"linalg.lstsq: `driver` should be one of gels, gelsy, gelsd and gelss, got {driver}")
        )
    A, B = wrap(matrices(A, "lstsq")), wrap(precise(B.node, "lstsq"))
    m, n = A.shape[-2:]
    vector = B.ndim == A.ndim - 1 and B.shape == A.shape[:-1]
    right = B.unsqueeze(-1) if vector else B
    if right.ndim < 2 or right.shape[-2] != m:
        raise RuntimeError(at_user_line(f"linalg.lstsq: A of {m} rows doesn't fit B of shape {list(B.shape)}"))
    solution = wrap(build.dot(pinv(A, rcond).node, right.node))
    nothing = A.new_empty(0)
    residuals = nothing
    if m > n and driver != "gelsy" and bool((matrix_rank(A) == n).all()):
        residuals = A.matmul(solution).sub(right).square().sum(-2)
    rank = nothing.long() if driver == "gels" else matrix_rank(A, rtol=rcond)
    values = svdvals(A) if driver in ("gelsd", "gelss") else nothing
    return LeastSquares(solution.squeeze(-1) if vector else solution, residuals, rank, values)


# -- tensors as matrices ------------------------------------------------------------------------------
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse for tensordot, the first `ind` dimensions being the rows."""
    if ind <= 0:
        raise RuntimeError(at_user_line("Expected a strictly positive integer for 'ind'"))
    rows, columns = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError(
            at_user_line(
                "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
                f"but got {math.prod(columns)} != {math.prod(rows)}"
            )
        )
    return A.reshape(math.prod(rows), -1).inverse().reshape(columns + rows)


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X of tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first."""
    if dims is not None:
        axes = integers((dims,), "tensorsolve()")
        A = A.movedim(axes, tuple(range(A.ndim - len(axes), A.ndim)))
    shape = tuple(A.shape[B.ndim :])
    if math.prod(shape) != B.numel():
        raise RuntimeError(
            at_user_line(
                "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                f"prod(self.shape[:other.ndim]), but got {math.prod(shape)} != {B.numel()}"
            )
        )
    return solve(A.reshape(-1, math.prod(shape)), B.reshape(-1)).reshape(shape)


__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

for _name in __all__:
    if _name != "LinAlgError":
        globals()[_name] = public(globals()[_name])
