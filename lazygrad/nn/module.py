"""Module: a tree of parameters, buffers and submodules with a forward(): calls, modes, placement, state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

from lazygrad.device import Device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType, bfloat16, float16, float32, float64
from lazygrad.errors import at_user_line
from lazygrad.memory_layout import check_memory_format
from lazygrad.nn.parameter import replace_value
from lazygrad.nn.saving import SavedModule
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode
from lazygrad.tensor.creation import empty_like

M = TypeVar("M", bound="Module")


class Module(SavedModule):
    """Base class of neural network modules. See torch.nn.Module."""

    # -- calling
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # -- modes and placement
    def train(self: M, mode: bool = True) -> M:
        """Set training mode here and below: dropout drops, batch norm uses the batch's statistics."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Switch gradients of all parameters on or off."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call function(module) on everything below, then on this module."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Put fn(tensor) in the place of the value of every parameter, its gradient and every buffer. The tensors stay
        the same objects, so that optimizers go on with them."""
        for module in self.children() if recurse else ():
            module._apply(fn)
        for tensor in itertools.chain(self._parameters.values(), self._buffers.values()):
            for held in () if tensor is None else (tensor, tensor.grad):
                if held is not None:
                    _replace(held, fn)
        return self

    def _convert(self: M, device: Device | None, dtype: DType | None) -> M:
        """Only floats change dtype."""
        return self._apply(lambda t: t.to(device=device, dtype=dtype if t.is_floating_point() else None))

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """to(device), to(dtype), to(device, dtype) or to(tensor): in place, the parameters stay the same
        objects."""
        device, dtype = _placement(args, kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        return self._convert(device, dtype)

    def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
        """Move parameters and buffers to a device without their values: what they hold then is unspecified."""
        return self._apply(lambda t: empty_like(t, device=device or t.device), recurse)

    def cpu(self: M) -> M:
        return self._convert(parse_device("cpu"), None)

    def cuda(self: M, device: Any = None) -> M:
        return self._convert(parse_device("cuda" if device is None else device), None)

    def xpu(self: M, device: Any = None) -> M:
        """NotImplementedError: lazygrad computes on CPUs and on NVIDIA GPUs. So ipu() and mtia()."""
        raise NotImplementedError(at_user_line("lazygrad has no such device: it computes on 'cpu' and on 'cuda'"))

    ipu = mtia = xpu

    def share_memory(self: M) -> M:
        """As share_memory_() of every tensor."""
        return self._apply(lambda t: t.share_memory_())

    def type(self: M, dst_type: Any) -> M:
        """Every parameter and buffer in this dtype, whole numbers too."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self: M) -> M:
        return self._convert(None, float32)

    def double(self: M) -> M:
        return self._convert(None, float64)

    def half(self: M) -> M:
        return self._convert(None, float16)

    def bfloat16(self: M) -> M:
        return self._convert(None, bfloat16)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what a module computes is compiled when it is asked for. torch.compile's options are accepted."""

    # -- printing
    def extra_repr(self) -> str:
        """What stands between the parentheses of repr()."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + repr(m).replace("\n", "\n  ") for name, m in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def _replace(tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> None:
    with grad_mode(False):
        value = fn(tensor)
    if value is not tensor:
        replace_value(tensor, value.node)


def _placement(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Device | None, DType | None]:
    unknown = set(kwargs) - {"device", "dtype", "tensor", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(at_user_line(f"to() received an invalid keyword argument: {sorted(unknown)}"))
    check_memory_format(kwargs.get("memory_format"), "to")
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    other = kwargs.get("tensor")
    for value in args:
        if isinstance(value, DType):
            dtype = value
        elif isinstance(value, Tensor):
            other = value
        elif not isinstance(value, bool) and value is not None:
            device = value
    if other is not None:
        device, dtype = other.device, other.dtype
    return (None if device is None else parse_device(device)), dtype
