"""Parameters and buffers whose shape is not known yet, and the modules that learn it from their first input."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from lazygrad.dtype import DType
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Buffer, Parameter, replace_value
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import empty


class Uninitialized(Tensor):
    """A tensor that only knows its dtype and device until materialize() gives it a shape."""

    becomes: ClassVar[type[Tensor]]

    @property
    def shape(self) -> NoReturn:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: DType | None = None) -> None:
        """Become an ordinary parameter or buffer of this shape; its values are 0 until they are set."""
        value = empty(shape, device=self.device if device is None else device, dtype=dtype or self.dtype)
        replace_value(self, value.node)
        self.__class__ = self.becomes  # type: ignore[assignment]

    def detach(self) -> Tensor:
        """Itself: there is nothing to share."""
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):  # type: ignore[misc]
    becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: DType | None = None) -> None:
        Parameter.__init__(self, empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        twin = type(self)(self.requires_grad, self.device, self.dtype)
        return memo.setdefault(id(self), twin)


class UninitializedBuffer(Uninitialized, Buffer):
    becomes = Buffer

    def __init__(self, device: Any = None, dtype: DType | None = None, *, persistent: bool = True) -> None:
        Buffer.__init__(self, empty(0, device=device, dtype=dtype), persistent=persistent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        twin = type(self)(self.device, self.dtype, persistent=self.persistent)
        return memo.setdefault(id(self), twin)


class LazyModuleMixin(Module):
    """To be listed before the module it makes lazy. Its first call, or a state_dict, says the missing shapes; then it
    is of class `cls_to_become`.

    A subclass implements initialize_parameters(*args, **kwargs), which is given what forward() will be.
    """

    cls_to_become: ClassVar[type[Module]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy_hooks = (
            self.register_load_state_dict_pre_hook(_materialize_as_saved),
            self.register_forward_pre_hook(_infer, with_kwargs=True),
        )

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still has no shape."""
        held = (*self._parameters.values(), *self._buffers.values())
        return any(isinstance(t, Uninitialized) for t in held)

    def reset_parameters(self) -> None:
        """As the module's own, once there is something to set."""
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]


def _infer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
    for handle in module.__dict__.pop("_lazy_hooks"):
        handle.remove()
    module.__class__ = module.cls_to_become


def _materialize_as_saved(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        saved = state.get(prefix + name)
        if isinstance(tensor, Uninitialized) and isinstance(saved, Tensor) and not isinstance(saved, Uninitialized):
            tensor.materialize(tuple(saved.shape))
