"""The bits of numbers: takes Nodes, returns Nodes of whole numbers that hold the same bits, and back."""

from __future__ import annotations

from lazygrad.dtype import DType, bfloat16, float16, float32, float64, int8, int16, int32, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node

WORDS = {1: int8, 2: int16, 4: int32, 8: int64}
MANTISSA = {float16: 10, bfloat16: 7, float32: 23, float64: 52}


def bits_of(node: Node) -> Node:
    """The bits of each number, as a whole number of the same width."""
    return build.pointwise(ops.BITCAST, node, arg=WORDS[node.dtype.itemsize])


def from_bits(node: Node, dtype: DType) -> Node:
    """The numbers of a dtype that have these bits."""
    return build.pointwise(ops.BITCAST, node, arg=dtype)


def bias_of(dtype: DType) -> int:
    """What the exponent field of 1.0 holds."""
    return (1 << (8 * dtype.itemsize - MANTISSA[dtype] - 2)) - 1


def exponent_field(node: Node) -> Node:
    """The biased exponents of floating-point numbers; 0 for zeros and subnormals."""
    width = 8 * node.dtype.itemsize - MANTISSA[node.dtype] - 1
    word = bits_of(node)
    shifted = build.pointwise(ops.SHR, word, build.like(word, MANTISSA[node.dtype]))
    return build.pointwise(ops.AND, shifted, build.like(word, (1 << width) - 1))


def power_of_two(exponent: Node, dtype: DType) -> Node:
    """2 ** exponent exactly, for whole exponents of normal numbers."""
    word = build.cast(build.shift(exponent, bias_of(dtype)), WORDS[dtype.itemsize])
    return from_bits(build.pointwise(ops.SHL, word, build.like(word, MANTISSA[dtype])), dtype)


def same_bytes(node: Node, dtype: DType) -> Node:
    """The bytes of `node` read as another dtype, little end first: the last dimension grows or shrinks with the
    element's width. RuntimeError where it can't."""
    old, new = node.dtype.itemsize, dtype.itemsize
    if old == new:
        return build.pointwise(ops.BITCAST, node, arg=dtype)
    change = f"to view {node.dtype.name} as {dtype.name} (different element sizes)"
    if not node.ndim:
        raise RuntimeError(at_user_line(f"self.dim() cannot be 0 {change}"))
    *lead, last = node.shape
    word = bits_of(node)
    if old > new:
        parts = old // new
        spread = build.expand(build.reshape(word, (*lead, last, 1)), (*lead, last, parts))
        places = build.scale(build.cast(build.iota(parts, node.device), word.dtype), 8 * new)
        moved = build.pointwise(ops.SHR, spread, build.expand(places, spread.shape))
        return build.reshape(from_bits(build.cast(moved, WORDS[new]), dtype), (*lead, last * parts))
    parts = new // old
    if last % parts:
        raise RuntimeError(at_user_line(f"self.size(-1) must be divisible by {parts} {change}, but got {last}"))
    wide = build.cast(build.reshape(word, (*lead, last // parts, parts)), WORDS[new])
    own = build.pointwise(ops.AND, wide, build.like(wide, (1 << 8 * old) - 1))
    places = build.scale(build.cast(build.iota(parts, node.device), wide.dtype), 8 * old)
    moved = build.pointwise(ops.SHL, own, build.expand(places, own.shape))
    return from_bits(build.reduce(ops.SUM, moved, (moved.ndim - 1,), keepdim=False), dtype)
