"""The names by which torch takes arguments: `axis=` for dim, `size=(2, 3)` for f(2, 3), `input=` for self; and those
that mean nothing here: `layout=`, `pin_memory=`, `out=`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from lazygrad.errors import at_user_line
from lazygrad.memory_layout import check_layout, check_memory_format
from lazygrad.tensor.arguments import check_tensor

F = TypeVar("F", bound=Callable[..., Any])

SECOND_NAMES = {
    "axis": "dim",
    "keepdims": "keepdim",
    "axis0": "dim0",
    "axis1": "dim1",
    "split_size_or_sections": "split_size",
}


def refuse_out(options: dict[str, Any], name: str) -> None:
    """Drop out=None. NotImplementedError for a tensor to write to."""
    if options.pop("out", None) is not None:
        raise NotImplementedError(
            at_user_line(
                f"{name}(out=...): nothing is written before it is computed; assign instead: x = {name}(...), "
                f"or x.copy_({name}(...)) where others hold x"
            )
        )


def factory(function: F) -> F:
    """A function that makes tensors, which goes by torch's names. layout=, pin_memory=, memory_format= and names=None
    change nothing: every tensor is dense and row-major. NotImplementedError for another layout, for names, for out."""
    named, name = by_torchs_names(function), function.__name__

    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            check_layout(kwargs.pop("layout", None), name)
            check_memory_format(kwargs.pop("memory_format", None), name)
            kwargs.pop("pin_memory", None)
            if kwargs.pop("names", None) is not None:
                raise NotImplementedError(at_user_line(f"{name}(names=...): lazygrad's dimensions have no names"))
            refuse_out(kwargs, name)
        return named(*args, **kwargs)

    return make  # type: ignore[return-value]


def by_torchs_names(function: F) -> F:
    """The function, whose arguments go by their second names too, and whose f(*size) is also f(size=(2, 3))."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    arguments = code.co_varnames[:count]
    second_names = {second: name for second, name in SECOND_NAMES.items() if name in arguments}
    listed = code.co_varnames[count] if code.co_flags & inspect.CO_VARARGS else ""
    if not second_names and listed in ("", "args"):
        return function

    @functools.wraps(function)
    def named(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for second, name in second_names.items():
                if second in kwargs and name not in kwargs:
                    kwargs[name] = kwargs.pop(second)
            if listed in kwargs:
                args = (*args, kwargs.pop(listed))
        return function(*args, **kwargs)

    return named  # type: ignore[return-value]


def public(function: F) -> F:
    """A function that goes by torch's names, takes out=None, and says why it takes no other."""
    named = by_torchs_names(function)

    @functools.wraps(function)
    def outless(*args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            refuse_out(kwargs, function.__name__)
        return named(*args, **kwargs)

    return outless  # type: ignore[return-value]


def name_arguments(cls: type) -> None:
    """Let the methods of a class take their arguments by torch's names."""
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        named = by_torchs_names(method)
        if named is not method and not name.startswith("_"):
            setattr(cls, name, named)


def function_of(method: F, first: str = "input", numbers: bool = False) -> F:
    """A method as a function, which calls self by another name. TypeError unless that is a Tensor (or a number,
    where the function takes `numbers`)."""
    name = method.__name__

    @functools.wraps(method)
    def function(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            refuse_out(kwargs, name)
            if first in kwargs:
                args = (kwargs.pop(first), *args)
        if args and not numbers:
            check_tensor(args[0], name, first)
        return method(*args, **kwargs)

    return function  # type: ignore[return-value]
