"""Tails: takes launches in order, returns them with those in the tail of another that one program can do by itself.

What follows partial results down to a few numbers (the mean of losses, the norm of gradients) is too small to be worth
a launch. The program of a kernel that finishes last does it: it finds what all the others stored, in the order of
their places, so that no number depends on who was last.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.ir.node import Node
from lazygrad.schedule.group import Form, Group

MOST_ELEMENTS = 2048  # of partial results that one program takes in at once


@dataclass(frozen=True)
class Launch:
    """Groups that share a kernel: equal ones side by side, or one and what its last program does after it."""

    groups: tuple[Group, ...]
    tail: Group | None = None

    @property
    def all_groups(self) -> tuple[Group, ...]:
        return self.groups if self.tail is None else (*self.groups, self.tail)


def with_tails(launches: list[list[Group]]) -> list[Launch]:
    """Launches in an order they can be run in. A tail moves up to the last launch that it reads from, and nobody
    in between can wait for it or, one number being too small to be updated in place, change what it reads."""
    made: list[Launch] = []
    maker: dict[Node, int] = {}
    for groups in launches:
        head = _head_of(groups[0], made, maker) if len(groups) == 1 else None
        if head is None:
            head = len(made)
            made.append(Launch(tuple(groups)))
        else:
            made[head] = Launch(made[head].groups, groups[0])
        maker |= {n: head for group in groups for n in group.stored}
    return made


def _head_of(tail: Group, made: list[Launch], maker: dict[Node, int]) -> int | None:
    """The launch that can do this group in its tail, if there is one."""
    small = tail.form is Form.LOOP and 0 < tail.size <= MOST_ELEMENTS and all(n.numel == 1 for n in tail.stored)
    before = [maker[n] for n in tail.inputs if n in maker]
    if not small or not before:
        return None
    launch = made[max(before)]
    head = launch.groups[0]
    reduces = head.form is Form.LOOP and head.domain is not None and head.size > 0
    return max(before) if reduces and len(launch.all_groups) == 1 else None
