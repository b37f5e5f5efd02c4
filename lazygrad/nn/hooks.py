"""Hooks of modules: what is called before and after forward(), and with the gradients at a module's borders.

A border is a call whose gradient is itself (ir/custom.py): the sweep brings the gradients of everything that
crosses it together, once they are complete, and takes on what the hooks return.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir.custom import custom
from lazygrad.ir.node import Node
from lazygrad.nn.tree import ModuleTree
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import is_grad_enabled, wrap
from lazygrad.tensor.custom import TensorCall
from lazygrad.tensor.hooks import RemovableHandle

Hook = Callable[..., Any]
Gradients = tuple[Tensor | None, ...]


class HookedModule(ModuleTree):
    """The part of Module that calls hooks and registers them."""

    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        pending = list(self._forward_hooks)
        result = None
        try:
            args, kwargs = self._before_forward(args, kwargs)
            borders = None
            if (self._backward_hooks or self._backward_pre_hooks) and is_grad_enabled():
                borders = _Borders(self)
                args = borders.entered(args)
            result = self.forward(*args, **kwargs)
            while pending:
                result = self._after_forward(pending.pop(0), args, kwargs, result)
            return result if borders is None else borders.left(result)
        except Exception:
            for number in pending:
                if number in self._always_called_hooks:
                    result = self._after_forward(number, args, kwargs, result)
            raise

    def _before_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for number, hook in list(self._forward_pre_hooks.items()):
            if number not in self._hooks_with_kwargs:
                replaced = hook(self, args)
                if replaced is not None:
                    args = replaced if isinstance(replaced, tuple) else (replaced,)
                continue
            replaced = hook(self, args, kwargs)
            if replaced is not None:
                if not isinstance(replaced, tuple) or len(replaced) != 2:
                    raise RuntimeError(
                        at_user_line(
                            "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
                            f"{replaced}."
                        )
                    )
                args, kwargs = replaced
        return args, kwargs

    def _after_forward(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        hook = self._forward_hooks.get(number)
        if hook is None:  # removed by a hook before it
            return result
        with_kwargs = number in self._hooks_with_kwargs
        replaced = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
        return result if replaced is None else replaced

    # -- registration
    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args, output) after forward; what it returns, if anything, is the output.

        `with_kwargs`: hook(module, args, kwargs, output). `prepend`: before the hooks that are there.
        `always_call`: also where forward raises, with the output None.
        """
        handle = self._register(self._forward_hooks, hook, prepend, with_kwargs)
        if always_call:
            self._always_called_hooks.add(handle.id)
        return handle

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before forward; what it returns, if anything, are the arguments.

        `with_kwargs`: hook(module, args, kwargs), which returns None or (args, kwargs).
        """
        return self._register(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_input, grad_output) when the gradients of the module's positional inputs are
        complete; what it returns, if anything, goes on in place of grad_input."""
        return self._register(self._backward_hooks, hook, prepend, False)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """torch's older form of register_full_backward_hook(): the same here."""
        return self.register_full_backward_hook(hook)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_output) before the module's own gradients are taken; what it returns, if
        anything, enters in place of grad_output."""
        return self._register(self._backward_pre_hooks, hook, prepend, False)

    def _register(self, hooks: dict[int, Hook], hook: Hook, prepend: bool, with_kwargs: bool) -> RemovableHandle:
        handle = RemovableHandle(hooks, hook)
        if with_kwargs:
            self._hooks_with_kwargs.add(handle.id)
        if prepend:
            for number in [k for k in hooks if k != handle.id]:
                hooks[number] = hooks.pop(number)
        return handle

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(module, prefix, keep_vars) before state_dict() reads this module."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, local_metadata) when state_dict() has read this module."""
        return RemovableHandle(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """A post hook that may return another dictionary."""
        handle = RemovableHandle(self._state_dict_hooks, hook)
        self._replacing_hooks.add(handle.id)
        return handle

    def _register_load_state_dict_pre_hook(self, hook: Hook, with_module: bool = False) -> RemovableHandle:
        """register_load_state_dict_pre_hook() for a hook that is not given the module unless `with_module`."""
        return self.register_load_state_dict_pre_hook(hook if with_module else lambda module, *rest: hook(*rest))

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, {}, strict, missing, unexpected, errors) before loading."""
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(module, incompatible_keys) after loading; it may change the lists of names."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook)


class _Borders:
    """Both borders of one call of a module: what enters and what leaves."""

    def __init__(self, module: HookedModule) -> None:
        self.module = module
        self.hooks = list(module._backward_hooks.values())
        self.pre_hooks = list(module._backward_pre_hooks.values())
        self.grad_output: Gradients | None = None
        self.arguments = 0
        self.entrance: _Entrance | None = None

    def entered(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.arguments = len(args)
        self.entrance = _Entrance(self)
        return self.entrance.crossed(args)

    def left(self, result: Any) -> Any:
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        outputs = result if isinstance(result, tuple) else (result,)
        crossed = _Exit(self).crossed(outputs)
        if not isinstance(result, tuple):
            return crossed[0]
        return type(result)(*crossed) if hasattr(result, "_fields") else crossed


class _Border(TensorCall):
    """A call that returns what it was given, and whose gradient is what hooks make of it."""

    def __init__(self, borders: _Borders) -> None:
        self.borders = borders
        self.places: list[int] = []
        self.width = 0

    def crossed(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        self.width = len(values)
        self.places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        nodes = [values[i].node for i in self.places]
        changed = list(values)
        for index, place in enumerate(self.places):
            changed[place] = wrap(custom(self, index, nodes[index], nodes))
        return tuple(changed)

    def spread(self, grads: dict[int, Tensor]) -> Gradients:
        """The gradient, or None, of everything that crossed, tensor or not."""
        by_place = {self.places[index]: grad for index, grad in grads.items()}
        return tuple(by_place.get(i) for i in range(self.width))

    def gathered(self, grads: Gradients) -> Sequence[Tensor | None]:
        return [grads[place] for place in self.places]


class _Exit(_Border):
    def backward(self, inputs: Sequence[Node], grads: dict[int, Tensor]) -> Sequence[Any]:
        borders, found = self.borders, self.spread(grads)
        for hook in borders.pre_hooks:
            found = _replaced(hook(borders.module, found), found, "Backward pre hook", "grad_output")
        borders.grad_output = found
        if borders.entrance is None or not borders.entrance.places:  # no gradient will come to the entrance
            nothing: Gradients = (None,) * borders.arguments
            for hook in borders.hooks:
                returned = hook(borders.module, nothing, found)
                if returned is not None and any(g is not None for g in _as_tuple(returned)):
                    raise RuntimeError(
                        at_user_line(
                            "Backward hook for Modules where no input requires gradient should always return None or "
                            "None for all gradients."
                        )
                    )
        return self.gathered(found)


class _Entrance(_Border):
    def backward(self, inputs: Sequence[Node], grads: dict[int, Tensor]) -> Sequence[Any]:
        borders, found = self.borders, self.spread(grads)
        for hook in borders.hooks if borders.grad_output is not None else ():  # what came in past the exit is not ours
            found = _replaced(hook(borders.module, found, borders.grad_output), found, "Backward hook", "grad_input")
        borders.grad_output = None  # the graph must not hold its own gradients
        return self.gathered(found)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _replaced(returned: Any, grads: Gradients, who: str, what: str) -> Gradients:
    if returned is None:
        return grads
    found = _as_tuple(returned)
    if len(found) != len(grads):
        raise RuntimeError(
            at_user_line(f"{who} returned an invalid number of {what}, got {len(found)}, but expected {len(grads)}")
        )
    return found
