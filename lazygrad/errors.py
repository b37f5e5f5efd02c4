"""Where in the user's code something was asked for, and the exceptions that say so."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

_PACKAGE = str(Path(__file__).resolve().parent)
_LIBRARY = sysconfig.get_paths()["stdlib"] + os.sep

Line = tuple[str, int, str]
"""(file, line, name): `name` is the composite that was made there ("layer_norm"), "" for a single op."""
UNKNOWN: Line = ("<unknown>", 0, "")


class _Names(dict[str, str]):
    """The name each function of one file gives to the nodes made in it, by qualified name; "" for none."""

    def __init__(self, generic: tuple[str, ...] = (), name: str = "") -> None:
        super().__init__()
        self.generic, self.name = generic, name

    def __missing__(self, qualified: str) -> str:
        outermost = qualified.split(".", 1)[0]
        plain = outermost in self.generic or outermost.startswith(("_", "<"))
        found = self[qualified] = "" if plain else self.name or outermost.lower().rstrip("_")
        return found


_OURS, _USERS = _Names(), _Names()
_files: dict[str, _Names] = {}


def names_what_it_makes(file: str, generic: tuple[str, ...] = (), name: str = "") -> None:
    """Nodes made in functions of `file` are named after the outermost of them (methods: after their class), so
    that kernels can be too. `generic` functions, private ones and lambdas give no name; `name` replaces all."""
    _files[file] = _Names(generic, name)


_pinned: ContextVar[Line | None] = ContextVar("lazygrad_pinned_line", default=None)


@contextmanager
def one_line(name: str = "") -> Iterator[None]:
    """Everything made in this block was asked for by one line of the user: found once, not for each node."""
    line = user_line()
    token = _pinned.set((line[0], line[1], name or line[2]))
    try:
        yield
    finally:
        _pinned.reset(token)


@contextmanager
def users_own_lines() -> Iterator[None]:
    """Inside one_line: the user's own code runs again, and what it makes belongs to its own lines."""
    token = _pinned.set(None)
    try:
        yield
    finally:
        _pinned.reset(token)


def user_line() -> Line:
    """(file, line, name) of the innermost caller outside lazygrad itself, and the composite in between."""
    pinned = _pinned.get()
    if pinned is not None:
        return pinned
    name = ""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        names = _files.get(code.co_filename)
        if names is None:
            names = _files[code.co_filename] = _USERS if _is_users(code.co_filename) else _OURS
        if names is _USERS:
            return (code.co_filename, frame.f_lineno, name)
        if names is not _OURS:
            name = names[code.co_qualname] or name
        frame = frame.f_back  # type: ignore[assignment]
    return UNKNOWN if not name else (*UNKNOWN[:2], name)


def user_call() -> str:
    """The name of the function (or class) of lazygrad that the user's innermost line called, whatever it is wrapped
    in."""
    frame, name = sys._getframe(1), ""
    while frame is not None and not _is_users(frame.f_code.co_filename):
        code = frame.f_code
        if code.co_filename.startswith(_PACKAGE) and "<locals>" not in code.co_qualname:
            name = code.co_name if code.co_name != "__init__" else code.co_qualname.split(".")[-2]
        frame = frame.f_back  # type: ignore[assignment]
    return name


def _is_users(file: str) -> bool:
    """Neither lazygrad nor Python's own library, through which it is called back (contextlib, functools)."""
    library = file.startswith(_LIBRARY) and "-packages" not in file[len(_LIBRARY) :]
    return not library and not file.startswith((_PACKAGE, "<frozen", "<string>"))


@lru_cache(maxsize=65536)
def show_line(line: Line) -> str:
    """`train.py:12`, as short as the reader needs it."""
    path = Path(line[0])
    try:
        return f"{path.relative_to(Path.cwd())}:{line[1]}"
    except ValueError:
        return f"{line[0]}:{line[1]}"


def at_user_line(message: str) -> str:
    """The message with the user's own line at its end."""
    line = user_line()
    return message if line[0] == UNKNOWN[0] else f"{message} (at {show_line(line)})"


class CheckError(AssertionError):
    """LAZYGRAD_CHECK found a kernel whose outputs differ from the op-by-op result."""


class GraphError(AssertionError):
    """A pass returned a graph that is not well formed: a defect of lazygrad; the message names the pass."""


class OutOfMemoryError(RuntimeError):
    """The device has no room for a buffer; the message lists the largest live ones."""


class StaleValueError(RuntimeError):
    """A value is asked for that can no longer be computed: what it depends on was overwritten."""


class CompileError(RuntimeError):
    """A generated kernel did not compile: a defect of lazygrad; the message names the kernel's file."""


class LinAlgError(RuntimeError):
    """A factorization met a matrix that doesn't allow it: singular, or not positive definite."""
