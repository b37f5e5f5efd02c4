"""Windows: takes Nodes whose trailing dimensions are positions, returns what each place of a kernel sees of them.

A window is a line skewed by its place in the kernel, so that none is ever copied; what overlaps is added by the
transpose of that. No indices are computed, so every gradient is skews and pads again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir import op as ops
from lazygrad.ir.build import dilate, expand, pad, reduce, reshape, skew, slice_
from lazygrad.ir.node import Node
from lazygrad.ir.op import SkewArg
from lazygrad.shape import Shape

names_what_it_makes(__file__, generic=("pad_positions", "taps", "windows", "overlapped", "crop_or_pad"))

Widths = Sequence[tuple[int, int]]


def output_size(size: int, kernel: int, stride: int, dilation: int, ceil: bool = False, before: int = 0) -> int:
    """Windows along one padded dimension. With `ceil` the last may hang over, unless it starts in padding."""
    span = dilation * (kernel - 1) + 1
    count = -(-(size - span) // stride) + 1 if ceil else (size - span) // stride + 1
    if ceil and (count - 1) * stride >= size - before:
        count -= 1
    return count


def window_counts(sizes: Shape, kernel: Shape, steps: Shape, dilation: Shape) -> Shape:
    """How many windows there are along each dimension; RuntimeError where not one fits."""
    counts = tuple(output_size(n, k, s, d) for n, k, s, d in zip(sizes, kernel, steps, dilation, strict=True))
    if any(c <= 0 for c in counts):
        raise RuntimeError(
            at_user_line(
                f"Calculated padded input size per channel: {tuple(sizes)}. Kernel size: {kernel}. "
                "Kernel size can't be greater than actual input size"
            )
        )
    return counts


def pad_positions(node: Node, widths: Widths, fill: float = 0) -> Node:
    """Pad the trailing dimensions, one (before, after) for each."""
    return pad(node, [(0, 0)] * (node.ndim - len(widths)) + list(widths), fill)


def crop_or_pad(node: Node, widths: Widths) -> Node:
    """Padding of the trailing dimensions in which a negative width cuts off."""
    first = node.ndim - len(widths)
    bounds = [(0, n, 1) for n in node.shape]
    for i, (before, after) in enumerate(widths):
        n = node.shape[first + i]
        bounds[first + i] = (max(0, -before), n - max(0, -after), 1)
    return pad_positions(slice_(node, bounds), [(max(0, b), max(0, a)) for b, a in widths])


def taps(node: Node, kernel: Shape, steps: Shape, dilation: Shape) -> list[Node]:
    """For each kernel position in row-major order, the slice that it sees: (lead, *sizes) to (lead, *counts)."""
    first = node.ndim - len(kernel)
    counts = window_counts(node.shape[first:], kernel, steps, dilation)
    found = []
    for place in itertools.product(*(range(k) for k in kernel)):
        bounds = [(0, n, 1) for n in node.shape]
        for i, (p, c, s, d) in enumerate(zip(place, counts, steps, dilation, strict=True)):
            bounds[first + i] = (p * d, p * d + (c - 1) * s + 1, s)
        found.append(slice_(node, bounds))
    return found


def windows(node: Node, kernel: Shape, steps: Shape, dilation: Shape) -> Node:
    """All taps at once, (lead, *sizes) to (lead, *kernel, *counts): (k, i) is the element i * step + k * dilation."""
    rank, first = len(kernel), node.ndim - len(kernel)
    lead, sizes = node.shape[:first], node.shape[first:]
    counts = window_counts(sizes, kernel, steps, dilation)
    result = expand(reshape(node, (*lead, *[1] * rank, *sizes)), (*lead, *kernel, *sizes))
    for skewed in _skews(first, kernel, sizes, dilation):
        result = skew(result, skewed)
    return slice_(result, _every(result.shape, counts, steps))


def overlapped(node: Node, sizes: Shape, steps: Shape, dilation: Shape) -> Node:
    """The transpose of `windows`: (lead, *kernel, *counts) to (lead, *sizes), the sum of what comes to each place."""
    rank = len(sizes)
    first = node.ndim - 2 * rank
    kernel = node.shape[first : first + rank]
    skews = _skews(first, kernel, sizes, dilation)
    node = dilate(node, steps)
    lengths = [n - d * (k - 1) for n, k, d in zip(sizes, kernel, dilation, strict=True)]
    node = pad_positions(node, [(0, n - m) for n, m in zip(lengths, node.shape[-rank:], strict=True)])
    for skewed in reversed(skews):
        node = skew(node, skewed.undone(sizes[skewed.by - first]))
    return reduce(ops.SUM, node, tuple(range(first, first + rank)), keepdim=False)


def _skews(first: int, kernel: Shape, sizes: Shape, dilation: Shape) -> list[SkewArg]:
    """Each dimension by its place in the kernel, cut where the last place begins to reach beyond it."""
    places = enumerate(zip(kernel, sizes, dilation, strict=True))
    return [
        SkewArg(first + len(kernel) + i, first + i, apart, 0, n - apart * (k - 1))
        for i, (k, n, apart) in places
        if k > 1
    ]


def _every(shape: Shape, counts: Shape, steps: Shape) -> list[tuple[int, int, int]]:
    whole = [(0, n, 1) for n in shape[: len(shape) - len(counts)]]
    return whole + [(0, (c - 1) * s + 1, s) for c, s in zip(counts, steps, strict=True)]


__all__ = ["Widths", "crop_or_pad", "output_size", "overlapped", "pad_positions", "taps", "window_counts", "windows"]
