"""Tensors from nothing: creation functions with torch's names, defaults and errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU, Device, get_default_device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType, of_scalar
from lazygrad.dtype import from_numpy as dtype_of_numpy
from lazygrad.dtype import of as dtype_of
from lazygrad.dtype import promote as promote_types
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.runtime.array import upload
from lazygrad.runtime.buffer import Buffer
from lazygrad.shape import Shape
from lazygrad.tensor import random
from lazygrad.tensor.arguments import check_tensor, integers
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.keywords import factory
from lazygrad.tensor.promote import get_default_dtype, is_scalar

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def shape_of(size: tuple[Any, ...]) -> Shape:
    """torch's f(2, 3) and f((2, 3)): the shape. RuntimeError for negative sizes, TypeError for non-integers."""
    shape = integers(size, "size")
    if any(n < 0 for n in shape):
        raise RuntimeError(at_user_line(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"))
    return shape


def made(node: Node, requires_grad: bool = False) -> Tensor:
    tensor = wrap(node)
    tensor._cell.row_major = True
    return tensor.requires_grad_() if requires_grad else tensor


def placed(device: Any) -> Device:
    """The device asked for, or the default one."""
    return get_default_device() if device is None else parse_device(device)


def from_array(array: np.ndarray[Any, Any], device: Device, dtype: DType) -> Node:
    """A host array as a leaf on the device: uploaded (or copied) now."""
    held = upload(np.asarray(array, dtype=dtype.numpy), device)
    return build.buffer(Buffer(held, dtype, array.shape, device), dtype, array.shape, device)


@factory
def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor holding a copy of `data`: numbers, nested sequences, NumPy arrays or tensors."""
    if isinstance(data, TensorBase):
        node = build.detach(data.node)
        node = build.copy(node, placed(device) if device is not None else node.device)
        return made(build.cast(node, dtype_of(dtype) or node.dtype), requires_grad)
    array, found = _host_array(data)
    return made(from_array(array, placed(device), dtype_of(dtype) or found), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """`data` itself where it is a tensor of that dtype and device, else a tensor of it."""
    dtype = dtype_of(dtype)
    if isinstance(data, TensorBase):
        return data.to(device if device is not None else data.device, dtype or data.dtype)
    if isinstance(data, np.ndarray) and placed(device).type == "cpu" and dtype in (None, _dtype_of(data)):
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


def _dtype_of(array: np.ndarray[Any, Any]) -> DType:
    return dtype_of_numpy(array.dtype)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A CPU tensor of a NumPy array's values. TypeError for anything else, and for dtypes lazygrad lacks.

    The values are copied, where torch shares the memory: what is computed from a tensor is computed later, and
    would see what was written to the array in between. Who wants to share asks for it: from_dlpack(array).
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(at_user_line(f"expected np.ndarray (got {type(array).__name__})"))
    return made(from_array(array, CPU, _dtype_of(array)))


def _host_array(data: Any) -> tuple[np.ndarray[Any, Any], DType]:
    """The values on the host, and the dtype that torch infers: what all elements promote to, NumPy's numbers and
    tensors bringing their own dtype and Python's numbers that of their kind."""
    if hasattr(data, "__array__"):
        array = np.asarray(data)
        return array, dtype_of_numpy(array.dtype)
    kinds: set[Any] = set()
    plain = _plain(data, kinds)
    found = [_dtype_of_kind(kind) for kind in kinds]
    try:
        array = np.array(plain)
    except ValueError as error:
        raise ValueError(at_user_line(f"tensor(): the nested sequences have different lengths ({error})")) from None
    if array.dtype == object:
        raise ValueError(at_user_line(f"tensor(): a number in {str(data)[:60]} is too large for int64"))
    return array, reduce(promote_types, found) if found else get_default_dtype()


def _plain(data: Any, kinds: set[Any]) -> Any:
    """Nested lists with all tensors in them read out, those of one element as numbers. The dtypes of tensors and arrays
    and the types of numbers are added to `kinds`."""
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [_plain(x, kinds) for x in data]
    if isinstance(data, TensorBase):
        kinds.add(data.dtype)
        return data.item() if data.node.numel == 1 else data.tolist()
    kinds.add(data.dtype if isinstance(data, (np.ndarray, np.generic)) else type(data))
    return data


def _dtype_of_kind(kind: Any) -> DType:
    if isinstance(kind, DType):
        return kind
    if isinstance(kind, np.dtype):
        return dtype_of_numpy(kind)
    if issubclass(kind, (bool, int, float)):
        return of_scalar(kind(), get_default_dtype())
    if issubclass(kind, (str, bytes)):
        raise TypeError(at_user_line(f"tensor(): invalid data type '{kind.__name__}'"))
    raise RuntimeError(at_user_line(f"tensor(): Could not infer dtype of {kind.__name__}"))


@factory
def full(
    size: Any, fill_value: float, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`size` filled with one value; its dtype follows the value unless given."""
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()
    if not is_scalar(fill_value):
        raise TypeError(at_user_line(f"full(): 'fill_value' must be a number, not {type(fill_value).__name__}"))
    shape = shape_of((size,))
    return made(
        build.const(fill_value, dtype_of(dtype) or of_scalar(fill_value, get_default_dtype()), placed(device), shape),
        requires_grad,
    )


@factory
def zeros(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0, in the default dtype unless given."""
    return full(shape_of(size), 0, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


@factory
def ones(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1, in the default dtype unless given."""
    return full(shape_of(size), 1, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


@factory
def empty(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Unspecified values: here zeros, so that no run differs from another."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


@factory
def empty_strided(
    size: Any, stride: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros that lie in memory of their own, element (i, j, ...) at i * stride[0] + j * stride[1] + ..."""
    shape, strides = shape_of((size,)), integers((stride,), "empty_strided(): stride")
    reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=False))
    line = zeros(reach + 1 if math.prod(shape) else 0, dtype=dtype, device=device)
    view = line.as_strided(shape, strides)
    return view.requires_grad_() if requires_grad else view


@factory
def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros whose dimensions lie in memory in the order of physical_layout, the outermost first."""
    shape, order = shape_of((size,)), integers((physical_layout,), "empty_permuted(): physical_layout")
    if sorted(order) != list(range(len(shape))):
        raise RuntimeError(at_user_line(f"empty_permuted(): physical_layout {order} is no order of size {list(shape)}"))
    view = zeros([shape[i] for i in order], dtype=dtype, device=device).permute(sorted(order, key=order.__getitem__))
    return view.requires_grad_() if requires_grad else view


@factory
def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value in the shape, dtype and on the device of `input`."""
    check_tensor(input, "full_like", "input")
    where = input.device if device is None else placed(device)
    return full(input.node.shape, fill_value, dtype=dtype or input.dtype, device=where, requires_grad=requires_grad)


@factory
def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """All 0, like `input`."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


@factory
def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """All 1, like `input`."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


@factory
def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Unspecified values (zeros), like `input`."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


@factory
def rand(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform on [0, 1)."""
    source = generator or random.default_generator(placed(device))
    return made(random.uniform(shape_of(size), dtype or get_default_dtype(), source), requires_grad)


@factory
def randn(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal."""
    source = generator or random.default_generator(placed(device))
    return made(random.normal(shape_of(size), dtype or get_default_dtype(), source), requires_grad)


class NewLike(TensorBase):
    """new_*: made with this tensor's dtype and device unless others are given."""

    __slots__ = ()

    @factory
    def new_tensor(
        self, data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """A copy of `data`."""
        return tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    @factory
    def new_full(
        self,
        size: Any,
        fill_value: float,
        *,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        """One value everywhere."""
        return full(
            size, fill_value, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad
        )

    @factory
    def new_zeros(
        self, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """All 0."""
        return self.new_full(shape_of(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    @factory
    def new_ones(
        self, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """All 1."""
        return self.new_full(shape_of(size), 1, dtype=dtype, device=device, requires_grad=requires_grad)

    @factory
    def new_empty(
        self, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """Unspecified values: zeros."""
        return self.new_full(shape_of(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    @factory
    def new_empty_strided(
        self, size: Any, stride: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """empty_strided(size, stride)."""
        where = device or self.device
        return empty_strided(size, stride, dtype=dtype or self.dtype, device=where, requires_grad=requires_grad)


__all__ = [
    "NewLike",
    "as_tensor",
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "from_array",
    "from_numpy",
    "full",
    "full_like",
    "made",
    "ones",
    "ones_like",
    "placed",
    "rand",
    "randn",
    "shape_of",
    "tensor",
    "zeros",
    "zeros_like",
]
