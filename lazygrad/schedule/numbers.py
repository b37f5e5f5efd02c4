"""Numbers that change from step to step: takes structures, returns them with such numbers as data.

A number in a program is part of the structure of its graph, so that kernels can be written for it: a learning rate that
a hand-written loop computes anew in each step would be a new plan in each. The first structure of a form is kept as it
is. When the form comes again with other numbers, those that differ become elements of one small array, which is a leaf
as any other: from then on whatever stands there finds its plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from lazygrad.device import Device
from lazygrad.dtype import float32, float64
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.schedule.canonical import Structure

TELLING = {0.0, 0.5, 1.0, -1.0, 2.0, -2.0}  # what such numbers are says what a formula is: none of them is ever data


@dataclass
class Form:
    """What structures have in common that differ in their numbers; which of them have been seen to differ."""

    first: tuple[float, ...]
    varying: set[int] = field(default_factory=set)


_forms: dict[Any, Form] = {}


def with_numbers_as_data(structure: Structure, as_leaf: Callable[[list[float], Device], Node]) -> Structure | None:
    """The structure with the numbers that vary among all of its form as a leaf; None where none has yet. `as_leaf`
    makes a computed node of float64 numbers."""
    rows, roots = structure.key
    places = [i for i, row in enumerate(rows) if row[0] is ops.CONST]
    exponents = _exponents(rows)
    nodes = [n for n in structure.order if n.op is ops.CONST and n not in structure.slots]
    device = structure.roots[0].device
    free = {i: n for i, n in zip(places, nodes, strict=True) if i not in exponents and _is_free(n, device)}
    if not free:
        return None
    key = (tuple([None if i in free else row for i, row in enumerate(rows)]), roots)
    values = tuple([float(n.arg) for n in free.values()])
    form = _forms.setdefault(key, Form(values))
    form.varying.update(i for i, (a, b) in enumerate(zip(form.first, values, strict=True)) if a != b)
    if not form.varying:
        return None
    varying = [place for i, place in enumerate(free) if i in form.varying]
    chosen = {place: position for position, place in enumerate(varying)}
    shown = [("number", chosen[i], row[2]) if i in chosen else row for i, row in enumerate(rows)]
    leaf = as_leaf([float(free[place].arg) for place in chosen], device)
    numbers = {free[place]: position for place, position in chosen.items()}
    return replace(structure, key=(tuple(shown), roots), leaves=[*structure.leaves, leaf], numbers=numbers)


def _is_free(node: Node, device: Device) -> bool:
    wide = node.dtype is float32 or node.dtype is float64  # data of either dtype is rounded as the number would be
    return wide and node.device == device and math.isfinite(node.arg) and float(node.arg) not in TELLING


def _exponents(rows: tuple[Any, ...]) -> set[int]:
    """The rows of what powers are raised to: x ** 3 is another formula than x ** 4."""
    found = set()
    for row in rows:
        if row[0] is ops.POW:
            place = row[-1]
            while isinstance(rows[place][0], ops.Op) and rows[place][0].kind is Kind.MOVEMENT:
                place = rows[place][3]
            found.add(place)
    return found


__all__ = ["with_numbers_as_data"]
