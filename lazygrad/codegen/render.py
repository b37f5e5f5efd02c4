"""Text, last: takes a verified Program, returns the source of a Triton module a person can read and run.

Blocks are shaped by the kernel's axes: with two axes, values along the first are [BLOCK, 1], along the
second [1, BLOCK]; with one axis they are [BLOCK]. Half precisions are float32 in registers, rounded after
every op that has one as its result, exactly as the op-by-op path rounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from lazygrad.codegen import index as ix
from lazygrad.codegen.mask import TRUE
from lazygrad.codegen.program import (
    Accumulate,
    Accumulator,
    Axis,
    Choose,
    Compute,
    Finish,
    Literal,
    Load,
    Loop,
    Operand,
    Position,
    Program,
    Reduce,
    Scan,
    Store,
    Value,
    verify,
)
from lazygrad.codegen.spelling import EXACT, HELPERS, SPELLINGS, literal, typed_literal
from lazygrad.dtype import DType, bool_
from lazygrad.ir import op as ops
from lazygrad.ir.op import Op

HEADER = "import triton\nimport triton.language as tl\n"
LIBDEVICE = "from triton.language.extra import libdevice\n"
TICKET = "ticket_ptr"
MAX_STORY = 24


def render(program: Program) -> str:
    """The whole module's text."""
    verify(program)
    if program.closing is None:
        return module(function_text(program, []))
    last = f"{program.name.removesuffix('_kernel')}_finish"
    finish = function_text(replace(program.closing.program, name=last), [])
    call = f"{last}({', '.join(program.closing.pointers)})"
    ticket: tuple[str, ...] = ()
    lines = ["tl.debug_barrier()  # all that this program stored is in memory", call]
    if program.takes_ticket:
        lines[1:] = [
            "# whoever takes the last ticket finds what all the others stored",
            f'if tl.atomic_add({TICKET}, 1, sem="acq_rel") == {program.programs - 1}:',
            f"    tl.store({TICKET}, 0)",
            f"    {call}",
        ]
        ticket = (TICKET,)
    return module(f"{finish}\n\n{function_text(program, lines, *ticket)}")


def function_text(program: Program, end: list[str], *more: str) -> str:
    """A function of Triton's, with these lines at its end and these further parameters."""
    parameters = ", ".join([*(p.name for p in program.pointers), *more])
    story = [f"# {line}" for line in shorten(program.story)]
    body = "\n".join(f"    {line}" for line in [*story, *Text(program).lines(), *end])
    return f"@triton.jit\ndef {program.name}({parameters}):\n{body}\n"


def shorten(story: list[str]) -> list[str]:
    if len(story) <= MAX_STORY:
        return story
    return [*story[: MAX_STORY - 1], f"... and {len(story) - MAX_STORY + 1} more"]


def module(function: str) -> str:
    """A kernel function with the imports and helper functions that its text calls."""
    used = [text for name, text in HELPERS.items() if re.search(rf"\b{name}\b", function)]
    header = HEADER + (LIBDEVICE if any("libdevice." in text for text in [function, *used]) else "")
    return header + "\n" + "\n".join(text.rstrip("\n") + "\n\n" for text in used) + "\n" + function


def identity(op: Op, dtype: DType) -> bool | int | float:
    """What changes nothing when reduced with."""
    if op is ops.SUM:
        return 0.0 if dtype.is_floating_point else 0
    if op is ops.PROD:
        return 1.0 if dtype.is_floating_point else 1
    largest = op in (ops.MIN, ops.ARGMIN)
    if dtype is bool_:
        return largest
    if dtype.is_floating_point:
        return float("inf") if largest else float("-inf")
    bits = dtype.itemsize * 8 - (1 if dtype.signed else 0)
    return 2**bits - 1 if largest else (-(2**bits) if dtype.signed else 0)


def stored_type(dtype: DType) -> str:
    return "tl.uint8" if dtype is bool_ else dtype.triton


def formulas(body: list[Any]) -> Iterator[ix.Formula]:
    """Every index and mask of these statements."""
    for statement in body:
        if isinstance(statement, Loop):
            yield from formulas(statement.body)
        for field in fields(statement):
            if isinstance(found := getattr(statement, field.name), ix.Formula):
                yield found


# What a compiler can tell to fit into 16 bits it divides in 16 bits, and that ptxas 12.8 and 13.0 get wrong at times
# (wrong values, no error; seen on an H200 in the gradient of a transposed convolution, while the PTX was right). So
# every dividend gets a 0 beside it of which no compiler knows more than that it is a multiple of this.
WIDE = 1024


class Text:
    """The lines of one program's body."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.axes = {axis.name: axis for axis in program.axes if not axis.single}
        self.order = list(self.axes)
        self.names = {ix.BESIDE: "wide"} if any(ix.divided(f) for f in formulas(program.body)) else {}

    # -- shapes
    def shape(self, lanes: Any) -> str:
        """The block shape of values along `lanes`."""
        sizes = [self.block(a) if a in lanes else "1" for a in self.order]
        return f"[{', '.join(sizes)}]"

    def block(self, axis: str) -> str:
        return f"{axis.upper()}_BLOCK"

    def spread(self, axis: str, text: str) -> str:
        """A one-dimensional block along `axis` in the kernel's common shape."""
        if len(self.order) == 1:
            return text
        places = ", ".join(":" if a == axis else "None" for a in self.order)
        return f"({text})[{places}]"

    # -- layout of the kernel
    def lines(self) -> list[str]:
        out = [f"{self.block(axis.name)}: tl.constexpr = {axis.block}" for axis in self.axes.values()]
        numbers = self.block_numbers(out)
        out += self.widening()
        for axis in self.program.axes:
            if axis.single:
                out.append(f"{axis.name} = {numbers[axis.name]}")
            elif not axis.looped:
                start = f"{numbers[axis.name]} * {self.block(axis.name)} + " if axis.name in numbers else ""
                out += self.lanes_along(axis, start)
        self.statements(self.program.body, out)
        return out

    def widening(self) -> list[str]:
        return [f"wide = tl.program_id(2) * {WIDE}  # 0: keeps divisions in 32 bits"] if self.names else []

    def render(self, formula: ix.Formula) -> str:
        return ix.render(formula, self.names)

    def block_numbers(self, out: list[str]) -> dict[str, str]:
        """For each axis of the grid, which of its blocks is this program's."""
        grid = self.program.grid
        program_id = "tl.program_id(0).to(tl.int64)" if self.program.wide_index else "tl.program_id(0)"
        if len(grid) < 2:
            return {axis.name: program_id for axis in grid}
        out.append(f"tile = {program_id}")
        numbers = ix.unravel(ix.var("tile", self.program.programs), [axis.blocks for axis in grid])
        return {axis.name: ix.render(number) for axis, number in zip(grid, numbers, strict=True)}

    def lanes_along(self, axis: Axis, start: str) -> list[str]:
        """A block of the axis from `start` on, and where it may overhang the mask of what lies inside."""
        lanes = f"tl.arange(0, {self.block(axis.name)})"
        if self.program.wide_index:
            lanes += ".to(tl.int64)"  # an index in int32 might overflow when it meets its stride
        made = [f"{axis.name} = {self.spread(axis.name, start + lanes)}"]
        return [*made, f"{axis.name}_inside = {axis.name} < {axis.extent}"] if axis.overhangs else made

    def statements(self, body: list[Any], out: list[str]) -> None:
        for statement in body:
            if isinstance(statement, Loop):
                self.loop(statement, out)
            else:
                out.extend(self.statement(statement))

    def loop(self, loop: Loop, out: list[str]) -> None:
        axis = self.axes[loop.axis]
        block = self.block(axis.name)
        ahead = "range" if loop.stages == 1 else "tl.range"
        stages = "" if loop.stages == 1 else f", num_stages={loop.stages}"
        out.append(f"for {axis.name}_start in {ahead}(0, {axis.extent}, {block}{stages}):")
        inner = self.lanes_along(axis, f"{axis.name}_start + ")
        self.statements(loop.body, inner)
        out.extend("    " + line for line in inner)

    # -- statements
    def statement(self, s: Any) -> list[str]:
        match s:
            case Load():
                return [self.load(s)]
            case Compute():
                return [f"{s.result.name} = {self.computed(s)}"]
            case Position():
                return [f"{s.result.name} = ({self.render(s.index)}).to({s.result.dtype.triton})"]
            case Choose():
                yes, no = self.typed(s.yes), self.typed(s.no)
                return [f"{s.result.name} = tl.where({self.render(s.condition)}, {yes}, {no})"]
            case Reduce():
                return self.reduce(s)
            case Scan():
                return self.scan(s)
            case Accumulator():
                return self.accumulator(s)
            case Accumulate():
                return self.accumulate(s)
            case Finish():
                return self.finish(s)
            case Store():
                return [self.store(s)]
        raise AssertionError(s)

    def edge(self, lanes: Any) -> list[str]:
        """The names of the masks that keep these lanes inside their extent."""
        return [f"{a}_inside" for a in self.order if a in lanes and self.axes[a].overhangs]

    def load(self, s: Load) -> str:
        terms = self.edge(s.result.lanes)
        if s.mask is not TRUE:
            terms.append(self.render(s.mask))
        terms += [f"({name} >= 0) & ({name} < {size})" for name, size in s.valid]
        address = self.address(s.index, s.result.lanes)
        mask = f", mask={' & '.join(terms)}, other={self.poison(s)}" if terms else ""
        text = f"tl.load({s.pointer} + {address}{mask})"
        dtype = s.result.dtype
        if dtype is bool_:
            text = f"({text} != 0)"
        elif dtype.compute is not dtype:
            text += f".to({dtype.compute.triton})"
        return f"{s.result.name} = {text}"

    def poison(self, s: Load) -> str:
        """Lanes outside are never used, except where an index read from memory is wrong: those become NaN."""
        return 'float("nan")' if s.valid and s.result.dtype.is_floating_point else "0"

    def address(self, index: ix.Expr, lanes: Any) -> str:
        text = self.render(index)
        text = f"({text})" if "+" in text or "-" in text else text
        missing = lanes - self.lanes_of(index)
        if not missing:
            return text
        if index.is_constant and not lanes:
            return text
        zeros = f"tl.zeros({self.shape(lanes)}, tl.int32)"
        return f"({self.render(index)} + {zeros})"

    def lanes_of(self, index: ix.Expr) -> Any:
        found: set[str] = set()
        for variable in ix.variables(index):
            if variable.name in self.axes:
                found.add(variable.name)
            else:
                found |= self.value_lanes.get(variable.name, frozenset())
        return frozenset(found)

    @property
    def value_lanes(self) -> dict[str, Any]:
        if not hasattr(self, "_value_lanes"):
            self._value_lanes: dict[str, Any] = {}
            self._collect(self.program.body)
        return self._value_lanes

    def _collect(self, body: list[Any]) -> None:
        for s in body:
            if isinstance(s, Loop):
                self._collect(s.body)
            elif hasattr(s, "result"):
                self._value_lanes[s.result.name] = s.result.lanes

    def plain(self, operand: Operand) -> str:
        return literal(operand.value, operand.dtype) if isinstance(operand, Literal) else operand.name

    def typed(self, operand: Operand) -> str:
        return typed_literal(operand.value, operand.dtype) if isinstance(operand, Literal) else operand.name

    def computed(self, s: Compute) -> str:
        literal_only = all(isinstance(o, Literal) for o in s.operands)
        # a function call, unlike an operator, gives a bare number no dtype
        calls = s.op in (ops.WHERE, ops.MAXIMUM, ops.MINIMUM, ops.POW, ops.ATAN2, ops.HYPOT, ops.COPYSIGN, ops.FMOD,
                         ops.PHILOX, ops.FLOORDIV, ops.REMAINDER, ops.CAST, ops.BITCAST)  # fmt: skip
        spell = self.typed if calls or literal_only or len(s.operands) == 1 else self.plain
        source = s.operands[-1].dtype
        text = SPELLINGS[s.op](source, s.arg, *(spell(o) for o in s.operands))
        dtype = s.result.dtype
        if s.op is ops.SIGN:
            text += f".to({dtype.compute.triton})"
        if dtype.compute is not dtype and s.op not in EXACT:
            text = f"({text}).to({dtype.triton}).to({dtype.compute.triton})"
        elif dtype.is_integer and s.op not in (ops.CAST, ops.PHILOX, ops.BITCAST) and dtype.itemsize < 4:
            text = f"({text}).to({dtype.triton})"  # Triton computes small integers in int32
        return text

    # -- reductions
    def combine(self, op: Op, dtype: DType) -> str:
        return {
            ops.PROD: "product", ops.MAX: "larger", ops.MIN: "smaller",
            ops.ARGMAX: "first_largest", ops.ARGMIN: "first_smallest",
        }[op]  # fmt: skip

    def reduced(self, op: Op, text: str, dtype: DType, axis: str, position: str | None) -> str:
        number = self.order.index(axis)
        keep = ", keep_dims=True" if len(self.order) > 1 else ""
        if op is ops.SUM:
            return f"tl.sum({text}, {number}{keep})"
        if op in (ops.ARGMAX, ops.ARGMIN):
            pair = f"tl.reduce(({text}, {position}), {number}, {self.combine(op, dtype)}{keep})"
            return f"{pair}[1]"
        if dtype is bool_:
            word = "max" if op is ops.MAX else "min"
            return f"(tl.{word}({text}.to(tl.int32), {number}{keep}) != 0)"
        if not dtype.is_floating_point and op in (ops.MAX, ops.MIN):
            return f"tl.{'max' if op is ops.MAX else 'min'}({text}, {number}{keep})"
        return f"tl.reduce({text}, {number}, {self.combine(op, dtype)}{keep})"

    def inside_or_identity(self, op: Op, operand: Operand, axis: str) -> str:
        """The operand with lanes beyond the axis replaced by what changes nothing, in the full block shape."""
        dtype = operand.dtype
        text = self.typed(operand)
        if axis not in operand.lanes:
            text = f"tl.broadcast_to({text}, {self.shape(operand.lanes | {axis})})"
        if not self.axes[axis].overhangs:
            return text
        return f"tl.where({axis}_inside, {text}, {typed_literal(identity(op, dtype), dtype)})"

    def reduce(self, s: Reduce) -> list[str]:
        text = self.inside_or_identity(s.op, s.operand, s.axis)
        position = None
        if s.position is not None:
            position = (
                f"tl.broadcast_to(({self.render(s.position)}).to(tl.int64), {self.shape(s.operand.lanes | {s.axis})})"
            )
        return [f"{s.result.name} = {self.reduced(s.op, text, s.operand.dtype, s.axis, position)}"]

    def scan(self, s: Scan) -> list[str]:
        """Lanes beyond the axis hold anything: nothing inside stands behind them."""
        number, name = self.order.index(s.axis), s.result.name
        combine = {ops.SUM: "added", ops.PROD: "product", ops.MAX: "larger", ops.MIN: "smaller"}[s.op]
        text = self.typed(s.operand)
        if s.axis not in s.operand.lanes:
            text = f"tl.broadcast_to({text}, {self.shape(s.operand.lanes | {s.axis})})"
        text = f"tl.associative_scan({text}, {number}, {combine})"
        if s.carry is None:
            return [f"{name} = {text}"]
        last = f"{s.axis} == {s.axis}_start + {self.block(s.axis)} - 1"
        kept = f"tl.sum(tl.where({last}, {name}, 0), {number}, keep_dims=True)"
        return [
            f"{name} = {combine}({s.carry.name}, {text})",
            f"{s.carry.name} = {kept}.to({s.result.dtype.triton})",
        ]

    def accumulator(self, s: Accumulator) -> list[str]:
        dtype = s.result.dtype
        start = typed_literal(identity(s.op, dtype), dtype).removeprefix("tl.full((), ").rsplit(",", 1)[0]
        made = [f"{s.result.name} = tl.full({self.shape(s.lanes)}, {start}, {dtype.compute.triton})"]
        if s.with_index:
            made.append(f"{s.result.name}_at = tl.full({self.shape(s.lanes)}, {2**62}, tl.int64)")
        return made

    def accumulate(self, s: Accumulate) -> list[str]:
        text = self.inside_or_identity(s.op, s.operand, s.axis)
        name, dtype = s.into.name, s.operand.dtype
        if s.op is ops.SUM:
            return [f"{name} += {text}"]
        if s.op is ops.PROD:
            return [f"{name} *= {text}"]
        if s.position is not None:
            at = f"tl.broadcast_to(({self.render(s.position)}).to(tl.int64), {self.shape(s.operand.lanes | {s.axis})})"
            return [f"{name}, {name}_at = {self.combine(s.op, dtype)}({name}, {name}_at, {text}, {at})"]
        if dtype is bool_:
            return [f"{name} = {name} {'|' if s.op is ops.MAX else '&'} {text}"]
        if dtype.is_floating_point:
            return [f"{name} = {self.combine(s.op, dtype)}({name}, {text})"]
        return [f"{name} = tl.{'maximum' if s.op is ops.MAX else 'minimum'}({name}, {text})"]

    def finish(self, s: Finish) -> list[str]:
        name = s.accumulator.name
        return [f"{s.result.name} = {self.reduced(s.op, name, s.accumulator.dtype, s.axis, f'{name}_at')}"]

    def store(self, s: Store) -> str:
        text = self.typed(s.operand)
        terms = self.edge(s.lanes) + [f"({name} >= 0) & ({name} < {size})" for name, size in s.valid]
        mask = f", mask={' & '.join(terms)}" if terms else ""
        if s.dtype is bool_ or s.dtype.compute is not s.dtype:
            text = f"{text}.to({stored_type(s.dtype)})"
        address = self.address(s.index, s.lanes)
        if isinstance(s.operand, Literal) or s.operand.lanes != s.lanes or not s.lanes:
            text = f"tl.broadcast_to({text}, {self.shape(s.lanes)})"
        if not s.lanes:  # one element: the pointer becomes a block of one, as the value is
            address = f"({address} + tl.zeros({self.shape(s.lanes)}, tl.int32))"
        return f"tl.store({s.pointer} + {address}, {text}{mask})"


__all__ = ["Axis", "Value", "identity", "module", "render"]
