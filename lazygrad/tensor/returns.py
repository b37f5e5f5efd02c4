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
