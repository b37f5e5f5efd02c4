"""Where in the user's code something was asked for, and the exceptions that say so."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = str(Path(__file__).resolve().parent)
_is_ours: dict[str, bool] = {}

Line = tuple[str, int]
UNKNOWN: Line = ("<unknown>", 0)


def user_line() -> Line:
    """(file, line) of the innermost caller outside lazygrad itself."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        ours = _is_ours.get(filename)
        if ours is None:
            ours = _is_ours[filename] = filename.startswith((_PACKAGE, "<frozen", "<string>"))
        if not ours:
            return (filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return UNKNOWN


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
    return message if line is UNKNOWN else f"{message} (at {show_line(line)})"


class CheckError(AssertionError):
    """LAZYGRAD_CHECK found a kernel whose outputs differ from the op-by-op result."""


class OutOfMemoryError(RuntimeError):
    """The device has no room for a buffer; the message lists the largest live ones."""


class StaleValueError(RuntimeError):
    """A value is asked for that can no longer be computed: what it depends on was overwritten."""


class CompileError(RuntimeError):
    """A generated kernel did not compile: a defect of lazygrad; the message names the kernel's file."""


class LinAlgError(RuntimeError):
    """A factorization met a matrix that doesn't allow it: singular, or not positive definite."""
