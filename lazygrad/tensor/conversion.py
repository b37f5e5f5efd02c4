"""Conversions between dtypes and devices. Their names shadow Python's types, so annotations here say Any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad import engine
from lazygrad.device import Device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType, bfloat16, bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from lazygrad.dtype import of as dtype_of
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.memory_layout import check_memory_format
from lazygrad.tensor.core import TensorBase, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

TYPE_NAMES = {
    "Float": float32,
    "Double": float64,
    "Half": float16,
    "BFloat16": bfloat16,
    "Byte": uint8,
    "Char": int8,
    "Short": int16,
    "Int": int32,
    "Long": int64,
    "Bool": bool_,
}  # torch's legacy names: "torch.FloatTensor"


class Conversion(TensorBase):
    __slots__ = ()

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """to(dtype), to(device), to(device, dtype), to(other), with non_blocking= and copy=.

        Returns self where nothing changes and copy is not asked for.
        """
        device, dtype, copy = parse_to(args, kwargs)
        node = self.node
        moved = build.cast(node, dtype or node.dtype)
        moved = build.copy(moved, device or node.device)
        if moved.op is ops.COPY and moved.src[0].computed is not None and not moved.needs_grad:
            engine.realize([moved])  # a batch that is there already starts on its way now, beside what the device does
        return self if moved is node and not copy else wrap(moved)  # type: ignore[return-value]

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """Without argument torch's name of the type ("torch.FloatTensor"); else converted to `dtype`."""
        if dtype is None:
            name = next(name for name, found in TYPE_NAMES.items() if found is self.dtype)
            return f"torch.{'cuda.' if self.is_cuda else ''}{name}Tensor"
        if isinstance(dtype, str):
            wanted = TYPE_NAMES.get(dtype.split(".")[-1].removesuffix("Tensor"))
            if wanted is None:
                raise ValueError(at_user_line(f"invalid type: '{dtype}'"))
            return self.to("cuda" if ".cuda." in dtype else "cpu", wanted)
        if not isinstance(dtype, DType):
            dtype = getattr(dtype, "dtype", dtype)
        if not isinstance(dtype, DType):
            raise ValueError(at_user_line(f"invalid type: {getattr(dtype, '__name__', dtype)!r}"))
        return self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """Converted to the dtype and device of `other`."""
        return self.to(other.device, other.dtype)

    def float(self, memory_format: Any = None) -> Tensor:
        return self.to(float32)

    def double(self, memory_format: Any = None) -> Tensor:
        return self.to(float64)

    def half(self, memory_format: Any = None) -> Tensor:
        return self.to(float16)

    def bfloat16(self, memory_format: Any = None) -> Tensor:
        return self.to(bfloat16)

    def long(self, memory_format: Any = None) -> Tensor:
        return self.to(int64)

    def int(self, memory_format: Any = None) -> Tensor:
        return self.to(int32)

    def short(self, memory_format: Any = None) -> Tensor:
        return self.to(int16)

    def char(self, memory_format: Any = None) -> Tensor:
        return self.to(int8)

    def byte(self, memory_format: Any = None) -> Tensor:
        return self.to(uint8)

    def bool(self, memory_format: Any = None) -> Tensor:
        return self.to(bool_)

    def cpu(self, memory_format: Any = None) -> Tensor:
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Tensor:
        """On a GPU (the first, unless given)."""
        return self.to("cuda" if device is None else device)

    def pin_memory(self, device: Any = None) -> Tensor:
        """Itself: transfers choose their own staging."""
        return self  # type: ignore[return-value]

    def share_memory_(self) -> Tensor:
        """Itself."""
        return self  # type: ignore[return-value]


def parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Device | None, DType | None, Any]:
    """(device, dtype, copy) of any call form of Tensor.to. TypeError for what no form has."""
    device: Device | None = None
    dtype: DType | None = None
    found = [*args, *(kwargs[k] for k in ("device", "dtype", "other", "tensor") if kwargs.get(k) is not None)]
    unknown = set(kwargs) - {"device", "dtype", "other", "tensor", "non_blocking", "copy", "memory_format"}
    if unknown:
        raise TypeError(at_user_line(f"to() got an unexpected keyword argument '{min(unknown)}'"))
    check_memory_format(kwargs.get("memory_format"), "to")
    flags = []
    for value in found:
        if value is None:
            continue
        if isinstance(value, (DType, type)):
            dtype = dtype_of(value)
        elif isinstance(value, TensorBase):
            device, dtype = value.device, value.dtype
        elif value is True or value is False:
            flags.append(value)
        elif isinstance(value, (str, Device, int)):
            device = parse_device(value)
        else:
            raise TypeError(at_user_line(f"to(): expected a dtype, a device or a Tensor, got {value!r:.60}"))
    return device, dtype, kwargs.get("copy", flags[1] if len(flags) > 1 else False)
