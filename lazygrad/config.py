"""Every setting, once: its LAZYGRAD_* variable, default and meaning. Returns immutable `Settings` values.

`current()` is read once at the top of a realization and handed down; no stage below asks for it again.
`with config(fuse=False):` overrides settings for a block (per thread and per async task).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

BACKENDS = ("auto", "triton", "cupy", "numpy")
MOST_DEBUG = 5


@dataclass(frozen=True)
class Settings:
    """The value of every setting."""

    debug: int = 0
    """0 silent; 1 plans and cache hits; 2 a line per kernel; 3 fusion and tiling reasons; 4 source; 5 IR."""
    debug_kernel: str = ""
    """Print level 3 and above only for kernels whose name contains this (LAZYGRAD_DEBUG=4:softmax)."""
    backend: str = "auto"
    """auto: Triton on a GPU, NumPy without. triton | cupy | numpy force one (triton on a CPU: its interpreter)."""
    fuse: bool = True
    """False: every op is a kernel of its own, for comparisons."""
    check: bool = False
    """Compare every kernel's outputs with the op-by-op result and stop at the first difference."""
    cache_dir: str = ""
    """Where compiled kernels and tuning choices are kept between runs (default ~/.cache/lazygrad)."""
    profile: bool = False
    """Level 2's line a kernel for every run of a plan, not only for its first."""
    shapes: int = 8
    """So many shapes of one computation get kernels at once; further ones are computed by CuPy until they have come
    back several times. 0: kernels for every shape."""
    graphs: bool = True
    """Capture a plan's launches into a CUDA graph from its second run on and replay it."""
    autotune: bool = True
    """Time candidate kernels (matmul, attention) on the device and remember the best."""

    @property
    def cache_root(self) -> Path:
        return Path(self.cache_dir).expanduser() if self.cache_dir else Path.home() / ".cache" / "lazygrad"


def _parse(said: str, kind: str, text: str) -> Any:
    if kind == "bool":
        if text.lower() not in ("0", "1", "true", "false"):
            raise ValueError(f"{said} is {text!r}; use 0 or 1")
        return text.lower() in ("1", "true")
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            upto = f" from 0 to {MOST_DEBUG}" if "debug" in said.lower() else ""
            raise ValueError(f"{said} is {text!r}; use a whole number{upto}") from None
    return text


def _validated(settings: Settings) -> Settings:
    if settings.backend not in BACKENDS:
        raise ValueError(f"backend is {settings.backend!r}; use one of {', '.join(BACKENDS)}")
    if not 0 <= settings.debug <= MOST_DEBUG:
        raise ValueError(f"debug is {settings.debug}; use 0 to {MOST_DEBUG}")
    if settings.shapes < 0:
        raise ValueError(f"shapes is {settings.shapes}; use a number of shapes, or 0")
    return settings


def from_environment(environment: Any = os.environ) -> Settings:
    """The settings that the LAZYGRAD_* variables ask for. ValueError for a value that makes no sense."""
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = environment.get(f"LAZYGRAD_{field.name.upper()}")
        if not text:
            continue
        values |= _read(field.name, str(field.type), text, f"LAZYGRAD_{field.name.upper()}")
    return _validated(Settings(**values))


def _read(name: str, kind: str, text: str, said: str) -> dict[str, Any]:
    """The settings that one text gives: LAZYGRAD_DEBUG=4:softmax gives two."""
    if name != "debug":
        return {name: _parse(said, kind, text)}
    level, _, kernel = text.partition(":")
    return {"debug": _parse(said, kind, level), "debug_kernel": kernel}


_DEFAULT = from_environment()
_overridden: ContextVar[Settings | None] = ContextVar("lazygrad_settings", default=None)


def current() -> Settings:
    """The settings in force here."""
    return _overridden.get() or _DEFAULT


@contextmanager
def config(**changes: Any) -> Iterator[Settings]:
    """Override settings inside a `with` block: `with lg.config(fuse=False, debug="4:softmax"): ...`.

    TypeError for a name that is no setting, ValueError for a value it can't have.
    """
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise TypeError(f"config() has no setting {unknown[0]!r}; settings: {', '.join(sorted(known))}")
    kinds = {field.name: str(field.type) for field in fields(Settings)}
    for name, value in list(changes.items()):
        if isinstance(value, str) and kinds[name] != "str":
            changes |= _read(name, kinds[name], value, name)
    settings = _validated(replace(current(), **changes))
    token = _overridden.set(settings)
    try:
        yield settings
    finally:
        _overridden.reset(token)
