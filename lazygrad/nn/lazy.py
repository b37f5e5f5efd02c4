"""Modules that learn the shapes of their parameters from their first input."""

from __future__ import annotations

from typing import Any, ClassVar

from lazygrad.nn.module import Module
from lazygrad.nn.parameter import is_lazy
from lazygrad.tensor import Tensor


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
        return any(is_lazy(t) for t in held)

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
        if is_lazy(tensor) and isinstance(saved, Tensor) and not is_lazy(saved):
            tensor.materialize(tuple(saved.shape))
