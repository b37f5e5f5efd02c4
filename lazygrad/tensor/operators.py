"""Python's operators on tensors, in terms of the methods. Augmented assignment writes in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU
from lazygrad.dtype import from_numpy as dtype_of_numpy
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.creation import from_array
from lazygrad.tensor.promote import is_scalar

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def _usable(other: Any) -> bool:
    return is_scalar(other) or isinstance(other, TensorBase)


def _binary(name: str, swapped: bool = False, of_arrays: bool = False) -> Any:
    """`of_arrays`: NumPy's arrays are operands too, where NumPy would not find its own way."""

    def operator(self: Any, other: Any) -> Any:
        if (swapped or of_arrays) and isinstance(other, np.ndarray):
            other = type(self)._wrapped(from_array(other, CPU, dtype_of_numpy(other.dtype)))
        if not _usable(other):
            return NotImplemented
        if swapped:
            return getattr(as_tensor_like(self, other), name)(self)
        return getattr(self, name)(other)

    return operator


def _in_place(name: str) -> Any:
    def operator(self: Any, other: Any) -> Any:
        return getattr(self, name)(other) if _usable(other) else NotImplemented

    return operator


def as_tensor_like(self: Any, number: Any) -> Any:
    """A Python number as a 0-d tensor beside `self`, in the dtype it would promote to; a tensor as it is."""
    if isinstance(number, TensorBase):
        return number
    probe = self.add(number) if self.dtype.category else self.mul(number)
    node = build.const(number, probe.dtype, self.device)
    return type(self)._wrapped(node)


def _scalar(tensor: Any) -> Any:
    """The one element. ValueError for more or fewer, as torch has it where Python asks."""
    if tensor.numel() != 1:
        raise ValueError(at_user_line("only one element tensors can be converted to Python scalars"))
    return tensor.item()


class Operators(TensorBase):
    __slots__ = ()

    __add__ = __radd__ = _binary("add")
    __sub__ = _binary("sub")
    __rsub__ = _binary("rsub")
    __mul__ = __rmul__ = _binary("mul")
    __truediv__ = _binary("div")
    __rtruediv__ = _binary("div", swapped=True)
    __floordiv__ = _binary("floor_divide")
    __rfloordiv__ = _binary("floor_divide", swapped=True)
    __mod__ = _binary("remainder")
    __rmod__ = _binary("remainder", swapped=True)
    __pow__ = _binary("pow")
    __rpow__ = _binary("pow", swapped=True)
    __matmul__ = _binary("matmul")
    __rmatmul__ = _binary("matmul", swapped=True)
    __and__ = __rand__ = _binary("bitwise_and")
    __or__ = __ror__ = _binary("bitwise_or")
    __xor__ = __rxor__ = _binary("bitwise_xor")
    __lshift__ = _binary("bitwise_left_shift")
    __rshift__ = _binary("bitwise_right_shift")
    __rlshift__ = _binary("bitwise_left_shift", swapped=True)
    __rrshift__ = _binary("bitwise_right_shift", swapped=True)
    __lt__ = _binary("lt")
    __le__ = _binary("le")
    __gt__ = _binary("gt")
    __ge__ = _binary("ge")
    __eq__ = _binary("eq", of_arrays=True)
    __ne__ = _binary("ne", of_arrays=True)
    __iadd__ = _in_place("add_")
    __isub__ = _in_place("sub_")
    __imul__ = _in_place("mul_")
    __itruediv__ = _in_place("div_")
    __ifloordiv__ = _in_place("floor_divide_")
    __imod__ = _in_place("remainder_")
    __ipow__ = _in_place("pow_")
    __iand__ = _in_place("bitwise_and_")
    __ior__ = _in_place("bitwise_or_")
    __ixor__ = _in_place("bitwise_xor_")
    __ilshift__ = _in_place("bitwise_left_shift_")
    __irshift__ = _in_place("bitwise_right_shift_")

    def __neg__(self: Any) -> Tensor:
        return self.neg()

    def __pos__(self: Any) -> Tensor:
        return self

    def __abs__(self: Any) -> Tensor:
        return self.abs()

    def __invert__(self: Any) -> Tensor:
        if self.dtype.is_floating_point:
            raise TypeError(at_user_line("~ (operator.invert) is only implemented on integer and Boolean-type tensors"))
        return self.bitwise_not()

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self: Any) -> bool:
        return self.is_nonzero()

    def __float__(self: Any) -> float:
        return float(_scalar(self))

    def __int__(self: Any) -> int:
        return int(_scalar(self))

    def __complex__(self: Any) -> complex:
        return complex(_scalar(self))

    def __index__(self: Any) -> int:
        if self.numel() != 1 or self.dtype.is_floating_point:
            raise TypeError(at_user_line("only integer tensors of a single element can be converted to an index"))
        return int(self.item())

    def __reversed__(self: Any) -> Tensor:
        return self.flip(0) if self.ndim else self

    def __format__(self: Any, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)
