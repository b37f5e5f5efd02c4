"""A plan: what to run, in order, over numbered values. A value itself; it holds no buffers.

Values 0..inputs-1 are the leaves; each step adds more. `release[i]` names the values nobody reads after
step i. `outputs` are what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.codegen.kernel import Kernel
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
class KernelStep:
    """One generated kernel; `arguments` are values in the order of its parameters."""

    kernel: Kernel
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    body: tuple[Node, ...]  # the ops it fuses, sources first: for printing, and for checking it op by op
    operands: tuple[tuple[Node, int], ...]  # what `body` starts from: nodes that are stored values
    stored: tuple[tuple[Node, int], ...]  # what it writes
    where: Line = ("", 0)


Step = OpStep | KernelStep


@dataclass(frozen=True)
class Plan:
    values: tuple[Value, ...]
    inputs: int
    steps: tuple[Step, ...]
    release: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]


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
