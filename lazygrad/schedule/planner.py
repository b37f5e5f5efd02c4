"""From a canonical graph to a plan: takes root Nodes over slots and a Target, returns a Plan."""

from __future__ import annotations

from lazygrad.codegen.loops import body_of, loop_kernel
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.schedule.group import Form, Group
from lazygrad.schedule.partition import Partition
from lazygrad.schedule.plan import KernelStep, OpStep, Plan, Step, Value, releases


class _Numbering:
    """Values of a plan as steps are added: leaves first."""

    def __init__(self, leaves: list[Node]) -> None:
        self.values = [Value(leaf.dtype, leaf.shape, leaf.device, leaf.where) for leaf in leaves]
        self.inputs = len(leaves)
        self.number: dict[Node, int] = {}
        self.steps: list[Step] = []

    def of(self, node: Node) -> int:
        if node.op is ops.BUFFER:
            return int(node.arg.index)
        return self.number[node]

    def add(self, node: Node) -> int:
        self.number[node] = len(self.values)
        self.values.append(Value(node.dtype, node.shape, node.device, node.where))
        return self.number[node]

    def op(self, node: Node) -> None:
        sources = tuple(self.of(s) for s in node.src)
        self.steps.append(OpStep(node, sources, self.add(node)))

    def plan(self, roots: list[Node]) -> Plan:
        outputs = tuple(self.of(r) for r in roots)
        steps = tuple(self.steps)
        return Plan(tuple(self.values), self.inputs, steps, releases(steps, self.inputs, outputs), outputs)


def plan_op_by_op(roots: list[Node], leaves: list[Node]) -> Plan:
    """Every op a step of its own, for the array libraries: nothing is recomputed."""
    numbering = _Numbering(leaves)
    for node in toposort(roots):
        if node.op is not ops.BUFFER:
            numbering.op(node)
    return numbering.plan(roots)


def plan_kernels(roots: list[Node], leaves: list[Node], partition: Partition) -> Plan:
    """A generated kernel for each group that has one, the array library for the rest."""
    numbering = _Numbering(leaves)
    for group in partition.groups:
        if group.form is Form.LOOP:
            numbering.steps.append(_loop_step(group, numbering))
        else:
            for node in body_of(group):
                if node not in numbering.number:
                    numbering.op(node)
    return numbering.plan(roots)


def _loop_step(group: Group, numbering: _Numbering) -> KernelStep:
    kernel, arguments = loop_kernel(group)
    operands = tuple((n, numbering.of(n)) for n in group.inputs)
    stored = tuple((n, numbering.add(n)) for n in group.stored)
    return KernelStep(
        kernel,
        tuple(numbering.of(n) for n in arguments),
        tuple(number for _, number in stored),
        tuple(body_of(group)),
        operands,
        stored,
        group.stored[-1].where,
    )
