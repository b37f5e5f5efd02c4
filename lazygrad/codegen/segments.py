"""SEGMENT groups: takes a Group, returns the Kernel that combines runs of rows, and its arguments.

A program has a block of result rows and a block of columns; it walks the entries of its rows several at a
time, in order, so every run adds in one order. No row makes the others wait for long: where a segment spans
whole chunks of entries, the partial results of those chunks (SEGMENT nodes themselves), of chunks of chunks
and so on stand for them, and a walk takes fewer than two chunks on each level.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.codegen.kernel import Kernel, Pointer
from lazygrad.codegen.render import identity, module, stored_type
from lazygrad.codegen.spelling import typed_literal
from lazygrad.codegen.tile import power_of_two
from lazygrad.codegen.views import StridedView, view_of
from lazygrad.dtype import DType, bool_, int32
from lazygrad.errors import show_line
from lazygrad.ir import op as ops
from lazygrad.ir.build import constant_value
from lazygrad.ir.node import Node
from lazygrad.ir.op import Op
from lazygrad.schedule.group import Group

ELEMENTS = 4096  # of a block of entries: 32 for each thread of four warps
INT32_ELEMENTS = 2**31 - 2**20
REDUCTIONS: dict[str, Op] = {"add": ops.SUM, "max": ops.MAX, "min": ops.MIN, "mul": ops.PROD}
COMBINES = {"add": "added", "max": "larger", "min": "smaller", "mul": "product"}


def accumulates_in(dtype: DType) -> DType:
    """Halves are summed in float32 and small integers in int32, then rounded or wrapped once."""
    return int32 if not dtype.is_floating_point and dtype.itemsize < 4 else dtype.compute


def operands_of(node: Node) -> tuple[Node, ...]:
    """The sources that a template reads from memory: the constant base of a SEGMENT is none."""
    if node.op is ops.SEGMENT and constant_value(node.src[0]) is not None:
        return node.src[1:]
    return node.src


@dataclass(frozen=True)
class _Operand:
    """A parameter of the kernel: a strided view of some memory."""

    name: str
    view: StridedView
    dtype: DType

    def address(self, *index: str) -> str:
        """Text of the address of one element; where a stride is 0 the index still gives the block its shape."""
        terms = [at if stride == 1 else f"{at} * {stride}" for at, stride in zip(index, self.view.strides, strict=True)]
        terms += [str(self.view.offset)] if self.view.offset else []
        return " + ".join([self.name, *terms])


def segment_kernel(group: Group) -> tuple[Kernel, tuple[Node, ...]]:
    """The kernel of a SEGMENT group, and the nodes its parameters stand for."""
    node = group.members[0]
    text = _Segments(node)
    return text.kernel(), (*(o.view.base for o in text.operands), node)


class _Segments:
    """The text of one kernel."""

    def __init__(self, node: Node) -> None:
        self.node, self.arg = node, node.arg
        base, values, begins, ends, *rest = node.src
        names = ["values", "begins", "ends", *(["order"] if self.arg.ordered else [])]
        names += [f"chunks{i + 1}" for i in range(len(rest) - self.arg.ordered)]
        made = [self.operand(n, s) for n, s in zip(names, (values, begins, ends, *rest), strict=True)]
        self.base = None if constant_value(base) is not None else self.operand("base", base)
        self.operands = made if self.base is None else [self.base, *made]
        self.values, self.begins, self.ends = made[:3]
        self.order = made[3] if self.arg.ordered else None
        self.chunks = made[3 + self.arg.ordered :]
        self.total = accumulates_in(node.dtype)
        rows, columns = node.shape
        self.column_block = min(256, power_of_two(columns))
        self.entries = 16 if self.column_block >= 32 else 4
        self.row_block = max(1, min(power_of_two(rows), ELEMENTS // (self.column_block * self.entries)))
        self.wide = any(n.numel >= INT32_ELEMENTS for n in (*node.src, node, *(o.view.base for o in self.operands)))

    def operand(self, name: str, node: Node) -> _Operand:
        return _Operand(f"{name}_ptr", view_of(node), node.dtype)

    def kernel(self) -> Kernel:
        rows, columns = self.node.shape
        name = f"segment_{self.arg.mode}_kernel"
        pointers = [Pointer(o.name, o.view.base.dtype) for o in self.operands]
        pointers.append(Pointer("out_ptr", self.node.dtype, written=True))
        node = self.node
        story = f"    # {self.arg.mode} of segments {list(node.shape)} {node.dtype.name}  {show_line(node.where)}"
        lines = "\n".join("    " + line if line else "" for line in self.lines())
        source = module(f"@triton.jit\ndef {name}({', '.join(p.name for p in pointers)}):\n{story}\n{lines}\n")
        grid = (-(-rows // self.row_block), -(-columns // self.column_block), 1)
        return Kernel(name, source, tuple(pointers), grid, num_warps=4, num_stages=1)

    # -- the text
    def lines(self) -> list[str]:
        rows, columns = self.node.shape
        wide = ".to(tl.int64)" if self.wide else ""
        neutral = typed_literal(identity(REDUCTIONS[self.arg.mode], self.total), self.total)
        out = [
            f"ROWS: tl.constexpr = {rows}",
            f"COLUMNS: tl.constexpr = {columns}",
            f"ROW_BLOCK: tl.constexpr = {self.row_block}",
            f"COLUMN_BLOCK: tl.constexpr = {self.column_block}",
            f"ENTRIES: tl.constexpr = {self.entries}  # taken at a time from each segment",
            *([f"CHUNK: tl.constexpr = {self.arg.chunk}"] if self.chunks else []),
            f"row = tl.program_id(0){wide} * ROW_BLOCK + tl.arange(0, ROW_BLOCK)",
            f"column = (tl.program_id(1) * COLUMN_BLOCK + tl.arange(0, COLUMN_BLOCK)){wide}",
            "column_inside = (column < COLUMNS)[None, None, :]",
            "entries = tl.arange(0, ENTRIES)[None, :]",
            f"neutral = {neutral}",
            f"total = tl.zeros([ROW_BLOCK, COLUMN_BLOCK], {self.total.triton}) + neutral",
            f"begin = tl.load({self.begins.address('row')}, mask=row < ROWS, other=0)",
            f"end = tl.load({self.ends.address('row')}, mask=row < ROWS, other=0)",
        ]
        levels = [self.values, *self.chunks]
        for level in range(len(self.chunks)):
            out += self.split(level)
        for level, source in enumerate(levels[:-1]):
            what = f"the entries before the first whole chunk of level {level + 1}"
            out += self.walk(source, f"begin{level}", f"head{level}", what)
        out += self.walk(levels[-1], "begin", "end", "the middle, on the top level" if self.chunks else "all entries")
        for level, source in reversed(list(enumerate(levels[:-1]))):
            what = f"the entries behind the last whole chunk of level {level + 1}"
            out += self.walk(source, f"tail{level}", f"end{level}", what)
        return [*out, *self.finish()]

    def split(self, level: int) -> list[str]:
        """The ends of a segment on one level, around the whole chunks that it covers on the next."""
        return [
            f"begin{level}, end{level} = begin, end",
            "first, last = (begin + CHUNK - 1) // CHUNK, end // CHUNK",
            "covers = first < last",
            f"head{level} = tl.where(covers, first * CHUNK, end)",
            f"tail{level} = tl.where(covers, last * CHUNK, end)",
            "begin, end = tl.where(covers, first, 0), tl.where(covers, last, 0)",
        ]

    def walk(self, source: _Operand, begin: str, end: str, what: str) -> list[str]:
        ordered = self.order is not None and source is self.values
        wide = ".to(tl.int64)" if self.wide else ""
        lines = [
            f"# {what}",
            f"for step in range(0, tl.max({end} - {begin}, 0), ENTRIES):",
            f"    entry = {begin}[:, None] + step + entries",
            f"    inside = entry < {end}[:, None]",
        ]
        if ordered:
            assert self.order is not None
            lines.append(f"    entry = tl.load({self.order.address('entry')}, mask=inside, other=0)")
        address = source.address(f"entry{wide}[:, :, None]", "column[None, None, :]")
        lines += [
            "    held = inside[:, :, None] & column_inside",
            f"    taken = {self.load(source, address, 'held')}",
            "    taken = tl.where(held, taken, neutral)",
        ]
        if self.arg.mode == "add":
            return [*lines, "    total += tl.sum(taken, 1)" + self.narrow()]
        combine = COMBINES[self.arg.mode]
        return [*lines, f"    total = {combine}(total, tl.reduce(taken, 1, {combine}))"]

    def narrow(self) -> str:
        return f".to({self.total.triton})" if self.total is int32 else ""

    def load(self, source: _Operand, address: str, mask: str) -> str:
        """Text of a load in the type that is accumulated in."""
        text = f"tl.load({address}, mask={mask}, other=0)"
        text = f"({text} != 0)" if source.dtype is bool_ else text
        return text if source.dtype is self.total else f"{text}.to({self.total.triton})"

    def finish(self) -> list[str]:
        value = constant_value(self.node.src[0])
        combine = COMBINES[self.arg.mode]
        out = ["inside = (row < ROWS)[:, None] & (column < COLUMNS)[None, :]"]
        if self.base is not None:
            text = self.load(self.base, self.base.address("row[:, None]", "column[None, :]"), "inside")
            out.append(f"total = {combine}({text}, total)")
        elif value != identity(REDUCTIONS[self.arg.mode], self.total):
            assert value is not None
            out.append(f"total = {combine}({typed_literal(value, self.total)}, total)")
        dtype = self.node.dtype
        cast = "" if dtype is self.total else f".to({stored_type(dtype)})"
        return [*out, f"tl.store(out_ptr + row[:, None] * COLUMNS + column[None, :], total{cast}, mask=inside)"]
