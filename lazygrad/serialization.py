"""torch.serialization: save and load under torch's module name, and the classes that a program allows load() to make.

load() makes no objects of a file's own choice, so what is allowed changes nothing: it is remembered and can be asked.
"""

from __future__ import annotations

from typing import Any

from lazygrad.io import load, save

_allowed: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    _allowed.extend(safe_globals)


def get_safe_globals() -> list[Any]:
    return list(_allowed)


def clear_safe_globals() -> None:
    _allowed.clear()


class safe_globals:
    """`with safe_globals([...]):` they are allowed inside."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self._added = safe_globals

    def __enter__(self) -> None:
        self._before = get_safe_globals()
        add_safe_globals(self._added)

    def __exit__(self, *exc: Any) -> None:
        _allowed[:] = self._before


__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save"]
