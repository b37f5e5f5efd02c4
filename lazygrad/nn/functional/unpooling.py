"""Pooling whose places are values: max_unpool undoes max_pool by its indices, fractional_max_pool draws its windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.nn.functional.convolution import Sizes, sizes_of
from lazygrad.nn.functional.pooling import with_indices
from lazygrad.shape import Shape
from lazygrad.tensor import random
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


# -- max_unpool ---------------------------------------------------------------------------------------
def _unpooled_sizes(old: Shape, kernel: Shape, stride: Shape, padding: Shape, wanted: Any, name: str) -> Shape:
    """The size that was pooled to `old`: the smallest, or `wanted`, which may be off by less than a stride."""
    smallest = tuple((n - 1) * s + k - 2 * p for n, k, s, p in zip(old, kernel, stride, padding, strict=True))
    if wanted is None:
        return smallest
    given = tuple(int(n) for n in wanted)[-len(old) :]
    if len(given) != len(old):
        raise ValueError(at_user_line(f"{name}: output_size should have {len(old)} elements or more, got {given}"))
    for n, m, s in zip(given, smallest, stride, strict=True):
        if not m - s < n < m + s:
            raise ValueError(at_user_line(f"{name}: invalid output_size {given}, {smallest} is within a stride of it"))
    return given


def _max_unpool(positions: int) -> Callable[..., Tensor]:
    name = f"max_unpool{positions}d"

    def function(
        input: Tensor,
        indices: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        (node,), places = float32_operands(name, input.node), indices.node
        if places.dtype is not int64:
            raise RuntimeError(at_user_line(f"{name}: indices should be int64 but got: {places.dtype.name}"))
        if node.shape != places.shape or node.ndim not in (positions + 1, positions + 2):
            raise RuntimeError(
                at_user_line(
                    f"{name}: expected input and indices of one shape with {positions + 1} or {positions + 2} "
                    f"dimensions, got {list(node.shape)} and {list(places.shape)}"
                )
            )
        k, p = sizes_of(kernel_size, positions), sizes_of(padding, positions)
        s = k if stride is None or stride == [] else sizes_of(stride, positions)
        lead = node.shape[: node.ndim - positions]
        sizes = _unpooled_sizes(node.shape[-positions:], k, s, p, output_size, name)
        flat = (*lead, math.prod(node.shape[-positions:]))
        empty = build.const(0, node.dtype, node.device, (*lead, math.prod(sizes)))
        filled = build.scatter(empty, build.reshape(places, flat), build.reshape(node, flat), len(lead), "set")
        return wrap(build.reshape(filled, (*lead, *sizes)))

    function.__name__ = name
    function.__doc__ = "The values put back where max_pool's indices found them, zeros elsewhere."
    return function


max_unpool1d, max_unpool2d, max_unpool3d = (_max_unpool(n) for n in (1, 2, 3))


# -- fractional_max_pool ------------------------------------------------------------------------------
def _starts(sample: Node, size: int, count: int, kernel: int) -> Node:
    """(..., count): where windows begin, by one uniform number for each row (Graham 2014); the last ends at `size`."""
    last = build.const(size - kernel, int64, sample.device, (*sample.shape, 1))
    if count == 1:
        return last
    alpha = (size - kernel) / (count - 1)
    u = build.reshape(sample, (*sample.shape, 1))
    steps = build.cast(build.iota(count - 1, sample.device), sample.dtype)
    ends = (build.scale(build.add(steps, u), alpha), build.scale(u, alpha))
    later, first = (build.cast(build.pointwise(ops.FLOOR, e), int64) for e in ends)
    return build.concat([build.sub(later, build.expand(first, later.shape)), last], sample.ndim)


def _window_places(samples: Node, sizes: Shape, counts: Shape, kernel: Shape) -> Node:
    """(N, C, windows, taps): the flat input positions of every window. Samples (N, C, dimensions)."""
    n = len(sizes)
    lead = samples.shape[:2]
    total: Node | None = None
    for i, (size, count, taps) in enumerate(zip(sizes, counts, kernel, strict=True)):
        # torch takes the samples of two dimensions in the order (width, height), of three as they come
        source = n - 1 - i if n == 2 else i
        sample = build.reshape(build.slice_(samples, [(0, lead[0], 1), (0, lead[1], 1), (source, source + 1, 1)]), lead)
        starts = _starts(sample, size, count, taps)
        place = build.add(build.reshape(starts, (*lead, count, 1)), build.iota(taps, samples.device))
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = count, taps
        place = build.scale(build.reshape(place, (*lead, *shape)), math.prod(sizes[i + 1 :]))
        total = place if total is None else build.add(total, place)
    assert total is not None
    return build.reshape(build.expand(total, (*lead, *counts, *kernel)), (*lead, math.prod(counts), math.prod(kernel)))


def _fractional_max_pool(positions: int) -> Callable[..., Any]:
    name = f"fractional_max_pool{positions}d"

    def function(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        if input.ndim not in (positions + 1, positions + 2):
            raise RuntimeError(at_user_line(f"{name}: Expected {positions + 1}D or {positions + 2}D input"))
        (node,) = float32_operands(name, input.node)
        batched = input.ndim == positions + 2
        node = node if batched else build.reshape(node, (1, *node.shape))
        sizes, lead = node.shape[2:], node.shape[:2]
        kernel = sizes_of(kernel_size, positions)
        counts = _fractional_counts(sizes, output_size, output_ratio, name)
        if any(m < 1 or m + k - 1 > n for n, m, k in zip(sizes, counts, kernel, strict=True)):
            raise RuntimeError(
                at_user_line(f"{name}: output size {counts} with kernel {kernel} is too large for input {list(sizes)}")
            )
        if _random_samples is None:
            generator = random.default_generator(node.device)
            samples = random.uniform((*lead, positions), node.dtype.compute, generator)
        else:
            samples = _random_samples.node
        places = _window_places(samples, sizes, counts, kernel)
        flat = build.reshape(node, (*lead, math.prod(sizes)))
        seen = build.gather(flat, build.reshape(places, (*lead, places.shape[2] * places.shape[3])), 2)
        best = build.reduce(ops.ARGMAX, build.reshape(build.detach(seen), places.shape), (3,))
        chosen = build.reshape(build.gather(places, best, 3), (*lead, places.shape[2]))
        shape = (*lead, *counts) if batched else (lead[1], *counts)
        result = wrap(build.reshape(build.gather(flat, chosen, 2), shape))
        return (result, wrap(build.reshape(chosen, shape))) if return_indices else result

    function.__name__ = name
    function.__doc__ = "Graham 2014: the maximum over windows of one size that begin at random, evenly spread places."
    return function


def _fractional_counts(sizes: Shape, output_size: Any, output_ratio: Any, name: str) -> Shape:
    if (output_size is None) == (output_ratio is None):
        raise ValueError(at_user_line(f"{name} requires specifying either an output_size or an output_ratio"))
    if output_size is not None:
        return sizes_of(output_size, len(sizes))
    ratios = [output_ratio] * len(sizes) if isinstance(output_ratio, float) else list(output_ratio)
    return tuple(int(n * r) for n, r in zip(sizes, ratios, strict=True))


fractional_max_pool2d, fractional_max_pool3d = (_fractional_max_pool(n) for n in (2, 3))
fractional_max_pool2d_with_indices = with_indices(fractional_max_pool2d)
fractional_max_pool3d_with_indices = with_indices(fractional_max_pool3d)
