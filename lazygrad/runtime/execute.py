"""Runs a plan: takes a Plan and the arrays of its inputs, returns the arrays of its outputs."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from lazygrad.codegen.kernel import Kernel
from lazygrad.config import Settings
from lazygrad.device import Target
from lazygrad.inspect import story
from lazygrad.runtime import array
from lazygrad.runtime.check import checked_launch
from lazygrad.runtime.triton import InterpretedKernel, source_file
from lazygrad.schedule.plan import KernelStep, OpStep, Plan, kernel_of

SILENT = Settings()
_loaded: dict[Kernel, InterpretedKernel] = {}


def execute(plan: Plan, inputs: list[Any], target: Target, settings: Settings = SILENT) -> list[Any]:
    values: list[Any] = [*inputs, *[None] * (len(plan.values) - len(inputs))]
    times = story.timetable(plan, settings) if settings.debug >= 2 else None
    if times is not None:
        for step in plan.steps:
            if isinstance(step, KernelStep):
                _loaded_kernel(step)  # loading is no kernel's time
    for step, dead in zip(plan.steps, plan.release, strict=True):
        started = perf_counter()
        if isinstance(step, OpStep):
            values[step.result] = array.evaluate(step.node, [values[s] for s in step.sources])
        else:
            launch(step, values, plan, settings)
        if times is not None:
            array.finish(plan.values[-1].device)
            times.add(step, story.step_name(step), perf_counter() - started)
        for value in dead:
            values[value] = None
    if times is not None:
        times.end()
    return [values[o] for o in plan.outputs]


def launch(step: KernelStep, values: list[Any], plan: Plan, settings: Settings) -> None:
    for result in step.results:
        spec = plan.values[result]
        values[result] = array.empty(spec.shape, spec.dtype, spec.device)
    if all(0 in plan.values[r].shape for r in step.results):
        return
    chosen, kernel = kernel_of(step), _loaded_kernel(step)
    arrays = [_contiguous(values[a]) for a in step.arguments]
    if settings.check:
        checked_launch(step, plan, values, chosen.name, source_file(chosen), lambda: kernel(arrays))
    else:
        kernel(arrays)


def _loaded_kernel(step: KernelStep) -> InterpretedKernel:
    chosen = kernel_of(step)
    kernel = _loaded.get(chosen)
    if kernel is None:
        kernel = _loaded[chosen] = InterpretedKernel(chosen)
    return kernel


def _contiguous(value: Any) -> Any:
    return value if value.flags.c_contiguous else np.ascontiguousarray(value)
