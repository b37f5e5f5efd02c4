"""realize(): the one place that strings the stages together, readable as a listing."""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from lazygrad.config import Settings, current
from lazygrad.device import CUPY, INTERPRETER, NUMPY, Device, Target
from lazygrad.dtype import float64
from lazygrad.errors import user_line
from lazygrad.inspect import story
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make, uncomputed
from lazygrad.ir.op import Kind
from lazygrad.ir.recognise import recognise
from lazygrad.ir.simplify import simplify
from lazygrad.ir.verify import verify
from lazygrad.runtime import gpu, triton
from lazygrad.runtime.array import cuda_device_count, empty, evaluate, upload
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.device_plan import DevicePlan
from lazygrad.runtime.execute import execute
from lazygrad.runtime.values import known, remember
from lazygrad.schedule.canonical import Structure, canonical_graph, structure_of
from lazygrad.schedule.numbers import with_numbers_as_data
from lazygrad.schedule.partition import partition
from lazygrad.schedule.plan import Plan, all_kernels, possible_donations
from lazygrad.schedule.planner import plan_kernels, plan_op_by_op
from lazygrad.schedule.prepare import decompose, prepare
from lazygrad.schedule.shapes import is_worth_kernels

sys.setrecursionlimit(max(sys.getrecursionlimit(), 20000))  # lowering pulls through long chains

SMALL = 256  # bytes below which an update in place costs more thought than a new buffer: counters, random states
FAR = 12  # ops above computed values at which a held one is kept
MASK = 36  # ops that may follow from constants alone before they count: of masks the form is wanted, not the value
OBJECTS_A_NODE = 20  # containers that come and go with a node, generously: tuples, weak references, tensors
_COSTLY_KINDS = (Kind.REDUCE, Kind.CONTRACT, Kind.ATTENTION, Kind.SCAN, Kind.LIBRARY)
EXPENSIVE = frozenset(op for op in ops.OPS.values() if op.kind in _COSTLY_KINDS or op is ops.PHILOX)


@dataclass
class Compiled:
    """A plan, and on a GPU what it is bound to there, for each pattern of donated inputs."""

    plan: Plan
    target: Target
    on_device: dict[Any, DevicePlan] = field(default_factory=dict)


_plans: dict[Any, Compiled] = {}


def realize(
    roots: Sequence[Node],
    updates: Mapping[Node, Buffer] | None = None,
    held: Collection[Node] = (),
    copies: Collection[Node] = (),
) -> list[Buffer]:
    """Compute every root that isn't computed yet; returns their buffers.

    `updates` maps roots to the buffer whose memory they may take over: the old value of what is updated in
    place. `held` are nodes that the user still holds: those that are computed on the way, and would be
    costly to compute again, are kept. They and `copies` are computed before memory that they read is overwritten.
    """
    updates = updates or {}
    constants = [constant_buffer(r) for r in roots]
    present: set[Node] = set()
    order = uncomputed(roots, present)
    stale = realize_sources(order, roots)
    pending = [r for r, c in zip(roots, constants, strict=True) if c is None and known(r) is None]
    pending = list(dict.fromkeys(pending))
    if pending:
        settings = current()
        if stale or len(pending) < len(roots):
            present = set()
            order = uncomputed(pending, present)
        kept = worth_keeping(order, pending, held)
        lost = losing_their_source(order, present, {*pending, *kept}, [*held, *copies], updates)
        order += uncomputed(lost, present)
        structure = structure_of([*pending, *lost, *kept], order)
        target = target_for(structure, settings)
        structure, compiled = compiled_plan(structure, target, settings)
        inputs = [known(leaf).read() for leaf in structure.leaves]  # type: ignore[union-attr]
        if on_gpu(compiled.target):
            run_on_device(compiled, structure, inputs, updates, settings)
        else:
            arrays = execute(compiled.plan, inputs, compiled.target, settings)
            taken = {id(a) for a in inputs}
            for root, array in zip(structure.roots, arrays, strict=True):
                remember(root, Buffer(owned(array, taken), root.dtype, root.shape, root.device, root.where))
    return [c or known(r) for r, c in zip(roots, constants, strict=True)]  # type: ignore[misc]


def constant_buffer(node: Node) -> Buffer | None:
    """Memory of its own for a constant. It is not remembered: the same node is part of other expressions, where
    a constant must stay one, and who updates this memory in place must not change theirs."""
    value = None if node.computed is not None else build.constant_value(node)
    if value is None:
        return None
    filled = empty(node.shape, node.dtype, node.device)
    filled.fill(value)
    return Buffer(filled, node.dtype, node.shape, node.device, node.where)


def realize_sources(order: list[Node], roots: Sequence[Node]) -> bool:
    """Parameters are computed once, before what is computed from them; so is what crosses between devices, so
    that a plan has one device. False where there was nothing to do."""
    leaves = [n.src[0] for n in order if is_uncomputed_leaf(n)]
    if leaves and list(roots) != leaves:
        realize(leaves)
    transfers = [n for n in order if n.op is ops.COPY and n.computed is None]
    if not transfers:
        return bool(leaves)
    twins = [computed_there(n) for n in transfers]
    buffers = realize([t if t is not None else n.src[0] for n, t in zip(transfers, twins, strict=True)])
    for node, twin, buffer in zip(transfers, twins, buffers, strict=True):
        if twin is None:
            moved = evaluate(node, [buffer.read()])
            buffer = Buffer(moved, node.dtype, node.shape, node.device, node.where)
        remember(node, buffer)
    return True


def is_uncomputed_leaf(node: Node) -> bool:
    if node.op is not ops.LEAF or node.computed is not None:
        return False
    return known(node.src[0]) is None and build.constant_value(node.src[0]) is None


def computed_there(copy: Node) -> Node | None:
    """The source of a transfer as an expression on the device it goes to, where less has to be moved that way:
    random parameters are drawn where they will live. None where the value itself should travel."""
    order = uncomputed(copy.src)
    leaves = [n for n in order if n.computed is not None]
    small = sum(n.nbytes for n in leaves) * 4 < copy.nbytes
    if not small or any(n.op is ops.COPY or n.op.kind is Kind.LIBRARY for n in order):
        return None
    twin: dict[Node, Node] = {}
    for node in order:
        if node.computed is not None:
            twin[node] = build.copy(node, copy.device)
        elif node.op.kind is Kind.MARKER:
            twin[node] = twin[node.src[0]]
        else:
            twin[node] = make(node.op, tuple(twin[s] for s in node.src), node.arg, node.dtype, node.shape, copy.device)
            twin[node].where = node.where
    return build.detach(twin[copy.src[0]])


def worth_keeping(order: list[Node], roots: Sequence[Node], held: Collection[Node]) -> list[Node]:
    """The nodes that somebody holds and that take more than a pass over memory to compute again, or many ops."""
    if not held:
        return []
    costly: set[Node] = set()
    asked = set(roots)
    kept, cheap = [], []
    for node in order:
        if node.computed is not None:
            continue
        if node.op in EXPENSIVE or not costly.isdisjoint(node.src):
            costly.add(node)
            if node in held and node not in asked:
                kept.append(node)
        elif node in held and node not in asked:
            cheap.append(node)
    return kept + far_from_values(cheap)


def far_from_values(nodes: Sequence[Node]) -> list[Node]:
    """Those of `nodes` that stand FAR ops above what is computed, or above another of these. A loop that reads one
    number of what it updates would plan all of its rounds anew in each if nothing of them were kept."""
    steps: dict[Node, int] = {}
    far, asked = [], set(nodes)
    for node in uncomputed(nodes):
        if node.computed is not None or not node.src:
            steps[node] = 0 if node.computed is not None else -MASK
            continue
        steps[node] = max(steps[s] for s in node.src if s in steps) + 1
        if steps[node] >= FAR and node in asked:
            far.append(node)
            steps[node] = 0
    return far


def losing_their_source(
    order: list[Node], present: set[Node], safe: set[Node], held: Collection[Node], updates: Mapping[Node, Buffer]
) -> list[Node]:
    """Nodes that somebody holds and that could not be computed once this plan has overwritten memory: they are
    computed by it too. `safe` are those that it computes anyway; `order` and `present` are the whole plan."""
    overwritten = {id(b) for b in updates.values()}
    if not overwritten or not held:
        return []
    apart = uncomputed([n for n in held if n not in present], set(present))
    reading: set[Node] = set()  # memory that is overwritten, not by way of what the plan computes
    examples: set[Node] = set()  # what somebody kept of a function under vmap has no value
    for node in [*order, *apart]:
        if node.op is ops.EXAMPLE or not examples.isdisjoint(node.src):
            examples.add(node)
        if node.computed is not None:
            if id(node.computed) in overwritten:
                reading.add(node)
        elif node not in safe and not reading.isdisjoint(node.src):
            reading.add(node)
    return [n for n in held if n in reading and n not in examples and n.computed is None]


def target_for(structure: Structure, settings: Settings) -> Target:
    """What the settings and the devices of the graph ask for."""
    devices = {n.device for n in structure.order}
    gpus = sorted((d for d in devices if d.type == "cuda"), key=str)
    if not gpus:
        return INTERPRETER if settings.backend == "triton" and not cuda_device_count() else NUMPY
    if settings.backend == "numpy":
        raise RuntimeError("LAZYGRAD_BACKEND=numpy can't compute on a GPU; use device='cpu' or another backend")
    mixed = len(devices) > 1
    if settings.backend == "cupy" or mixed or not triton.is_available():
        return CUPY
    return gpu.target_of(gpus[0])


def compiled_plan(structure: Structure, target: Target, settings: Settings) -> tuple[Structure, Compiled]:
    """The plan of a structure, or of the same with numbers as data that other plans of its form differ in; for the
    target, or for CuPy if the structure is one of many shapes."""
    found = _plans.get((structure.key, target, settings.fuse))
    if found is None and (freed := with_numbers_as_data(structure, numbers_leaf)) is not None:
        structure = freed
        found = _plans.get((structure.key, target, settings.fuse))
    if found is None and on_gpu(target) and not deserves_kernels(structure, settings):
        target = CUPY
        found = _plans.get((structure.key, target, settings.fuse))
    if found is None:
        spare_the_collector(len(structure.order))
        started = perf_counter()
        roots = canonical_graph(structure)
        plan = compile_plan(roots, structure.leaves, target, settings)
        if on_gpu(target):
            triton.compile_all(all_kernels(plan), target)
        found = _plans[structure.key, target, settings.fuse] = Compiled(plan, target)
        if settings.debug:
            story.plan_made(plan, roots, perf_counter() - started)
        if settings.debug >= 3:
            story.kernels_made(plan, settings)
    elif settings.debug:
        story.plan_reused(found.plan)
    return structure, found


def on_gpu(target: Target) -> bool:
    """Whether kernels are generated for it that a GPU runs."""
    return target.backend == "triton" and not target.interpreted


def deserves_kernels(structure: Structure, settings: Settings) -> bool:
    return settings.check or not settings.shapes or is_worth_kernels(structure, settings.shapes)


def numbers_leaf(numbers: list[float], device: Device) -> Node:
    array = upload(np.array(numbers), device)
    return build.buffer(Buffer(array, float64, array.shape, device), float64, array.shape, device)


def spare_the_collector(nodes: int) -> None:
    """Let Python's cycle collector wait for more new objects than one step of this graph makes. Nodes form no
    cycles and die when the step does; walking them (and all of the program behind them) every few hundred
    allocations cost more than building them. A collector that the user switched off stays off."""
    first, *rest = gc.get_threshold()
    if 0 < first < nodes * OBJECTS_A_NODE:
        gc.set_threshold(nodes * OBJECTS_A_NODE, *rest)


def compile_plan(roots: list[Node], leaves: list[Node], target: Target, settings: Settings) -> Plan:
    roots = passed("asked", roots, settings)
    if settings.fuse and target.generates_kernels:
        found = recognise(roots)
        roots = passed("recognise", [found.get(r, r) for r in roots], settings)
    roots = passed("simplify", simplify(roots), settings)
    if not target.generates_kernels:
        return plan_op_by_op(passed("decompose", decompose(roots), settings), leaves)
    roots = passed("prepare", simplify(prepare(roots, target)), settings)
    return plan_kernels(roots, leaves, partition(roots, target, settings.fuse), target, settings.fuse)


def passed(stage: str, roots: list[Node], settings: Settings) -> list[Node]:
    """What a pass returned, shown and verified if asked for."""
    if settings.debug >= 5:
        story.passed(stage, roots, settings)
    if settings.check:
        verify(roots, stage)
    return roots


def run_on_device(
    compiled: Compiled, structure: Structure, inputs: list[Any], updates: Mapping[Node, Buffer], settings: Settings
) -> None:
    """Run on a GPU; updated values take over the memory of the old ones where the plan allows it."""
    slot = {id(known(leaf)): i for i, leaf in enumerate(structure.leaves)}
    wanted = {
        position: slot[id(updates[root])]
        for position, root in enumerate(structure.roots)
        if root in updates and id(updates[root]) in slot
        if updates[root].nbytes >= SMALL and not updates[root].exported
    }
    device = next(n.device for n in structure.roots)
    key = (device, tuple(sorted(wanted.items())))
    bound = compiled.on_device.get(key)
    if bound is None:
        bound = compiled.on_device[key] = DevicePlan(compiled.plan, device, possible_donations(compiled.plan, wanted))
    olds = {p: known(structure.leaves[i]) for p, i in bound.donations.items()}
    line = user_line()
    arrays = bound.run(inputs, settings)
    taken = {id(a) for a in inputs}
    for position, (root, array) in enumerate(zip(structure.roots, arrays, strict=True)):
        old = olds.get(position)
        if old is not None:
            made = Buffer(None, root.dtype, root.shape, root.device, line)
            old.give_memory_to(made)
        else:
            made = Buffer(owned(array, taken), root.dtype, root.shape, root.device, root.where)
        remember(root, made)


def owned(array: Any, taken: set[int]) -> Any:
    """A contiguous array that no other buffer uses."""
    whole = array.flags.c_contiguous and (array.flags.owndata or not isinstance(array, np.ndarray))
    if whole and id(array) not in taken:
        taken.add(id(array))
        return array
    return array.copy(order="C")
