"""Plans on a GPU: the first run tunes and launches one by one; later ones replay a captured CUDA graph.

A graph holds addresses. So that no replay can see a wrong value: temporaries live in an arena that the plan
owns; inputs whose address changed between the first two runs are copied into memory that the plan owns,
the others are compared at every replay and, when one moved, the graph is captured anew; outputs are
captured into memory that is handed out again only when nobody holds it, else what is held is moved away
first; what array ops allocate, and give back before they return, is a pool of the graph's own. Donated
inputs (parameters, optimizer state) are updated where they stand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from lazygrad.codegen.kernel import Kernel, PointerTable
from lazygrad.config import Settings, current
from lazygrad.device import Device
from lazygrad.inspect import story
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.runtime import array, autotune, cublas, gpu, triton
from lazygrad.runtime.buffer import holders_of
from lazygrad.runtime.check import checked_launch
from lazygrad.schedule.memory import Arena, plan_arena
from lazygrad.schedule.plan import Choice, KernelStep, LibraryProduct, OpStep, Plan, ProductThenKernel

STAGED_LIMIT = 64 << 20  # inputs up to this size are copied into place before a replay, if they move about
Launch = Callable[[], None]

_loaded: dict[tuple[Kernel, Device], triton.CompiledKernel] = {}
_products: dict[LibraryProduct, cublas.Product] = {}


class DevicePlan:
    """A plan bound to one GPU. `donations` maps outputs to the inputs whose memory they take over."""

    def __init__(self, plan: Plan, device: Device, donations: dict[int, int]) -> None:
        self.plan, self.device, self.donations = plan, device, donations
        self.target = gpu.target_of(device)
        self.arena: Arena = plan_arena(plan)
        self.runs = self.captures = 0
        self.block: Any = None
        self.graph: Any = None
        self.pool: Any = None  # where array ops have their memory in a graph, which writes there at every replay
        self.capturable = not any(isinstance(s, OpStep) and waits_for_the_host(s.node) for s in plan.steps)
        self.chosen: list[Choice | None] = [None] * len(plan.steps)
        self.captured_inputs: list[int] = []
        self.staged: dict[int, Any] = {}
        self.moved: set[int] = set()
        self.captured: dict[int, Any] = {}  # arrays of the captured run: outputs, and what array ops made
        self.kept: list[Any] = []
        self.references: dict[int, int] = {}
        self.launches: list[Launch] = []
        self.launched: list[tuple[KernelStep, Choice]] = []

    # -- one run
    def run(self, inputs: list[Any], settings: Settings) -> list[Any]:
        self.runs += 1
        with gpu.cupy().cuda.Device(self.device.index):
            stream = gpu.stream_of(self.device)
            stream.use()
            apart = settings.check or settings.debug >= 2
            if apart or not (self.capturable and settings.graphs) or self.runs == 1:
                if self.graph is None:  # else they say what the graph reads, which may be replayed later
                    self.captured_inputs = [_address(a) for a in inputs]
                return self.run_launches(inputs, settings)
            captured = self.graph is not None and self.has_current_arena()
            if not (captured and self.can_replay(inputs) and self.free_outputs(inputs)):
                self.capture(inputs, settings, stream)
            return self.replay(inputs, stream)

    def run_launches(self, inputs: list[Any], settings: Settings) -> list[Any]:
        """Every step on its own; on the first run the fastest of its choices is found."""
        values = self.place(inputs, {})
        times = story.timetable(self.plan, settings) if settings.debug >= 2 else None
        for i, step in enumerate(self.plan.steps):
            if isinstance(step, OpStep):
                self.timed(times, step, story.step_name(step), partial(self.run_op, step, values))
            elif self.has_work(step):
                self.launch(i, step, values, settings, times)
            for dead in self.plan.release[i]:
                if dead not in self.arena.offsets:
                    values[dead] = None
        if times is not None:
            times.end()
        return [values[o] for o in self.plan.outputs]

    def timed(
        self,
        times: story.Timetable | None,
        step: KernelStep | OpStep,
        name: str,
        run: Launch,
        again: Launch | None = None,
    ) -> None:
        """Run a step; into the timetable goes how long it took, or the median of further runs where it has `again`."""
        if times is None:
            run()
            return
        stream, cupy = gpu.stream_of(self.device), gpu.cupy()
        took = autotune.milliseconds(run, stream, cupy)
        if again is not None:
            took = autotune.median_milliseconds(again, stream, cupy)
        times.add(step, name, took / 1e3)

    def has_work(self, step: KernelStep) -> bool:
        return any(0 not in self.plan.values[r].shape for r in step.results)

    # -- memory
    def place(self, inputs: list[Any], outputs: dict[int, Any]) -> list[Any]:
        """Arrays for inputs, temporaries and outputs; what array ops make is filled in as they run."""
        plan = self.plan
        if self.arena.size:
            self.block = gpu.arena_block(self.arena.size, self.device)
        values: list[Any] = [*inputs, *[None] * (len(plan.values) - len(inputs))]
        for value, offset in self.arena.offsets.items():
            values[value] = self.temporary(value, offset)
        written = {r for s in plan.steps if isinstance(s, KernelStep) for r in s.results}
        for position, value in enumerate(plan.outputs):
            if value not in written or values[value] is not None:
                continue
            spec = plan.values[value]
            if position in self.donations:
                values[value] = inputs[self.donations[position]]
            elif value in outputs:
                values[value] = outputs[value]
            else:
                values[value] = gpu.allocate(spec.shape, spec.dtype.numpy, self.device)
        return values

    def temporary(self, value: int, offset: int) -> Any:
        spec = self.plan.values[value]
        memory = self.block.data.mem
        pointer = gpu.cupy().cuda.MemoryPointer(memory, self.block.data.ptr - memory.ptr + offset)
        return gpu.cupy().ndarray(spec.shape, spec.dtype.numpy, pointer)

    # -- launching
    def run_op(self, step: OpStep, values: list[Any]) -> None:
        values[step.result] = array.evaluate(step.node, [values[s] for s in step.sources])

    def launch(
        self, number: int, step: KernelStep, values: list[Any], settings: Settings, times: story.Timetable | None
    ) -> None:
        arrays = [self.contiguous(values, a) for a in step.arguments]
        chosen = self.chosen[number]
        if chosen is None:
            chosen = self.chosen[number] = self.choose(step, arrays, settings)
        if times is None and not settings.check:
            self.ready(chosen, arrays)()
            return
        read = {_address(values[a]) for a in step.arguments if a not in step.results}
        updates = any(_address(values[r]) in read for r in step.results)  # can be launched once only
        checked = settings.check and self.runs == 1 and not updates
        others = [c for c in step.choices if c is not chosen] if checked else []
        for choice in [*others, chosen]:
            launch, name = self.ready(choice, arrays), story.choice_name(choice, step)
            if settings.check:
                file = triton.source_file(choice) if isinstance(choice, Kernel) else "cuBLAS"
                checked_launch(step, self.plan, values, name, file, launch)
            else:
                self.timed(times, step, name, launch, None if updates else launch)

    def contiguous(self, values: list[Any], value: int) -> Any:
        """What an array op left as a view becomes an array of its own."""
        if not values[value].flags.c_contiguous:
            values[value] = gpu.cupy().ascontiguousarray(values[value])
            self.kept.append(values[value])
        return values[value]

    def ready(self, choice: Choice, arrays: list[Any]) -> Launch:
        """A function that launches this choice on these arrays."""
        stream = gpu.stream_of(self.device).ptr
        if isinstance(choice, ProductThenKernel):
            product_first = self.ready(LibraryProduct(choice.spec), [arrays[i] for i in choice.operands])
            kernel_then = self.ready(choice.kernel, [arrays[i] for i in choice.arguments])

            def both() -> None:
                product_first()
                kernel_then()

            return both
        if isinstance(choice, LibraryProduct):
            product = _products.get(choice)
            if product is None:
                product = _products[choice] = cublas.Product(choice.spec)
            a, b, out = (_address(x) for x in arrays)
            device = self.device.index
            return lambda: product(a, b, out, device, stream)
        addresses = [_address(a) for a in arrays[: parameters_of(choice)]]
        kernel = _loaded.get((choice, self.device))
        if kernel is None:
            kernel = _loaded[choice, self.device] = triton.CompiledKernel(choice, self.target)
        arguments = kernel.bind(addresses)
        return lambda: kernel.launch(arguments, stream)

    def choose(self, step: KernelStep, arrays: list[Any], settings: Settings) -> Choice:
        if len(step.choices) == 1 or not settings.autotune:
            return step.choices[0]
        cache = triton.disk_cache(str(current().cache_root))
        key = autotune.key_of(step.choices, gpu.device_name(self.device))
        best = autotune.remembered(cache, key, step.choices)
        if best is None:
            # into memory of its own: results may stand where inputs do, and every candidate must see those
            pairs = zip(arrays, step.arguments, strict=True)
            own = {id(a): gpu.allocate(a.shape, a.dtype, self.device) for a, v in pairs
                   if v in step.results}  # fmt: skip
            apart = [own[id(a)] if v in step.results else a for a, v in zip(arrays, step.arguments, strict=True)]
            runs = [self.ready(c, apart) for c in step.choices]
            best, times = autotune.fastest(runs, gpu.stream_of(self.device), gpu.cupy())
            cache.put_json("choice", key, {"best": best, "milliseconds": times})
            if settings.debug >= 3:
                story.tuned(step, times, best, settings)
        return step.choices[best]

    def profile(self, rounds: int = 5) -> list[tuple[float, str]]:
        """(median seconds, description) of each kernel run alone over the last run's memory, slowest first."""
        rows: list[tuple[float, str]] = []
        stream = gpu.stream_of(self.device)
        for launch, (step, chosen) in zip(self.launches, self.launched, strict=True):
            _, times = autotune.fastest([launch], stream, gpu.cupy())
            name = chosen.name if isinstance(chosen, Kernel) else "cublas"
            shapes = " ".join(str(list(self.plan.values[r].shape)) for r in step.results)
            rows.append((times[0] / 1e3, f"{name} -> {shapes}"))
        return sorted(rows, reverse=True)

    # -- graphs
    def has_current_arena(self) -> bool:
        """Whether temporaries stand in the block that all plans share now: it moves when a plan needs a larger one."""
        return not self.arena.size or self.block is gpu.arena_block(self.arena.size, self.device)

    def can_replay(self, inputs: list[Any]) -> bool:
        """Whether every input that the graph reads in place is where it was."""
        return all(i in self.staged or _address(a) == self.captured_inputs[i] for i, a in enumerate(inputs))

    def capture(self, inputs: list[Any], settings: Settings, stream: Any) -> None:
        """Record one run. Inputs that have moved since the last time get memory of their own."""
        self.captures += 1
        donated = set(self.donations.values())
        for i, given in enumerate(inputs):
            if _address(given) != self.captured_inputs[i] and i not in donated and given.nbytes <= STAGED_LIMIT:
                self.moved.add(i)
        placed = list(inputs)
        for i in self.moved:
            if i not in self.staged:
                spec = self.plan.values[i]
                self.staged[i] = gpu.allocate(spec.shape, spec.dtype.numpy, self.device)
            placed[i] = self.staged[i]
        self.captured_inputs = [_address(a) for a in inputs]
        self.captured, self.references, self.graph = {}, {}, None
        self.kept = [self.place(placed, {})]
        del placed
        stream.synchronize()  # pointer tables are uploaded beside the stream: into memory that nothing still uses
        stream.begin_capture()
        try:
            self.launches, self.launched = self.record(self.kept[0], settings)
        finally:
            self.graph = stream.end_capture()
        self.captured = {v: self.kept[0][v] for v in self.plan.outputs}
        # how often each output's memory is referred to while nobody but this plan does
        taken_over = {self.plan.outputs[p] for p in self.donations}
        own = [v for v in self.captured if v not in taken_over and v >= self.plan.inputs]
        self.references = {v: sys.getrefcount(self.captured[v]) for v in own}

    def record(self, values: list[Any], settings: Settings) -> tuple[list[Launch], list[tuple[KernelStep, Choice]]]:
        """Launch every step into the graph being captured."""
        launches: list[Launch] = []
        launched: list[tuple[KernelStep, Choice]] = []
        self.pool = gpu.cupy().cuda.MemoryPool()
        for i, step in enumerate(self.plan.steps):
            if isinstance(step, OpStep):
                with gpu.cupy().cuda.using_allocator(self.pool.malloc):
                    self.run_op(step, values)
            elif self.has_work(step):
                arrays = [self.contiguous(values, a) for a in step.arguments]
                chosen = self.chosen[i] or self.choose(step, arrays, settings)
                launches.append(self.ready(chosen, arrays))
                launched.append((step, chosen))
                launches[-1]()
        return launches, launched

    def replay(self, inputs: list[Any], stream: Any) -> list[Any]:
        for i, memory in self.staged.items():
            gpu.copy_into(memory, _contiguous(inputs[i]), self.device)
        self.graph.launch(stream)
        return [self.result(p, v, inputs) for p, v in enumerate(self.plan.outputs)]

    def result(self, position: int, value: int, inputs: list[Any]) -> Any:
        """Where an output of a replay is: what is an input too is this run's, not the copy that the graph reads."""
        if position in self.donations:
            return inputs[self.donations[position]]
        return inputs[value] if value < self.plan.inputs else self.captured[value]

    def free_outputs(self, inputs: list[Any]) -> bool:
        """Whoever still holds what an earlier replay returned gets a copy before this one overwrites it. False
        where somebody outside holds the memory itself: then the graph must write elsewhere.

        An output that comes back as an input of this run (a step count, a random state) is read from its staged
        copy, so this list is no holder that matters.
        """
        for value, alone in self.references.items():
            given = sum(inputs[i] is self.captured[value] for i in self.staged)
            if sys.getrefcount(self.captured[value]) <= alone + given:
                continue
            for buffer in holders_of(self.captured[value]):
                buffer.array = self.captured[value].copy()
            if sys.getrefcount(self.captured[value]) > alone + given:
                return False
        return True


def waits_for_the_host(node: Node) -> bool:
    """Whether this can't be part of a graph: transfers, and CuPy's linear algebra, which looks at how it went."""
    return node.op is ops.COPY or (node.op.kind is Kind.LIBRARY and node.op is not ops.ARGSORT)


def parameters_of(kernel: Kernel) -> int:
    """How many of a step's arguments the kernel takes; a step may carry more, for its other choices."""
    first = kernel.params[0]
    return len(first.columns) * len(first.sizes) if isinstance(first, PointerTable) else len(kernel.params)


def _address(value: Any) -> int:
    return int(value.data.ptr)


def _contiguous(value: Any) -> Any:
    return value if value.flags.c_contiguous else gpu.cupy().ascontiguousarray(value)
