"""Runs a plan: takes a Plan and the arrays of its inputs, returns the arrays of its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazygrad.codegen.kernel import Kernel
from lazygrad.device import Target
from lazygrad.runtime import array
from lazygrad.runtime.triton import InterpretedKernel
from lazygrad.schedule.plan import KernelStep, OpStep, Plan, kernel_of

_loaded: dict[Kernel, InterpretedKernel] = {}


def execute(plan: Plan, inputs: list[Any], target: Target) -> list[Any]:
    values: list[Any] = [*inputs, *[None] * (len(plan.values) - len(inputs))]
    for step, dead in zip(plan.steps, plan.release, strict=True):
        if isinstance(step, OpStep):
            values[step.result] = array.evaluate(step.node, [values[s] for s in step.sources])
        else:
            launch(step, values, plan)
        for value in dead:
            values[value] = None
    return [values[o] for o in plan.outputs]


def launch(step: KernelStep, values: list[Any], plan: Plan) -> None:
    for result in step.results:
        spec = plan.values[result]
        values[result] = array.empty(spec.shape, spec.dtype, spec.device)
    if all(0 in plan.values[r].shape for r in step.results):
        return
    chosen = kernel_of(step)
    kernel = _loaded.get(chosen)
    if kernel is None:
        kernel = _loaded[chosen] = InterpretedKernel(chosen)
    kernel([_contiguous(values[a]) for a in step.arguments])


def _contiguous(value: Any) -> Any:
    return value if value.flags.c_contiguous else np.ascontiguousarray(value)
