"""Tensors counted or computed from positions: arange, linspace, logspace, eye, triangles' indices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.dtype import DType, float32, float64, int64
from lazygrad.dtype import of as dtype_of
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.creation import from_array, made, placed
from lazygrad.tensor.keywords import factory
from lazygrad.tensor.promote import get_default_dtype

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def _numbers(*values: Any) -> list[Any]:
    return [v.item() if isinstance(v, TensorBase) else v for v in values]


@factory
def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; arange(end) starts at 0. int64 where all three are integers, else the default
    dtype. An integer dtype counts in whole steps from a whole start, and int64 to a whole end."""
    if end is None:
        start, end = 0, start
    start, end, step = _numbers(start, end, step)
    found = dtype_of(dtype)
    if found is int64:
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise RuntimeError(at_user_line("step must be nonzero"))
    if (end - start) / step < 0:
        raise RuntimeError(at_user_line("upper bound and lower bound inconsistent with step sign"))
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    if found is not None and found.is_integer:
        start, step, whole = int(start), int(step), True
    node = build.iota(int(count), placed(device))
    if not whole:
        node = build.cast(node, float64)
    if step != 1:
        node = build.scale(node, step)
    if start != 0:
        node = build.shift(node, start)
    return made(build.cast(node, found or (int64 if whole else get_default_dtype())), requires_grad)


@factory
def linspace(
    start: Any, end: Any, steps: int, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    start, end = _numbers(start, end)
    found = dtype or get_default_dtype()
    return made(build.cast(_spaced(start, end, steps, found, device), found), requires_grad)


@factory
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """base ** linspace(start, end, steps)."""
    start, end = _numbers(start, end)
    found = dtype or get_default_dtype()
    node = _spaced(start, end, steps, found, device)
    return made(build.cast(build.pointwise(ops.POW, build.like(node, base), node), found), requires_grad)


def _spaced(start: float, end: float, steps: int, dtype: DType, device: Any) -> Node:
    """Counted from the nearer end, so that both are exact."""
    if steps < 0:
        raise RuntimeError(at_user_line("number of steps must be non-negative"))
    wide = float64 if dtype is float64 or not dtype.is_floating_point else float32
    place = build.cast(build.iota(steps, placed(device)), wide)
    if steps == 1:
        return build.like(place, start)
    step = (end - start) / max(1, steps - 1)
    up = build.shift(build.scale(place, step), start)
    down = build.sub(build.like(place, end), build.scale(build.sub(build.like(place, steps - 1), place), step))
    return build.where(build.less(place, build.like(place, steps // 2)), up, down)


@factory
def eye(
    n: int, m: int | None = None, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """1 on the diagonal of an n x m matrix, 0 elsewhere."""
    columns = n if m is None else m
    if n < 0 or columns < 0:
        raise RuntimeError(at_user_line(f"n must be greater or equal to 0, got {min(n, columns)}"))
    where = placed(device)
    down, across = build.reshape(build.iota(n, where), (n, 1)), build.reshape(build.iota(columns, where), (1, columns))
    return made(build.cast(build.equal(down, across), dtype or get_default_dtype()), requires_grad)


def _check_sizes(row: int, col: int) -> None:
    if row < 0 or col < 0:
        raise RuntimeError(at_user_line(f"row and col must be non-negative, got {row} and {col}"))


@factory
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType = int64, device: Any = "cpu") -> Tensor:
    """(2, n): the rows and columns of the lower triangle of a row x col matrix, row by row."""
    _check_sizes(row, col)
    return made(from_array(np.stack(np.tril_indices(row, offset, col)), placed(device), dtype))


@factory
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType = int64, device: Any = "cpu") -> Tensor:
    """(2, n): the rows and columns of the upper triangle of a row x col matrix, row by row."""
    _check_sizes(row, col)
    return made(from_array(np.stack(np.triu_indices(row, offset, col)), placed(device), dtype))


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """(n, N): the powers N - 1, ... 1, 0 of a vector's n elements; 0, 1, ... N - 1 with increasing=True. RuntimeError
    unless 1-D."""
    check_tensor(x, "vander", "x")
    if x.ndim != 1:
        raise RuntimeError(at_user_line(f"x must be a one-dimensional tensor, got shape {list(x.shape)}"))
    powers = rising_powers(x, N)
    return powers if increasing else powers.flip(-1)


def rising_powers(x: Tensor, N: int | None = None) -> Tensor:
    """(..., n, N): the powers 0, 1, ... N - 1 (n - 1 unless N is given) of each element."""
    return x.unsqueeze(-1).pow(arange(x.node.shape[-1] if N is None else N, device=x.device))


__all__ = [
    "arange",
    "eye",
    "linspace",
    "logspace",
    "rising_powers",
    "tril_indices",
    "triu_indices",
    "vander",
]
