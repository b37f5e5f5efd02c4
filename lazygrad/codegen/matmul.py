"""The matrix product as a Triton template: takes a spec, a config and hooks, returns a Kernel.

The template owns the tiles, the loop over the contracted dimension and the masks. What surrounds
the product comes in through `Hooks`: lines that compute an operand's tile (prologue) and lines that
consume the accumulator and store the outputs (epilogue). All sizes are literals in the source.

This file has what all versions share, and the version that loads through pointers, which serves
every dtype, stride and target. `matmul_persistent` has Hopper's; `matmul_candidates` chooses
configs for both.
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
# (accumulator, row index, column index, batch index, mask or None) -> lines that store the outputs.
Epilogue = Callable[[str, str, str, str, str | None], list[str]]

INT32_REACH = 2**31
GRID_Y_LIMIT = 65535
OUTPUT_INDEX = (
    "rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]",
    "columns = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]",
)
# Names the templates use inside a kernel: no parameter and no variable of a hook may be one.
RESERVED = frozenset(
    """
    M N K BLOCK_M BLOCK_N BLOCK_K HALF_N TILES_M TILES_N GROUP_M TILES PROGRAMS triton tl
    tile batch tile_m tile_n tile_position group within group_rows rows columns finished
    start a_columns b_rows a_matrix b_matrix a_tile b_tile partial accumulator
    half halves accumulated
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class MatrixOperand:
    """A matrix, or a batch of them, in a buffer. Strides count elements; stride 0 repeats.

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
    """How the product is cut into tiles.

    With `epilogue_parts` = 2 the epilogue runs on one half of a tile after the other: fewer
    registers and half the shared memory, which keeps tiles of 128x256 from spilling.
    """

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

    Index names stand for integer tensors of shape [BLOCK, 1] (rows) and [1, BLOCK] (columns); the
    batch index is one linear scalar, the literal 0 without a batch. A mask is text that broadcasts
    over the tile, terms joined by " & ", the row's first; None says that all of the tile is inside.
    """

    epilogue: Epilogue
    params: tuple[Pointer, ...]  # what the lines use: inputs, then outputs
    load_a: Load | None = None
    load_b: Load | None = None
    preamble: tuple[str, ...] = ()  # module-level lines the others need, such as an import
    notes: tuple[str, ...] = ()  # for the docstring: what is fused, and where the user wrote it
    wide: bool = False  # whether a buffer in `params` reaches past 2**31 elements


def matmul(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks, name: str) -> Kernel:
    """The kernel with one program per output tile, operands loaded through pointers."""
    tiles_m, tiles_n = tile_counts(spec, config)
    batches = prod(spec.batch)
    batch_on_axis = batches <= GRID_Y_LIMIT
    wide = ".to(tl.int64)" if needs_int64(spec, hooks) else ""
    form = product_form(spec, config)
    operands = sides(spec, config, hooks)

    where = [f"tile = tl.program_id(0){wide}"]
    if batches > 1 and batch_on_axis:
        where += [f"batch = tl.program_id(1){wide}"]
    elif batches > 1:
        where += ["batch = tile // (TILES_M * TILES_N)", "tile = tile % (TILES_M * TILES_N)"]
    where += [*tile_order(tiles_m, tiles_n, config.group_m), *OUTPUT_INDEX]

    loop = depth_index(wide)
    for side in operands:
        base, base_lines = matrix_base(spec, side)
        where += base_lines if side.load is None else []
        loop += load_tile(spec, side, base)

    body = [
        *where,
        "",
        *form.start,
        form.loop(config),
        *indented([*loop, form.step]),
        *form.finish,
        "",
    ]
    body += epilogue_lines(spec, config, hooks)
    body = [*constants(sizes(spec, config), body), "", *body]
    params = distinct([side.operand.pointer for side in operands if side.load is None], hooks.params)
    grid = (tiles_m * tiles_n, batches, 1) if batch_on_axis else (tiles_m * tiles_n * batches, 1, 1)
    source = module(spec, hooks, name, [p.name for p in params], body)
    return Kernel(name, source, params, grid, config.num_warps, config.num_stages)


# ---- the product of two tiles ----


@dataclass(frozen=True)
class ProductForm:
    """Lines that start the sum, add one step's tiles to it, and leave it in `accumulator`."""

    start: tuple[str, ...]
    step: str
    finish: tuple[str, ...] = ()

    def loop(self, config: MatmulConfig) -> str:
        # Triton pipelines loads that feed a dot unasked, others only in a loop that says so.
        if "tl.dot" in self.step:
            return "for start in range(0, K, BLOCK_K):"
        return f"for start in tl.range(0, K, BLOCK_K, num_stages={config.num_stages}):"


def product_form(spec: MatmulSpec, config: MatmulConfig) -> ProductForm:
    """Tensor cores where they apply; for integers and for a vector, multiply and sum."""
    dtype, accumulate = spec.a.pointer.dtype, spec.accumulate.triton
    whole = f"accumulator = tl.zeros((BLOCK_M, BLOCK_N), {accumulate})"
    if fits_dot(spec, config):
        options = f', input_precision="{spec.float32_precision}"' if dtype is float32 else ""
        options += f", out_dtype={accumulate}" if spec.accumulate is not float32 else ""
        return ProductForm((whole,), f"accumulator = tl.dot(a_tile, b_tile, accumulator{options})")

    cast = "" if dtype is spec.accumulate else f".to({accumulate})"
    a, b = f"a_tile{cast}", f"b_tile{cast}"
    # A vector's products are summed over steps element by element, and across threads only once.
    if config.block_m == 1:
        return ProductForm(
            (f"partial = tl.zeros((BLOCK_K, BLOCK_N), {accumulate})",),
            f"partial += tl.trans({a}) * {b}",
            ("accumulator = tl.sum(partial, axis=0)[None, :]",),
        )
    if config.block_n == 1:
        return ProductForm(
            (f"partial = tl.zeros((BLOCK_M, BLOCK_K), {accumulate})",),
            f"partial += {a} * tl.trans({b})",
            ("accumulator = tl.sum(partial, axis=1)[:, None]",),
        )
    return ProductForm((whole,), f"accumulator += tl.sum(({a})[:, :, None] * ({b})[None, :, :], axis=1)")


def fits_dot(spec: MatmulSpec, config: MatmulConfig) -> bool:
    """Whether tl.dot takes these tiles: a float dtype and 16 or more in every dimension."""
    small = min(config.block_m, config.block_n, config.block_k) < 16
    return spec.a.pointer.dtype in (float16, bfloat16, float32, float64) and not small


# ---- tiles and masks ----


def tile_counts(spec: MatmulSpec, config: MatmulConfig) -> tuple[int, int]:
    """Rows and columns of output tiles; ValueError for what no kernel can compute."""
    if not (prod(spec.batch) and spec.m and spec.n):
        raise ValueError(f"an empty product needs no kernel: batch {spec.batch}, {spec.m} x {spec.n}")
    if spec.a.pointer.dtype is not spec.b.pointer.dtype:
        raise ValueError(f"operands differ in dtype: {spec.a.pointer.dtype} and {spec.b.pointer.dtype}")
    return -(-spec.m // config.block_m), -(-spec.n // config.block_n)


def tile_order(tiles_m: int, tiles_n: int, group_m: int) -> list[str]:
    """Lines that turn the linear `tile` into `tile_m` and `tile_n`."""
    if tiles_m <= group_m:
        return ["tile_m = tile % TILES_M", "tile_n = tile // TILES_M"]
    ragged = tiles_m % group_m != 0
    height = "group_rows" if ragged else "GROUP_M"
    return [
        "# Tiles run down GROUP_M rows of a column, then the next: L2 keeps what they share.",
        "group = tile // (GROUP_M * TILES_N)",
        "within = tile % (GROUP_M * TILES_N)",
        *(["group_rows = tl.minimum(TILES_M - group * GROUP_M, GROUP_M)"] if ragged else []),
        f"tile_m = group * GROUP_M + within % {height}",
        f"tile_n = within // {height}",
    ]


def edge_masks(spec: MatmulSpec, config: MatmulConfig) -> tuple[str | None, str | None]:
    """What bounds the rows and the columns of the output, where a tile can stick out of it."""
    return (
        "(rows < M)" if spec.m % config.block_m else None,
        "(columns < N)" if spec.n % config.block_n else None,
    )


def conjunction(*terms: str | None) -> str | None:
    return " & ".join(term for term in terms if term) or None


def depth_index(wide: str = "") -> list[str]:
    """Lines that index this step's part of K along either operand."""
    depth = f"start + tl.arange(0, BLOCK_K){wide}"
    return [f"a_columns = {depth}[None, :]", f"b_rows = {depth}[:, None]"]


def epilogue_lines(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks) -> list[str]:
    """The epilogue over the whole tile, or over its left and right half."""
    mask, batch = conjunction(*edge_masks(spec, config)), batch_name(spec)
    if config.epilogue_parts == 1:
        return hooks.epilogue("accumulator", "rows", "columns", batch, mask)
    return [
        "halves = tl.split(tl.permute(tl.reshape(accumulator, (BLOCK_M, 2, HALF_N)), (0, 2, 1)))",
        "for half in tl.static_range(2):",
        "    accumulated = halves[half]",
        "    columns = tile_n * BLOCK_N + half * HALF_N + tl.arange(0, HALF_N)[None, :]",
        *indented(hooks.epilogue("accumulated", "rows", "columns", batch, mask)),
    ]


# ---- operands ----


@dataclass(frozen=True)
class Side:
    """One operand as the loop over K sees it."""

    name: str  # "a" or "b"
    operand: MatrixOperand
    load: Load | None
    index: tuple[str, str]  # of its rows and its columns
    corner: tuple[str, str]  # where the tile begins
    size: tuple[int, int]
    block: tuple[int, int]
    block_names: tuple[str, str]
    mask: str | None
    depth_mask: str | None  # the part of `mask` that bounds K


def sides(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks) -> tuple[Side, Side]:
    """Both operands."""
    row_mask, column_mask = edge_masks(spec, config)
    a_depth, b_depth = ("(a_columns < K)", "(b_rows < K)") if spec.k % config.block_k else (None, None)
    a = Side(
        "a", spec.a, hooks.load_a,
        ("rows", "a_columns"), ("tile_m * BLOCK_M", "start"),
        (spec.m, spec.k), (config.block_m, config.block_k), ("BLOCK_M", "BLOCK_K"),
        conjunction(row_mask, a_depth), a_depth,
    )  # fmt: skip
    b = Side(
        "b", spec.b, hooks.load_b,
        ("b_rows", "columns"), ("start", "tile_n * BLOCK_N"),
        (spec.k, spec.n), (config.block_k, config.block_n), ("BLOCK_K", "BLOCK_N"),
        conjunction(b_depth, column_mask), b_depth,
    )  # fmt: skip
    return a, b


def load_tile(spec: MatmulSpec, side: Side, base: str) -> list[str]:
    """Lines that leave the operand's tile in `a_tile` or `b_tile`, zero beyond K."""
    row, column = side.index
    if side.load is None:
        # A term with stride 0 stays in the sum: it gives the index the tile's shape.
        index = f"{scaled(row, side.operand.row_stride)} + {scaled(column, side.operand.column_stride)}"
        mask = f", mask={side.mask}, other=0" if side.mask else ""
        return [f"{side.name}_tile = tl.load({base} + ({index}){mask})"]
    lines, value = side.load(row, column, batch_name(spec), side.mask)
    # A prologue need not send the zeros it loads beyond K to zeros, and all of them enter the sum.
    kept = f"tl.where({side.depth_mask}, {value}, 0)" if side.depth_mask else value
    return [*lines, f"{side.name}_tile = {kept}"]


def matrix_base(spec: MatmulSpec, side: Side) -> tuple[str, list[str]]:
    """The text of the address of this program's matrix, and the lines that compute it."""
    axes = batch_axes(spec.batch, side.operand.batch_strides)
    terms = [scaled(axis.index, axis.stride) for axis in axes]
    terms += [str(side.operand.offset)] if side.operand.offset else []
    if not terms:
        return side.operand.pointer.name, []
    name = f"{side.name}_matrix"
    return name, [f"{name} = {side.operand.pointer.name} + {' + '.join(terms)}"]


def scaled(index: str, stride: int) -> str:
    return index if stride == 1 else f"{index} * {stride}"


@dataclass(frozen=True)
class BatchAxis:
    """Some of the batch dimensions as one: `index` is its position, `stride` elements a step."""

    size: int
    stride: int
    index: str


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
    axes: list[BatchAxis] = []
    inner = 1
    for position in reversed(range(len(merged))):
        size, stride = merged[position]
        quotient = "batch" if inner == 1 else f"batch // {inner}"
        if stride:
            axes.append(BatchAxis(size, stride, f"({quotient} % {size})" if position else quotient))
        inner *= size
    return tuple(reversed(axes))


def batch_name(spec: MatmulSpec) -> str:
    return "batch" if prod(spec.batch) > 1 else "0"


def needs_int64(spec: MatmulSpec, hooks: Hooks) -> bool:
    """Whether an index of 32 bits can't reach every element of the operands and the outputs."""

    def reach(operand: MatrixOperand, rows: int, columns: int) -> int:
        strides = (*operand.batch_strides, operand.row_stride, operand.column_stride)
        lengths = ((size - 1) * abs(stride) for size, stride in zip((*spec.batch, rows, columns), strides))
        return operand.offset + sum(lengths)

    loaded = [reach(spec.a, spec.m, spec.k)] if hooks.load_a is None else []
    loaded += [reach(spec.b, spec.k, spec.n)] if hooks.load_b is None else []
    return hooks.wide or max([*loaded, prod(spec.batch) * spec.m * spec.n]) >= INT32_REACH


# ---- the printed module ----


def sizes(spec: MatmulSpec, config: MatmulConfig) -> dict[str, int]:
    """The numbers a kernel may use, by the names it uses."""
    tiles_m, tiles_n = tile_counts(spec, config)
    return {
        "M": spec.m,
        "N": spec.n,
        "K": spec.k,
        "BLOCK_M": config.block_m,
        "BLOCK_N": config.block_n,
        "BLOCK_K": config.block_k,
        "HALF_N": config.block_n // 2,
        "TILES_M": tiles_m,
        "TILES_N": tiles_n,
        "GROUP_M": config.group_m,
    }


def constants(values: dict[str, int], body: Iterable[str]) -> list[str]:
    """Lines that define those of the names that `body` uses."""
    used = {word for line in body for word in re.findall(r"\w+", line)}
    return [f"{name}: tl.constexpr = {value}" for name, value in values.items() if name in used]


def module(
    spec: MatmulSpec,
    hooks: Hooks,
    name: str,
    parameters: list[str],
    body: list[str],
    helpers: Iterable[str] = (),
) -> str:
    """The whole source: docstring, imports, helpers, and the kernel with this body."""
    taken = RESERVED & {*parameters, name}
    if taken:
        raise ValueError(f"names the matmul template keeps for itself: {', '.join(sorted(taken))}")
    batch = f"{' x '.join(map(str, spec.batch))} of " if spec.batch else ""
    product = f"{batch}({spec.m} x {spec.k}) @ ({spec.k} x {spec.n})"
    summary = f"{name}: {product} in {spec.a.pointer.dtype.name}, summed in {spec.accumulate.name}."
    docstring = [f'"""{summary}', "", *hooks.notes, '"""'] if hooks.notes else [f'"""{summary}"""']
    lines = [
        *docstring,
        "",
        "import triton",
        "import triton.language as tl",
        *hooks.preamble,
        "",
        "",
    ]
    lines += [*helpers, "@triton.jit", f"def {name}({', '.join(parameters)}):", *indented(body)]
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
