"""Which matmul configs are worth trying: takes a spec and a target, returns a few configs, best guess first.

The order comes from a model, not from a measurement: tuning may pick any of them, and without tuning the
first is used. Every config returned fits the target's shared memory, even with an epilogue in float32.
"""

from __future__ import annotations

from math import prod

from lazygrad.codegen.matmul import Hooks, MatmulConfig, MatmulSpec
from lazygrad.codegen.matmul_persistent import persistent_refusal
from lazygrad.dtype import DType, float32, float64

MOST = 6
# Time of loads through pointers over time of bulk copies, measured on GPT-2's products on an H200.
POINTER_COST = 1.25
# What a prologue reads of an element is not known here: two float32 buffers are allowed for.
PROLOGUE_BYTES = 8

SMALL_BLOCKS = ((64, 64), (32, 64), (64, 32), (32, 32), (16, 64), (64, 16), (16, 32), (32, 16), (16, 16))
HALF_BLOCKS = ((128, 256), (256, 128), (128, 128), (128, 64), (64, 128), *SMALL_BLOCKS)
# Without tensor cores the operands of a product pass through registers too.
FLOAT32_BLOCKS = ((128, 64), (64, 128), *SMALL_BLOCKS)
# Triton 3.6 can't compile a float64 product of 64 rows or more for Blackwell.
FLOAT64_BLOCKS = tuple((m, n) for m, n in SMALL_BLOCKS if m < 64)
# Integers are multiplied as a block of three dimensions, all of it in registers.
INTEGER_BLOCKS = tuple((m, n) for m, n in SMALL_BLOCKS if max(m, n) < 64)


def candidates(
    spec: MatmulSpec, compute_capability: int, sm_count: int, hooks: Hooks | None = None
) -> tuple[MatmulConfig, ...]:
    """Configs for this product on this target (90 means sm_90), at most six, best guess first."""
    if 1 in (spec.m, spec.n):
        return vector_candidates(spec, sm_count)
    bulk = has_bulk_copies(compute_capability) and persistent_refusal(spec, hooks) is None
    ranked: list[tuple[float, MatmulConfig]] = []
    for block_m, block_n in fitting_blocks(spec):
        cost = modelled_cost(spec, block_m, block_n, sm_count)
        kinds = {False: cost * POINTER_COST} if bulk else {False: cost}
        if bulk and min(block_m, block_n) >= 64:
            kinds[True] = cost
        for persistent, kind_cost in kinds.items():
            config = largest_fit(spec, block_m, block_n, persistent, compute_capability, hooks)
            ranked += [(kind_cost, config)] if config else []
    order = [config for _, config in sorted(ranked, key=lambda entry: entry[0])]
    # One that loads through pointers stays among them: a prologue may undo what bulk copies gain.
    pointers = next(config for config in order if not config.persistent)
    return tuple(dict.fromkeys((*order[: MOST - 1], pointers)))


def has_bulk_copies(compute_capability: int) -> bool:
    """Whether tensor cores read what a tensor descriptor brings: Hopper and data-centre Blackwell."""
    return compute_capability // 10 in (9, 10)


def shared_memory_limit(compute_capability: int) -> int:
    """Bytes a program may have; outside Hopper and Blackwell what every GPU since sm_80 grants."""
    return (227 if has_bulk_copies(compute_capability) else 99) * 1024


def modelled_cost(spec: MatmulSpec, block_m: int, block_n: int, sm_count: int) -> float:
    """Time on the busiest SM, in arbitrary units.

    A tile brings in block_m + block_n numbers per step of K and multiplies block_m * block_n. That 128
    products weigh as much as one number puts 128x128 at 83% of the speed of 128x256 and 64x64 at half.
    """
    tiles = prod(spec.batch) * -(-spec.m // block_m) * -(-spec.n // block_n)
    return -(-tiles // sm_count) * (block_m + block_n + block_m * block_n / 128)


def fitting_blocks(spec: MatmulSpec) -> list[tuple[int, int]]:
    """The blocks that aren't mostly padding."""
    dtype = spec.a.pointer.dtype
    pool = INTEGER_BLOCKS
    if dtype.is_floating_point:
        pool = {float32: FLOAT32_BLOCKS, float64: FLOAT64_BLOCKS}.get(dtype, HALF_BLOCKS)
    return [(m, n) for m, n in pool if m <= max(16, covering(spec.m)) and n <= max(16, covering(spec.n))]


def largest_fit(
    spec: MatmulSpec,
    block_m: int,
    block_n: int,
    persistent: bool,
    compute_capability: int,
    hooks: Hooks | None,
) -> MatmulConfig | None:
    """The config of these blocks with the deepest pipeline that shared memory holds, or None."""
    num_warps = 8 if block_m * block_n >= 128 * 128 else 4
    parts = 2 if persistent and block_m * block_n >= 128 * 128 else 1
    limit = shared_memory_limit(compute_capability)
    for block_k in block_depths(spec.a.pointer.dtype):
        block_k = max(16, min(block_k, covering(spec.k)))
        for stages in (4, 3) if spec.a.pointer.dtype.is_floating_point else (2,):
            config = MatmulConfig(block_m, block_n, block_k, 8, num_warps, stages, persistent, parts)
            if shared_memory(spec, config, hooks) <= limit:
                return config
    return None


def block_depths(dtype: DType) -> tuple[int, ...]:
    if not dtype.is_floating_point:
        return (16,)
    return {2: (64, 32, 16), 4: (32, 16), 8: (16,)}[dtype.itemsize]


def shared_memory(spec: MatmulSpec, config: MatmulConfig, hooks: Hooks | None) -> int:
    """An upper bound of the bytes the kernel holds: operand tiles in flight, and the epilogue's exchange."""
    itemsize = spec.a.pointer.dtype.itemsize
    tiles = 0
    for rows, load in ((config.block_m, hooks and hooks.load_a), (config.block_n, hooks and hooks.load_b)):
        elements = rows * config.block_k
        tiles += elements * (PROLOGUE_BYTES * config.num_stages + itemsize if load else itemsize * config.num_stages)
    exchange = config.block_m * config.block_n * spec.accumulate.itemsize // config.epilogue_parts
    # A persistent program stores one tile while it already copies the next; others are done copying. 1 KB
    # holds the barriers.
    return tiles + exchange + 1024 if config.persistent else max(tiles, exchange)


def vector_candidates(spec: MatmulSpec, sm_count: int) -> tuple[MatmulConfig, ...]:
    """Configs for a matrix times a vector: all that counts is to read the matrix in long runs, everywhere at once."""
    matrix_is_b = spec.m == 1
    outputs = spec.n if matrix_is_b else spec.m
    step_along_k = spec.b.row_stride if matrix_is_b else spec.a.column_stride
    blocks = ((16, 256), (8, 512), (4, 512), (2, 1024)) if step_along_k == 1 else ((128, 32), (64, 64), (32, 64), (16, 128))

    def programs(block: tuple[int, int]) -> int:
        return prod(spec.batch) * -(-outputs // block[0])

    # The largest block that still gives every SM two programs, else the smallest.
    order = [block for block in blocks if programs(block) >= 2 * sm_count]
    order += [block for block in reversed(blocks) if block not in order]
    configs = []
    for output, depth in order:
        block_m, block_n = (1, min(output, covering(outputs))) if matrix_is_b else (min(output, covering(outputs)), 1)
        configs += [MatmulConfig(block_m, block_n, max(16, min(depth, covering(spec.k))), num_stages=3)]
    return tuple(dict.fromkeys(configs))


def covering(size: int) -> int:
    """The smallest power of two that is not below `size`."""
    return 1 << max(size - 1, 0).bit_length()
