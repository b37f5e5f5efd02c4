"""Which matmul configs are worth trying: takes a spec and a target, returns a few, best first.

The order comes from a model, not from a measurement: tuning may pick any of them, and without it
the first is used. Every config fits the target's shared memory, even with an epilogue in float32.
"""

from __future__ import annotations

from math import prod

from lazygrad.codegen.matmul import Hooks, MatmulConfig, MatmulSpec
from lazygrad.codegen.matmul_persistent import persistent_refusal
from lazygrad.dtype import DType, float32, float64

MOST = 6
# Time of loads through pointers over time of bulk copies, measured on GPT-2's products on an H200.
POINTER_COST = 1.25
# Bytes of shared memory that Hopper and Blackwell grant a program, and that every GPU since sm_80
# grants. Programs that wait for their own loads keep to the latter on Hopper: two then share an SM.
BULK_LIMIT, POINTER_LIMIT = 227 * 1024, 99 * 1024
# What a prologue reads of an element is not known here: two float32 buffers are allowed for.
PROLOGUE_BYTES = 8

SMALL_BLOCKS = (
    (64, 64),
    (32, 64),
    (64, 32),
    (32, 32),
    (16, 64),
    (64, 16),
    (16, 32),
    (32, 16),
    (16, 16),
)
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
        kinds: dict[bool, float] = {}
        if bulk and min(block_m, block_n) >= 64:
            kinds[True] = cost
        # Addresses take registers: beyond 128x128 pointers and accumulator together spill.
        if block_m * block_n <= 128 * 128:
            kinds[False] = cost * POINTER_COST if bulk else cost
        for persistent, kind_cost in kinds.items():
            config = largest_fit(spec, block_m, block_n, persistent, hooks)
            ranked += [(kind_cost, config)] if config else []
    order = [config for _, config in sorted(ranked, key=lambda entry: entry[0])]
    # One that loads through pointers stays among them: a prologue may undo what bulk copies gain.
    pointers = next(config for config in order if not config.persistent)
    return tuple(dict.fromkeys((*order[: MOST - 1], pointers)))


def has_bulk_copies(compute_capability: int) -> bool:
    """Whether tensor cores read what a tensor descriptor brings: Hopper, data-centre Blackwell."""
    return compute_capability // 10 in (9, 10)


def modelled_cost(spec: MatmulSpec, block_m: int, block_n: int, sm_count: int) -> float:
    """Time on the busiest SM, in arbitrary units.

    A tile brings in block_m + block_n numbers per step of K and multiplies block_m * block_n. That
    128 products weigh as much as one number brought in puts the speed of 128x128 at 83% of that of
    128x256, and 64x64 at half.
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
    spec: MatmulSpec, block_m: int, block_n: int, persistent: bool, hooks: Hooks | None
) -> MatmulConfig | None:
    """The config of these blocks with the deepest pipeline that shared memory holds, or None."""
    num_warps = 8 if block_m * block_n >= 128 * 128 else 4
    parts = 2 if block_m * block_n >= 128 * 128 else 1
    limit = BULK_LIMIT if persistent else POINTER_LIMIT
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
    """An upper bound of the bytes the kernel holds: tiles in flight and the epilogue's exchange."""
    itemsize = spec.a.pointer.dtype.itemsize
    loads = (hooks.load_a, hooks.load_b) if hooks else (None, None)
    tiles = 0
    for width, load in zip((config.block_m, config.block_n), loads):
        per_element = config.num_stages * (PROLOGUE_BYTES if load else itemsize)
        per_element += itemsize if load else 0
        tiles += width * config.block_k * per_element
    stored = [pointer.dtype.itemsize for pointer in (hooks.params if hooks else ()) if pointer.written]
    exchanged = max(spec.accumulate.itemsize, *stored, 4)
    exchange = config.block_m * config.block_n * exchanged // config.epilogue_parts
    # A persistent program stores one tile while it copies the next; others are done copying. The
    # last kilobyte holds barriers.
    return tiles + exchange + 1024 if config.persistent else max(tiles, exchange)


def vector_candidates(spec: MatmulSpec, sm_count: int) -> tuple[MatmulConfig, ...]:
    """Configs for a matrix times a vector: what counts is to read it in long runs, on every SM."""
    matrix_is_b = spec.m == 1
    outputs = spec.n if matrix_is_b else spec.m
    step_along_k = spec.b.row_stride if matrix_is_b else spec.a.column_stride
    blocks = ((128, 32), (64, 64), (32, 64), (16, 128))
    if step_along_k == 1:
        blocks = ((16, 256), (8, 512), (4, 512), (2, 1024))

    def programs(block: tuple[int, int]) -> int:
        return prod(spec.batch) * -(-outputs // block[0])

    # The largest block that still gives every SM two programs, else the smallest.
    order = [block for block in blocks if programs(block) >= 2 * sm_count]
    order += [block for block in reversed(blocks) if block not in order]
    configs: list[MatmulConfig] = []
    for width, depth in order:
        width, depth = min(width, covering(outputs)), max(16, min(depth, covering(spec.k)))
        block_m, block_n = (1, width) if matrix_is_b else (width, 1)
        configs += [MatmulConfig(block_m, block_n, depth, num_stages=3)]
    return tuple(dict.fromkeys(configs))


def covering(size: int) -> int:
    """The smallest power of two that is not below `size`."""
    return 1 << max(size - 1, 0).bit_length()
