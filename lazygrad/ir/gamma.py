"""The gamma function's family on NumPy arrays: takes floating arrays, returns them. What scipy.special would give.

Everything is computed in float64 and rounded back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def wide(a: Any) -> Array:
    return np.asarray(a, np.float64)


def polynomial(x: Array, *coefficients: float) -> Array:
    """Horner's rule, highest power first."""
    result = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        result = result * x + c
    return result


# Lanczos's series with g = 7, n = 9 (Godfrey's coefficients)
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip


def _stirling_rest(x: Array) -> Array:
    """log(gamma(x)) less (x - 1/2) log(x) - x + log(2 pi) / 2, for x >= 10."""
    y = 1 / (x * x)
    series = polynomial(
        y, -1.9175269175269175e-3, 8.417508417508418e-4, -5.952380952380953e-4, 7.936507936507937e-4,
        -2.777777777777778e-3, 8.333333333333333e-2,
    )  # fmt: skip
    return series / x


def _gammaln_positive(x: Array) -> Array:
    """log(gamma(x)) for x >= 0.5: Lanczos below 10, Stirling's series above."""
    z = np.minimum(x, 10.0) - 1
    series = np.full_like(z, _LANCZOS[0])
    for i, c in enumerate(_LANCZOS[1:], 1):
        series += c / (z + i)
    t = z + 7.5
    low = 0.5 * math.log(2 * math.pi) + (z + 0.5) * np.log(t) - t + np.log(series)
    big = np.maximum(x, 10.0)
    high = (big - 0.5) * np.log(big) - big + 0.5 * math.log(2 * math.pi) + _stirling_rest(big)
    return np.where(x < 10, low, high)


def gammaln(a: Any) -> Array:
    x = wide(a)
    reflected = x < 0.5
    value = _gammaln_positive(np.where(reflected, 1 - x, x))
    turn = np.abs(np.sin(math.pi * (x - np.round(x))))
    result = np.where(reflected, math.log(math.pi) - np.log(turn) - value, value)
    result = np.where((x == 1) | (x == 2), 0, result)
    result = np.where((x <= 0) & (x == np.floor(x)), np.inf, result)
    return np.where(np.isinf(x), np.inf, result).astype(a.dtype)


def digamma(a: Any) -> Array:
    """The recurrence up to x >= 10, then the asymptotic series; negative x by reflection."""
    x = wide(a)
    reflected = x < 0
    z = np.where(reflected, 1 - x, x)
    total = np.zeros_like(z)
    for _ in range(10):
        low = z < 10
        total = total - np.where(low, 1 / np.where(low, z, 1), 0)
        z = np.where(low, z + 1, z)
    y = 1 / (z * z)
    series = y * polynomial(
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
_SHIFTS = 120  # what is below -100 is too far from where the series holds


def _hurwitz(s: Array, x: Array) -> Array:
    """The sum over k >= 0 of (x + k)^-s by Euler and Maclaurin, x shifted beyond 20 first."""
    z, total = x, np.zeros(np.broadcast_shapes(s.shape, x.shape))
    for _ in range(_SHIFTS):
        low = z < 20
        if not low.any():
            break
        total = total + np.where(low, np.where(low, z, 1.0) ** -s, 0)
        z = np.where(low, z + 1, z)
    total = total + z ** (1 - s) / (s - 1) + 0.5 * z**-s
    rising = s
    for k, b in enumerate(_BERNOULLI):
        total = total + b * rising * z ** (-s - 2 * k - 1)
        rising = rising * (s + 2 * k + 1) * (s + 2 * k + 2)
    return total


def polygamma(n: int, a: Any) -> Array:
    """The n-th derivative of digamma: (-1)^(n+1) n! zeta(n+1, x)."""
    if n == 0:
        return digamma(a)
    sign = (-1) ** (n + 1) * math.factorial(n)
    return (sign * _hurwitz(np.asarray(n + 1.0), wide(a))).astype(a.dtype)


def zeta(a: Any, b: Any) -> Array:
    """Hurwitz's zeta(s, q): inf for s = 1 and for q = 0, -1, -2 ...; NaN for s < 1, and for q < 0 unless s is whole."""
    s, q = wide(a), wide(b)
    pole = (q <= 0) & (q == np.floor(q))
    nowhere = (s < 1) | (~pole & (q < 0) & (s != np.floor(s))) | np.isnan(s) | np.isnan(q)
    plain = (s > 1) & ~pole & ~nowhere
    value = _hurwitz(np.where(plain, s, 2.0), np.where(plain, q, 1.0))
    return np.where(nowhere, np.nan, np.where(plain, value, np.inf)).astype(a.dtype)


# -- the incomplete gamma functions -------------------------------------------------------------------
_STEPS = 20000  # more than a = 1e7 needs where x is near a


def _gamma_density(a: Array, x: Array) -> Array:
    """x^a exp(-x) / gamma(a + 1). For large a as exp(a (log(1 + m) - m)) with m = x / a - 1, which loses no digits."""
    large = a >= 10
    far = np.where(large, a, 10.0)
    away = (x - far) / far
    close = far * (np.log1p(np.where(large, away, 0.0)) - np.where(large, away, 0.0)) - _stirling_rest(far)
    near = np.where(large, 1.0, a)
    direct = near * np.log(x) - x - gammaln(near + 1)
    return np.exp(np.where(large, close, direct)) / np.where(large, np.sqrt(2 * math.pi * far), 1.0)


def _lower_series(a: Array, x: Array) -> Array:
    """The sum over n >= 0 of x^n / ((a + 1) ... (a + n))."""
    term = total = np.ones_like(x)
    for n in range(1, _STEPS):
        term = term * x / (a + n)
        total = total + term
        if not (term > total * 1e-17).any():
            break
    return total


def _upper_fraction(a: Array, x: Array) -> Array:
    """gamma(a, x) / (x^a exp(-x)): Legendre's continued fraction, by Lentz's method."""
    tiny = 1e-300
    b = x + 1 - a
    c, d = np.full_like(x, 1 / tiny), 1 / np.where(b == 0, tiny, b)
    value = d
    for n in range(1, _STEPS):
        step = n * (a - n)
        b = b + 2
        d = step * d + b
        d = 1 / np.where(np.abs(d) < tiny, tiny, d)
        c = b + step / c
        c = np.where(np.abs(c) < tiny, tiny, c)
        value = value * d * c
        if not (np.abs(d * c - 1) > 4e-16).any():
            break
    return value


def _incomplete(a: Any, x: Any, upper: bool) -> Array:
    """The regularized incomplete gamma function P(a, x), or Q = 1 - P: the series below a + 1, the fraction above."""
    a, x = np.broadcast_arrays(wide(a), wide(x))
    plain = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    shape, place = np.where(plain, a, 1.0), np.where(plain, x, 1.0)
    below = place < shape + 1
    density = _gamma_density(shape, place)
    low = density * _lower_series(np.where(below, shape, 1.0), np.where(below, place, 1.0))
    high = density * shape * _upper_fraction(np.where(below, 1.0, shape), np.where(below, 2.0, place))
    lower = np.where(below, low, 1 - high)
    higher = np.where(below, 1 - low, high)
    full = ((a == 0) & (x > 0)) | (np.isinf(x) & np.isfinite(a))  # all of the mass lies below x
    none = ((x == 0) & (a > 0)) | (np.isinf(a) & np.isfinite(x))
    unknown = np.isnan(a) | np.isnan(x) | (a < 0) | (x < 0) | ((a == 0) & (x == 0)) | (np.isinf(a) & np.isinf(x))
    edge = np.where(unknown, np.nan, np.where(full != upper, 1.0, 0.0))
    return np.where(plain, higher if upper else lower, np.where(unknown | full | none, edge, np.nan))


def gammainc(a: Any, x: Any) -> Array:
    """P(a, x): the part of gamma(a)'s integral below x."""
    return _incomplete(a, x, upper=False).astype(a.dtype)


def gammaincc(a: Any, x: Any) -> Array:
    """Q(a, x) = 1 - P(a, x)."""
    return _incomplete(a, x, upper=True).astype(a.dtype)
