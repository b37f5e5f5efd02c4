"""From a canonical graph to a plan: takes root Nodes over slots and a Target, returns a Plan."""

from __future__ import annotations

from dataclasses import replace

from lazygrad.codegen import attend, products
from lazygrad.codegen.attend import attention_kernel
from lazygrad.codegen.batch import batch_kernel
from lazygrad.codegen.loops import body_of, loop_kernel
from lazygrad.codegen.matmul import MatmulSpec
from lazygrad.codegen.products import product_kernel
from lazygrad.codegen.segments import segment_kernel
from lazygrad.codegen.views import view_of
from lazygrad.device import Target
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.runtime import cublas
from lazygrad.schedule.batch import batches
from lazygrad.schedule.group import Form, Group
from lazygrad.schedule.partition import Partition
from lazygrad.schedule.plan import (
    Choice,
    KernelStep,
    LibraryProduct,
    OpStep,
    Plan,
    ProductThenKernel,
    Step,
    Value,
    releases,
)
from lazygrad.schedule.tails import Launch, with_tails

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


def plan_kernels(
    roots: list[Node], leaves: list[Node], partition: Partition, target: Target, fuse: bool = True
) -> Plan:
    """A generated kernel for each group that has one, the array library for the rest. With `fuse`, groups that
    differ only in their tensors share a launch."""
    numbering = _Numbering(leaves)
    launches = with_tails(batches(partition.groups)) if fuse else [Launch((g,)) for g in partition.groups]
    for launch in launches:
        groups = launch.all_groups
        if groups[0].form is Form.LIBRARY:
            for node in body_of(groups[0]):
                if node not in numbering.number:
                    numbering.op(node)
            continue
        choices, arguments, written = _choices(launch, target)
        for node in written:
            numbering.add(node)
        stored = [n for group in groups for n in group.stored]
        inputs = dict.fromkeys(n for group in groups for n in group.inputs if n not in stored)
        numbering.steps.append(
            KernelStep(
                choices,
                tuple(numbering.of(n) for n in arguments),
                tuple(numbering.of(n) for n in written),
                tuple(dict.fromkeys(n for group in groups for n in body_of(group))),
                tuple((n, numbering.of(n)) for n in inputs),
                tuple((n, numbering.of(n)) for n in stored),
                stored[-1].where,
                frozenset(numbering.of(n) for n in inputs if all(n in g.elementwise for g in groups if n in g.inputs)),
            )
        )
    return replace(numbering.plan(roots), refusals=tuple(partition.refusals))


def _choices(launch: Launch, target: Target) -> tuple[tuple[Choice, ...], tuple[Node, ...], tuple[Node, ...]]:
    """(what can compute the groups, the nodes of its parameters, those that are written)."""
    written = tuple(n for group in launch.all_groups for n in group.stored)
    if len(launch.groups) > 1:
        kernel, arguments = batch_kernel(list(launch.groups))
        return (kernel,), arguments, written
    group = launch.groups[0]
    if group.form is Form.LOOP:
        kernel, arguments = loop_kernel(group, launch.tail)
        return (kernel,), arguments, written
    if group.form is Form.ATTENTION:
        made = [attention_kernel(group, target, c) for c in attend.configs(group, target)[: _most(target)]]
        return tuple(kernel for kernel, _, _ in made), made[0][1], made[0][2]
    if group.form is Form.SEGMENT:
        kernel, arguments = segment_kernel(group)
        return (kernel,), arguments, group.stored
    configs = products.configs(group, target)[: _most(target)]
    kernels = [product_kernel(group, target, c) for c in configs]
    choices: tuple[Choice, ...] = tuple(kernel for kernel, _ in kernels)
    arguments, written = kernels[0][1], group.stored
    dot = products.product_of(group)
    spec = products.spec_of(dot)
    if target.interpreted or cublas.refusal(spec) is not None:
        return choices, arguments, written
    if len(group.members) == 1:
        return (LibraryProduct(spec), *choices), arguments, written
    return _or_in_two(group, dot, spec, choices, arguments)


def _or_in_two(
    group: Group, dot: Node, spec: MatmulSpec, choices: tuple[Choice, ...], arguments: tuple[Node, ...]
) -> tuple[tuple[Choice, ...], tuple[Node, ...], tuple[Node, ...]]:
    """One more choice: cuBLAS, and a kernel for what follows. Where the product itself isn't wanted it gets
    memory all the same, as the last argument."""
    after = tuple(n for n in group.stored if n is not dot)
    stored = {dot, *group.inputs}
    read = set(toposort(after, stop=lambda n: n in stored))  # an operand of the product may be read again after it
    inputs = tuple(n for n in group.inputs if n in read)
    rest = Group(Form.LOOP, tuple(m for m in group.members if m is not dot), after, (dot, *inputs), None, group.size)
    kernel, needed = loop_kernel(rest)
    written = group.stored if dot in group.stored else (*group.stored, dot)
    arguments = arguments if dot in arguments else (*arguments, dot)
    a, b = (view_of(s).base for s in dot.src)
    place = {n: i for i, n in reversed(list(enumerate(arguments)))}
    if any(n not in place for n in needed):
        return choices, arguments, written
    in_two = ProductThenKernel(spec, (place[a], place[b], place[dot]), kernel, tuple(place[n] for n in needed))
    return (*choices, in_two), arguments, written


def _most(target: Target) -> int:
    return 1 if target.interpreted else MOST_CHOICES
