"""Hopper's matrix product: takes a spec, a config and hooks, returns a Kernel of a program per SM.

Every program walks over output tiles. Operands arrive by bulk copies through host tensor
descriptors; the loop over tiles is flattened into the one over K, so that an epilogue hides the
copies of the next tile.
"""

from __future__ import annotations

from math import prod
from typing import TypeVar

from lazygrad.codegen.kernel import Kernel, Pointer, TensorMap
from lazygrad.codegen.matmul import (
    OUTPUT_INDEX,
    Hooks,
    MatmulConfig,
    MatmulSpec,
    MatrixOperand,
    Side,
    batch_axes,
    batch_name,
    constants,
    depth_index,
    distinct,
    epilogue_lines,
    indented,
    load_tile,
    module,
    needs_int64,
    product_form,
    sides,
    sizes,
    tile_counts,
    tile_order,
)
from lazygrad.dtype import bfloat16, float16, float32

T = TypeVar("T")

# What cuTensorMapEncodeTiled accepts.
MAP_ALIGNMENT, MAP_RANK, MAP_SIZE, MAP_PITCH = 16, 5, 2**32, 2**40


def persistent_refusal(spec: MatmulSpec, hooks: Hooks | None = None) -> str | None:
    """Why the persistent version can't compute this product, or None when it can.

    With `hooks`, an operand that a hook loads is free of the conditions on tensor descriptors.
    """
    dtype = spec.a.pointer.dtype
    if dtype not in (float16, bfloat16) or spec.accumulate is not float32:
        return f"only 16-bit floats go from bulk copies to tensor cores, not {dtype.name}"
    if spec.k == 0:
        return "nothing to sum: K is 0"
    load_a, load_b = (hooks.load_a, hooks.load_b) if hooks else (None, None)
    if hooks and (load_a or load_b) and needs_int64(spec, hooks):
        return "a prologue would need 64-bit indices, bulk copies take 32-bit ones"
    for operand, size, load in (
        (spec.a, (spec.m, spec.k), load_a),
        (spec.b, (spec.k, spec.n), load_b),
    ):
        reason = None if load else map_refusal(spec, operand, size)
        if reason:
            return f"{operand.pointer.name}: {reason}"
    return None


def map_refusal(spec: MatmulSpec, operand: MatrixOperand, size: tuple[int, int]) -> str | None:
    """Why a tensor descriptor can't describe this operand, or None when it can."""
    if 1 not in (operand.row_stride, operand.column_stride):
        return f"neither stride is 1 (rows {operand.row_stride}, columns {operand.column_stride})"
    pitch = operand.column_stride if is_transposed(operand) else operand.row_stride
    itemsize = operand.pointer.dtype.itemsize
    axes = batch_axes(spec.batch, operand.batch_strides)
    for what, stride in (("pitch", pitch), *(("batch stride", axis.stride) for axis in axes)):
        if stride <= 0 or stride * itemsize % MAP_ALIGNMENT or stride * itemsize >= MAP_PITCH:
            return f"a {what} of {stride * itemsize} bytes is no positive multiple of 16 below 2**40"
    if operand.offset * itemsize % MAP_ALIGNMENT:
        return f"an offset of {operand.offset * itemsize} bytes is not a multiple of 16"
    if len(axes) + 2 > MAP_RANK:
        return f"{len(axes)} batch dimensions that do not merge are more than {MAP_RANK - 2}"
    if max(size) >= MAP_SIZE:
        return f"a dimension of {max(size)} is not below 2**32"
    return None


def persistent(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks, name: str, sm_count: int) -> Kernel:
    """The kernel with one program per SM. ValueError for what `persistent_refusal` refuses."""
    refusal = persistent_refusal(spec, hooks)
    if refusal:
        raise ValueError(f"no persistent matmul for {name}: {refusal}")
    tiles_m, tiles_n = tile_counts(spec, config)
    tiles = tiles_m * tiles_n * prod(spec.batch)
    programs = min(sm_count, tiles)
    form = product_form(spec, config)
    position = "tile_m, tile_n, batch" if batch_name(spec) == "batch" else "tile_m, tile_n"
    wide = ".to(tl.int64)" if needs_int64(spec, hooks) else ""
    has_prologue = hooks.load_a is not None or hooks.load_b is not None

    maps: dict[str, TensorMap] = {}
    loop = depth_index() if has_prologue else []
    for side in sides(spec, config, hooks):
        if side.load:
            loop += load_tile(spec, side, side.operand.pointer.name)
            continue
        parameter = side.operand.pointer.name + "_tiles"
        parameter += "_b" if parameter in maps else ""
        maps[parameter] = tensor_map(spec, side)
        loop += [copy_tile(spec, side, parameter)]

    per_tile = [
        f"{position} = tile_position(tile)",
        *(OUTPUT_INDEX if has_prologue else ()),
        *form.start,
        form.loop(config),
        *indented([*loop, form.step]),
        *form.finish,
        "",
        "# Counted again, not kept: copies for later tiles then share nothing with an epilogue.",
        "finished += PROGRAMS",
        f"{position} = tile_position(finished{wide})",
        *(OUTPUT_INDEX if config.epilogue_parts == 1 else OUTPUT_INDEX[:1]),
        *epilogue_lines(spec, config, hooks),
    ]
    body = [
        "finished = tl.program_id(0) - PROGRAMS",
        "for tile in tl.range(tl.program_id(0), TILES, PROGRAMS, flatten=True):",
        *indented(per_tile),
    ]
    body = [
        *constants({**sizes(spec, config), "TILES": tiles, "PROGRAMS": programs}, body),
        "",
        *body,
    ]
    pointers = distinct(hooks.params)
    parameters = [*maps, *(pointer.name for pointer in pointers)]
    source = module(spec, hooks, name, parameters, body, position_helper(spec, config, position))
    params: tuple[Pointer | TensorMap, ...] = (*maps.values(), *pointers)
    return Kernel(name, source, params, (programs, 1, 1), config.num_warps, config.num_stages)


def position_helper(spec: MatmulSpec, config: MatmulConfig, position: str) -> list[str]:
    """The lines of the function that numbers the tiles."""
    lines: list[str] = []
    if batch_name(spec) == "batch":
        lines += ["batch = tile // (TILES_M * TILES_N)", "tile = tile % (TILES_M * TILES_N)"]
    lines += [*tile_order(*tile_counts(spec, config), config.group_m), f"return {position}"]
    lines = [*constants(sizes(spec, config), lines), *lines]
    return ["@triton.jit", "def tile_position(tile):", *indented(lines), "", ""]


def is_transposed(operand: MatrixOperand) -> bool:
    """Whether it is the columns of the matrix that lie contiguous."""
    return operand.column_stride != 1


def in_memory_order(operand: MatrixOperand, pair: tuple[T, T]) -> tuple[T, T]:
    """What belongs to rows and columns, the contiguous of the two last."""
    return (pair[1], pair[0]) if is_transposed(operand) else pair


def tensor_map(spec: MatmulSpec, side: Side) -> TensorMap:
    """The descriptor of an operand: batch dimensions, then those of the matrix in memory order."""
    operand = side.operand
    axes = batch_axes(spec.batch, operand.batch_strides)
    strides = in_memory_order(operand, (operand.row_stride, operand.column_stride))
    return TensorMap(
        operand.pointer.name,
        operand.pointer.dtype,
        shape=(*(axis.size for axis in axes), *in_memory_order(operand, side.size)),
        strides=(*(axis.stride for axis in axes), *strides),
        block=(*(1 for _ in axes), *in_memory_order(operand, side.block)),
        offset=operand.offset,
    )


def copy_tile(spec: MatmulSpec, side: Side, parameter: str) -> str:
    """The line that brings one tile of an operand in."""
    operand = side.operand
    axes = batch_axes(spec.batch, operand.batch_strides)
    corner = [*(axis.index for axis in axes), *in_memory_order(operand, side.corner)]
    block = ", ".join(in_memory_order(operand, side.block_names))
    flatten = f".reshape({block})" if axes else ""
    transpose = ".T" if is_transposed(operand) else ""
    return f"{side.name}_tile = {parameter}.load([{', '.join(corner)}]){flatten}{transpose}"
