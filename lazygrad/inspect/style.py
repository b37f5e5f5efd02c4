"""How the story looks: takes numbers and words, returns text for a person. Colour only where stderr is a terminal."""

from __future__ import annotations

import os
import sys

CODES = {"plan": "1;36", "kernel": "32", "reason": "33", "dim": "2", "head": "1"}


def say(text: str) -> None:
    """To stderr, at once: the story and the program's own output keep their order."""
    print(text, file=sys.stderr, flush=True)


def coloured(text: str, role: str) -> str:
    """The text in the colour of its role, on a terminal that wants colours."""
    if "NO_COLOR" in os.environ or not getattr(sys.stderr, "isatty", lambda: False)():
        return text
    return f"\x1b[{CODES[role]}m{text}\x1b[0m"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    size, unit = next(((s, u) for s, u in units if value >= s), units[-1])
    return f"{figures(value / size)} {unit}"


def figures(number: float) -> str:
    """About three of them: 4321, 43.2, 4.32, 0.0043."""
    if 0 < number < 0.1:
        return f"{number:.2g}"
    return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f}"


def seconds_text(seconds: float) -> str:
    """12.3 us, 4.56 ms, 7.89 s."""
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")))


def bytes_text(count: float) -> str:
    """512 B, 12.0 KiB, 3.40 GiB."""
    if count < 1024:
        return f"{int(count)} B"
    return _scaled(count, ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")))


def counted(count: int, word: str) -> str:
    """1 kernel, 2 kernels."""
    return f"{count} {word}{'' if count == 1 else 's'}"
