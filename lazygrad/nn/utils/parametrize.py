"""Parametrizations: a parameter or buffer of a module that is computed, at every access, from others.

The module gets a class of its own in which the tensor is a property; what it is computed from lies under
`module.parametrizations.<name>`, with torch's names in state_dict: `original`, or `original0`, `original1`, ...
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lazygrad.nn.containers import ModuleDict, ModuleList
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Buffer, Parameter, replace_value
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode

_cache: ContextVar[dict[tuple[int, str], Tensor] | None] = ContextVar("lazygrad_parametrize_cache", default=None)


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed at its first access only. Blocks may be nested."""
    token = _cache.set({}) if _cache.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _cache.reset(token)


def _as_leaf(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` as what `like` is: a parameter, or a buffer."""
    if isinstance(like, Parameter):
        return tensor if isinstance(tensor, Parameter) else Parameter(tensor, like.requires_grad)
    return tensor.detach()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order they are applied, and what the first of them is given."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        with grad_mode(False):
            values = self._inverted(original)
        self.is_tensor = isinstance(values, Tensor)
        if self.is_tensor:
            self.ntensors = 1
            if original.dtype is not values.dtype and not unsafe:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the dtype: {original.dtype} became "
                    f"{values.dtype}"
                )
            # the parameter itself goes on, so that optimizers that hold it do
            if values is not original:
                replace_value(original, values.node)
            self._keep("original", original)
        else:
            self.ntensors = len(values)
            for i, value in enumerate(values):
                if not isinstance(value, Tensor):
                    raise ValueError(f"`right_inverse` must return Tensors, got {type(value).__name__}")
                self._keep(f"original{i}", _as_leaf(value, original))
        if not unsafe:
            self._check(original, values)

    def _keep(self, name: str, value: Tensor) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)

    def _inverted(self, value: Any) -> Any:
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                if module is not self[0]:
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse, which all but the "
                        "first need"
                    )
                return value
            value = module.right_inverse(value)
        return value

    def _check(self, original: Tensor, values: Any) -> None:
        found = self()
        if not isinstance(found, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(found).__name__}.")
        shape = original.shape if not self.is_tensor else values.shape
        if found.dtype is not original.dtype or tuple(found.shape) != tuple(shape):
            raise ValueError(
                "Registering a parametrization may not change the shape or dtype of the tensor, unless the `unsafe` "
                f"flag is enabled: {list(shape)} of {original.dtype} became {list(found.shape)} of {found.dtype}"
            )

    def originals(self) -> list[Tensor]:
        """What the first parametrization is given."""
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Write what the parametrizations make `value` of, as far as they can."""
        with grad_mode(False):
            values = self._inverted(value)
            for held, new in zip(self.originals(), [values] if self.is_tensor else values, strict=True):
                replace_value(held, new.node)

    def forward(self) -> Any:
        value = self[0](*self.originals())
        for module in list(self)[1:]:
            value = module(value)
        return value


# -- the module's own class ---------------------------------------------------------------------------
def _copy_deep(self: Module, memo: dict[int, Any]) -> Module:
    kind = type(self)
    fields = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    own: Any = type(kind.__name__, kind.__bases__, fields)  # what is parametrized later is so in one of them
    twin = own.__new__(own)
    memo[id(self)] = twin
    twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return twin


def _refuse_pickling(self: Module) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). Or take the parametrizations "
        "off with parametrize.remove_parametrizations first."
    )


def _give_own_class(module: Module) -> None:
    base = type(module)
    fields = {"__deepcopy__": _copy_deep, "__getstate__": _refuse_pickling, "__module__": base.__module__}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), fields)


def _property(name: str) -> property:
    def read(self: Module) -> Tensor:
        made = self.parametrizations[name]
        store = _cache.get()
        if store is None:
            return made()
        key = (id(self), name)
        if key not in store:
            store[key] = made()
        return store[key]

    def write(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether anything of the module, or this tensor, is parametrized."""
    held = module._modules.get("parametrizations")
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def type_before_parametrizations(module: Module) -> type[Module]:
    """The module's class without the one that parametrizing gave it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute module.<tensor_name> as parametrization(original). Returns the module.

    A `right_inverse` method says what original a value comes from; without one the value itself is the original. May
    be called again to apply another on top. ValueError where the result has another shape or dtype, unless `unsafe`.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        made = module.parametrizations[tensor_name]
        before = getattr(module, tensor_name)
        if not unsafe:
            after = parametrization(before)
            if not isinstance(after, Tensor) or after.shape != before.shape or after.dtype is not before.dtype:
                raise ValueError(
                    "Registering a parametrization may not change the shape or dtype of the tensor, unless the "
                    "`unsafe` flag is enabled"
                )
        made.append(parametrization)
        made.unsafe |= unsafe
        if hasattr(parametrization, "right_inverse"):
            made.right_inverse(before)
        return module
    table = module._parameters if tensor_name in module._parameters else module._buffers
    original = table.get(tensor_name)
    if original is None:
        raise ValueError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a parametrized element with "
            f"name '{tensor_name}'"
        )
    made = ParametrizationList([parametrization], original, unsafe=unsafe)
    made.train(module.training)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _give_own_class(module)
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = made
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor an ordinary one again: with its present value, or with leave_parametrized=False the original's.

    Returns the module. ValueError where it is not parametrized, or has no single original to leave.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    held = made.originals()[0]
    if leave_parametrized:
        with grad_mode(False):
            value = getattr(module, tensor_name)
        if made.is_tensor:
            replace_value(held, value.node)
        elif isinstance(held, Parameter):
            held = Parameter(value, held.requires_grad)
        else:
            held = value.detach()
    elif not made.is_tensor:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that has several originals")
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    if isinstance(held, Parameter):
        module.register_parameter(tensor_name, held)
    else:
        module.register_buffer(tensor_name, held if not isinstance(held, Buffer) else held.detach())
    return module
