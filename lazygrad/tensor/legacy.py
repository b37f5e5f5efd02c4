"""torch's old typed constructors: FloatTensor(2, 3) is empty(2, 3), FloatTensor([1, 2]) holds those values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import set_default_device
from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.tensor.conversion import TYPE_NAMES
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.creation import empty, tensor
from lazygrad.tensor.promote import get_default_dtype, set_default_dtype
from lazygrad.tensor.size import Size

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def constructed(data: tuple[Any, ...], dtype: DType | None = None) -> Tensor:
    """What Tensor(*data) and its typed kin hold: of sizes that shape, unset; else values. dtype None: the default."""
    dtype = dtype or get_default_dtype()
    if len(data) == 1 and not isinstance(data[0], (int, np.integer, Size)):
        return tensor(data[0], dtype=dtype)
    return empty(*data or (0,), dtype=dtype)


class _OfDtype(type):
    """isinstance(x, FloatTensor) asks for the dtype."""

    dtype: Any

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, TensorBase) and value.dtype is cls.dtype

    def __call__(cls, *data: Any) -> Any:
        return constructed(data, cls.dtype)


def _typed(name: str) -> Any:
    return _OfDtype(
        f"{name}Tensor", (), {"dtype": TYPE_NAMES[name], "__doc__": f"Old name of {TYPE_NAMES[name].name} tensors."}
    )


FloatTensor = _typed("Float")
DoubleTensor = _typed("Double")
HalfTensor = _typed("Half")
BFloat16Tensor = _typed("BFloat16")
ByteTensor = _typed("Byte")
CharTensor = _typed("Char")
ShortTensor = _typed("Short")
IntTensor = _typed("Int")
LongTensor = _typed("Long")
BoolTensor = _typed("Bool")


def set_default_tensor_type(t: Any) -> None:
    """The dtype (and device) of tensors made from Python floats, by an old name: DoubleTensor or
    "torch.cuda.FloatTensor". TypeError for another name."""
    name = t if isinstance(t, str) else getattr(t, "__name__", repr(t))
    kind = name.split(".")[-1].removesuffix("Tensor")
    if kind not in TYPE_NAMES:
        raise TypeError(at_user_line(f"invalid type object: {name!r}; use one such as 'torch.FloatTensor'"))
    set_default_dtype(TYPE_NAMES[kind])
    set_default_device("cuda" if ".cuda." in name else "cpu")
