"""What switches the recording for backward on and off: contexts that are decorators too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

from lazygrad.tensor.core import grad_mode, is_grad_enabled, set_grad_mode


class _Mode:
    """Sets recording on entry and restores it on exit; may be entered again inside itself."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        context = grad_mode(self._enabled)
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *exc: Any) -> None:
        self._entered.pop().__exit__(*exc)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with this mode inside; of a generator's body, whenever it runs."""
        if inspect.isgeneratorfunction(function):
            return _generator(function, self._enabled)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with grad_mode(self._enabled):
                return function(*args, **kwargs)

        return inside


def _generator(function: Callable[..., Generator[Any, Any, Any]], enabled: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        body = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, body)
        while True:
            try:
                with grad_mode(enabled):
                    value = step()
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield value
                step = functools.partial(body.send, sent)
            except GeneratorExit:
                body.close()
                raise
            except BaseException as error:
                step = functools.partial(body.throw, error)

    return inside


class _Switch(_Mode):
    """A mode whose class decorates a function as it stands (`@no_grad`), and after a call (`@no_grad()`)."""

    wanted = False

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if callable(function):
            _Mode.__init__(made, cls.wanted)
            return made(function)
        return made

    def __init__(self) -> None:
        super().__init__(self.wanted)


class no_grad(_Switch):
    """Operations inside are not recorded for backward."""


class enable_grad(_Switch):
    """Operations inside are recorded for backward, also within no_grad."""

    wanted = True


class inference_mode(_Mode):
    """As no_grad, for `mode=True`; `mode=False` records."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            _Mode.__init__(made, False)
            return made(mode)
        return made

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class set_grad_enabled(_Mode):
    """Switch recording on or off: at once, and until the end of the block where used as a context."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._before = is_grad_enabled()
        set_grad_mode(mode)

    def __enter__(self) -> None:
        set_grad_mode(self._enabled)

    def __exit__(self, *exc: Any) -> None:
        set_grad_mode(self._before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        set_grad_mode(self._before)
        return super().__call__(function)


__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]
