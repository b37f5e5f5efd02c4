"""The vmaps that are open: what a random draw means in them, and that no example has a value to be asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from lazygrad.errors import at_user_line, user_call
from lazygrad.ir.batching import innermost
from lazygrad.ir.node import Node

RANDOMNESS = ("error", "different", "same")


@dataclass(frozen=True)
class Examples:
    """What draws mean inside a vmap over `size` examples; `index` is the number of each."""

    randomness: str
    size: int
    index: Node


_open: ContextVar[tuple[Examples, ...]] = ContextVar("lazygrad_examples", default=())


@contextmanager
def standing_for(examples: Examples) -> Iterator[None]:
    """What is called inside stands for all of these examples."""
    token = _open.set((*_open.get(), examples))
    try:
        yield
    finally:
        _open.reset(token)


def open_vmaps() -> tuple[Examples, ...]:
    """Outermost first."""
    return _open.get()


def check_have_values(nodes: Sequence[Node]) -> None:
    """RuntimeError where a node has a value for each example of an open vmap, and so none of its own."""
    if _open.get() and innermost(nodes):
        raise RuntimeError(
            at_user_line(
                f"vmap: {user_call()}() asks for the value of one example, but the function stands for all examples at "
                "once. It can't branch on values or use ops whose result's shape depends on them: choose by where(), "
                "and return from the function what is to be read"
            )
        )
