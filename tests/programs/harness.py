"""Runs a program of this folder with torch, or with lazygrad under the name torch; returns its `losses`.

The programs say `import torch` and know of nothing else. Here only the program's own import statements lead
elsewhere: sys.modules stays as it is, since Triton's interpreter imports the real torch behind lazygrad.
Environment variables are all that a program asks for: DEVICE, and STEPS where it is to be shorter.
"""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any
from unittest import mock

FOLDER = Path(__file__).resolve().parent
PROGRAMS = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "harness" and not p.stem.startswith("test_"))
TOLERANCE = 1e-4  # of each loss in float32, over about 20 steps


def import_lazygrad_as_torch(name: str, *rest: Any) -> Any:
    """__import__ of a program: torch, and every module under it, is lazygrad's."""
    head, dot, tail = name.partition(".")
    return builtins.__import__("lazygrad" + dot + tail if head == "torch" else name, *rest)


def run(program: str, library: str, device: str = "cpu", steps: int | None = None) -> list[float]:
    """The losses of a program, run in a namespace of its own. `library` is "torch" or "lazygrad"."""
    path = FOLDER / f"{program}.py"
    known = vars(builtins)
    if library == "lazygrad":
        known = known | {"__import__": import_lazygrad_as_torch}
    namespace = {"__name__": "__main__", "__file__": str(path), "__builtins__": known}
    environment = {"DEVICE": device} | ({} if steps is None else {"STEPS": str(steps)})
    with mock.patch.dict(os.environ, environment):
        exec(compile(path.read_text("utf-8"), str(path), "exec"), namespace)
    return namespace["losses"]


def differences(mine: list[float], theirs: list[float]) -> list[float]:
    """Of each pair of losses, relative to the second; where that is tiny, to a hundredth of the largest."""
    floor = max(map(abs, theirs)) / 100
    return [abs(a - b) / max(abs(b), floor) for a, b in zip(mine, theirs, strict=True)]
