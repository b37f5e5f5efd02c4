"""torch's old typed constructors: FloatTensor(2, 3) is empty(2, 3), FloatTensor([1, 2]) holds those values."""

from __future__ import annotations

from typing import Any

from lazygrad.tensor.conversion import TYPE_NAMES
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.creation import empty, tensor


class _OfDtype(type):
    """isinstance(x, FloatTensor) asks for the dtype."""

    dtype: Any

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, TensorBase) and value.dtype is cls.dtype

    def __call__(cls, *args: Any) -> Any:
        if len(args) == 1 and not isinstance(args[0], int):
            return tensor(args[0], dtype=cls.dtype)
        return empty(*args if args else (0,), dtype=cls.dtype)


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
