"""Tiles: takes an iteration space and how memory is walked, returns block sizes, warps and loop style."""

from __future__ import annotations

from dataclasses import dataclass

from lazygrad.codegen import index as ix
from lazygrad.codegen.program import Load
from lazygrad.schedule.group import Domain

POINTWISE_BLOCK = 1024  # eight elements a thread: 16-byte accesses in half precision
PERSISTENT_LIMIT = 16384  # a row up to here stays in registers; longer ones are walked in blocks
ELEMENTS_A_THREAD = 8  # of a long row in one step: 16 bytes in half precision
LONG_ROW = 32768  # from here on few programs share a GPU, so that the rows they walk again stay in L2
MAX_WARPS = 16


@dataclass(frozen=True)
class Tile:
    """Block sizes of the kept and the reduced axis; `looped` walks the reduced axis block by block."""

    kept: int
    reduced: int
    looped: bool
    num_warps: int


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(n - 1, 0).bit_length()


def pointwise_tile(size: int) -> Tile:
    block = min(POINTWISE_BLOCK, max(power_of_two(size), 1))
    return Tile(block, 1, False, max(1, min(4, block // 256)))


def reduction_tile(domain: Domain, loads: list[Load], kept: ix.Expr, reduced: ix.Expr) -> Tile:
    """Rows along contiguous memory are held whole where they fit; columns are walked in blocks of rows."""
    if _reduces_contiguous(loads, kept, reduced):
        return _row_tile(domain)
    return _column_tile(domain)


def _reduces_contiguous(loads: list[Load], kept: ix.Expr, reduced: ix.Expr) -> bool:
    """Whether most bytes are read with the reduced index moving fastest."""
    along_reduced = along_kept = 0
    for load in loads:
        if reduced not in ix.variables(load.index) or reduced.is_constant:
            continue
        weight = load.result.dtype.itemsize
        if ix.stride_of(load.index, reduced) in (1, -1):
            along_reduced += weight
        elif not kept.is_constant and ix.stride_of(load.index, kept) in (1, -1):
            along_kept += weight
    return along_reduced >= along_kept


def _row_tile(domain: Domain) -> Tile:
    whole = power_of_two(domain.reduction)
    if whole > PERSISTENT_LIMIT:
        warps = 32 if whole > LONG_ROW else 16
        return Tile(1, warps * 32 * ELEMENTS_A_THREAD, True, warps)
    rows = max(1, min(2048 // whole, power_of_two(domain.kept)))
    elements = rows * whole
    return Tile(rows, whole, False, max(1, min(MAX_WARPS, elements // 512)))


def _column_tile(domain: Domain) -> Tile:
    columns = min(64, power_of_two(domain.kept))
    rows = min(power_of_two(domain.reduction), max(32, 4096 // columns))
    looped = rows < domain.reduction
    return Tile(columns, rows, looped, max(1, min(4, columns * rows // 512)))
