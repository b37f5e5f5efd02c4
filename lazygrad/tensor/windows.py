"""Window functions of signal processing: weights that fall off towards both ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.creation import ones
from lazygrad.tensor.keywords import factory
from lazygrad.tensor.promote import get_default_dtype
from lazygrad.tensor.sequences import arange

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def _angle(length: int, periodic: bool, dtype: DType, device: Any) -> Tensor:
    """How far each place is along the window, in [0, 1]: a periodic one leaves out its last place."""
    return arange(length, dtype=dtype.compute, device=device).div(max(length if periodic else length - 1, 1))


def _checked(name: str, length: int, dtype: DType | None) -> DType:
    found = dtype or get_default_dtype()
    if not found.is_floating_point:
        raise RuntimeError(at_user_line(f"{name} expects floating point dtypes, got: {found.name}"))
    if length < 0:
        raise RuntimeError(at_user_line(f"{name} requires non-negative window_length, got window_length={length}"))
    return found


def _raised_cosine(
    name: str, length: int, periodic: bool, terms: tuple[float, ...], dtype: DType | None, device: Any
) -> Tensor:
    """terms[0] - terms[1] cos(2 pi x) + terms[2] cos(4 pi x)."""
    found = _checked(name, length, dtype)
    if length == 1:
        return ones(1, dtype=found, device=device)
    x = _angle(length, periodic, found, device)
    total: Any = x.mul(0).add(terms[0])
    for i, term in enumerate(terms[1:], 1):
        total = total.add(x.mul(2 * math.pi * i).cos().mul((-1) ** i * term))
    return total.to(found)


@factory
def hann_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: Any = None) -> Tensor:
    """Half a raised cosine."""
    return _raised_cosine("hann_window", window_length, periodic, (0.5, 0.5), dtype, device)


@factory
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: DType | None = None,
    device: Any = None,
) -> Tensor:
    """A raised cosine on a pedestal."""
    return _raised_cosine("hamming_window", window_length, periodic, (alpha, beta), dtype, device)


@factory
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """A raised cosine with a second harmonic."""
    return _raised_cosine("blackman_window", window_length, periodic, (0.42, 0.5, 0.08), dtype, device)


@factory
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """A triangle."""
    found = _checked("bartlett_window", window_length, dtype)
    if window_length == 1:
        return ones(1, dtype=found, device=device)
    return _angle(window_length, periodic, found, device).mul(2).sub(1).abs().rsub(1).to(found)


@factory
def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: DType | None = None,
    device: Any = None,
) -> Tensor:
    """I_0(beta sqrt(1 - x^2)) / I_0(beta) over x in [-1, 1] (Kaiser 1966)."""
    found = _checked("kaiser_window", window_length, dtype)
    if window_length == 1:
        return ones(1, dtype=found, device=device)
    x = _angle(window_length, periodic, found, device).mul(2).sub(1)
    weight: Any = beta if isinstance(beta, TensorBase) else x.mul(0).add(beta)
    return x.square().rsub(1).clamp(min=0).sqrt().mul(weight).i0().div(weight.i0()).to(found)


__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]
