"""The matrix product as a Triton template: takes a spec, a config and hooks, returns a Kernel.

The template owns the tiles, the loop over the contracted dimension and the masks. What surrounds the
product comes in through `Hooks`: lines that compute an operand's tile (prologue) and lines that consume
the accumulator and store the outputs (epilogue). Everything is a literal in the printed source.

This file holds the version that loads through pointers, which serves every dtype, stride and target;
`matmul_persistent` holds Hopper's, and `matmul_candidates` chooses between configs of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod

from lazygrad.codegen.kernel import Kernel, Pointer
from lazygrad.dtype import DType, bfloat16, float16, float32, float64

# (row index, column index, batch index, mask or None) -> (lines, name of the tile they compute).
Load = Callable[[str, str, str, str | None], tuple[list[str], str]]
# (accumulator, row index, column index, batch index, mask or None) -> lines that store every output.
Epilogue = Callable[[str, str, str, str, str | None], list[str]]

INT32_REACH = 2**31
GRID_Y_LIMIT = 65535
OUTPUT_INDEX = (
    "rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]",
    "columns = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]",
)

# Names the templates use inside a kernel: neither a parameter nor a variable of a hook may be one.
RESERVED = frozenset(
    "M N K BLOCK_M BLOCK_N BLOCK_K GROUP_M TILES_M TILES_N TILES PROGRAMS HALF_N tl triton tile batch tile_m"
    " tile_n tile_position group within group_rows rows columns start a_columns b_rows a_matrix b_matrix"
    " a_tile b_tile partial accumulator accumulated finished half halves".split()
)


@dataclass(frozen=True)
class MatrixOperand:
    """A matrix, or a batch of them, in a buffer. Strides and offset count elements; stride 0 repeats.

    Where a hook computes the tile, only `pointer.dtype` counts: it is the dtype of that tile.
    """

    pointer: Pointer
    batch_strides: tuple[int, ...]
    row_stride: int
    column_stride: int
    offset: int = 0


@dataclass(frozen=True)
class MatmulSpec:
    """`batch` products of a (m x k) and b (k x n), summed in `accumulate`."""

    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    a: MatrixOperand
    b: MatrixOperand
    accumulate: DType
    float32_precision: str = "ieee"  # or "tf32", torch's set_float32_matmul_precision("high")


@dataclass(frozen=True)
class MatmulConfig:
    """How the product is cut into tiles. With `epilogue_parts` = 2 the epilogue runs on one half after the other."""

    block_m: int
    block_n: int
    block_k: int
    group_m: int = 8
    num_warps: int = 4
    num_stages: int = 3
    persistent: bool = False
    epilogue_parts: int = 1


@dataclass(frozen=True)
class Hooks:
    """What is fused into the product, as printers of Triton lines.

    Index names stand for integer tensors of shape [BLOCK, 1] (rows) and [1, BLOCK] (columns); the batch
    index is one linear scalar, the literal 0 without a batch. A mask is text that broadcasts over the tile,
    terms joined by " & " with the row's first; None says that the whole tile lies inside.
    """

    epilogue: Epilogue
    params: tuple[Pointer, ...]  # what the lines use beside the plainly loaded operands: inputs, then outputs
    load_a: Load | None = None
    load_b: Load | None = None
    preamble: tuple[str, ...] = ()  # module-level lines the others need, such as an import
    notes: tuple[str, ...] = ()  # for the docstring: what is fused, and where the user wrote it
    wide: bool = False  # whether a buffer in `params` reaches past 2**31 elements


def matmul(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks, name: str) -> Kernel:
    """The kernel with one program per output tile, operands loaded through pointers."""
    tiles_m, tiles_n = tile_counts(spec, config)
    batches = prod(spec.batch)
    on_axis = batches <= GRID_Y_LIMIT
    operands = [x.pointer for x, load in ((spec.a, hooks.load_a), (spec.b, hooks.load_b)) if not load]
    params = distinct(operands, hooks.params)
    wide = needs_int64(spec, hooks)
    form = product_form(spec, config)

    program = "tl.program_id(0)" + (".to(tl.int64)" if wide else "")
    body = [f"tile = {program}"]
    if batches > 1 and on_axis:
        body += ["batch = tl.program_id(1)" + (".to(tl.int64)" if wide else "")]
    elif batches > 1:
        body += ["batch = tile // (TILES_M * TILES_N)", "tile = tile % (TILES_M * TILES_N)"]
    body += [
        *tile_order(tiles_m, tiles_n, config.group_m),
        *OUTPUT_INDEX,
    ]
    depth = "start + tl.arange(0, BLOCK_K)" + (".to(tl.int64)" if wide else "")
    loop = [f"a_columns = {depth}[None, :]", f"b_rows = {depth}[:, None]"]
    bases: list[str] = []
    for side, operand, load in (("a", spec.a, hooks.load_a), ("b", spec.b, hooks.load_b)):
        base, base_lines = matrix_base(spec, operand, side) if load is None else ("", [])
        bases += base_lines
        loop += load_tile(spec, config, side, base, load)
    body += [*bases, "", *form.start, loop_header(form, config)]
    body += [*indented([*loop, form.step]), *form.finish, ""]
    body += epilogue_lines(spec, config, hooks)

    grid = (tiles_m * tiles_n, batches, 1) if on_axis else (tiles_m * tiles_n * batches, 1, 1)
    body = [*constants(sizes(spec, config), body), "", *body]
    source = module(spec, hooks, name, [p.name for p in params], body)
    return Kernel(name, source, params, grid, config.num_warps, config.num_stages)


# ---- the product of two tiles ----


@dataclass(frozen=True)
class ProductForm:
    """Lines that start the sum, add one step's tiles to it, and leave it in `accumulator`."""

    start: tuple[str, ...]
    step: str
    finish: tuple[str, ...] = ()
    uses_dot: bool = False


def product_form(spec: MatmulSpec, config: MatmulConfig) -> ProductForm:
    """Tensor cores where they apply; for integers and for a vector, multiply and sum."""
    accumulate = spec.accumulate.triton
    whole = f"accumulator = tl.zeros((BLOCK_M, BLOCK_N), {accumulate})"
    if fits_dot(spec, config):
        extra = f', input_precision="{spec.float32_precision}"' if spec.a.pointer.dtype is float32 else ""
        extra += f", out_dtype={accumulate}" if spec.accumulate is not float32 else ""
        return ProductForm((whole,), f"accumulator = tl.dot(a_tile, b_tile, accumulator{extra})", uses_dot=True)

    a, b = (
        f"{tile}.to({accumulate})" if x.pointer.dtype is not spec.accumulate else tile
        for tile, x in (("a_tile", spec.a), ("b_tile", spec.b))
    )
    # A vector's products are summed over steps element by element, and across threads only once.
    if config.block_m == 1:
        start = f"partial = tl.zeros((BLOCK_K, BLOCK_N), {accumulate})"
        return ProductForm((start,), f"partial += tl.trans({a}) * {b}", ("accumulator = tl.sum(partial, axis=0)[None, :]",))
    if config.block_n == 1:
        start = f"partial = tl.zeros((BLOCK_M, BLOCK_K), {accumulate})"
        return ProductForm((start,), f"partial += {a} * tl.trans({b})", ("accumulator = tl.sum(partial, axis=1)[:, None]",))
    return ProductForm((whole,), f"accumulator += tl.sum({a}[:, :, None] * {b}[None, :, :], axis=1)")


def fits_dot(spec: MatmulSpec, config: MatmulConfig) -> bool:
    """Whether tl.dot takes these tiles: a float dtype and 16 or more in every dimension."""
    dtype = spec.a.pointer.dtype
    small = min(config.block_m, config.block_n, config.block_k) < 16
    return dtype in (float16, bfloat16, float32, float64) and not small


# ---- tiles, masks and addresses ----


def tile_counts(spec: MatmulSpec, config: MatmulConfig) -> tuple[int, int]:
    """Rows and columns of output tiles; ValueError for what no kernel can compute."""
    if not (prod(spec.batch) and spec.m and spec.n):
        raise ValueError(f"an empty product needs no kernel: batch {spec.batch}, {spec.m} x {spec.n}")
    if spec.a.pointer.dtype is not spec.b.pointer.dtype:
        raise ValueError(f"operands differ in dtype: {spec.a.pointer.dtype} and {spec.b.pointer.dtype}")
    return -(-spec.m // config.block_m), -(-spec.n // config.block_n)


def tile_order(tiles_m: int, tiles_n: int, group_m: int) -> list[str]:
    """Lines that turn the linear `tile` into `tile_m` and `tile_n`."""
    if tiles_n == 1:
        return ["tile_m = tile", "tile_n = 0"]
    if tiles_m <= group_m:
        return ["tile_m = tile % TILES_M", "tile_n = tile // TILES_M"]
    ragged = tiles_m % group_m != 0
    height = "group_rows" if ragged else "GROUP_M"
    return [
        "# Tiles run down GROUP_M rows of one column, then the next column: L2 keeps what they share.",
        "group = tile // (GROUP_M * TILES_N)",
        "within = tile % (GROUP_M * TILES_N)",
        *(["group_rows = tl.minimum(TILES_M - group * GROUP_M, GROUP_M)"] if ragged else []),
        f"tile_m = group * GROUP_M + within % {height}",
        f"tile_n = within // {height}",
    ]


def sizes(spec: MatmulSpec, config: MatmulConfig) -> dict[str, int]:
    """The numbers a kernel may use, by the names it uses."""
    tiles_m, tiles_n = tile_counts(spec, config)
    return {
        **{"M": spec.m, "N": spec.n, "K": spec.k},
        **{"BLOCK_M": config.block_m, "BLOCK_N": config.block_n, "BLOCK_K": config.block_k},
        **{"TILES_M": tiles_m, "TILES_N": tiles_n, "GROUP_M": config.group_m},
        **{"HALF_N": config.block_n // 2},
    }


def constants(values: dict[str, int], body: Iterable[str]) -> list[str]:
    """Lines that define those of the names that `body` uses."""
    used = {word for line in body for word in re.findall(r"\w+", line)}
    return [f"{name}: tl.constexpr = {value}" for name, value in values.items() if name in used]


def edge_masks(spec: MatmulSpec, config: MatmulConfig) -> tuple[str | None, str | None]:
    """What bounds the rows and the columns of the output, where a tile can stick out of it."""
    return (
        "(rows < M)" if spec.m % config.block_m else None,
        "(columns < N)" if spec.n % config.block_n else None,
    )


def conjunction(*terms: str | None) -> str | None:
    return " & ".join(term for term in terms if term) or None


def load_tile(spec: MatmulSpec, config: MatmulConfig, side: str, base: str, load: Load | None) -> list[str]:
    """Lines that leave operand `side` ("a" or "b") in `a_tile` or `b_tile`, zero beyond K."""
    row_mask, column_mask = edge_masks(spec, config)
    ragged_k = spec.k % config.block_k != 0
    if side == "a":
        operand, row, column, depth, edge = spec.a, "rows", "a_columns", "(a_columns < K)", row_mask
        mask = conjunction(edge, depth if ragged_k else None)
    else:
        operand, row, column, depth, edge = spec.b, "b_rows", "columns", "(b_rows < K)", column_mask
        mask = conjunction(depth if ragged_k else None, edge)

    if load is None:
        # A term with stride 0 stays in the sum: it gives the index the tile's shape.
        index = f"{scaled(row, operand.row_stride)} + {scaled(column, operand.column_stride)}"
        return [f"{side}_tile = tl.load({base} + ({index})" + (f", mask={mask}, other=0)" if mask else ")")]
    lines, value = load(row, column, batch_name(spec), mask)
    # A prologue need not send the 0 it loads beyond K to 0, and 0 * inf would poison the sum.
    return [*lines, f"{side}_tile = " + (f"tl.where({depth}, {value}, 0)" if ragged_k else value)]


def matrix_base(spec: MatmulSpec, operand: MatrixOperand, side: str) -> tuple[str, list[str]]:
    """The text of the address of this program's matrix, and the lines that compute it."""
    terms = ((axis.index("batch"), axis.stride) for axis in batch_axes(spec.batch, operand.batch_strides))
    offset = sum_of_products(*terms, constant=operand.offset)
    if offset == "0":
        return operand.pointer.name, []
    return f"{side}_matrix", [f"{side}_matrix = {operand.pointer.name} + {offset}"]


def sum_of_products(*terms: tuple[str, int], constant: int = 0) -> str:
    """The text of a sum of index * stride, without the terms that vanish."""
    texts = [scaled(index, stride) for index, stride in terms if stride]
    texts += [str(constant)] if constant or not texts else []
    return " + ".join(texts)


def scaled(index: str, stride: int) -> str:
    return index if stride == 1 else f"{index} * {stride}"


@dataclass(frozen=True)
class BatchAxis:
    """A batch dimension as one operand sees it: linear index // divisor % size, each step `stride` apart."""

    size: int
    stride: int
    divisor: int
    outermost: bool

    def index(self, linear: str) -> str:
        quotient = linear if self.divisor == 1 else f"{linear} // {self.divisor}"
        return quotient if self.outermost else f"({quotient} % {self.size})"


def batch_axes(batch: tuple[int, ...], strides: tuple[int, ...]) -> tuple[BatchAxis, ...]:
    """The batch dimensions an operand moves along, neighbours that step evenly merged into one."""
    merged: list[tuple[int, int]] = []
    for size, stride in zip(batch, strides, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    axes, divisor = [], 1
    for position, (size, stride) in reversed(list(enumerate(merged))):
        if stride:
            axes.append(BatchAxis(size, stride, divisor, outermost=position == 0))
        divisor *= size
    return tuple(reversed(axes))


def epilogue_lines(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks) -> list[str]:
    """The epilogue over the whole tile, or over its left and right half to need half the registers."""
    mask = conjunction(*edge_masks(spec, config))
    if config.epilogue_parts == 1:
        return hooks.epilogue("accumulator", "rows", "columns", batch_name(spec), mask)
    return [
        "halves = tl.split(tl.permute(tl.reshape(accumulator, (BLOCK_M, 2, HALF_N)), (0, 2, 1)))",
        "for half in tl.static_range(2):",
        "    accumulated = halves[half]",
        "    columns = tile_n * BLOCK_N + half * HALF_N + tl.arange(0, HALF_N)[None, :]",
        *indented(hooks.epilogue("accumulated", "rows", "columns", batch_name(spec), mask)),
    ]


def batch_name(spec: MatmulSpec) -> str:
    return "batch" if prod(spec.batch) > 1 else "0"


def needs_int64(spec: MatmulSpec, hooks: Hooks) -> bool:
    """Whether an index of 32 bits can't reach every element of the operands and the outputs."""

    def reach(operand: MatrixOperand, rows: int, columns: int) -> int:
        sizes = (*spec.batch, rows, columns)
        strides = (*operand.batch_strides, operand.row_stride, operand.column_stride)
        return operand.offset + sum((size - 1) * abs(stride) for size, stride in zip(sizes, strides))

    reaches = (reach(spec.a, spec.m, spec.k), reach(spec.b, spec.k, spec.n), prod(spec.batch) * spec.m * spec.n)
    return hooks.wide or max(reaches) >= INT32_REACH


# ---- the printed module ----


def loop_header(form: ProductForm, config: MatmulConfig) -> str:
    # Triton pipelines loads that feed a dot unasked, others only in a loop that says so.
    if form.uses_dot:
        return "for start in range(0, K, BLOCK_K):"
    return f"for start in tl.range(0, K, BLOCK_K, num_stages={config.num_stages}):"


def module(spec: MatmulSpec, hooks: Hooks, name: str, parameters: list[str], body: list[str],
           helpers: Iterable[str] = ()) -> str:  # fmt: skip
    """The whole source: docstring, imports, helpers, and the kernel with this body."""
    taken = RESERVED & {*parameters, name}
    if taken:
        raise ValueError(f"names the matmul template keeps for itself: {', '.join(sorted(taken))}")
    batch = f"{list(spec.batch)} x " if spec.batch else ""
    summary = f"{name}: {batch}({spec.m} x {spec.k}) @ ({spec.k} x {spec.n}) in {spec.a.pointer.dtype.name}"
    summary += f", summed in {spec.accumulate.name}."
    docstring = [f'"""{summary}', "", *hooks.notes, '"""'] if hooks.notes else [f'"""{summary}"""']
    lines = [*docstring, "", "import triton", "import triton.language as tl", *hooks.preamble, "", "", *helpers]
    lines += ["@triton.jit", f"def {name}({', '.join(parameters)}):", *indented(body)]
    return "\n".join(lines) + "\n"


def indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line if line else "" for line in lines]


def distinct(*groups: Iterable[Pointer]) -> tuple[Pointer, ...]:
    """Every pointer once, in order; written if any mention of it is."""
    every = [pointer for group in groups for pointer in group]
    written = {pointer.name for pointer in every if pointer.written}
    first: dict[str, Pointer] = {}
    for pointer in every:
        first.setdefault(pointer.name, replace(pointer, written=pointer.name in written))
    return tuple(first.values())
