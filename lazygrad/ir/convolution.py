"""Convolution, and the windows behind it as matrices: takes Nodes (batch, channels, *positions), returns Nodes.

A convolution is one matrix product with all windows laid out as columns (im2col); its transpose is the product first,
and the sum of what overlaps (col2im). Images keep their rows: what is contiguous in one is so in the columns, in the
product and in its result, whose channels stand before the batch in memory.
"""

from __future__ import annotations

import math

from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir.build import add, cast, dot, mul, permute, reshape, slice_, transpose
from lazygrad.ir.library import wide
from lazygrad.ir.node import Node
from lazygrad.ir.windows import Widths, crop_or_pad, overlapped, pad_positions, taps, window_counts, windows
from lazygrad.shape import Shape

names_what_it_makes(__file__)


def convolution(
    x: Node, weight: Node, bias: Node | None, stride: Shape, widths: Widths, dilation: Shape, groups: int
) -> Node:
    """(N, C, *) with weight (O, C / groups, *kernel): (N, O, *positions)."""
    _check(x, weight, groups)
    x = pad_positions(x, widths)
    outputs, per_group, *kernel = weight.shape
    if groups == x.shape[1] == outputs and groups > 1:
        return _with_bias(_depthwise(taps(x, tuple(kernel), stride, dilation), weight), bias)
    seen = windows(x, tuple(kernel), stride, dilation)  # (N, C, *kernel, *counts)
    batch, counts = x.shape[0], seen.shape[2 + len(kernel) :]
    terms = per_group * math.prod(kernel)
    columns = reshape(_batch_behind(seen, 1 + len(kernel)), (groups, terms, batch * math.prod(counts)))
    filters = reshape(weight, (groups, outputs // groups, terms))
    result = reshape(_product(filters, columns), (outputs, batch, *counts))
    return _with_bias(_swapped(result), bias)


def _batch_behind(node: Node, dimensions: int) -> Node:
    """The batch, which stands first, behind that many others: what lies along a row of memory stays there."""
    behind = dimensions + 1
    return permute(node, (*range(1, behind), 0, *range(behind, node.ndim)))


def _swapped(node: Node) -> Node:
    """Channels before the batch or behind it."""
    return transpose(node, 0, 1)


def _product(a: Node, b: Node) -> Node:
    """(groups, m, k) and (groups, k, n): (groups, m, n), without a batch where there is one group."""
    if a.shape[0] != 1:
        return dot(a, b)
    result = dot(reshape(a, a.shape[1:]), reshape(b, b.shape[1:]))
    return reshape(result, (1, *result.shape))


def _with_bias(result: Node, bias: Node | None) -> Node:
    if bias is None:
        return result
    return add(result, reshape(cast(bias, result.dtype), (bias.shape[0], *[1] * (result.ndim - 2))))


def _depthwise(parts: list[Node], weight: Node) -> Node:
    """One filter a channel: a weighted sum of taps, pointwise."""
    channels = weight.shape[0]
    flat = reshape(weight, (channels, len(parts)))
    total: Node | None = None
    for i, part in enumerate(parts):
        factor = reshape(slice_(flat, [(0, channels, 1), (i, i + 1, 1)]), (channels, *[1] * (part.ndim - 2)))
        term = mul(wide(part), wide(factor))
        total = term if total is None else add(total, term)
    assert total is not None
    return cast(total, weight.dtype)


def _check(x: Node, weight: Node, groups: int) -> None:
    if x.ndim != weight.ndim:
        raise RuntimeError(
            at_user_line(f"Expected {weight.ndim}D (batched) input to conv, but got input of size: {list(x.shape)}")
        )
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise RuntimeError(
            at_user_line(
                f"Given groups={groups}, weight of size {list(weight.shape)}, expected "
                f"input{list(x.shape)} to have "
                f"{weight.shape[1] * groups} channels, but got {x.shape[1]} channels instead"
            )
        )
    if x.dtype is not weight.dtype:
        raise RuntimeError(
            at_user_line(f"Input type ({x.dtype.name}) and weight type ({weight.dtype.name}) should be the same")
        )


def transposed_convolution(
    x: Node,
    weight: Node,
    bias: Node | None,
    stride: Shape,
    padding: Shape,
    extra: Shape,
    dilation: Shape,
    groups: int,
) -> Node:
    """The transpose of a convolution with these settings; weight (C, O / groups, *kernel)."""
    _, outputs, *kernel = weight.shape
    batch, inputs, *counts = x.shape
    rows = reshape(_swapped(x), (groups, inputs // groups, batch * math.prod(counts)))
    filters = reshape(weight, (groups, inputs // groups, outputs * math.prod(kernel)))
    products = reshape(_product(transpose(filters), rows), (groups * outputs, *kernel, batch, *counts))
    parts = permute(products, (1 + len(kernel), *range(1 + len(kernel)), *range(2 + len(kernel), products.ndim)))
    settings = zip(counts, kernel, stride, dilation, strict=True)
    sizes = tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in settings)
    whole = cast(overlapped(wide(parts), sizes, stride, dilation), x.dtype)
    return _with_bias(crop_or_pad(whole, [(-p, e - p) for p, e in zip(padding, extra, strict=True)]), bias)


# -- unfold and fold ----------------------------------------------------------------------------------
def unfold(node: Node, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Node:
    """(N, C, *) to (N, C * taps, windows)."""
    seen = windows(pad_positions(node, [(p, p) for p in padding]), kernel, stride, dilation)
    batch, channels = node.shape[:2]
    return reshape(seen, (batch, channels * math.prod(kernel), math.prod(seen.shape[2 + len(kernel) :])))


def fold(node: Node, sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Node:
    """The transpose of unfold: every tap added where it came from."""
    padded = tuple(n + 2 * p for n, p in zip(sizes, padding, strict=True))
    counts = window_counts(padded, kernel, stride, dilation)
    batch, channels = node.shape[0], node.shape[1] // math.prod(kernel)
    columns = reshape(node, (batch, channels, *kernel, *counts))
    return crop_or_pad(overlapped(columns, padded, stride, dilation), [(-p, -p) for p in padding])


__all__ = ["convolution", "fold", "transposed_convolution", "unfold"]
