"""Tensors from outside that a transformed function captures: what only has a meaning inside may not be left in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lazygrad.errors import at_user_line
from lazygrad.ir.node import Node
from lazygrad.tensor.core import undo_writes, values_now


@contextmanager
def refusing_writes(foreign: Callable[[Node], bool], message: str) -> Iterator[None]:
    """RuntimeError with this message where a block writes foreign values in place into Tensors from before it. They
    hold what they held, then."""
    before = values_now()
    try:
        yield
    finally:
        written = undo_writes(before, foreign)
    if written:
        raise RuntimeError(at_user_line(message))
