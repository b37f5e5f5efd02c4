"""What switches the recording for backward on and off: contexts that are decorators too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from lazygrad.tensor.core import grad_mode, is_grad_enabled, set_grad_mode

Context = Callable[[], AbstractContextManager[None]]


class _Mode:
    """Enters a context that it makes anew each time, so that it may be entered again inside itself."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        context = self._context()
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *exc: Any) -> None:
        self._entered.pop().__exit__(*exc)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with this mode inside; of a generator's body, whenever it runs."""
        if inspect.isgeneratorfunction(function):
            return _generator(function, self._context)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self._context():
                return function(*args, **kwargs)

        return inside


def _generator(function: Callable[..., Generator[Any, Any, Any]], context: Context) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        body = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, body)
        while True:
            try:
                with context():
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
            cls.__init__(made)
            return made(function)
        return made

    def __init__(self) -> None:
        super().__init__(functools.partial(grad_mode, self.wanted))


class no_grad(_Switch):
    """Operations inside are not recorded for backward."""


class enable_grad(_Switch):
    """Operations inside are recorded for backward, also within no_grad."""

    wanted = True


_in_inference: ContextVar[bool] = ContextVar("lazygrad_in_inference", default=False)


def is_inference_mode_enabled() -> bool:
    """Whether this is inside inference_mode()."""
    return _in_inference.get()


@contextmanager
def _inference(enabled: bool) -> Iterator[None]:
    token = _in_inference.set(enabled)
    try:
        with grad_mode(not enabled):
            yield
    finally:
        _in_inference.reset(token)


class inference_mode(_Mode):
    """As no_grad, for `mode=True`; `mode=False` records. What is made inside are tensors like any other: they may be
    written to and differentiated later."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            cls.__init__(made)
            return made(mode)
        return made

    def __init__(self, mode: bool = True) -> None:
        super().__init__(functools.partial(_inference, mode))


class set_grad_enabled(_Mode):
    """Switch recording on or off: at once, and until the end of the block where used as a context."""

    def __init__(self, mode: bool) -> None:
        super().__init__(functools.partial(grad_mode, mode))
        self._enabled = mode
        self._before = is_grad_enabled()
        set_grad_mode(mode)

    def __enter__(self) -> None:
        set_grad_mode(self._enabled)

    def __exit__(self, *exc: Any) -> None:
        set_grad_mode(self._before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        set_grad_mode(self._before)
        return super().__call__(function)


__all__ = ["enable_grad", "inference_mode", "is_inference_mode_enabled", "no_grad", "set_grad_enabled"]
