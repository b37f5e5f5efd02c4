"""What would run on an H200, known on any machine: takes a case, returns its plan at full size."""

from __future__ import annotations

from typing import Any

import numpy as np

import lazygrad as lg
from benchmarks.cases import CASES, Bench
from benchmarks.support import call_of
from lazygrad import engine
from lazygrad.config import current
from lazygrad.device import H200
from lazygrad.ir.node import uncomputed
from lazygrad.ir.op import Kind
from lazygrad.nn import functional
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.values import remember
from lazygrad.schedule.canonical import canonical_graph, structure_of
from lazygrad.schedule.plan import KernelStep, Plan


def hollow_bench() -> Bench:
    return Bench(lg, functional, "cpu", "bfloat16", full=True, hollow=True)


def planned(name: str, fuse: bool) -> Plan:
    """The plan of a case at full size on an H200; nothing is allocated or run."""
    work = CASES[name](hollow_bench())
    call = call_of(work, lg, work.forward)
    results = call()
    if updated := work.updated():
        pretend(updated)  # the second step is the one that all later ones are like
        results = [*call(), *updated]
    roots = list(dict.fromkeys(t.node for t in results))
    structure = structure_of(roots, uncomputed(roots))
    with lg.config(fuse=fuse, backend="triton"):
        plan = engine.compile_plan(canonical_graph(structure), structure.leaves, H200, current())
    pretend(updated)
    return plan


def pretend(tensors: list[Any]) -> None:
    """Let these count as computed."""
    for tensor in tensors:
        node = tensor._cell.node
        remember(node, Buffer(None, node.dtype, node.shape, node.device))


def launches_and_bytes(plan: Plan) -> tuple[int, int]:
    """How many launches a plan has, and what their inputs and outputs sum up to."""

    def size(value: int) -> int:
        return int(np.prod(plan.values[value].shape)) * plan.values[value].dtype.itemsize

    launches = moved = 0
    for step in plan.steps:
        if isinstance(step, KernelStep):
            touched: tuple[int, ...] = step.arguments
        elif step.node.op.kind in (Kind.MOVEMENT, Kind.SOURCE):
            continue  # a view
        else:
            touched = (*step.sources, step.result)
        launches += 1
        moved += sum(size(v) for v in set(touched))
    return launches, moved
