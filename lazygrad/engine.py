"""realize(): the one place that strings the stages together, readable as a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazygrad.config import current
from lazygrad.ir.attention import DECOMPOSITIONS
from lazygrad.ir.node import Node, substitute, toposort
from lazygrad.ir.simplify import simplify
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.execute import execute
from lazygrad.runtime.values import known, remember
from lazygrad.schedule.canonical import canonical_graph, structure_of
from lazygrad.schedule.plan import Plan
from lazygrad.schedule.planner import plan_op_by_op

_plans: dict[Any, Plan] = {}


def realize(roots: Sequence[Node]) -> list[Buffer]:
    """Compute every root that isn't computed yet; returns their buffers."""
    pending = [r for r in dict.fromkeys(roots) if known(r) is None]
    if pending:
        settings = current()
        structure = structure_of(pending, lambda n: known(n) is not None)
        key = (structure.key, settings.backend, settings.fuse)
        plan = _plans.get(key)
        if plan is None:
            plan = _plans[key] = compile_plan(canonical_graph(structure), structure.leaves)
        inputs = [known(leaf).read() for leaf in structure.leaves]  # type: ignore[union-attr]
        arrays = execute(plan, inputs)
        taken = {id(a) for a in inputs}
        for root, array in zip(pending, arrays, strict=True):
            remember(root, Buffer(_owned(array, taken), root.dtype, root.shape, root.device, root.where))
    return [known(r) for r in roots]  # type: ignore[misc]


def _owned(array: Any, taken: set[int]) -> Any:
    """A contiguous array that no other buffer uses."""
    if array.flags.c_contiguous and array.flags.owndata and id(array) not in taken:
        taken.add(id(array))
        return array
    return array.copy() if array.flags.c_contiguous else np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array.copy()


def compile_plan(roots: list[Node], leaves: list[Node]) -> Plan:
    roots = simplify(roots)
    roots = decompose(roots)
    return plan_op_by_op(roots, leaves)


def decompose(roots: list[Node]) -> list[Node]:
    """Ops the target has no kernel for become smaller ops."""
    while True:
        composite = [n for n in toposort(roots) if n.op in DECOMPOSITIONS]
        if not composite:
            return roots
        step = substitute(roots, {composite[0]: DECOMPOSITIONS[composite[0].op](composite[0])})
        roots = [step[r] for r in roots]
