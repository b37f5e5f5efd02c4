"""A GPU that isn't there: runs what runtime/device_plan.py decides on NumPy arrays.

Plans are made for an H200. A launch computes its step op by op and writes the results where the plan puts them; a
captured graph is the list of those launches, run again over the same memory at every replay. So the arena,
donation, staged inputs, held outputs and addresses are those of a GPU, and new memory holds NaN.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lazygrad import engine
from lazygrad.device import H200
from lazygrad.ir import op as ops
from lazygrad.ir.node import make, substitute
from lazygrad.runtime import array, device_plan, gpu, triton
from lazygrad.runtime.check import evaluated, poison
from lazygrad.schedule.canonical import Slot
from lazygrad.schedule.plan import KernelStep
from lazygrad.schedule.prepare import decompose


class Stream:
    """Runs work at once, or keeps it for a graph."""

    def __init__(self) -> None:
        self.recording: list[Callable[[], None]] | None = None
        self.ptr = 0

    def use(self) -> None: ...
    def synchronize(self) -> None: ...

    def begin_capture(self) -> None:
        self.recording = []

    def end_capture(self) -> Graph:
        graph, self.recording = Graph(self.recording or []), None
        return graph

    def do(self, work: Callable[[], None]) -> None:
        if self.recording is None:
            work()
        else:
            self.recording.append(work)


class Graph:
    replays = 0

    def __init__(self, work: list[Callable[[], None]]) -> None:
        self.work = work

    def launch(self, stream: Stream) -> None:
        Graph.replays += 1
        for work in self.work:
            work()


STREAM = Stream()
_blocks: dict[Any, Any] = {}


def allocate(shape: Any, dtype: Any, device: Any) -> Any:
    made = np.empty(shape, dtype)
    if made.nbytes:
        poison(made)
    return made


def arena_block(size: int, device: Any) -> Any:
    block = _blocks.get(device)
    if block is None or block.size < size:
        block = _blocks[device] = np.full((size,), 0xFF, np.uint8)
    return block


def work_of(step: KernelStep, plan: Any, values: list[Any]) -> Callable[[], None]:
    """The ops of a kernel over these arrays, read when the work is done."""
    given = {}
    for node, number in step.operands:
        given[node] = make(ops.BUFFER, (), Slot(number), node.dtype, node.shape, node.device)
    twins = substitute([n for n, _ in step.stored], given)
    roots = decompose([twins[n] for n, _ in step.stored])
    read = {twin: values[number] for (_, number), twin in zip(step.operands, given.values(), strict=True)}
    results = [values[number] for _, number in step.stored]

    def work() -> None:
        for memory, found in zip(results, evaluated(roots, read), strict=True):
            memory[...] = np.array(found, copy=True)

    return work


class PretendedPlan(device_plan.DevicePlan):
    """A DevicePlan whose launches are NumPy's."""

    def temporary(self, value: int, offset: int) -> Any:
        spec = self.plan.values[value]
        return np.ndarray(spec.shape, spec.dtype.numpy, buffer=self.block, offset=offset)

    def choose(self, step: KernelStep, arrays: list[Any], settings: Any) -> Any:
        return step.choices[0]

    def ready(self, choice: Any, arrays: list[Any]) -> Callable[[], None]:
        known = sys._getframe(1).f_locals  # launch() or record(), which know which step and which memory it is
        work = work_of(known["step"], self.plan, known["values"])
        return lambda: STREAM.do(work)

    def run_op(self, step: Any, values: list[Any]) -> None:
        spec = self.plan.values[step.result]
        memory = values[step.result] = allocate(spec.shape, spec.dtype.numpy, spec.device)
        sources = [values[s] for s in step.sources]

        def work() -> None:
            memory[...] = array.evaluate(step.node, sources)

        STREAM.do(work)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Everything that is computed inside goes through plans for a GPU."""
    library = SimpleNamespace(
        ascontiguousarray=np.ascontiguousarray,
        cuda=SimpleNamespace(
            Device=lambda index: nullcontext(),
            MemoryPool=lambda: SimpleNamespace(malloc=None),
            using_allocator=lambda malloc: nullcontext(),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "target_for", lambda structure, settings: H200)
        patch.setattr(engine, "_plans", {})
        patch.setattr(engine, "DevicePlan", PretendedPlan)
        patch.setattr(triton, "compile_all", lambda kernels, target: None)
        patch.setattr(gpu, "cupy", lambda: library)
        patch.setattr(gpu, "target_of", lambda device: H200)
        patch.setattr(gpu, "stream_of", lambda device: STREAM)
        patch.setattr(gpu, "allocate", allocate)
        patch.setattr(gpu, "arena_block", arena_block)
        patch.setattr(gpu, "copy_into", lambda target, source, device: np.copyto(target, source))
        patch.setattr(device_plan, "_address", lambda value: value.__array_interface__["data"][0])
        patch.setattr(device_plan, "_contiguous", np.ascontiguousarray)
        yield
