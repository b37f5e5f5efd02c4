"""Pooling: takes Nodes (lead, *positions), returns Nodes. The taps of every window are combined pointwise."""

from __future__ import annotations

import math

from lazygrad.errors import names_what_it_makes
from lazygrad.ir import op as ops
from lazygrad.ir.build import (
    add,
    cast,
    concat,
    const,
    equal,
    expand,
    iota,
    less,
    like,
    pointwise,
    reduce,
    reshape,
    scale,
    slice_,
    where,
)  # fmt: skip
from lazygrad.ir.library import wide
from lazygrad.ir.node import Node
from lazygrad.ir.windows import output_size, pad_positions, taps
from lazygrad.shape import Shape

names_what_it_makes(__file__)


def hanging(
    node: Node, kernel: Shape, stride: Shape, dilation: Shape, padding: Shape, ceil: bool
) -> list[tuple[int, int]]:
    """The widths that make every window whole: the padding, and with `ceil` what the last ones hang over."""
    widths = []
    sizes = node.shape[node.ndim - len(kernel) :]
    for n, k, s, d, p in zip(sizes, kernel, stride, dilation, padding, strict=True):
        count = output_size(n + 2 * p, k, s, d, ceil, p)
        reach = (count - 1) * s + d * (k - 1) + 1
        widths.append((p, max(p, reach - n - p)))
    return widths


def max_pool(
    node: Node, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil: bool
) -> tuple[Node, Node]:
    """(the largest of each window, its position in the flattened input). The first of equals wins; NaN
    wins."""
    first = node.ndim - len(kernel)
    sizes = node.shape[first:]
    widths = hanging(node, kernel, stride, dilation, padding, ceil)
    low = -math.inf if node.dtype.is_floating_point else -(2 ** (8 * node.dtype.itemsize - 1))
    parts = taps(pad_positions(node, widths, low), kernel, stride, dilation)
    place = reshape(iota(math.prod(sizes), node.device), (*[1] * first, *sizes))
    places = taps(pad_positions(place, widths), kernel, stride, dilation)
    best, where_best = parts[0], expand(places[0], parts[0].shape)
    for part, there in zip(parts[1:], places[1:], strict=True):
        better = less(best, part)
        if node.dtype.is_floating_point:
            better = pointwise(ops.OR, better, pointwise(ops.ISNAN, part))
        best, where_best = where(better, part, best), where(better, there, where_best)
    return best, where_best


def average_pool(
    node: Node,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil: bool,
    include_pad: bool,
    divisor: int | None,
) -> Node:
    """The mean of each window; what counts as an element of it follows torch's options."""
    first = node.ndim - len(kernel)
    ones = (1,) * len(kernel)
    widths = hanging(node, kernel, stride, ones, padding, ceil)
    total = _sum(taps(pad_positions(wide(node), widths), kernel, stride, ones))
    if divisor is not None:
        return cast(_over(total, divisor), node.dtype)
    whole = math.prod(kernel)
    regular = all(b == a == p for (b, a), p in zip(widths, padding, strict=True))
    if regular and (include_pad or not any(padding)):
        return cast(_over(total, whole), node.dtype)
    # how many elements each window holds: of the input, or with its padding but not what hangs over
    sizes = node.shape[first:]
    counted = const(1, total.dtype, node.device, (*[1] * first, *sizes))
    if include_pad:
        counted = pad_positions(counted, [(p, p) for p in padding], 1)
        rest = [(0, a - p) for (_, a), p in zip(widths, padding, strict=True)]
        counted = pad_positions(counted, rest)
    else:
        counted = pad_positions(counted, widths)
    count = _sum(taps(counted, kernel, stride, ones))
    divide = ops.DIV if total.dtype.is_floating_point else ops.TRUNCDIV
    return cast(pointwise(divide, total, expand(count, total.shape)), node.dtype)


def _over(total: Node, count: int) -> Node:
    if total.dtype.is_floating_point:
        return scale(total, 1 / count)
    return pointwise(ops.TRUNCDIV, total, like(total, count))


def _sum(parts: list[Node]) -> Node:
    total = parts[0]
    for part in parts[1:]:
        total = add(total, part)
    return total


def _adaptive_windows(node: Node, axis: int, count: int) -> list[Node]:
    """`axis` as two, (windows, positions in a window): one node where all windows have one length, else one a window.

    torch's windows reach from floor(i * size / count) to ceil((i + 1) * size / count).
    """
    size, lead, rest = node.shape[axis], node.shape[:axis], node.shape[axis + 1 :]
    if not count:
        none = slice_(node, [(0, 0 if i == axis else n, 1) for i, n in enumerate(node.shape)])
        return [reshape(none, (*lead, 0, 1, *rest))]
    if size % count == 0:
        return [reshape(node, (*lead, count, size // count, *rest))]
    parts = []
    for i in range(count):
        bounds = [(0, n, 1) for n in node.shape]
        bounds[axis] = (i * size // count, -(-(i + 1) * size // count), 1)
        part = slice_(node, bounds)
        parts.append(reshape(part, (*lead, 1, part.shape[axis], *rest)))
    return parts


def adaptive_average_pool(node: Node, counts: Shape) -> Node:
    """The mean over windows that divide each trailing dimension into `counts`, one axis at a time."""
    result = wide(node)
    for axis, count in enumerate(counts, node.ndim - len(counts)):
        if result.shape[axis] != count:
            parts = _adaptive_windows(result, axis, count)
            means = [scale(reduce(ops.SUM, p, (axis + 1,), False), 1 / p.shape[axis + 1]) for p in parts]
            result = concat(means, axis)
    return cast(result, node.dtype)


def adaptive_max_pool(node: Node, counts: Shape) -> tuple[Node, Node]:
    """(the maximum over windows that divide each trailing dimension into `counts`, its position in the flattened
    input). The first of equals, in row-major order, wins and takes the whole gradient."""
    first = node.ndim - len(counts)
    sizes = node.shape[first:]
    best, place = node, reshape(iota(math.prod(sizes), node.device), (*[1] * first, *sizes))
    place = expand(place, node.shape)
    # the last axis first: of equal rows the first is taken then, and in it the first column
    for axis, count in reversed(list(enumerate(counts, first))):
        if best.shape[axis] == count:
            continue
        values: list[Node] = []
        places: list[Node] = []
        windows = (_adaptive_windows(n, axis, count) for n in (best, place))
        for part, there in zip(*windows, strict=True):
            length = part.shape[axis + 1]
            along = reshape(iota(length, node.device), (*[1] * (axis + 1), length, *[1] * (part.ndim - axis - 2)))
            here = equal(along, reduce(ops.ARGMAX, part, (axis + 1,)))
            for found, source in ((values, part), (places, there)):
                found.append(reduce(ops.SUM, where(here, source, like(source, 0)), (axis + 1,), False))
        best, place = concat(values, axis), concat(places, axis)
    return best, place


__all__ = ["adaptive_average_pool", "adaptive_max_pool", "average_pool", "max_pool"]
