"""The kernel graph: statements over named values, between a group of nodes and Triton text. Values only.

Lowering appends statements; `verify` proves that each value is defined once and before it is used, and
that stores cover what was promised; render.py prints. No stage edits text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

from lazygrad.codegen import index as ix
from lazygrad.codegen.kernel import Pointer
from lazygrad.codegen.mask import Condition
from lazygrad.dtype import DType
from lazygrad.errors import Line
from lazygrad.ir.op import Op

Lanes = frozenset[str]  # which block axes a value varies along
NO_LANES: Lanes = frozenset()


@dataclass(frozen=True, eq=False)
class Value:
    """A named block: one element for each lane combination (a scalar without lanes)."""

    name: str
    dtype: DType
    lanes: Lanes


@dataclass(frozen=True, eq=False)
class Literal:
    """A constant: printed in place."""

    value: bool | int | float
    dtype: DType
    lanes: Lanes = NO_LANES


Operand = Value | Literal


@dataclass(frozen=True, eq=False)
class Load:
    result: Value
    pointer: str
    index: ix.Expr
    mask: Condition
    valid: tuple[tuple[str, int], ...] = ()  # (value name, size): loaded indices that must lie in [0, size)
    fill: bool | int | float = 0


@dataclass(frozen=True, eq=False)
class Compute:
    result: Value
    op: Op
    operands: tuple[Operand, ...]
    arg: Any
    where: Line


@dataclass(frozen=True, eq=False)
class Position:
    """The value of an index expression (an iota, a gathered coordinate)."""

    result: Value
    index: ix.Expr


@dataclass(frozen=True, eq=False)
class Choose:
    """`yes` where an index condition holds, else `no` (padding, concatenation)."""

    result: Value
    condition: Condition
    yes: Operand
    no: Operand


@dataclass(frozen=True, eq=False)
class Reduce:
    """A block reduced along `axis`, keeping it with size 1; lanes beyond the edge count as the identity."""

    result: Value
    op: Op
    operand: Operand
    axis: str
    where: Line
    position: ix.Expr | None = None  # for argmax: the index along the axis


@dataclass(frozen=True, eq=False)
class Scan:
    """A block combined along `axis` with all that stands before each element; over a loop `carry`, an
    Accumulator without that axis, brings along what stood in earlier blocks."""

    result: Value
    op: Op  # the reduction that each element is one of
    operand: Operand
    axis: str
    where: Line
    carry: Value | None = None


@dataclass(frozen=True, eq=False)
class Accumulator:
    """A running reduction over a loop, one element for each lane of `lanes`; see Accumulate."""

    result: Value
    op: Op
    lanes: Lanes
    axis: str
    with_index: bool


@dataclass(frozen=True, eq=False)
class Accumulate:
    into: Value
    op: Op
    operand: Operand
    axis: str
    where: Line
    position: ix.Expr | None = None


@dataclass(frozen=True, eq=False)
class Finish:
    """The accumulator reduced along its axis, after the loop."""

    result: Value
    op: Op
    accumulator: Value
    axis: str
    with_index: bool


@dataclass(frozen=True, eq=False)
class Store:
    pointer: str
    index: ix.Expr
    operand: Operand
    lanes: Lanes
    dtype: DType
    valid: tuple[tuple[str, int], ...] = ()  # (value name, size): computed positions that must lie in [0, size)


@dataclass(frozen=True, eq=False)
class Loop:
    """`axis` walks its extent block by block; with several `stages` the next blocks are fetched meanwhile."""

    axis: str
    body: list[Any] = field(default_factory=list)
    stages: int = 1


@dataclass(frozen=True)
class Axis:
    """One axis of a kernel's space. A program covers `block` of `extent`; the rest by grid or loop."""

    name: str  # the index variable in the text
    extent: int
    block: int
    looped: bool = False
    single: bool = False  # one element a program: a number in the text, no dimension of its blocks

    @property
    def overhangs(self) -> bool:
        return self.extent % self.block != 0

    @property
    def blocks(self) -> int:
        return max(1, -(-self.extent // self.block))


@dataclass(frozen=True)
class Closing:
    """What the program that finishes last does: one of its own, called with these of the kernel's pointers."""

    program: Program
    pointers: tuple[str, ...]

    @property
    def written(self) -> set[str]:
        pairs = zip(self.program.pointers, self.pointers, strict=True)
        return {name for pointer, name in pairs if pointer.written}


@dataclass
class Program:
    """One kernel before it is text."""

    name: str
    pointers: list[Pointer]
    axes: tuple[Axis, ...]
    body: list[Any]
    num_warps: int
    story: list[str]  # what is fused, and the user's lines: the kernel's comment
    wide_index: bool = False
    closing: Closing | None = None

    @property
    def grid(self) -> tuple[Axis, ...]:
        """The axes whose blocks are programs of their own; those of the last one stand next to each other."""
        return tuple(axis for axis in self.axes if axis.blocks > 1 and not axis.looped)

    @property
    def programs(self) -> int:
        return prod(axis.blocks for axis in self.grid)

    @property
    def takes_ticket(self) -> bool:
        return self.closing is not None and self.programs > 1


def verify(program: Program) -> None:
    """AssertionError for a value used before it is made or made twice, or an output never stored."""
    made: set[str] = {pointer.name for pointer in program.pointers}
    stored: set[str] = set()
    if program.closing is not None:
        assert program.closing.program.programs == 1, f"{program.name}: what one program closes with takes several"
        verify(program.closing.program)
        stored |= program.closing.written

    def use(operand: Any) -> None:
        if isinstance(operand, Value):
            assert operand.name in made, f"{program.name}: {operand.name} is used before it is made"

    def define(value: Value) -> None:
        assert value.name not in made, f"{program.name}: {value.name} is made twice"
        made.add(value.name)

    def walk(statements: list[Any]) -> None:
        for statement in statements:
            match statement:
                case Loop():
                    walk(statement.body)
                case Store():
                    use(statement.operand)
                    stored.add(statement.pointer)
                case Accumulate():
                    use(statement.into)
                    use(statement.operand)
                case Compute():
                    for operand in statement.operands:
                        use(operand)
                    define(statement.result)
                case Choose():
                    use(statement.yes)
                    use(statement.no)
                    define(statement.result)
                case Reduce():
                    use(statement.operand)
                    define(statement.result)
                case Scan():
                    use(statement.operand)
                    use(statement.carry)
                    define(statement.result)
                case Finish():
                    use(statement.accumulator)
                    define(statement.result)
                case _:
                    define(statement.result)

    walk(program.body)
    for pointer in program.pointers:
        assert not pointer.written or pointer.name in stored, f"{program.name}: {pointer.name} is never stored"
