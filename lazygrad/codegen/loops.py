"""LOOP groups: takes a Group and a Target, returns the Kernel that computes it and the order of its arguments.

Without a reduction the kernel has one axis, `i`, or those of a plane (plane.py). With one it has two: `x` over
what is kept, `r` over what is reduced; where columns are reduced, `z` numbers the rows of results that `x` walks.
Reductions that feed each other become stages of one kernel: over a row held in registers, or as one loop after the
other where the row is too long. Where columns are added up too, a program walks a part of the rows and keeps the
sums in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lazygrad.codegen import index as ix
from lazygrad.codegen import naming
from lazygrad.codegen.kernel import Kernel, Pointer
from lazygrad.codegen.lower import Index, Lowering, Names, stem
from lazygrad.codegen.plane import plane_of, single_axis
from lazygrad.codegen.program import (
    NO_LANES,
    Accumulate,
    Accumulator,
    Axis,
    Closing,
    Finish,
    Load,
    Loop,
    Operand,
    Program,
    Reduce,
    Scan,
    Store,
    Value,
)
from lazygrad.codegen.render import TICKET, render
from lazygrad.codegen.tile import Tile, columns_of, pointwise_tile, reduction_tile, stages_ahead, walk_tile
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.op import Kind
from lazygrad.ir.print import operation_lines
from lazygrad.schedule.group import Domain, Group, domain_of
from lazygrad.shape import numel

SCANS = {ops.CUMSUM: ops.SUM, ops.CUMPROD: ops.PROD, ops.CUMMAX: ops.MAX, ops.CUMMIN: ops.MIN}
INT32_ELEMENTS = 2**31 - 2**20


def loop_kernel(group: Group, tail: Group | None = None) -> tuple[Kernel, tuple[Node, ...]]:
    """The kernel of a LOOP group, and of what its last program does after it; the nodes its parameters stand for."""
    program, arguments = _program(group)
    if tail is not None:
        program, arguments = _closed(program, arguments, *_program(tail))
    pointers, grid = tuple(program.pointers), (program.programs, 1, 1)
    kernel = Kernel(program.name, render(program), pointers, grid, program.num_warps, ticket=program.takes_ticket)
    return kernel, arguments


def _program(group: Group) -> tuple[Program, tuple[Node, ...]]:
    if group.domain is None:
        return _Pointwise(group).program()
    return (_Walk if group.parts else _Reduction)(group, group.domain).program()


def _closed(
    program: Program, arguments: tuple[Node, ...], last: Program, needed: tuple[Node, ...]
) -> tuple[Program, tuple[Node, ...]]:
    """One kernel of two: what the second reads of the first's is the same memory, the rest are parameters more."""
    pointers = {node: pointer.name for node, pointer in zip(arguments, program.pointers, strict=True)}
    names = Names({*pointers.values(), TICKET})
    others = [(n, p) for n, p in zip(needed, last.pointers, strict=True) if n not in pointers]
    more = [(node, replace(pointer, name=names.fresh(*_parted(pointer.name)))) for node, pointer in others]
    pointers |= {node: pointer.name for node, pointer in more}
    closing = Closing(last, tuple(pointers[n] for n in needed))
    joint = replace(program, pointers=[*program.pointers, *(p for _, p in more)], closing=closing)
    return joint, (*arguments, *(n for n, _ in more))


def _parted(name: str) -> tuple[str, str]:
    """The stem and the ending of a pointer's name. No value's name has such an ending."""
    place = name.rindex("_")
    return name[:place], name[place:]


def pointwise_program(group: Group) -> tuple[Program, tuple[Node, ...]]:
    """The kernel graph of a LOOP group without a reduction, and the nodes of its pointers."""
    return _Pointwise(group).program()


def body_of(group: Group) -> list[Node]:
    """The nodes a group evaluates, sources first."""
    inputs = set(group.inputs)
    return [n for n in toposort(group.stored, stop=lambda n: n in inputs) if n not in inputs]


def kernel_name(group: Group, before: str = "") -> str:
    """What the group computes, in the field's terms."""
    return naming.kernel_name(body_of(group), group.stored, before)


def story_of(group: Group) -> list[str]:
    """One line for each fused op: the op, its shape, the user's line."""
    return operation_lines(body_of(group))


class _Builder:
    """What both kinds of loop kernel share: parameters, names, stores."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.taken: set[str] = {"i", "x", "y", "z", "r", "part", "tile"}
        self.pointers: list[Pointer] = []
        self.pointer_of: dict[Node, str] = {}
        self.output_of: dict[Node, str] = {}
        names = Names(set(self.taken))
        for node in group.inputs:
            stem_ = f"in{len(self.pointers)}" if node.op is ops.BUFFER else stem(node)
            self.pointer_of[node] = names.fresh(stem_, "_ptr")
            self.pointers.append(Pointer(self.pointer_of[node], node.dtype))
        for node in group.stored:
            self.output_of[node] = names.fresh(stem(node), "_out")
            self.pointers.append(Pointer(self.output_of[node], node.dtype, written=True))
        self.arguments = (*group.inputs, *group.stored)
        self.wide = any(n.numel >= INT32_ELEMENTS for n in self.arguments) or group.size >= INT32_ELEMENTS
        self.names = {p.name for p in self.pointers} | self.taken

    def lowering(self, axis_of: dict[ix.Expr, str], given: Any) -> Lowering:
        axis_of = {variable: axis for variable, axis in axis_of.items() if not variable.is_constant}
        return Lowering(self.pointer_of, axis_of, given, Names(set(self.names)))

    def store(self, lowering: Lowering, node: Node, index: Index) -> None:
        """Compute a node at an index and write it where it belongs: there, or where a PLACE says."""
        linear = ix.ravel(index, node.shape)
        lanes = lowering.lanes(linear)
        if node.op is ops.PLACE:
            operand, position = (lowering.value(s, index) for s in node.src)
            assert isinstance(position, Value), "the positions of a PLACE are all different"
            store = Store(
                self.output_of[node], ix.var(position.name, node.numel), operand, lanes, node.dtype,
                ((position.name, node.numel),),
            )  # fmt: skip
        else:
            operand = lowering.value(node, index)
            store = Store(self.output_of[node], linear, operand, lanes, node.dtype)
        lowering.emit(store, lanes | operand.lanes)

    def finished(self, axes: tuple[Axis, ...], body: list[Any], num_warps: int) -> Program:
        name, story = kernel_name(self.group), story_of(self.group)
        return Program(name, self.pointers, axes, body, num_warps, story, self.wide)


class _Pointwise(_Builder):
    def program(self) -> tuple[Program, tuple[Node, ...]]:
        size = self.group.size
        i = ix.var("i", size)
        lowering = self.written_at(i, {i: "i"})
        plane = plane_of([s for s in lowering.root if isinstance(s, Load)], i, size)
        if plane is None:
            tile = pointwise_tile(size)
            return self.finished((Axis("i", size, tile.kept),), lowering.root, tile.num_warps), self.arguments
        lowering = self.written_at(plane.linear, {plane.y: "y", plane.x: "x"})
        return self.finished(plane.axes, lowering.root, plane.num_warps), self.arguments

    def written_at(self, linear: ix.Expr, axis_of: dict[ix.Expr, str]) -> Lowering:
        lowering = self.lowering(axis_of, lambda node, index: None)
        for node in self.group.stored:
            self.store(lowering, node, ix.unravel(linear, node.shape))
        return lowering


class _Reduction(_Builder):
    def __init__(self, group: Group, domain: Domain) -> None:
        super().__init__(group)
        self.domain = domain
        self.width = columns_of(domain)
        self.rows = domain.kept // max(self.width, 1)
        self.x, self.r = ix.var("x", self.width), ix.var("r", domain.reduction)
        self.kept = ix.var("z", self.rows) * self.width + self.x
        self.linear = domain.linear(self.kept, self.r)
        self.reductions = [m for m in group.members if m.op.kind is Kind.REDUCE]
        self.scanned: dict[Node, Value] = {}
        self.members = set(group.members)
        self.axis_of = {self.x: "x", self.r: "r"}

    def program(self) -> tuple[Program, tuple[Node, ...]]:
        held = self.held_whole()
        loads = [s for s in held.root if isinstance(s, Load)]
        tile = reduction_tile(self.domain, loads, self.x, self.r)
        lowering = self.looped() if tile.looped else held
        axes = (
            *single_axis("z", self.rows),
            Axis("x", self.width, tile.kept),
            Axis("r", self.domain.reduction, tile.reduced, tile.looped),
        )
        return self.finished(axes, lowering.root, tile.num_warps), self.arguments

    # -- members at their canonical element
    def is_row(self, node: Node) -> bool:
        return node.op.kind is Kind.REDUCE or (numel(node.shape) == self.domain.kept != self.domain.size)

    def element(self, node: Node) -> Index:
        """Where a stored member's value for this lane stands in its own shape."""
        return ix.unravel(self.kept if self.is_row(node) else self.linear, node.shape)

    def source_element(self, reduction: Node) -> Index:
        return ix.unravel(self.linear, reduction.src[0].shape)

    def check(self, node: Node, index: Index) -> None:
        at = ix.ravel(index, node.shape)
        assert at is self.kept, f"{node} is read at {ix.render(at)} inside its own kernel"

    def scan(self, lowering: Lowering, node: Node, index: Index, looped: bool) -> Value:
        """The value of a scan, at the element of this lane: the only one a lane has of it."""
        at = ix.ravel(index, node.shape)
        assert at is self.linear, f"{node} is read at {ix.render(at)} inside its own kernel"
        if node not in self.scanned:
            op = SCANS[node.op]
            operand = lowering.value(node.src[0], ix.unravel(self.linear, node.shape))
            result = Value(lowering.names.fresh(stem(node)), node.dtype, operand.lanes | {"r"})
            carry = None
            if looped:
                carry = Value(lowering.names.fresh("carried"), node.dtype, operand.lanes - {"r"})
                lowering.emit(Accumulator(carry, op, carry.lanes, "r", False), carry.lanes)
            lowering.emit(Scan(result, op, operand, "r", node.where, carry), result.lanes)
            self.scanned[node] = result
        return self.scanned[node]

    def position(self, node: Node) -> ix.Expr | None:
        return self.r if node.op in (ops.ARGMAX, ops.ARGMIN) else None

    # -- a row in registers
    def held_whole(self) -> Lowering:
        lowering = self.held()
        self.store_rows_and_whole(lowering)
        return lowering

    def held(self) -> Lowering:
        """A lowering that reduces a row where a value of it is asked for."""
        results: dict[Node, Value] = {}

        def given(node: Node, index: Index) -> Operand | None:
            if node.op in SCANS and node in self.members:
                return self.scan(lowering, node, index, False)
            if node not in reductions:
                return None
            self.check(node, index)
            if node not in results:
                operand = lowering.value(node.src[0], self.source_element(node))
                results[node] = Value(lowering.names.fresh(stem(node)), node.dtype, operand.lanes - {"r"})
                lowering.emit(
                    Reduce(results[node], node.op, operand, "r", node.where, self.position(node)), results[node].lanes
                )
            return results[node]

        reductions = set(self.reductions)
        lowering = self.lowering(self.axis_of, given)
        return lowering

    def store_rows_and_whole(self, lowering: Lowering) -> None:
        for node in self.group.stored:
            self.store(lowering, node, self.element(node))

    # -- a row walked in blocks, once for each stage of reductions
    def looped(self) -> Lowering:
        lowering, results = self.stepwise()
        self.reduce_in_steps(lowering, results)
        for node in self.group.stored:
            if self.is_row(node):
                self.store(lowering, node, self.element(node))
        return lowering

    def stepwise(self) -> tuple[Lowering, dict[Node, Value]]:
        """A lowering for rows that are walked, and the reductions it can read: those that are finished."""
        results: dict[Node, Value] = {}

        def given(node: Node, index: Index) -> Operand | None:
            if node.op in SCANS and node in self.members:
                return self.scan(lowering, node, index, True)
            if node in results:
                self.check(node, index)
                return results[node]
            return None

        lowering = self.lowering(self.axis_of, given)
        return lowering, results

    def reduce_in_steps(self, lowering: Lowering, results: dict[Node, Value]) -> None:
        """A loop for each stage of reductions, and the stores of what has an element for each of the whole."""
        stage = self.stages()
        whole = [n for n in self.group.stored if not self.is_row(n)]
        last = max((stage[n] for n in self.reductions), default=0)
        for number in range(1, last + 2):
            due = [n for n in self.reductions if stage[n] == number]
            written = [n for n in whole if stage[n] == number - 1]
            if due or written:
                results |= self.stage_loop(lowering, due, written)

    def stage_loop(
        self,
        lowering: Lowering,
        due: list[Node],
        written: list[Node],
        along: str = "r",
        first: Callable[[], None] = lambda: None,
    ) -> dict[Node, Value]:
        """One loop: `first` whatever has to stand in it, then what is accumulated over it and what is written."""
        before = lowering.here
        body: list[Any] = []
        self.scanned.clear()  # every loop walks a scan from its start
        lowering.enter_loop(body, along)
        first()
        accumulators: dict[Node, Value] = {}
        for node in due:
            operand = lowering.value(node.src[0], self.source_element(node))
            position = self.position(node)
            lanes = operand.lanes | {along}
            total = Value(lowering.names.fresh(f"running_{node.op.name.lower()}"), node.src[0].dtype, lanes)
            before.append(Accumulator(total, node.op, lanes, along, position is not None))
            body.append(Accumulate(total, node.op, operand, along, node.where, position))
            accumulators[node] = total
        for node in written:
            self.store(lowering, node, self.element(node))
        lowering.leave_loop()
        before.append(Loop(along, body, self.stages_of(along, body)))
        results: dict[Node, Value] = {}
        for node, total in accumulators.items():
            results[node] = Value(lowering.names.fresh(stem(node)), node.dtype, total.lanes - {along})
            before.append(Finish(results[node], node.op, total, along, self.position(node) is not None))
        return results

    def stages_of(self, along: str, body: list[Any]) -> int:
        """In how many stages a loop runs; blocks of one row are fetched by enough programs at once."""
        return 1

    def stages(self) -> dict[Node, int]:
        """For every node of the body, how many reductions of this group stand one behind the other in it."""
        members = set(self.reductions)
        stage: dict[Node, int] = dict.fromkeys(self.group.inputs, 0)
        for node in body_of(self.group):
            stage[node] = max((stage.get(s, 0) for s in node.src), default=0) + (node in members)
        return stage


class _Walk(_Reduction):
    """Each program walks a part of the rows, one block after the other, and adds up columns or values of them."""

    def __init__(self, group: Group, domain: Domain) -> None:
        super().__init__(group, domain)
        self.parts, self.each = group.parts, domain.kept // group.parts
        self.part = ix.var("part", self.parts)
        step = ix.var("x", self.each)
        self.kept = self.part * self.each + step
        self.linear = domain.linear(self.kept, self.r)
        self.axis_of = {step: "x", self.r: "r"}
        self.sums = [n for n in self.reductions if domain_of(n.src[0].shape, n.arg) != domain]
        self.reductions = [n for n in self.reductions if n not in self.sums]
        read = [n for n in group.inputs if n.numel > max(domain.dims)]
        self.tile = walk_tile(domain, len(read) + sum(n.numel > self.parts for n in self.sums))

    def program(self) -> tuple[Program, tuple[Node, ...]]:
        written = [n for n in self.group.stored if n not in self.sums]
        if self.tile.looped:
            lowering, of_row = self.stepwise()
            written = [n for n in written if self.is_row(n)]
            results = self.stage_loop(lowering, self.sums, written, "x", lambda: self.reduce_in_steps(lowering, of_row))
        else:
            lowering = self.held()
            results = self.stage_loop(lowering, self.sums, written, "x")
        for node, total in results.items():
            columns = node.numel > self.parts
            place = self.part * self.domain.reduction + self.r if columns else self.part
            lanes = frozenset("r") if columns else NO_LANES
            lowering.root.append(Store(self.output_of[node], place, total, lanes, node.dtype))
        axes = (
            *single_axis("part", self.parts),
            Axis("x", self.each, self.tile.kept, looped=True),
            Axis("r", self.domain.reduction, self.tile.reduced, self.tile.looped),
        )
        return self.finished(axes, lowering.root, self.tile.num_warps), self.arguments

    def source_element(self, reduction: Node) -> Index:
        shape = reduction.src[0].shape
        return ix.unravel(self.kept if numel(shape) == self.domain.kept else self.linear, shape)

    def stages_of(self, along: str, body: list[Any]) -> int:
        if along == "r" or self.tile.looped:
            return 1
        read = sum(s.result.dtype.itemsize for s in body if isinstance(s, Load) and "r" in s.result.lanes)
        return stages_ahead(self.tile.kept * self.tile.reduced * read)


__all__ = ["Tile", "body_of", "kernel_name", "loop_kernel", "story_of"]
