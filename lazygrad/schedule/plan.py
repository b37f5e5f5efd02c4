"""A plan: what to run, in order, over numbered values. A value itself; it holds no buffers.

Values 0..inputs-1 are the leaves; each step adds more. `release[i]` names the values nobody reads after
step i. `outputs` are what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.codegen.kernel import Kernel
from lazygrad.codegen.matmul import MatmulSpec
from lazygrad.device import Device
from lazygrad.dtype import DType
from lazygrad.errors import Line
from lazygrad.ir.node import Node
from lazygrad.shape import Shape


@dataclass(frozen=True)
class Value:
    """One numbered array of a plan."""

    dtype: DType
    shape: Shape
    device: Device
    where: Line


@dataclass(frozen=True)
class OpStep:
    """One op by the array library."""

    node: Node
    sources: tuple[int, ...]
    result: int


@dataclass(frozen=True)
class LibraryProduct:
    """A matrix product that cuBLAS computes: an alternative to a kernel with parameters a, b, out."""

    spec: MatmulSpec


@dataclass(frozen=True)
class ProductThenKernel:
    """The product by cuBLAS into memory, then what follows it by a kernel of its own: what fusing them has to
    beat. The tuples are positions among the step's arguments."""

    spec: MatmulSpec
    operands: tuple[int, int, int]  # a, b, the product
    kernel: Kernel
    arguments: tuple[int, ...]


Choice = Kernel | LibraryProduct | ProductThenKernel


@dataclass(frozen=True)
class KernelStep:
    """One launch. `choices` compute the same, best guess first: tuning may pick any. `arguments` are values
    in the order of their parameters."""

    choices: tuple[Choice, ...]
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    body: tuple[Node, ...]  # the ops it fuses, sources first: for printing, and for checking it op by op
    operands: tuple[tuple[Node, int], ...]  # what `body` starts from: nodes that are stored values
    stored: tuple[tuple[Node, int], ...]  # what it writes
    where: Line = ("", 0, "")
    elementwise: frozenset[int] = frozenset()  # arguments read only at the element being written


Step = OpStep | KernelStep


def kernel_of(step: KernelStep) -> Kernel:
    """The generated kernel that is the best guess."""
    return next(c for c in step.choices if isinstance(c, Kernel))


@dataclass(frozen=True)
class Plan:
    values: tuple[Value, ...]
    inputs: int
    steps: tuple[Step, ...]
    release: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]
    refusals: tuple[tuple[Node, Node, str], ...] = ()  # why kernels that stand beside each other are two


def all_kernels(plan: Plan) -> list[Kernel]:
    """Every generated kernel that some choice of some step launches."""
    choices = [c for s in plan.steps if isinstance(s, KernelStep) for c in s.choices]
    found = [c if isinstance(c, Kernel) else c.kernel for c in choices if not isinstance(c, LibraryProduct)]
    return list(dict.fromkeys(found))


def releases(steps: tuple[Step, ...], inputs: int, outputs: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """For each step the temporaries that it is the last to touch."""
    last: dict[int, int] = {}
    for i, step in enumerate(steps):
        used = (*step.sources, step.result) if isinstance(step, OpStep) else (*step.arguments, *step.results)
        for value in used:
            last[value] = i
    kept = set(outputs) | set(range(inputs))
    dead: list[list[int]] = [[] for _ in steps]
    for value, i in last.items():
        if value not in kept:
            dead[i].append(value)
    return tuple(tuple(d) for d in dead)


def possible_donations(plan: Plan, wanted: dict[int, int]) -> dict[int, int]:
    """Of the outputs that should take over an input's memory, those that can: nobody reads the input after
    the output is written, and who writes it reads the input only at the element it is writing."""
    granted: dict[int, int] = {}
    for position, given in wanted.items():
        output = plan.outputs[position]
        if plan.outputs.count(output) > 1 or given in granted.values() or output < plan.inputs:
            continue
        if given in plan.outputs:  # somebody wants the old value too
            continue
        writer = next((i for i, s in enumerate(plan.steps) if isinstance(s, KernelStep) and output in s.results), None)
        if writer is None:
            continue
        later = any(given in _read(s) for s in plan.steps[writer + 1 :])
        step = plan.steps[writer]
        assert isinstance(step, KernelStep)
        same = (
            plan.values[output].shape == plan.values[given].shape
            and plan.values[output].dtype is plan.values[given].dtype
        )
        if same and not later and (given not in step.arguments or given in step.elementwise):
            granted[position] = given
    return granted


def _read(step: Step) -> tuple[int, ...]:
    return step.sources if isinstance(step, OpStep) else step.arguments
