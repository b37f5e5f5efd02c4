"""Tensors from nothing: creation functions with torch's names, defaults and errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad import dtype as dt
from lazygrad.device import CPU, Device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.runtime.array import upload
from lazygrad.runtime.buffer import Buffer
from lazygrad.shape import Shape
from lazygrad.tensor import random
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import get_default_dtype, is_scalar

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def shape_of(size: tuple[Any, ...]) -> Shape:
    """torch's f(2, 3) and f((2, 3)): the shape. RuntimeError for negative sizes, TypeError for non-integers."""
    listed = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], (int, np.integer)) else size
    try:
        shape = tuple(int(n.__index__()) for n in listed)
    except (AttributeError, TypeError):
        raise TypeError(at_user_line(f"expected a shape of integers, got {listed}")) from None
    if any(n < 0 for n in shape):
        raise RuntimeError(at_user_line(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"))
    return shape


def made(node: Node, requires_grad: bool = False) -> Tensor:
    tensor = wrap(node)
    return tensor.requires_grad_() if requires_grad else tensor


def _where(device: Any) -> Device:
    return CPU if device is None else parse_device(device)


def from_array(array: np.ndarray[Any, Any], device: Device, dtype: DType) -> Node:
    """A host array as a leaf on the device: uploaded (or copied) now."""
    held = upload(np.asarray(array, dtype=dtype.numpy), device)
    return build.buffer(Buffer(held, dtype, array.shape, device), dtype, array.shape, device)


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor holding a copy of `data`: numbers, nested sequences, NumPy arrays or tensors."""
    if isinstance(data, TensorBase):
        node = build.detach(data.node)
        node = build.copy(node, _where(device) if device is not None else node.device)
        return made(build.cast(node, dtype or node.dtype), requires_grad)
    array, found = _host_array(data)
    return made(from_array(array, _where(device), dtype or found), requires_grad)


def _host_array(data: Any) -> tuple[np.ndarray[Any, Any], DType]:
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        return array, dt.from_numpy(array.dtype)
    if isinstance(data, (list, tuple)):
        data = _plain(data)
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(at_user_line(f"tensor(): the nested sequences have different lengths ({error})")) from None
    if array.dtype == object or array.dtype.kind in "USO":
        raise TypeError(at_user_line(f"tensor(): can't make a tensor of {type(data).__name__} data {str(data)[:60]}"))
    if array.size == 0 and not isinstance(data, np.ndarray):
        return array.astype(get_default_dtype().numpy), get_default_dtype()
    kind = array.dtype.kind
    return array, dt.bool_ if kind == "b" else dt.int64 if kind in "iu" else get_default_dtype()


def _plain(data: Any) -> Any:
    """Nested sequences with any tensors in them read out."""
    if isinstance(data, TensorBase):
        return data.tolist()  # type: ignore[attr-defined]
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data


def full(
    size: Any, fill_value: float, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`size` filled with one value; its dtype follows the value unless given."""
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()  # type: ignore[attr-defined]
    shape = shape_of((size,))
    return made(build.const(fill_value, dtype or dt.of_scalar(fill_value, get_default_dtype()), _where(device), shape), requires_grad)


def zeros(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0, in the default dtype unless given."""
    return full(shape_of(size), 0, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def ones(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1, in the default dtype unless given."""
    return full(shape_of(size), 1, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def empty(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Unspecified values: here zeros, so that no run differs from another."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def rand(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform on [0, 1)."""
    source = generator or random.default_generator(_where(device))
    return made(random.uniform(shape_of(size), dtype or get_default_dtype(), source), requires_grad)


def randn(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal."""
    source = generator or random.default_generator(_where(device))
    return made(random.normal(shape_of(size), dtype or get_default_dtype(), source), requires_grad)


def arange(
    start: float, end: float | None = None, step: float = 1, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ... below end: int64 where all three are integers, else the default dtype."""
    if end is None:
        start, end = 0, start
    values = [v.item() if isinstance(v, TensorBase) else v for v in (start, end, step)]  # type: ignore[attr-defined]
    start, end, step = values
    if step == 0:
        raise RuntimeError(at_user_line("arange: step must be nonzero"))
    if (end - start) / step < 0:
        raise RuntimeError(at_user_line("arange: upper bound and lower bound inconsistent with step sign"))
    whole = all(isinstance(v, (int, np.integer)) for v in values)
    count = math.ceil((end - start) / step)
    found = dtype or (dt.int64 if whole else get_default_dtype())
    node = build.iota(count, _where(device))
    if not whole:
        node = build.cast(node, dt.float64)
    if step != 1:
        node = build.scale(node, step)
    if start != 0:
        node = build.shift(node, start)
    return made(build.cast(node, found), requires_grad)


__all__ = ["arange", "empty", "full", "is_scalar", "ones", "rand", "randn", "tensor", "zeros"]
