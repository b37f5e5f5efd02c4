"""Hooks of optimizers: what is called around step(), state_dict() and load_state_dict(), of one optimizer or all."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.tensor.hooks import RemovableHandle

Hook = Callable[..., Any]
Hooks = OrderedDict[int, Hook]

_before_every_step: Hooks = OrderedDict()
_after_every_step: Hooks = OrderedDict()


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Call hook(optimizer, args, kwargs) before every step of every optimizer."""
    return RemovableHandle(_before_every_step, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Call hook(optimizer, args, kwargs) after every step of every optimizer."""
    return RemovableHandle(_after_every_step, hook)


@dataclass
class Registered:
    """The hooks of one optimizer, by number in the order of their calls."""

    before_step: Hooks = field(default_factory=OrderedDict)
    after_step: Hooks = field(default_factory=OrderedDict)
    before_saving: Hooks = field(default_factory=OrderedDict)
    after_saving: Hooks = field(default_factory=OrderedDict)
    before_loading: Hooks = field(default_factory=OrderedDict)
    after_loading: Hooks = field(default_factory=OrderedDict)


class HookedOptimizer:
    """The part of Optimizer that registers hooks and calls them; those of a step around any subclass's step()."""

    _stepping = False

    def __init__(self) -> None:
        self._hooks = Registered()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _between_hooks(cls.__dict__["step"])  # type: ignore[attr-defined]

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) before every step, args with the optimizer first; a pair that it
        returns takes the place of both."""
        return RemovableHandle(self._hooks.before_step, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) after every step."""
        return RemovableHandle(self._hooks.after_step, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer) before state_dict()."""
        return _registered(self._hooks.before_saving, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer, state_dict) with what state_dict() made; what it returns, if anything, replaces it."""
        return _registered(self._hooks.after_saving, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer, state_dict) before it is loaded; what it returns, if anything, is loaded instead."""
        return _registered(self._hooks.before_loading, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer) after load_state_dict()."""
        return _registered(self._hooks.after_loading, hook, prepend)

    def _replaced(self, hooks: Hooks, state_dict: dict[str, Any]) -> dict[str, Any]:
        """A state dict after each hook in turn."""
        for hook in hooks.values():
            found = hook(self, state_dict)
            state_dict = state_dict if found is None else found
        return state_dict


def _registered(hooks: Hooks, hook: Hook, first: bool) -> RemovableHandle:
    handle = RemovableHandle(hooks, hook)
    if first:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _between_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def stepped(self: HookedOptimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:  # a subclass's step() that calls its base's
            return step(self, *args, **kwargs)
        self._stepping = True
        given: tuple[Any, ...] = (self, *args)
        try:
            for hook in (*_before_every_step.values(), *self._hooks.before_step.values()):
                replaced = hook(self, given, kwargs)
                if replaced is not None:
                    given, kwargs = _pair(replaced)
            result = step(*given, **kwargs)
            for hook in (*self._hooks.after_step.values(), *_after_every_step.values()):
                hook(self, given, kwargs)
            return result
        finally:
            self._stepping = False

    return stepped


def _pair(replaced: Any) -> Any:
    if isinstance(replaced, tuple) and len(replaced) == 2:
        return replaced
    raise RuntimeError(
        at_user_line(f"a step's pre-hook must return None or a tuple of (new_args, new_kwargs), but got {replaced}.")
    )
