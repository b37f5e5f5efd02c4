"""lazygrad.linalg: products and norms under torch.linalg's names."""

from __future__ import annotations

from typing import Any

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.tensor import Tensor
from lazygrad.tensor.arguments import axes_of, axis_of
from lazygrad.tensor.core import wrap
from lazygrad.tensor.linalg import chain_matmul as multi_dot
from lazygrad.tensor.reduce import vector_norm as _vector_norm

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


__all__ = ["cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "multi_dot", "norm", "vecdot", "vector_norm"]
