"""Shapes that change from call to call: takes structures, says whether kernels are worth compiling for them.

Kernels are written for shapes. A loop whose tensors grow (text that is generated token by token) or hold what values
select (the tokens of an expert) would compile new ones in every round, which takes a thousand times as long as they
run. So once a form has come in several shapes, a further shape is computed op by op by the array library, and gets
kernels when it has been asked for several times.
"""

from __future__ import annotations

from typing import Any

from lazygrad.ir import op as ops
from lazygrad.ir.op import Kind, Op
from lazygrad.schedule.canonical import Structure

OFTEN = 3  # runs after which any shape has kernels

_shapes: dict[Any, int] = {}  # of each form
_asked: dict[Any, tuple[int, int]] = {}  # structure: which shape of its form it is, how often it was asked for


def is_worth_kernels(structure: Structure, few: int) -> bool:
    """Whether this is one of the first `few` shapes of its form, or was asked for OFTEN. Every call is a run."""
    place, asked = _asked.get(structure.key, (0, 0))
    if not asked:
        form = _form(structure)
        place = _shapes[form] = _shapes.get(form, 0) + 1
    _asked[structure.key] = (place, asked + 1)
    return place <= few or asked >= OFTEN


def _form(structure: Structure) -> Any:
    """The key without sizes, bounds and numbers."""
    rows, roots = structure.key
    return tuple([_without_sizes(row) for row in rows]), roots


def _without_sizes(row: tuple[Any, ...]) -> tuple[Any, ...]:
    op = row[0]
    if not isinstance(op, Op):
        return (row[0],) if isinstance(op, str) else (op, len(row[1]), row[2])
    if op is ops.CONST or op is ops.IOTA:
        return (op,)
    return (op, *row[2:]) if op.kind is Kind.MOVEMENT else row


__all__ = ["is_worth_kernels"]
