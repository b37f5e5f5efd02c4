"""Batching: takes groups in launch order, returns them with equal pointwise ones put together.

Only groups that wait for no one among themselves may share a launch. That holds for groups of one depth
(the longest way from the inputs), and for those that nobody waits for.
"""

from __future__ import annotations

from collections import defaultdict

from lazygrad.codegen.batch import shared_text
from lazygrad.ir.node import Node
from lazygrad.schedule.group import Group


def batches(groups: list[Group]) -> list[list[Group]]:
    """Lists of groups: most of one, some of many that share a kernel."""
    depth = _depths(groups)
    awaited = {n for group in groups for n in group.inputs}
    alike: dict[tuple[str, int], list[Group]] = defaultdict(list)
    place: dict[Group, tuple[str, int]] = {}
    for group in groups:
        text = shared_text(group)
        if text is not None:
            last = not any(n in awaited for n in group.stored)
            place[group] = (text, -1 if last else depth[group])
            alike[place[group]].append(group)
    made: list[list[Group]] = []
    done: set[tuple[str, int]] = set()
    for group in groups:
        key = place.get(group)
        if key is None or len(alike[key]) == 1:
            made.append([group])
        elif key not in done and (key[1] >= 0 or group is alike[key][-1]):
            # of one depth: where the first stands, all they wait for is behind them; of those nobody waits
            # for: where the last stands
            done.add(key)
            made.append(alike[key])
    return made


def _depths(groups: list[Group]) -> dict[Group, int]:
    maker: dict[Node, Group] = {n: group for group in groups for n in group.stored}
    depth: dict[Group, int] = {}
    for group in groups:
        before = [depth[maker[n]] for n in group.inputs if n in maker]
        depth[group] = max(before, default=-1) + 1
    return depth
