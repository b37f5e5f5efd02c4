"""From a canonical graph to a plan: takes root Nodes over slots and a Target, returns a Plan."""

from __future__ import annotations

from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.schedule.plan import OpStep, Plan, Step, Value, releases


def plan_op_by_op(roots: list[Node], leaves: list[Node]) -> Plan:
    """Every op a step of its own, for the array libraries: nothing is recomputed."""
    number: dict[Node, int] = {}
    values = [Value(leaf.dtype, leaf.shape, leaf.device, leaf.where) for leaf in leaves]
    steps: list[Step] = []
    for node in toposort(roots):
        if node.op is ops.BUFFER:
            number[node] = node.arg.index
            continue
        number[node] = len(values)
        values.append(Value(node.dtype, node.shape, node.device, node.where))
        steps.append(OpStep(node, tuple(number[s] for s in node.src), number[node]))
    outputs = tuple(number[r] for r in roots)
    return Plan(tuple(values), len(leaves), tuple(steps), releases(tuple(steps), len(leaves), outputs), outputs)
