"""Convolution, pooling, interpolation: takes Nodes (batch, channels, *positions), returns Nodes.

A window is the list of its taps: for each kernel position the strided slice of the input that it sees. A
convolution is one matrix product over all taps side by side (im2col); pooling combines taps pointwise.
No indices are computed, so every gradient is slices and pads again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir import op as ops
from lazygrad.ir.build import (
    add,
    cast,
    concat,
    const,
    dilate,
    dot,
    equal,
    expand,
    flip,
    iota,
    less,
    like,
    mul,
    pad,
    permute,
    pointwise,
    reduce,
    reshape,
    scale,
    slice_,
    transpose,
    where,
)
from lazygrad.ir.library import wide
from lazygrad.ir.node import Node
from lazygrad.shape import Shape

names_what_it_makes(__file__, generic=("pad_positions", "taps", "dilate", "crop_or_pad", "repeat_along"))

Widths = Sequence[tuple[int, int]]


def output_size(
    size: int, kernel: int, stride: int, dilation: int, ceil: bool = False, before: int = 0
) -> int:
    """Windows along one padded dimension. With `ceil` the last may hang over, unless it starts in padding."""
    span = dilation * (kernel - 1) + 1
    count = -(-(size - span) // stride) + 1 if ceil else (size - span) // stride + 1
    if ceil and (count - 1) * stride >= size - before:
        count -= 1
    return count


def pad_positions(node: Node, widths: Widths, fill: float = 0) -> Node:
    """Pad the trailing dimensions, one (before, after) for each."""
    return pad(node, [(0, 0)] * (node.ndim - len(widths)) + list(widths), fill)


def taps(node: Node, kernel: Shape, stride: Shape, dilation: Shape, first: int) -> list[Node]:
    """For each kernel position in row-major order, the slice it sees of dimensions first, first + 1, ..."""
    sizes = node.shape[first : first + len(kernel)]
    counts = [output_size(n, k, s, d) for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    if any(c <= 0 for c in counts):
        raise RuntimeError(
            at_user_line(
                f"Calculated padded input size per channel: {tuple(sizes)}. Kernel size: {kernel}. "
                f"Kernel size "
                "can't be greater than actual input size"
            )
        )
    found = []
    for place in itertools.product(*(range(k) for k in kernel)):
        bounds = [(0, n, 1) for n in node.shape]
        for i, (p, c, s, d) in enumerate(zip(place, counts, stride, dilation, strict=True)):
            bounds[first + i] = (p * d, p * d + (c - 1) * s + 1, s)
        found.append(slice_(node, bounds))
    return found


def _channels_last(node: Node) -> Node:
    return permute(node, (0, *range(2, node.ndim), 1))


def _channels_second(node: Node) -> Node:
    return permute(node, (0, node.ndim - 1, *range(1, node.ndim - 1)))


def convolution(
    x: Node, weight: Node, bias: Node | None, stride: Shape, widths: Widths, dilation: Shape, groups: int
) -> Node:
    """(N, C, *) with weight (O, C / groups, *kernel): (N, O, *positions)."""
    kernel = weight.shape[2:]
    _check(x, weight, groups)
    x = _channels_last(pad_positions(x, widths))
    parts = taps(x, kernel, stride, dilation, 1)
    positions = parts[0].shape[:-1]
    rows, outputs, per_group = math.prod(positions), weight.shape[0], weight.shape[1]
    if groups == x.shape[-1] == outputs and groups > 1:
        result = _depthwise(parts, weight)
    elif groups == 1:
        columns = reshape(concat(parts, len(positions)), (rows, len(parts) * per_group))
        matrix = reshape(_channels_last(weight), (outputs, len(parts) * per_group))
        result = dot(columns, transpose(matrix))
    else:
        split = [reshape(p, (rows, groups, per_group)) for p in parts]
        columns = permute(concat(split, 2), (1, 0, 2))  # (groups, rows, taps * channels)
        by_group = reshape(_channels_last(weight), (groups, outputs // groups, len(parts) * per_group))
        result = permute(dot(columns, transpose(by_group)), (1, 0, 2))
    result = reshape(result, (rows, outputs))
    if bias is not None:
        result = add(result, cast(bias, result.dtype))
    return _channels_second(reshape(result, (*positions, outputs)))


def _depthwise(parts: list[Node], weight: Node) -> Node:
    """One filter a channel: a weighted sum of taps, pointwise."""
    flat = reshape(weight, (weight.shape[0], len(parts)))
    total: Node | None = None
    for i, part in enumerate(parts):
        factor = reshape(slice_(flat, [(0, weight.shape[0], 1), (i, i + 1, 1)]), (weight.shape[0],))
        term = mul(wide(part), wide(factor))
        total = term if total is None else add(total, term)
    assert total is not None
    return cast(total, weight.dtype)


def _check(x: Node, weight: Node, groups: int) -> None:
    if x.ndim != weight.ndim:
        raise RuntimeError(
            at_user_line(
                f"Expected {weight.ndim}D (batched) input to conv, but got input of size: {list(x.shape)}"
            )
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
            at_user_line(
                f"Input type ({x.dtype.name}) and weight type ({weight.dtype.name}) should be the same"
            )
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
    kernel = weight.shape[2:]
    spread = dilate(x, stride)
    widths = [
        (d * (k - 1) - p, d * (k - 1) - p + e)
        for k, p, d, e in zip(kernel, padding, dilation, extra, strict=True)
    ]
    spread = crop_or_pad(spread, widths)
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    turned = flip(weight, range(2, weight.ndim))
    split = reshape(turned, (groups, inputs, outputs, *kernel))
    swapped = permute(split, (0, 2, 1, *range(3, split.ndim)))
    ones = (1,) * len(kernel)
    return convolution(
        spread,
        reshape(swapped, (groups * outputs, inputs, *kernel)),
        bias,
        ones,
        [(0, 0)] * len(kernel),
        dilation,
        groups,
    )


def crop_or_pad(node: Node, widths: Widths) -> Node:
    """Padding of the trailing dimensions in which a negative width cuts off."""
    first = node.ndim - len(widths)
    bounds = [(0, n, 1) for n in node.shape]
    for i, (before, after) in enumerate(widths):
        n = node.shape[first + i]
        bounds[first + i] = (max(0, -before), n - max(0, -after), 1)
    return pad_positions(slice_(node, bounds), [(max(0, b), max(0, a)) for b, a in widths])


# -- pooling ------------------------------------------------------------------------------------------
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
    parts = taps(pad_positions(node, widths, low), kernel, stride, dilation, first)
    place = reshape(iota(math.prod(sizes), node.device), (*[1] * first, *sizes))
    places = taps(pad_positions(place, widths), kernel, stride, dilation, first)
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
    total = _sum(taps(pad_positions(wide(node), widths), kernel, stride, ones, first))
    if divisor is not None:
        return cast(scale(total, 1 / divisor), node.dtype)
    whole = math.prod(kernel)
    regular = all(b == a == p for (b, a), p in zip(widths, padding, strict=True))
    if regular and (include_pad or not any(padding)):
        return cast(scale(total, 1 / whole), node.dtype)
    # how many elements each window holds: of the input, or with its padding but not what hangs over
    sizes = node.shape[first:]
    counted = const(1, total.dtype, node.device, (*[1] * first, *sizes))
    if include_pad:
        counted = pad_positions(counted, [(p, p) for p in padding], 1)
        rest = [(0, a - p) for (_, a), p in zip(widths, padding, strict=True)]
        counted = pad_positions(counted, rest)
    else:
        counted = pad_positions(counted, widths)
    count = _sum(taps(counted, kernel, stride, ones, first))
    return cast(pointwise(ops.DIV, total, expand(count, total.shape)), node.dtype)


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
    if count and size % count == 0:
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


# -- unfold and fold ----------------------------------------------------------------------------------
def unfold(node: Node, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Node:
    """(N, C, *) to (N, C * taps, windows)."""
    first = node.ndim - len(kernel)
    parts = taps(pad_positions(node, [(p, p) for p in padding]), kernel, stride, dilation, first)
    batch, channels = node.shape[:2]
    windows = math.prod(parts[0].shape[2:])
    columns = concat([reshape(p, (batch, channels, 1, windows)) for p in parts], 2)
    return reshape(columns, (batch, channels * len(parts), windows))


def fold(node: Node, sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Node:
    """The transpose of unfold: every tap added where it came from."""
    padded = [n + 2 * p for n, p in zip(sizes, padding, strict=True)]
    counts = tuple(
        output_size(n, k, s, d) for n, k, s, d in zip(padded, kernel, stride, dilation, strict=True)
    )
    taps_count = math.prod(kernel)
    batch, channels = node.shape[0], node.shape[1] // taps_count
    columns = reshape(node, (batch, channels, taps_count, *counts))
    terms = []
    for i, place in enumerate(itertools.product(*(range(k) for k in kernel))):
        bounds = [(0, n, 1) for n in columns.shape]
        bounds[2] = (i, i + 1, 1)
        spread = dilate(reshape(slice_(columns, bounds), (batch, channels, *counts)), stride)
        widths = [
            (p * d, n - p * d - ((c - 1) * s + 1))
            for p, d, n, c, s in zip(place, dilation, padded, counts, stride, strict=True)
        ]
        terms.append(pad_positions(spread, widths))
    return crop_or_pad(_sum(terms), [(-p, -p) for p in padding])


# -- padding modes and resampling ---------------------------------------------------------------------
def pad_by(node: Node, widths: Widths, mode: str) -> Node:
    """ "reflect", "replicate" or "circular" padding of the trailing dimensions."""
    for i, (before, after) in enumerate(widths):
        axis = node.ndim - len(widths) + i
        size = node.shape[axis]
        limit = {"reflect": size - 1, "circular": size}.get(mode)
        if limit is not None and max(before, after) > limit:
            raise RuntimeError(
                at_user_line(
                    f"Padding size should be less than the corresponding input dimension, but got: padding "
                    f"({before}, {after}) at dimension {axis} of input {list(node.shape)}"
                )
            )
        if not before and not after:
            continue
        node = concat(
            [_margin(node, axis, before, mode, True), node, _margin(node, axis, after, mode, False)], axis
        )
    return node


def _margin(node: Node, axis: int, width: int, mode: str, front: bool) -> Node:
    size = node.shape[axis]

    def cut(start: int, stop: int) -> Node:
        return slice_(node, [(start, stop, 1) if i == axis else (0, n, 1) for i, n in enumerate(node.shape)])

    if mode == "circular":
        return cut(size - width, size) if front else cut(0, width)
    if mode == "reflect":
        return flip(cut(1, width + 1) if front else cut(size - 1 - width, size - 1), (axis,))
    edge = cut(0, 1) if front else cut(size - 1, size)
    return expand(edge, tuple(width if i == axis else n for i, n in enumerate(node.shape)))


def resample(node: Node, axis: int, matrix: Node) -> Node:
    """`matrix` (new size, old size) applied along `axis`: every linear interpolation is one."""
    moved = permute(node, (*[a for a in range(node.ndim) if a != axis], axis))
    flat = reshape(moved, (moved.numel // max(moved.shape[-1], 1), moved.shape[-1]))
    result = reshape(dot(flat, transpose(cast(matrix, node.dtype))), (*moved.shape[:-1], matrix.shape[0]))
    back = list(range(node.ndim - 1))
    back.insert(axis, node.ndim - 1)
    return permute(result, back)


def repeat_along(node: Node, axis: int, times: int) -> Node:
    """Each element `times` times: nearest-neighbour upsampling by a whole factor."""
    shape = node.shape
    split = reshape(node, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    spread = expand(split, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return reshape(spread, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))
