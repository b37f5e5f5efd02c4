"""Module: a tree of parameters, buffers and submodules with a forward(): calls, modes, placement, state."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from lazygrad.device import Device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType, bfloat16, float16, float32, float64
from lazygrad.nn.hooks import HookedModule
from lazygrad.nn.parameter import moved, replace_value
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode

M = TypeVar("M", bound="Module")

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What load_state_dict(strict=False) could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module(HookedModule):
    """Base class of neural network modules. See torch.nn.Module."""

    # -- calling
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

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

    def _convert(self: M, device: Device | None, dtype: DType | None) -> M:
        """Move every parameter, its gradient and every buffer; only floats change dtype."""
        for module in self.modules():
            for tensor in itertools.chain(module._parameters.values(), module._buffers.values()):
                if tensor is not None:
                    _convert_tensor(tensor, device, dtype)
                    if tensor.grad is not None:
                        _convert_tensor(tensor.grad, device, dtype)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """to(device), to(dtype), to(device, dtype) or to(tensor): in place, the parameters stay the same
        objects."""
        device, dtype = _placement(args, kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        return self._convert(device, dtype)

    def cpu(self: M) -> M:
        return self._convert(parse_device("cpu"), None)

    def cuda(self: M, device: Any = None) -> M:
        return self._convert(parse_device("cuda" if device is None else device), None)

    def type(self: M, dst_type: DType) -> M:
        return self._convert(None, dst_type)

    def float(self: M) -> M:
        return self._convert(None, float32)

    def double(self: M) -> M:
        return self._convert(None, float64)

    def half(self: M) -> M:
        return self._convert(None, float16)

    def bfloat16(self: M) -> M:
        return self._convert(None, bfloat16)

    # -- saving
    def get_extra_state(self) -> Any:
        """What else belongs into state_dict; overridden together with set_extra_state."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent:
                yield name, buffer

    def state_dict(
        self, destination: dict[str, Any] | None = None, *, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Names to values of all parameters and persistent buffers; the values share memory with the
        module."""
        result: dict[str, Any] = OrderedDict() if destination is None else destination
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        for name, tensor in self._own_state():
            result[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            result[prefix + EXTRA_STATE] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(result, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            hook(self, result, prefix, {})
        return result

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names.

        RuntimeError listing missing and unexpected names (when strict) and every size that differs.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        state = OrderedDict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        known: set[str] = set()
        for prefix, module in self.named_modules(remove_duplicate=False):
            lead = prefix + "." if prefix else ""
            for hook in module._load_state_dict_pre_hooks.values():
                hook(module, state, lead, {}, strict, missing, unexpected, errors)
            known.update(module._load(state, lead, missing, errors, assign))
        unexpected += [key for key in state if key not in known]
        found = IncompatibleKeys(missing, unexpected)
        for module in reversed(list(self.modules())):
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, found) is not None:
                    raise RuntimeError("a load_state_dict post hook changes the lists it is given and returns None")
        if strict:
            if unexpected:
                names = ", ".join(f'"{k}"' for k in unexpected)
                errors.insert(0, f"Unexpected key(s) in state_dict: {names}. ")
            if missing:
                errors.insert(
                    0, "Missing key(s) in state_dict: {}. ".format(", ".join(f'"{k}"' for k in missing))
                )
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        return found

    def _load(
        self, state: Mapping[str, Any], prefix: str, missing: list[str], errors: list[str], assign: bool
    ) -> Iterator[str]:
        """Load what lies in this module itself; yields the names that belong to it."""
        for name, tensor in list(self._own_state()):
            key = prefix + name
            yield key
            if key not in state:
                missing.append(key)
                continue
            error = _load_tensor(key, tensor, state[key], assign)
            if error:
                errors.append(error)
        if type(self).set_extra_state is not Module.set_extra_state:
            yield prefix + EXTRA_STATE
            if prefix + EXTRA_STATE in state:
                self.set_extra_state(state[prefix + EXTRA_STATE])
            else:
                missing.append(prefix + EXTRA_STATE)

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


def _convert_tensor(tensor: Tensor, device: Device | None, dtype: DType | None) -> None:
    wanted = dtype if tensor.dtype.is_floating_point else None
    if (device is None or device == tensor.device) and wanted in (None, tensor.dtype):
        return
    replace_value(tensor, moved(tensor._cell.node if not tensor._path else tensor.node, device, wanted))


def _placement(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Device | None, DType | None]:
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


def _load_tensor(key: str, tensor: Tensor, value: Any, assign: bool) -> str | None:
    """Copy `value` in; returns what is wrong with it, if anything."""
    if not isinstance(value, Tensor):
        return (
            f"While copying the parameter named {key!r}, expected torch.Tensor or Tensor-like object from "
            f"checkpoint but received {type(value)}"
        )
    if tuple(value.shape) != tuple(tensor.shape):
        return (
            f"size mismatch for {key}: copying a param with shape torch.Size({list(value.shape)}) from "
            f"checkpoint, "
            f"the shape in current model is torch.Size({list(tensor.shape)})."
        )
    with grad_mode(False):
        if assign:
            replace_value(tensor, value.node)
        else:
            tensor.copy_(value)
    return None
