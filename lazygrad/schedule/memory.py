"""The arena: takes a Plan, returns offsets into one block of memory for everything nobody outside sees.

Greedy by size (largest first, lowest free gap), the strategy of Pisarchyk & Lee 2020: a value may share
memory with any other that is not alive at the same step.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.schedule.plan import OpStep, Plan

ALIGNMENT = 256


@dataclass(frozen=True)
class Arena:
    """`offsets[value]` in bytes; values that are not in it live elsewhere."""

    size: int
    offsets: dict[int, int]


def plan_arena(plan: Plan) -> Arena:
    """Offsets for the temporaries that kernels write."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, step in enumerate(plan.steps):
        if isinstance(step, OpStep):
            used: tuple[int, ...] = (*step.sources, step.result)
        else:
            used = (*step.arguments, *step.results)
            for result in step.results:
                first[result] = i
        for value in used:
            last[value] = i
    lifetimes = _through_ops(plan, last)
    outside = set(plan.outputs)
    waiting = [(_bytes(plan, v), v) for v in first if v not in outside]
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, first step, last step)
    offsets: dict[int, int] = {}
    size = 0
    for amount, value in sorted(waiting, key=lambda w: (-w[0], w[1])):
        born, dies = first[value], lifetimes[value]
        offset = 0
        for start, end, other_born, other_dies in sorted(placed):
            if other_dies < born or dies < other_born:
                continue
            if start - offset >= amount:
                break
            offset = max(offset, end)
        placed.append((offset, offset + amount, born, dies))
        offsets[value] = offset
        size = max(size, offset + amount)
    return Arena(size, offsets)


def _bytes(plan: Plan, value: int) -> int:
    spec = plan.values[value]
    amount = spec.dtype.itemsize
    for n in spec.shape:
        amount *= n
    return max(ALIGNMENT, -(-amount // ALIGNMENT) * ALIGNMENT)


def _through_ops(plan: Plan, last: dict[int, int]) -> dict[int, int]:
    """An array op's result may be a view of its sources: those live as long as it does."""
    extended = dict(last)
    for step in reversed(plan.steps):
        if isinstance(step, OpStep):
            for source in step.sources:
                extended[source] = max(extended.get(source, -1), extended.get(step.result, -1))
    for output in plan.outputs:
        extended[output] = len(plan.steps)
    for step in reversed(plan.steps):
        if isinstance(step, OpStep) and extended.get(step.result) == len(plan.steps):
            for source in step.sources:
                extended[source] = len(plan.steps)
    return extended
