"""From a canonical graph to a plan: takes root Nodes over slots and a Target, returns a Plan."""

from __future__ import annotations

from lazygrad.codegen import attend, products
from lazygrad.codegen.attend import attention_kernel
from lazygrad.codegen.loops import body_of, loop_kernel
from lazygrad.codegen.products import product_kernel
from lazygrad.codegen.segments import segment_kernel
from lazygrad.device import Target
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.runtime import cublas
from lazygrad.schedule.group import Form, Group
from lazygrad.schedule.partition import Partition
from lazygrad.schedule.plan import Choice, KernelStep, LibraryProduct, OpStep, Plan, Step, Value, releases


MOST_CHOICES = 4  # candidates worth compiling and timing


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


def plan_kernels(roots: list[Node], leaves: list[Node], partition: Partition, target: Target) -> Plan:
    """A generated kernel for each group that has one, the array library for the rest."""
    numbering = _Numbering(leaves)
    for group in partition.groups:
        if group.form is Form.LIBRARY:
            for node in body_of(group):
                if node not in numbering.number:
                    numbering.op(node)
            continue
        choices, arguments, written = _choices(group, target)
        for node in written:
            numbering.add(node)
        numbering.steps.append(
            KernelStep(
                choices,
                tuple(numbering.of(n) for n in arguments),
                tuple(numbering.of(n) for n in written),
                tuple(body_of(group)),
                tuple((n, numbering.of(n)) for n in group.inputs),
                tuple((n, numbering.of(n)) for n in group.stored),
                group.stored[-1].where,
                frozenset(numbering.of(n) for n in group.elementwise),
            )
        )
    return numbering.plan(roots)


def _choices(group: Group, target: Target) -> tuple[tuple[Choice, ...], tuple[Node, ...], tuple[Node, ...]]:
    """(what can compute the group, the nodes of its parameters, those that are written)."""
    if group.form is Form.LOOP:
        kernel, arguments = loop_kernel(group)
        return (kernel,), arguments, group.stored
    if group.form is Form.ATTENTION:
        made = [attention_kernel(group, target, c) for c in attend.configs(group, target)[: _most(target)]]
        return tuple(kernel for kernel, _, _ in made), made[0][1], made[0][2]
    if group.form is Form.SEGMENT:
        kernel, arguments = segment_kernel(group)
        return (kernel,), arguments, group.stored
    configs = products.configs(group, target)[: _most(target)]
    kernels = [product_kernel(group, target, c) for c in configs]
    choices: tuple[Choice, ...] = tuple(kernel for kernel, _ in kernels)
    if not target.interpreted and len(group.members) == 1:
        spec = products.spec_of(products.product_of(group))
        if cublas.refusal(spec) is None:
            choices = (LibraryProduct(spec), *choices)
    return choices, kernels[0][1], group.stored


def _most(target: Target) -> int:
    return 1 if target.interpreted else MOST_CHOICES
