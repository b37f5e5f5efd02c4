"""Layers that only keep their arguments and hand them to a function: activations, pooling, losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from lazygrad.nn.module import Module


class WithArguments(Module):
    """`arguments` names the constructor's parameters with their defaults; they become attributes."""

    arguments: ClassVar[dict[str, Any]] = {}
    shown: ClassVar[tuple[str, ...] | None] = None  # what extra_repr shows; None: all arguments

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, kind, default=inspect.Parameter.empty if default is ... else default)
                for name, default in cls.arguments.items()
            ]
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        name = type(self).__name__
        if len(args) > len(self.arguments):
            raise TypeError(f"{name}() takes at most {len(self.arguments)} arguments, got {len(args)}")
        given = dict(zip(self.arguments, args, strict=False))
        for key, value in kwargs.items():
            if key not in self.arguments:
                raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
            if key in given:
                raise TypeError(f"{name}() got multiple values for argument '{key}'")
            given[key] = value
        for key, default in self.arguments.items():
            value = given.get(key, default)
            if value is ...:
                raise TypeError(f"{name}() missing required argument: '{key}'")
            setattr(self, key, value)

    def _values(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self.arguments}

    def extra_repr(self) -> str:
        shown = self.arguments if self.shown is None else self.shown
        # torch leaves inplace out where it is False
        return ", ".join(f"{k}={getattr(self, k)}" for k in shown if k != "inplace" or self.inplace)


class FunctionModule(WithArguments):
    """A function of one tensor and the module's arguments."""

    function: ClassVar[Callable[..., Any]]

    def forward(self, input: Any) -> Any:
        return type(self).function(input, **self._values())
