"""Hopper's matrix product: takes a spec, a config and hooks, returns a Kernel of one program per SM.

Every program walks over output tiles; operands arrive by bulk copies through host tensor descriptors, and
the loop over tiles is flattened into the one over K, so that the next tile's copies run during an epilogue.
"""

from __future__ import annotations

from math import prod

from lazygrad.codegen.kernel import Kernel, Pointer, TensorMap
from lazygrad.codegen.matmul import (
    OUTPUT_INDEX,
    Hooks,
    MatmulConfig,
    MatmulSpec,
    MatrixOperand,
    batch_axes,
    batch_name,
    constants,
    distinct,
    epilogue_lines,
    indented,
    load_tile,
    module,
    needs_int64,
    product_form,
    sizes,
    tile_counts,
    tile_order,
)
from lazygrad.dtype import bfloat16, float16, float32

# What cuTensorMapEncodeTiled accepts.
MAP_ALIGNMENT, MAP_RANK, MAP_SIZE, MAP_PITCH = 16, 5, 2**32, 2**40


def persistent_refusal(spec: MatmulSpec, hooks: Hooks | None = None) -> str | None:
    """Why the persistent version can't compute this product, or None when it can.

    With `hooks`, an operand that a hook loads is free of the conditions on tensor descriptors.
    """
    if spec.a.pointer.dtype not in (float16, bfloat16) or spec.accumulate is not float32:
        return f"bulk copies feed tensor cores with 16-bit floats, not {spec.a.pointer.dtype.name}"
    if spec.k == 0:
        return "nothing to sum: K is 0"
    for side, operand, rows, columns in (("a", spec.a, spec.m, spec.k), ("b", spec.b, spec.k, spec.n)):
        loaded = hooks and (hooks.load_a if side == "a" else hooks.load_b)
        reason = None if loaded else map_refusal(spec, operand, rows, columns)
        if reason:
            return f"operand {side} ({operand.pointer.name}): {reason}"
    return None


def map_refusal(spec: MatmulSpec, operand: MatrixOperand, rows: int, columns: int) -> str | None:
    """Why a tensor descriptor can't describe this operand, or None when it can."""
    if 1 not in (operand.row_stride, operand.column_stride):
        return f"neither stride is 1 (rows {operand.row_stride}, columns {operand.column_stride})"
    pitch = operand.row_stride if operand.column_stride == 1 else operand.column_stride
    itemsize = operand.pointer.dtype.itemsize
    axes = batch_axes(spec.batch, operand.batch_strides)
    for what, count in (("row pitch", pitch), *(("batch stride", axis.stride) for axis in axes)):
        if count <= 0:
            return f"a {what} of {count} elements does not step forward"
        if count * itemsize % MAP_ALIGNMENT or count * itemsize >= MAP_PITCH:
            return f"a {what} of {count * itemsize} bytes is not a multiple of {MAP_ALIGNMENT} below 2**40"
    if operand.offset * itemsize % MAP_ALIGNMENT:
        return f"an offset of {operand.offset * itemsize} bytes is not a multiple of {MAP_ALIGNMENT}"
    if len(axes) + 2 > MAP_RANK:
        return f"{len(axes)} batch dimensions that do not merge are more than {MAP_RANK - 2}"
    if max(rows, columns) >= MAP_SIZE:
        return f"a dimension of {max(rows, columns)} is not below 2**32"
    return None


def persistent(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks, name: str, sm_count: int) -> Kernel:
    """The kernel with one program per SM. ValueError for a spec that `persistent_refusal` refuses."""
    refusal = persistent_refusal(spec, hooks)
    if refusal:
        raise ValueError(f"no persistent matmul for {name}: {refusal}")
    tiles_m, tiles_n = tile_counts(spec, config)
    tiles = tiles_m * tiles_n * prod(spec.batch)
    programs = min(sm_count, tiles)
    form = product_form(spec, config)
    position = "tile_m, tile_n, batch" if batch_name(spec) == "batch" else "tile_m, tile_n"
    finished = "finished.to(tl.int64)" if needs_int64(spec, hooks) else "finished"

    maps: dict[str, TensorMap] = {}
    start: list[str] = []
    loop: list[str] = []
    if hooks.load_a or hooks.load_b:
        start += OUTPUT_INDEX
        loop += ["a_columns = start + tl.arange(0, BLOCK_K)[None, :]", "b_rows = start + tl.arange(0, BLOCK_K)[:, None]"]
    for side, operand, load in (("a", spec.a, hooks.load_a), ("b", spec.b, hooks.load_b)):
        if load:
            loop += load_tile(spec, config, side, "", load)
            continue
        parameter = operand.pointer.name + "_tiles"
        parameter += "_b" if parameter in maps else ""
        maps[parameter] = tensor_map(spec, config, side)
        loop += [copy_tile(spec, side, parameter)]

    per_tile = [
        f"{position} = tile_position(tile)",
        *start,
        *form.start,
        "for start in range(0, K, BLOCK_K):",
        *indented([*loop, form.step]),
        *form.finish,
        "",
        "# Counted again, not kept: copies for later tiles then depend on nothing an epilogue needs.",
        "finished += PROGRAMS",
        f"{position} = tile_position({finished})",
        *OUTPUT_INDEX,
        *epilogue_lines(spec, config, hooks),
    ]
    body = [
        "finished = tl.program_id(0) - PROGRAMS",
        "for tile in tl.range(tl.program_id(0), TILES, PROGRAMS, flatten=True):",
        *indented(per_tile),
    ]
    values = {**sizes(spec, config), "TILES": tiles, "PROGRAMS": programs}
    body = [*constants(values, body), "", *body]
    pointers = distinct(hooks.params)
    parameters = [*maps, *(pointer.name for pointer in pointers)]
    source = module(spec, hooks, name, parameters, body, position_helper(spec, config, position))
    return Kernel(name, source, (*maps.values(), *pointers), (programs, 1, 1), config.num_warps, config.num_stages)


def tensor_map(spec: MatmulSpec, config: MatmulConfig, side: str) -> TensorMap:
    """The descriptor of an operand, its inner dimension last: batch dimensions first, then two of the matrix."""
    operand = spec.a if side == "a" else spec.b
    rows, columns = (spec.m, spec.k) if side == "a" else (spec.k, spec.n)
    blocks = (config.block_m, config.block_k) if side == "a" else (config.block_k, config.block_n)
    sizes, strides = (rows, columns), (operand.row_stride, operand.column_stride)
    if is_transposed(operand):
        sizes, strides, blocks = sizes[::-1], strides[::-1], blocks[::-1]
    axes = batch_axes(spec.batch, operand.batch_strides)
    return TensorMap(
        operand.pointer.name,
        operand.pointer.dtype,
        shape=(*(axis.size for axis in axes), *sizes),
        strides=(*(axis.stride for axis in axes), *strides),
        block=(*(1 for _ in axes), *blocks),
        offset=operand.offset,
    )


def is_transposed(operand: MatrixOperand) -> bool:
    """Whether it is the columns of the matrix that lie contiguous."""
    return operand.column_stride != 1


def copy_tile(spec: MatmulSpec, side: str, parameter: str) -> str:
    """The line that brings one tile of an operand in."""
    operand = spec.a if side == "a" else spec.b
    corner = ["tile_m * BLOCK_M", "start"] if side == "a" else ["start", "tile_n * BLOCK_N"]
    shape = ["BLOCK_M", "BLOCK_K"] if side == "a" else ["BLOCK_K", "BLOCK_N"]
    transpose = ""
    if is_transposed(operand):
        corner, shape, transpose = corner[::-1], shape[::-1], ".T"
    axes = batch_axes(spec.batch, operand.batch_strides)
    flatten = f".reshape({', '.join(shape)})" if axes else ""
    corner = [*(axis.index("batch") for axis in axes), *corner]
    return f"{side}_tile = {parameter}.load([{', '.join(corner)}]){flatten}{transpose}"


def position_helper(spec: MatmulSpec, config: MatmulConfig, position: str) -> list[str]:
    """The lines of the function that numbers the tiles."""
    tiles_m, tiles_n = tile_counts(spec, config)
    lines: list[str] = []
    if "batch" in position:
        lines += ["batch = tile // (TILES_M * TILES_N)", "tile = tile % (TILES_M * TILES_N)"]
    lines += [*tile_order(tiles_m, tiles_n, config.group_m), f"return {position}"]
    lines = [*constants(sizes(spec, config), lines), *lines]
    return ["@triton.jit", "def tile_position(tile):", *indented(lines), "", ""]
