"""torch.compiler: what programs say to a tracer. lazygrad traces by running, so there is nothing to steer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygrad.compile import compile


def is_compiling() -> bool:
    """False: every function runs as Python."""
    return False


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True) -> Any:
    """The function itself; also as a decorator with arguments."""
    return fn if fn is not None else lambda function: function


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


def reset() -> None:
    """Nothing to forget: plans are kept under the structure of what they compute, so they are never stale."""


__all__ = ["allow_in_graph", "compile", "disable", "is_compiling", "reset"]
