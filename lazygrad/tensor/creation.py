"""Tensors from nothing: creation functions with torch's names, defaults and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU, Device, get_default_device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType, bool_, int64, of_scalar
from lazygrad.dtype import from_numpy as dtype_of_numpy
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.runtime.array import upload
from lazygrad.runtime.buffer import Buffer
from lazygrad.shape import Shape
from lazygrad.tensor import random
from lazygrad.tensor.arguments import check_tensor, integers
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.promote import get_default_dtype

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


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor holding a copy of `data`: numbers, nested sequences, NumPy arrays or tensors."""
    if isinstance(data, TensorBase):
        node = build.detach(data.node)
        node = build.copy(node, placed(device) if device is not None else node.device)
        return made(build.cast(node, dtype or node.dtype), requires_grad)
    array, found = _host_array(data)
    return made(from_array(array, placed(device), dtype or found), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """`data` itself where it is a tensor of that dtype and device, else a tensor of it."""
    if isinstance(data, TensorBase):
        return data.to(device if device is not None else data.device, dtype or data.dtype)
    if isinstance(data, np.ndarray) and placed(device).type == "cpu" and dtype in (None, _dtype_of(data)):
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


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
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        return array, dtype_of_numpy(array.dtype)
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
    first = data
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, (np.ndarray, np.generic)):  # NumPy's own numbers bring their dtype
        return array, dtype_of_numpy(array.dtype)
    kind = array.dtype.kind
    return array, bool_ if kind == "b" else int64 if kind in "iu" else get_default_dtype()


def _plain(data: Any) -> Any:
    """Nested sequences with any tensors in them read out."""
    if isinstance(data, TensorBase):
        return data.tolist()
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data


def full(
    size: Any, fill_value: float, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`size` filled with one value; its dtype follows the value unless given."""
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()
    shape = shape_of((size,))
    return made(
        build.const(fill_value, dtype or of_scalar(fill_value, get_default_dtype()), placed(device), shape),
        requires_grad,
    )


def zeros(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0, in the default dtype unless given."""
    return full(shape_of(size), 0, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def ones(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1, in the default dtype unless given."""
    return full(shape_of(size), 1, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def empty(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Unspecified values: here zeros, so that no run differs from another."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """One value in the shape, dtype and on the device of `input`."""
    check_tensor(input, "full_like", "input")
    where = input.device if device is None else placed(device)
    return full(input.node.shape, fill_value, dtype=dtype or input.dtype, device=where, requires_grad=requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """All 0, like `input`."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """All 1, like `input`."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Unspecified values (zeros), like `input`."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


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

    def new_tensor(
        self, data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """A copy of `data`."""
        return tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

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

    def new_zeros(
        self, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """All 0."""
        return self.new_full(shape_of(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_ones(
        self, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """All 1."""
        return self.new_full(shape_of(size), 1, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_empty(
        self, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """Unspecified values: zeros."""
        return self.new_full(shape_of(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)


__all__ = [
    "NewLike",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
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
