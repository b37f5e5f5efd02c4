"""Batches: takes pointwise groups that differ only in their tensors, returns one Kernel over all of them.

An optimizer's update is the same few lines for every parameter. The kernel finds its tensor in a table of
pointers (PointerTable), so its text knows neither how many tensors there are nor how large they are.
"""

from __future__ import annotations

from typing import Any

from lazygrad.codegen.kernel import Kernel, Pointer, PointerTable
from lazygrad.codegen.loops import INT32_ELEMENTS, pointwise_program
from lazygrad.codegen.mask import TRUE
from lazygrad.codegen.program import Choose, Load, Position, Program, verify
from lazygrad.codegen.render import Text, module, shorten
from lazygrad.ir.node import Node
from lazygrad.schedule.group import Form, Group

BLOCK = 1024
HEADER_WORDS = 3  # before the rows: see PointerTable


def shared_text(group: Group) -> str | None:
    """The kernel text this group shares with every group it can be batched with; None where it can't be."""
    if group.form is not Form.LOOP or group.domain is not None or not 0 < group.size < INT32_ELEMENTS:
        return None
    if any(n not in group.elementwise and n.numel != 1 for n in group.inputs):
        return None
    program, _ = pointwise_program(group)
    for statement in program.body:
        if isinstance(statement, (Position, Choose)):
            return None
        if isinstance(statement, Load) and (statement.mask is not TRUE or statement.valid):
            return None
    kinds = " ".join(f"{p.name}:{p.dtype.name}" for p in program.pointers)
    aligned = group.size % 16 == 0
    return f"{kinds} {aligned}\n" + "\n".join(_body(program))


def batch_kernel(groups: list[Group]) -> tuple[Kernel, tuple[Node, ...]]:
    """The kernel of a batch, and the nodes its table points at, row by row."""
    made = [pointwise_program(group) for group in groups]
    first = made[0][0]
    table = PointerTable("table", tuple(first.pointers), tuple(group.size for group in groups), BLOCK)
    aligned = all(size % 16 == 0 for size in table.sizes)
    story = [f"{len(groups)} tensors in one launch, each:", *first.story]
    source = _source(first, table, aligned, story)
    kernel = Kernel(_name(first), source, (table,), (table.programs, 1, 1), 4)
    return kernel, tuple(node for _, arguments in made for node in arguments)


def _name(program: Program) -> str:
    return f"batched_{program.name}"


def _body(program: Program) -> list[str]:
    """The statements alone: their text is the same for equal groups of any size."""
    verify(program)
    text = _BatchText(program)
    out = text.widening()
    text.statements(program.body, out)
    return out


class _BatchText(Text):
    def edge(self, lanes: Any) -> list[str]:
        return ["i_inside"] if "i" in lanes else []


def _source(program: Program, table: PointerTable, aligned: bool, story: list[str]) -> str:
    columns = len(table.columns)
    lines = [
        f"I_BLOCK: tl.constexpr = {BLOCK}",
        "sizes, programs, count = tl.load(table), tl.load(table + 1), tl.load(table + 2)",
        "row = tl.load(table + programs + tl.program_id(0))",
        "start = tl.load(table + programs + count + tl.program_id(0)).to(tl.int32)",
        "size = tl.load(table + sizes + row).to(tl.int32)",
        *(["size = tl.multiple_of(size, 16)"] if aligned else []),
        *[_pointer(p, f"table + {HEADER_WORDS} + row * {columns} + {k}") for k, p in enumerate(table.columns)],
        "i = tl.multiple_of(start, I_BLOCK) + tl.arange(0, I_BLOCK)",
        "i_inside = i < size",
        *_body(program),
    ]
    comment = "\n".join(f"    # {line}" for line in shorten(story))
    text = "\n".join("    " + line for line in lines)
    return module(f"@triton.jit\ndef {_name(program)}(table):\n{comment}\n{text}\n")


def _pointer(pointer: Pointer, address: str) -> str:
    stored = "tl.uint8" if pointer.dtype.name == "bool" else pointer.dtype.triton
    return f"{pointer.name} = tl.multiple_of(tl.load({address}).to(tl.pointer_type({stored})), 16)"
