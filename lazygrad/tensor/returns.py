"""The named tuples that methods with two results return: their fields are torch's."""

from __future__ import annotations

from typing import Any, NamedTuple


class ValuesIndices(NamedTuple):
    """(values, indices) of max, min, sort, topk, kthvalue, median, mode, cummax and cummin along a dim."""

    values: Any
    indices: Any


class AMinMax(NamedTuple):
    """(min, max) of aminmax."""

    min: Any
    max: Any


class SLogDet(NamedTuple):
    """(sign, logabsdet) of slogdet."""

    sign: Any
    logabsdet: Any


class FrExp(NamedTuple):
    """(mantissa, exponent) of frexp."""

    mantissa: Any
    exponent: Any


class Histogram(NamedTuple):
    """(hist, bin_edges) of histogram."""

    hist: Any
    bin_edges: Any


class HistogramDD(NamedTuple):
    """(hist, bin_edges) of histogramdd."""

    hist: Any
    bin_edges: tuple[Any, ...]


class LinalgSVD(NamedTuple):
    """(U, S, Vh) of linalg.svd."""

    U: Any
    S: Any
    Vh: Any


class SVD(NamedTuple):
    """(U, S, V) of svd."""

    U: Any
    S: Any
    V: Any


class Eigh(NamedTuple):
    """(eigenvalues, eigenvectors) of linalg.eigh."""

    eigenvalues: Any
    eigenvectors: Any


class QR(NamedTuple):
    """(Q, R) of qr."""

    Q: Any
    R: Any


class InverseInfo(NamedTuple):
    """(inverse, info) of linalg.inv_ex."""

    inverse: Any
    info: Any


class ResultInfo(NamedTuple):
    """(result, info) of linalg.solve_ex."""

    result: Any
    info: Any


class CholeskyInfo(NamedTuple):
    """(L, info) of linalg.cholesky_ex."""

    L: Any
    info: Any


class LeastSquares(NamedTuple):
    """(solution, residuals, rank, singular_values) of linalg.lstsq."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


class LUFactor(NamedTuple):
    """(LU, pivots) of linalg.lu_factor."""

    LU: Any
    pivots: Any


class LUFactorInfo(NamedTuple):
    """(LU, pivots, info) of linalg.lu_factor_ex."""

    LU: Any
    pivots: Any
    info: Any


class LUMatrices(NamedTuple):
    """(P, L, U) of linalg.lu and lu_unpack."""

    P: Any
    L: Any
    U: Any


class TriangularSolution(NamedTuple):
    """(solution, cloned_coefficient) of triangular_solve."""

    solution: Any
    cloned_coefficient: Any
