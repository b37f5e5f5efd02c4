"""realize(): the one place that strings the stages together, readable as a listing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from lazygrad.config import Settings, current
from lazygrad.device import CUPY, INTERPRETER, NUMPY, Target
from lazygrad.ir.attention import DECOMPOSITIONS
from lazygrad.ir.node import Node, substitute, toposort
from lazygrad.ir.simplify import simplify
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.execute import execute
from lazygrad.runtime.values import known, remember
from lazygrad.schedule.canonical import canonical_graph, structure_of
from lazygrad.schedule.partition import partition
from lazygrad.schedule.plan import Plan
from lazygrad.schedule.planner import plan_kernels, plan_op_by_op

_plans: dict[Any, Plan] = {}

sys.setrecursionlimit(max(sys.getrecursionlimit(), 20000))  # lowering pulls through long chains


def realize(roots: Sequence[Node]) -> list[Buffer]:
    """Compute every root that isn't computed yet; returns their buffers."""
    pending = [r for r in dict.fromkeys(roots) if known(r) is None]
    if pending:
        settings = current()
        target = target_for(pending, settings)
        structure = structure_of(pending, lambda n: known(n) is not None)
        key = (structure.key, target, settings.fuse)
        plan = _plans.get(key)
        if plan is None:
            plan = _plans[key] = compile_plan(canonical_graph(structure), structure.leaves, target, settings)
        inputs = [known(leaf).read() for leaf in structure.leaves]  # type: ignore[union-attr]
        arrays = execute(plan, inputs, target)
        taken = {id(a) for a in inputs}
        for root, array in zip(pending, arrays, strict=True):
            remember(root, Buffer(_owned(array, taken), root.dtype, root.shape, root.device, root.where))
    return [known(r) for r in roots]  # type: ignore[misc]


def target_for(roots: Sequence[Node], settings: Settings) -> Target:
    """What the settings and the device of the roots ask for."""
    on_gpu = any(r.device.type == "cuda" for r in roots)
    if not on_gpu:
        return INTERPRETER if settings.backend == "triton" else NUMPY
    return CUPY


def _owned(array: Any, taken: set[int]) -> Any:
    """A contiguous array that no other buffer uses."""
    if array.flags.c_contiguous and array.flags.owndata and id(array) not in taken:
        taken.add(id(array))
        return array
    return np.ascontiguousarray(array) if not array.flags.c_contiguous else array.copy()


def compile_plan(roots: list[Node], leaves: list[Node], target: Target, settings: Settings) -> Plan:
    roots = simplify(roots)
    roots = decompose(roots)
    if not target.generates_kernels:
        return plan_op_by_op(roots, leaves)
    return plan_kernels(roots, leaves, partition(roots, settings.fuse))


def decompose(roots: list[Node]) -> list[Node]:
    """Ops the target has no kernel for become smaller ops."""
    while True:
        composite = [n for n in toposort(roots) if n.op in DECOMPOSITIONS]
        if not composite:
            return roots
        step = substitute(roots, {composite[0]: DECOMPOSITIONS[composite[0].op](composite[0])})
        roots = [step[r] for r in roots]
