"""Spaces: takes what two drafts of a group iterate over, returns what they iterate over together, or why they can't.

Either both iterate alike, or one is elementwise over the whole space or the rows of the other, or one reduces
rows and the other adds up, part by part, their columns or what came of each: then a program walks a part row by
row, and both are one pass over memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lazygrad.codegen import index as ix
from lazygrad.codegen.tile import most_sums
from lazygrad.device import Target
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.schedule.group import Domain

NO_NODES: frozenset[Node] = frozenset()


@dataclass(frozen=True)
class Space:
    """`size` elements. Where something is reduced they are those of `domain`; `rows` are members with one element
    for each of its rows. If there are `parts` of the rows, `sums` are members that add up the columns of each part,
    `tallies` those that add up values of its rows."""

    size: int
    domain: Domain | None = None
    rows: frozenset[Node] = NO_NODES
    parts: int = 0
    sums: frozenset[Node] = NO_NODES
    tallies: frozenset[Node] = NO_NODES

    def of_rows(self, node: Node) -> bool:
        """Whether a member walks the rows only (a reduction has one element for each, but reads the whole)."""
        return node in self.tallies or (node in self.rows and node.op.kind is not Kind.REDUCE)


def linear_variable(size: int) -> ix.Expr:
    return ix.var("linear", size)


def adds_up(sums: Domain | None, rows: Domain | None) -> bool:
    """Whether `sums` reduces, part by part, columns or rows of a space that `rows` reduces row by row."""
    if rows is None or sums is None or rows.reduced != (False, True):
        return False
    if sums.reduced == (False, True, False):
        return rows.dims == (sums.dims[0] * sums.dims[1], sums.dims[2])
    return sums.reduced == (False, True) and rows.kept == sums.size


def keep_busy(parts: int, target: Target) -> bool:
    """Whether so many programs are enough for a GPU: fewer would gain less by walking than they lose by being few."""
    return 2 * parts >= target.multiprocessors


def alike(first: Space, second: Space) -> bool:
    """Whether two drafts that read the same may be one walk over it."""
    domains = first.domain, second.domain
    if domains[0] == domains[1]:
        return first.size == second.size
    return adds_up(*domains) or adds_up(*domains[::-1])


def joint_space(first: Space, plain: list[Node], second: Space, also_plain: list[Node]) -> Space | str:
    """The common space, or why there is none. The lists are the members of each."""
    if first.domain is not None and second.domain is not None:
        if adds_up(second.domain, first.domain):
            return _walked(first, second, also_plain)
        if adds_up(first.domain, second.domain):
            return _walked(second, first, plain)
        if first.domain != second.domain:
            return f"they iterate differently: {first.domain.dims} and {second.domain.dims}"
        return _together(first, second)
    if first.domain is None and second.domain is None:
        return first if first.size == second.size else f"they have {first.size} and {second.size} elements"
    if first.domain is None:
        first, second, also_plain = second, first, plain
    assert first.domain is not None
    if second.size == first.size:
        return first
    if second.size == first.domain.kept:
        return replace(first, rows=first.rows | frozenset(also_plain))
    return f"{second.size} elements fit neither the rows nor the whole of {first.domain.dims}"


def _walked(rows: Space, sums: Space, members: list[Node]) -> Space | str:
    """The space of `rows` with reductions that walk it in parts, each of `members` seen from there."""
    assert rows.domain is not None and sums.domain is not None
    if any(n.op.kind is not Kind.REDUCE for n in sums.rows) or _follows_a_sum(members):
        return "what follows a sum of rows waits for the last of them"
    if any(n.op.kind is Kind.SCAN or n.op in (ops.ARGMAX, ops.ARGMIN) for n in members):
        return "only sums and the like are kept from row to row"
    parts = sums.domain.dims[0]
    if sums.domain.kept > parts:
        return _together(rows, replace(rows, rows=NO_NODES, parts=parts, sums=sums.rows, tallies=NO_NODES))
    beside = frozenset(members) - sums.rows
    return _together(rows, replace(rows, rows=beside, parts=parts, sums=NO_NODES, tallies=sums.rows))


def _follows_a_sum(members: list[Node]) -> bool:
    """Whether one of these is computed from what another reduces, by way of what is computed where it is read."""
    inside = set(members)
    seen: set[Node] = set()
    sources = [s for n in members for s in n.src]
    while sources:
        node = sources.pop()
        if node in inside:
            if node.op.kind is Kind.REDUCE:
                return True
        elif node not in seen and node.op.kind in (Kind.POINTWISE, Kind.MOVEMENT):
            seen.add(node)
            sources += node.src
    return False


def _together(first: Space, second: Space) -> Space | str:
    assert first.domain is not None
    if first.parts and second.parts and first.parts != second.parts:
        return f"they add up rows in {first.parts} and {second.parts} parts"
    sums, columns = first.sums | second.sums, first.domain.dims[-1] if first.domain.dims else 1
    if len(sums) > most_sums(columns):
        return f"{len(sums)} sums beside rows of {columns} elements are more than registers hold"
    rows, tallies = first.rows | second.rows, first.tallies | second.tallies
    return replace(first, rows=rows, parts=first.parts or second.parts, sums=sums, tallies=tallies)


def crossing(reader: Node, base: Node, at: set[ix.Expr], space: Space) -> str | None:
    """Why `reader` can't take `base` from a register: it wants another thread's element."""
    if base.op is ops.PLACE:
        return "elements of a PLACE are stored by whichever thread has them"
    if base in space.sums or base in space.tallies:
        return "a sum of rows is known after the last of them only"
    over_rows = space.of_rows(reader)
    rows = space.domain.kept if space.domain is not None else 1
    linear = linear_variable(rows if over_rows else space.size)
    if base in space.rows:
        assert space.domain is not None
        wanted = linear if over_rows else space.domain.kept_part(linear)
    elif over_rows:
        return "a value of a row can't take single elements of the whole"
    else:
        wanted = linear
    if at == {wanted}:
        return None
    other = next(iter(at - {wanted}), wanted)
    return f"{base.op.name} is read at {ix.render(other)}, not at {ix.render(wanted)}"
