"""What factorizations mean: takes NumPy or CuPy (`xp`) and arrays of matrices (..., m, n), returns arrays.

LAPACK comes with both. Several factors of one matrix lie one after the other in the last dimension of one array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lazygrad.errors import LinAlgError


def checked(factorize: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """LinAlgError, a RuntimeError as in torch, where the matrix doesn't allow it."""
    try:
        return factorize(*arguments, **options)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"linalg.{factorize.__name__}: {error}") from None


def in_one_line(xp: Any, *factors: Any) -> Any:
    """Matrices (or vectors) of one batch, one after the other in the last dimension."""
    batch = factors[0].shape[:-2]
    return xp.concatenate([f.reshape(*batch, math.prod(f.shape[len(batch) :])) for f in factors], -1)


def eigh(xp: Any, arg: Any, a: Any) -> Any:
    """Eigenvalues, then eigenvectors."""
    triangle = "U" if arg.upper else "L"
    if not arg.vectors:
        return checked(xp.linalg.eigvalsh, a, UPLO=triangle)
    values, vectors = checked(xp.linalg.eigh, a, UPLO=triangle)
    return in_one_line(xp, values[..., None, :], vectors)


def svd(xp: Any, arg: str, a: Any) -> Any:
    """U, S, V^T of "full" or "reduced"; S of "values"."""
    if arg == "values":
        return checked(xp.linalg.svd, a, compute_uv=False)
    u, s, vh = checked(xp.linalg.svd, a, full_matrices=arg == "full")
    return in_one_line(xp, u, s[..., None, :], vh)


def pinv(xp: Any, arg: Any, a: Any) -> Any:
    """The pseudoinverse, by the singular values that count."""
    u, s, vh = checked(xp.linalg.svd, a, full_matrices=False)
    largest = s.max(-1, keepdims=True) if s.size else s
    counts = s > xp.maximum(arg.atol, arg.rtol * largest)
    inverse = xp.where(counts, 1 / xp.where(counts, s, 1), 0).astype(a.dtype)
    return xp.matmul(xp.swapaxes(vh, -1, -2) * inverse[..., None, :], xp.swapaxes(u, -1, -2))


def cofactors(xp: Any, a: Any) -> Any:
    """det(A) A^-T, also of singular matrices: det(U V^T) U diag(products of all other singular values) V^T."""
    u, s, vh = checked(xp.linalg.svd, a)
    others = xp.ones_like(s)
    others[..., 1:] = xp.cumprod(s[..., :-1], -1)
    others[..., :-1] *= xp.cumprod(s[..., :0:-1], -1)[..., ::-1]
    sign = xp.linalg.slogdet(u)[0] * xp.linalg.slogdet(vh)[0]
    return xp.matmul(u * (others * sign[..., None])[..., None, :], vh)


def lu(xp: Any, a: Any) -> Any:
    """Elimination with the largest element on top, a step for all matrices at once: L below the diagonal and U from it
    on, then the row that each step swapped with its own, counted from 1."""
    *batch, m, n = a.shape
    left = a.reshape(math.prod(batch), m, n).copy()
    each, steps = xp.arange(len(left)), min(m, n)
    pivots = xp.empty((len(left), steps), a.dtype)
    for i in range(steps):
        top = i + xp.abs(left[:, i:, i]).argmax(-1)
        pivots[:, i] = top + 1
        left[each, i], left[each, top] = left[each, top], left[each, i]
        pivot = left[:, i, i, None]
        left[:, i + 1 :, i] /= xp.where(pivot == 0, 1, pivot)  # below a pivot of 0 all is 0
        left[:, i + 1 :, i + 1 :] -= left[:, i + 1 :, i, None] * left[:, i, None, i + 1 :]
    return in_one_line(xp, left.reshape(a.shape), pivots.reshape(*batch, 1, steps))


def swapped(xp: Any, count: int, pivots: Any) -> Any:
    """(..., count) int64: rows 0, 1, ... count - 1, of which step i swapped row i with row pivots[..., i] - 1."""
    *batch, steps = pivots.shape
    lines = pivots.reshape(math.prod(batch), steps)
    order = xp.tile(xp.arange(count), (len(lines), 1))
    each = xp.arange(len(lines))
    for i in range(steps):
        other = lines[:, i] - 1
        order[each, i], order[each, other] = order[each, other], order[:, i].copy()
    return order.reshape(*batch, count)


__all__ = ["checked", "cofactors", "eigh", "in_one_line", "lu", "pinv", "svd", "swapped"]
