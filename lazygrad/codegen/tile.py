"""Tiles: takes an iteration space and how memory is walked, returns block sizes, warps and loop style."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lazygrad.codegen import index as ix
from lazygrad.codegen.program import Load
from lazygrad.schedule.group import Domain

POINTWISE_BLOCK = 1024  # eight elements a thread: 16-byte accesses in half precision
PERSISTENT_LIMIT = 16384  # a row up to here stays in registers; longer ones are walked in blocks
ELEMENTS_A_THREAD = 8  # of a long row in one step: 16 bytes in half precision
LONG_ROW = 32768  # from here on few programs share a GPU, so that the rows they walk again stay in L2
MAX_WARPS = 16
COLUMNS = 64  # of one program of a column reduction: whole 128-byte lines in half precision
FEWEST_COLUMNS = 16  # of one, where there are not even PROGRAMS_AT_ONCE: then latency counts, not bandwidth
PROGRAMS_AT_ONCE = 256
SHORT_ROW = 32  # kept elements side by side below which blocks run on into the next row
BOTH_WAYS = 0.25  # of the bytes along rows: more than that along columns is not left uncoalesced
SUMMED_LIMIT = 16384  # sums of columns that one program keeps in registers, all together
MOST_SUMS = 4
FEW_VALUES = 4  # of each element of a row, that leave room in registers for four such programs
FETCHED_AHEAD = 65536  # bytes of rows on their way into shared memory while others are computed


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


def columns_of(domain: Domain) -> int:
    """How many neighbouring results lie side by side in memory: the last kept dimension where nothing behind it is
    reduced, unless it is so short that results of several rows make better blocks."""
    if domain.reduced and not domain.reduced[-1] and domain.dims[-1] >= SHORT_ROW:
        return domain.dims[-1]
    return domain.kept


def reduction_tile(domain: Domain, loads: list[Load], kept: ix.Expr, reduced: ix.Expr) -> Tile:
    """Rows along contiguous memory are held whole where they fit; columns are walked in blocks of rows, and so is
    what is read both ways."""
    along_kept, along_reduced = _bytes_along(loads, kept, reduced)
    if along_kept > BOTH_WAYS * along_reduced:
        return _column_tile(domain)
    return row_tile(domain)


def _bytes_along(loads: list[Load], kept: ix.Expr, reduced: ix.Expr) -> tuple[int, int]:
    """Bytes an element, of what is read with the kept and with the reduced index moving fastest. What doesn't vary
    along both is small beside what does, and counts where nothing does."""
    whole = [load for load in loads if {kept, reduced} <= ix.variables(load.index)]
    counted = whole or [load for load in loads if reduced in ix.variables(load.index)]

    def along(variable: ix.Expr) -> int:
        return sum(x.result.dtype.itemsize for x in counted if ix.contiguous_along(x.index, variable))

    return (0 if kept.is_constant else along(kept)), along(reduced)


def row_tile(domain: Domain) -> Tile:
    whole = power_of_two(domain.reduction)
    if whole > PERSISTENT_LIMIT:
        warps = 32 if whole > LONG_ROW else 16
        return Tile(1, warps * 32 * ELEMENTS_A_THREAD, True, warps)
    rows = max(1, min(2048 // whole, power_of_two(domain.kept)))
    elements = rows * whole
    return Tile(rows, whole, False, max(1, min(MAX_WARPS, elements // 512)))


def walk_tile(domain: Domain, values: int) -> Tile:
    """Rows walked part by part: as elsewhere, but where sums of columns and rows that are read are many `values` in a
    thread's registers, it takes half as many elements, so that all programs still run at once."""
    tile = row_tile(domain)
    if values <= FEW_VALUES or tile.looped:
        return tile
    if tile.kept > 1:
        return replace(tile, kept=tile.kept // 2)
    return replace(tile, num_warps=min(MAX_WARPS, 2 * tile.num_warps))


def most_sums(columns: int) -> int:
    """How many sums of columns fit into the registers of a program that walks rows of this length."""
    whole = power_of_two(columns)
    return min(MOST_SUMS, SUMMED_LIMIT // whole) if whole <= SUMMED_LIMIT // 2 else 0


def stages_ahead(bytes_a_step: int) -> int:
    """In how many stages a loop over rows runs: up to two steps are fetched while a third is computed; 1 where
    one doesn't fit."""
    return 1 + min(2, FETCHED_AHEAD // max(bytes_a_step, 1))


def _column_tile(domain: Domain) -> Tile:
    enough = max(FEWEST_COLUMNS, power_of_two(domain.kept // PROGRAMS_AT_ONCE))
    columns = min(COLUMNS, enough, power_of_two(columns_of(domain)))
    rows = min(power_of_two(domain.reduction), max(32, 4096 // columns))
    looped = rows < domain.reduction
    return Tile(columns, rows, looped, max(1, min(4, columns * rows // 512)))
