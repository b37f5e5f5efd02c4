"""Special functions on NumPy arrays: takes floating arrays, returns them. What scipy.special would give.

Everything is computed in float64 and rounded back, so float32 results are correctly rounded but for ties.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _wide(a: Any) -> Array:
    return np.asarray(a, np.float64)


def _polynomial(x: Array, *coefficients: float) -> Array:
    """Horner's rule, highest power first."""
    result = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        result = result * x + c
    return result


def _erf_small(x: Array) -> Array:
    """Cody 1969, |x| <= 0.46875."""
    y = x * x
    top = _polynomial(
        y,
        1.85777706184603153e-1,
        3.16112374387056560,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    )
    bottom = _polynomial(
        y, 1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3
    )
    return x * top / bottom


def _erfc_scaled(x: Array) -> Array:
    """exp(x^2) erfc(x) for x >= 0.46875: Cody 1969."""
    near = np.minimum(x, 4.0)
    top = _polynomial(
        near, 2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
    )  # fmt: skip
    bottom = _polynomial(
        near, 1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    )  # fmt: skip
    far = np.maximum(x, 4.0)
    y = 1 / (far * far)
    tail = y * _polynomial(
        y, 1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
        1.60837851487422766e-2, 6.58749161529837803e-4,
    )  # fmt: skip
    tail /= _polynomial(
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
    x = _wide(a)
    size = np.abs(x)
    small = size <= 0.46875
    far = np.copysign(1 - _erfc_tail(np.minimum(size, 27.0)), x)
    return np.where(small, _erf_small(np.where(small, x, 0)), far).astype(a.dtype)


def erfc(a: Any) -> Array:
    x = _wide(a)
    size = np.abs(x)
    small = size <= 0.46875
    tail = _erfc_tail(np.minimum(size, 27.5))
    far = np.where(x > 0, np.where(size > 27.5, 0, tail), 2 - tail)
    result = np.where(small, 1 - _erf_small(np.where(small, x, 0)), far)
    return np.where(np.isnan(x), x, result).astype(a.dtype)


def erfinv(a: Any) -> Array:
    """Giles 2010 for a start, then Newton's and Halley's steps on erfc."""
    y = _wide(a)
    size = np.abs(y)
    w = -np.log1p(-(np.minimum(size, 1 - 2**-53) ** 2))
    near = _polynomial(
        w - 2.5, 2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
        -0.00417768164, 0.246640727, 1.50140941,
    )  # fmt: skip
    far = _polynomial(
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


# Lanczos's series with g = 7, n = 9 (Godfrey's coefficients)
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip


def _gammaln_positive(x: Array) -> Array:
    """log(gamma(x)) for x >= 0.5: Lanczos below 10, Stirling's series above."""
    z = np.minimum(x, 10.0) - 1
    series = np.full_like(z, _LANCZOS[0])
    for i, c in enumerate(_LANCZOS[1:], 1):
        series += c / (z + i)
    t = z + 7.5
    low = 0.5 * math.log(2 * math.pi) + (z + 0.5) * np.log(t) - t + np.log(series)
    big = np.maximum(x, 10.0)
    y = 1 / (big * big)
    tail = (
        _polynomial(
            y,
            -1.9175269175269175e-3,
            8.417508417508418e-4,
            -5.952380952380953e-4,
            7.936507936507937e-4,
            -2.777777777777778e-3,
            8.333333333333333e-2,
        )
        / big
    )
    high = (big - 0.5) * np.log(big) - big + 0.5 * math.log(2 * math.pi) + tail
    return np.where(x < 10, low, high)


def gammaln(a: Any) -> Array:
    x = _wide(a)
    reflected = x < 0.5
    value = _gammaln_positive(np.where(reflected, 1 - x, x))
    turn = np.abs(np.sin(math.pi * (x - np.round(x))))
    result = np.where(reflected, math.log(math.pi) - np.log(turn) - value, value)
    result = np.where((x <= 0) & (x == np.floor(x)), np.inf, result)
    return np.where(np.isinf(x), np.inf, result).astype(a.dtype)


def digamma(a: Any) -> Array:
    """The recurrence up to x >= 10, then the asymptotic series; negative x by reflection."""
    x = _wide(a)
    reflected = x < 0
    z = np.where(reflected, 1 - x, x)
    total = np.zeros_like(z)
    for _ in range(10):
        low = z < 10
        total = total - np.where(low, 1 / np.where(low, z, 1), 0)
        z = np.where(low, z + 1, z)
    y = 1 / (z * z)
    series = y * _polynomial(
        y,
        8.333333333333333e-2,
        -2.109279609279609e-2,
        7.575757575757576e-3,
        -4.166666666666667e-3,
        3.968253968253968e-3,
        -8.333333333333333e-3,
        8.333333333333333e-2,
    )
    total = total + np.log(z) - 0.5 / z - series
    total = np.where(reflected, total - math.pi / np.tan(math.pi * (x - np.round(x))), total)
    total = np.where(reflected & (x == np.floor(x)), np.nan, total)
    return np.where(x == 0, -np.copysign(np.inf, x), total).astype(a.dtype)


# B(2k) / (2k)! for k = 1 .. 8
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000,
)  # fmt: skip


def polygamma(n: int, a: Any) -> Array:
    """(-1)^(n+1) n! zeta(n+1, x), Hurwitz's zeta by Euler and Maclaurin after shifting x beyond 20."""
    x = _wide(a)
    if n == 0:
        return digamma(a)
    s = n + 1
    z, total = x, np.zeros_like(x)
    for _ in range(120):
        low = z < 20
        if not low.any():
            break
        total = total + np.where(low, np.where(low, z, 1.0) ** -s, 0)
        z = np.where(low, z + 1, z)
    total = total + z ** (1 - s) / (s - 1) + 0.5 * z**-s
    rising = float(s)
    for k, b in enumerate(_BERNOULLI):
        total = total + b * rising * z ** (-s - 2 * k - 1)
        rising *= (s + 2 * k + 1) * (s + 2 * k + 2)
    return ((-1) ** (n + 1) * math.factorial(n) * total).astype(a.dtype)
