"""Runs a plan: takes a Plan and the arrays of its inputs, returns the arrays of its outputs."""

from __future__ import annotations

from typing import Any

from lazygrad.runtime import array
from lazygrad.schedule.plan import OpStep, Plan


def execute(plan: Plan, inputs: list[Any]) -> list[Any]:
    values: list[Any] = [*inputs, *[None] * (len(plan.values) - len(inputs))]
    for step, dead in zip(plan.steps, plan.release, strict=True):
        assert isinstance(step, OpStep)
        values[step.result] = array.evaluate(step.node, [values[s] for s in step.sources])
        for value in dead:
            values[value] = None
    return [values[o] for o in plan.outputs]
