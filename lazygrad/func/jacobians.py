"""Jacobians of a recorded call, by rows or by columns: all of them in one graph, as examples of a vmap are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lazygrad.func.recording import Recording
from lazygrad.ir import build
from lazygrad.ir.batching import batched, new_level, spread
from lazygrad.ir.node import Node

Blocks = list[list[Node | None]]
"""d output / d leaf for each output and each leaf, of shape (*output.shape, *leaf.shape); None where it is zero
because nothing depends."""


def by_rows(call: Recording, outputs: Sequence[Node], chunk: int | None = None) -> Blocks:
    """Pulled back, a row for each element of an output: `chunk` rows at a time, or all at once."""
    rows = []
    for output in outputs:
        found = _for_unit_vectors(output, lambda unit: call.pull([output], [unit]), chunk)  # noqa: B023
        rows.append([_shaped(f, output, leaf) for f, leaf in zip(found, call.leaves, strict=True)])
    return rows


def by_columns(call: Recording, outputs: Sequence[Node]) -> Blocks:
    """Pushed forward, a column for each element of a leaf."""
    columns = []
    for i, leaf in enumerate(call.leaves):
        before, after = [None] * i, [None] * (len(call.leaves) - i - 1)
        found = _for_unit_vectors(leaf, lambda unit: call.push(outputs, [*before, unit, *after]))  # noqa: B023
        turned = [None if f is None else build.permute(f, (*range(1, f.ndim), 0)) for f in found]
        columns.append([_shaped(t, o, leaf) for t, o in zip(turned, outputs, strict=True)])
    return [[column[j] for column in columns] for j in range(len(outputs))]


def with_zeros(blocks: Blocks, outputs: Sequence[Node], leaves: Sequence[Node]) -> list[list[Node]]:
    """The blocks with zeros for None, of the leaf's dtype, or of an integer output's."""
    return [
        [_zeros(o, leaf) if block is None else block for block, leaf in zip(row, leaves, strict=True)]
        for row, o in zip(blocks, outputs, strict=True)
    ]


def _zeros(output: Node, leaf: Node) -> Node:
    dtype = leaf.dtype if output.dtype.is_floating_point else output.dtype
    return build.const(0, dtype, leaf.device, (*output.shape, *leaf.shape))


def _shaped(found: Node | None, output: Node, leaf: Node) -> Node | None:
    return None if found is None else build.reshape(found, (*output.shape, *leaf.shape))


def unit_vectors(node: Node) -> Node:
    """(numel, *shape): each element 1 in turn, the others 0."""
    n = math.prod(node.shape)
    rows, columns = (build.reshape(build.iota(n, node.device), s) for s in ((n, 1), (1, n)))
    return build.reshape(build.cast(build.equal(rows, columns), node.dtype), (n, *node.shape))


def _for_unit_vectors(
    of: Node, derivative: Callable[[Node], list[Node | None]], chunk: int | None = None
) -> list[Node | None]:
    """What `derivative` makes of every unit vector of the shape of `of`, those in front: in one graph, or in as
    many as there are chunks."""
    units = unit_vectors(of)
    size = units.shape[0]
    step = max(size, 1) if chunk is None else chunk
    parts: Blocks = []
    for start in range(0, max(size, 1), step):
        stop = min(start + step, size)
        some = build.slice_(units, [(start, stop, 1), *((0, n, 1) for n in of.shape)])
        level = new_level()
        ones = derivative(build.example(some, level, 0))
        wholes = iter(batched([n for n in ones if n is not None], level, stop - start))
        parts.append([None if n is None else _spread(n, next(wholes), stop - start) for n in ones])
    return [None if column[0] is None else build.concat(column, 0) for column in zip(*parts, strict=True)]


def _spread(one: Node, whole: Node | None, size: int) -> Node:
    return spread(one, size) if whole is None else whole
