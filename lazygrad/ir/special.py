"""Special functions on NumPy arrays: takes floating arrays, returns them. What scipy.special would give.

Everything is computed in float64 and rounded back, so float32 results are correctly rounded but for ties.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lazygrad.ir.gamma import digamma, gammainc, gammaincc, gammaln, polygamma, polynomial, wide, zeta

Array = np.ndarray[Any, Any]


def _erf_small(x: Array) -> Array:
    """Cody 1969, |x| <= 0.46875."""
    y = x * x
    top = polynomial(
        y,
        1.85777706184603153e-1,
        3.16112374387056560,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    )
    bottom = polynomial(
        y, 1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3
    )
    return x * top / bottom


def _erfc_scaled(x: Array) -> Array:
    """exp(x^2) erfc(x) for x >= 0.46875: Cody 1969."""
    near = np.minimum(x, 4.0)
    top = polynomial(
        near, 2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
    )  # fmt: skip
    bottom = polynomial(
        near, 1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    )  # fmt: skip
    far = np.maximum(x, 4.0)
    y = 1 / (far * far)
    tail = y * polynomial(
        y, 1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
        1.60837851487422766e-2, 6.58749161529837803e-4,
    )  # fmt: skip
    tail /= polynomial(
        y,
        1.0,
        2.56852019228982242,
        1.87295284992346725,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    )
    return np.where(x <= 4.0, top / bottom, (1 / math.sqrt(math.pi) - tail) / far)


def _erfc_tail(size: Array) -> Array:
    """erfc for sizes >= 0.46875; exp(-x^2) is split so that x^2 loses no digits."""
    whole = np.trunc(size * 16) / 16
    return np.exp(-whole * whole) * np.exp(-(size - whole) * (size + whole)) * _erfc_scaled(np.maximum(size, 0.46875))


def erf(a: Any) -> Array:
    x = wide(a)
    size = np.abs(x)
    small = size <= 0.46875
    far = np.copysign(1 - _erfc_tail(np.minimum(size, 27.0)), x)
    return np.where(small, _erf_small(np.where(small, x, 0)), far).astype(a.dtype)


def erfc(a: Any) -> Array:
    x = wide(a)
    size = np.abs(x)
    small = size <= 0.46875
    tail = _erfc_tail(np.minimum(size, 27.5))
    far = np.where(x > 0, np.where(size > 27.5, 0, tail), 2 - tail)
    result = np.where(small, 1 - _erf_small(np.where(small, x, 0)), far)
    return np.where(np.isnan(x), x, result).astype(a.dtype)


def erfinv(a: Any) -> Array:
    """Giles 2010 for a start, then Newton's and Halley's steps on erfc."""
    y = wide(a)
    size = np.abs(y)
    w = -np.log1p(-(np.minimum(size, 1 - 2**-53) ** 2))
    near = polynomial(
        w - 2.5, 2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
        -0.00417768164, 0.246640727, 1.50140941,
    )  # fmt: skip
    far = polynomial(
        np.sqrt(np.maximum(w, 5.0)) - 3, -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
    )  # fmt: skip
    x = np.where(w < 5, near, far) * size
    for _ in range(3):
        error = np.where(size < 0.5, erf(x) - size, (1 - size) - erfc(x))
        step = error * (math.sqrt(math.pi) / 2) * np.exp(x * x)
        x = x - step / (1 + x * step)
    x = np.where(size == 1, np.inf, np.where(size > 1, np.nan, x))
    return np.copysign(x, y).astype(a.dtype)


__all__ = ["digamma", "erf", "erfc", "erfinv", "gammainc", "gammaincc", "gammaln", "polygamma", "zeta"]
