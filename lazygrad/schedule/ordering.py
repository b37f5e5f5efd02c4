"""Sorting in ops that have kernels: takes a node of whole numbers, returns the nodes of their stable order.

No atomics and nothing the host must wait for: the same bits every time, inside a captured graph too. Few
keys are ranked against each other; many go through a radix sort (counts of each digit in each block, a
scan over those, ranks inside the blocks), least significant digit first.
"""

from __future__ import annotations

from lazygrad.dtype import DType, int32
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import cast, constant_value, expand, reshape
from lazygrad.ir.node import Node

RANKED = 4096  # so many keys, compared with one another, take less time than the launches of a radix sort
BLOCK = 256  # keys that are ranked against each other in a pass of the radix sort
DIGIT_BITS = 8


def stable_order(keys: Node, bits: int) -> tuple[Node, Node]:
    """(the keys in ascending order, the places they came from) of keys (n,) in [0, 2**bits), as int32 places.

    Both are padded to whole blocks, with keys of 2**bits - 1 from places beyond n.
    """
    (n,) = keys.shape
    if n <= RANKED:
        rank = _rank(reshape(keys, (1, n)))
        return build.place(keys, rank), build.place(positions(n, keys), rank)
    missing = -n % BLOCK
    keys = build.pad(keys, [(0, missing)], 2**bits - 1)
    order = positions(n + missing, keys)
    passes = -(-bits // DIGIT_BITS)
    width = -(-bits // passes)
    for shift in range(0, bits, width):
        to = _destinations(keys, shift, min(width, bits - shift))
        keys, order = build.place(keys, to), build.place(order, to)
    return keys, order


def positions(n: int, like: Node, dtype: DType = int32) -> Node:
    """0, 1, ... n-1."""
    return cast(build.iota(n, like.device), dtype)


def _rank(blocks: Node) -> Node:
    """For keys (blocks, size): how many of the same block stand before each in a stable order; flat, int32."""
    count, size = blocks.shape
    here, other = reshape(blocks, (count, size, 1)), reshape(blocks, (count, 1, size))
    place = positions(size, blocks)
    earlier = build.less(reshape(place, (1, 1, size)), reshape(place, (1, size, 1)))
    tied = build.logical_and(build.equal(other, here), earlier)
    before = build.pointwise(ops.OR, build.less(other, here), tied)
    return reshape(build.reduce(ops.SUM, cast(before, int32), (2,)), (count * size,))


def _destinations(keys: Node, shift: int, bits: int) -> Node:
    """Where a stable sort by one digit puts each of n keys, n a multiple of BLOCK."""
    (n,) = keys.shape
    blocks, digits = n // BLOCK, 1 << bits
    shifted = build.pointwise(ops.SHR, keys, build.like(keys, shift))
    digit = cast(build.pointwise(ops.AND, shifted, build.like(shifted, digits - 1)), int32)
    each = reshape(positions(digits, keys), (digits, 1, 1))
    hits = build.equal(expand(reshape(digit, (1, blocks, BLOCK)), (digits, blocks, BLOCK)), each)
    counts = reshape(build.reduce(ops.SUM, cast(hits, int32), (2,)), (digits, blocks))
    reached = build.scan(ops.CUMSUM, counts, 1)
    totals = build.slice_(reached, [(0, digits, 1), (blocks - 1, blocks, 1)])
    below = build.sub(build.scan(ops.CUMSUM, totals, 0), totals)
    starts = build.add(build.sub(reached, counts), below)
    block = build.pointwise(ops.FLOORDIV, positions(n, keys), build.const(BLOCK, int32, keys.device))
    start = build.gather(reshape(starts, (digits * blocks,)), build.add(build.scale(digit, blocks), block), 0)
    return build.add(start, _tied_before(reshape(digit, (blocks, BLOCK))))


def _tied_before(blocks: Node) -> Node:
    """For digits (blocks, size): how many equal ones stand before each in its block; flat, int32."""
    count, size = blocks.shape
    place = positions(size, blocks)
    earlier = build.less(reshape(place, (1, 1, size)), reshape(place, (1, size, 1)))
    equal = build.equal(reshape(blocks, (count, 1, size)), reshape(blocks, (count, size, 1)))
    return reshape(build.reduce(ops.SUM, cast(build.logical_and(equal, earlier), int32), (2,)), (count * size,))


def lower_bound(ascending: Node, queries: Node) -> Node:
    """For each query, how many of the ascending keys (n,) are less than it (int32): a search by halving."""
    (n,) = ascending.shape
    step = 1 << (n.bit_length() - 1)
    found = build.const(0, int32, queries.device, queries.shape)
    limit = build.like(found, n)
    while step:
        probe = build.shift(found, step)
        inside = build.pointwise(ops.MINIMUM, probe, limit) if constant_value(probe) is None else probe
        less = build.less(build.gather(ascending, build.shift(inside, -1), 0), queries)
        fits = build.pointwise(ops.LE, probe, limit)
        found = build.where(build.logical_and(less, fits), probe, found)
        step //= 2
    return found
