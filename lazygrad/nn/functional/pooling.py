"""Pooling over windows of positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import pooling as ir
from lazygrad.ir.node import Node
from lazygrad.nn.functional.convolution import Sizes, sizes_of
from lazygrad.shape import Shape
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def pooled(input: Tensor, positions: int, name: str) -> Node:
    """The input's node, in float32 where autocast wants the operation there. RuntimeError unless it has the right
    number of dimensions, none of them empty but the batch."""
    shape = input.node.shape
    if len(shape) not in (positions + 1, positions + 2) or 0 in shape[-positions - 1 :]:
        expected = f"{positions + 1}D (unbatched) or {positions + 2}D (batched)"
        raise RuntimeError(
            at_user_line(f"{name}: Expected {expected} input of which only the batch is empty, got size {list(shape)}")
        )
    return float32_operands(name, input.node)[0]


def _windows(name: str, positions: int, kernel: Sizes, stride: Sizes | None, padding: Sizes) -> tuple[Shape, ...]:
    """(kernel size, stride, padding) of every dimension. RuntimeError for what leaves no windows."""
    k, p = sizes_of(kernel, positions), sizes_of(padding, positions)
    s = k if stride is None or stride == [] else sizes_of(stride, positions)
    if min(*k, *s) <= 0:
        raise RuntimeError(
            at_user_line(f"{name}: kernel size and stride should be greater than zero, got {list(k)} and {list(s)}")
        )
    if any(not 0 <= 2 * pad <= size for pad, size in zip(p, k, strict=True)):
        raise RuntimeError(
            at_user_line(f"{name}: pad should be between 0 and half the kernel size, got {list(p)} and {list(k)}")
        )
    return k, s, p


def _max_pool(positions: int) -> Callable[..., Any]:
    name = f"max_pool{positions}d"

    def function(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        node = pooled(input, positions, name)
        k, s, p = _windows(name, positions, kernel_size, stride, padding)
        best, place = ir.max_pool(node, k, s, p, sizes_of(dilation, positions), ceil_mode)
        return (wrap(best), wrap(place)) if return_indices else wrap(best)

    function.__name__ = name
    function.__doc__ = "The largest element of each window; stride=None is the kernel's size."
    return function


def _avg_pool(positions: int) -> Callable[..., Any]:
    name = f"avg_pool{positions}d"

    def function(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        node = pooled(input, positions, name)
        k, s, p = _windows(name, positions, kernel_size, stride, padding)
        if divisor_override == 0:
            raise RuntimeError(at_user_line(f"{name}: divisor must be not zero"))
        return wrap(ir.average_pool(node, k, s, p, ceil_mode, count_include_pad, divisor_override))

    function.__name__ = name
    function.__doc__ = "The mean of each window; stride=None is the kernel's size."
    return function


def _counts(shape: Shape, output_size: Any, positions: int, name: str) -> Shape:
    """How many windows each of the trailing dimensions gets; None keeps its size."""
    one = isinstance(output_size, int) or output_size is None
    wanted = [output_size] * positions if one else list(output_size)
    wanted = wanted * positions if len(wanted) == 1 else wanted
    if len(wanted) != positions:
        raise RuntimeError(at_user_line(f"{name}: output_size must have {positions} elements, got {wanted}"))
    return tuple(n if count is None else int(count) for n, count in zip(shape[-positions:], wanted, strict=True))


def _adaptive_avg_pool(positions: int) -> Callable[..., Tensor]:
    name = f"adaptive_avg_pool{positions}d"

    def function(input: Tensor, output_size: Any) -> Tensor:
        node = pooled(input, positions, name)
        return wrap(ir.adaptive_average_pool(node, _counts(node.shape, output_size, positions, name)))

    function.__name__ = name
    function.__doc__ = "The mean over windows chosen so that the result has output_size positions."
    return function


def _adaptive_max_pool(positions: int) -> Callable[..., Any]:
    name = f"adaptive_max_pool{positions}d"

    def function(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        node = pooled(input, positions, name)
        best, place = ir.adaptive_max_pool(node, _counts(node.shape, output_size, positions, name))
        return (wrap(best), wrap(place)) if return_indices else wrap(best)

    function.__name__ = name
    function.__doc__ = "The maximum over windows chosen so that the result has output_size positions."
    return function


def _lp_pool(positions: int) -> Callable[..., Tensor]:
    def function(
        input: Tensor,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        name = f"avg_pool{positions}d"  # what torch, too, computes it with
        k, s, p = _windows(name, positions, kernel_size, stride, 0)
        mean = ir.average_pool(pooled(input.pow(norm_type), positions, name), k, s, p, ceil_mode, True, None)
        # torch's: a mean times the kernel's size, also where a window of ceil_mode holds fewer elements
        total = wrap(build.scale(mean, math.prod(k)))
        return total.sign().mul(total.abs()).clamp(min=0).pow(1 / norm_type)

    function.__name__ = f"lp_pool{positions}d"
    function.__doc__ = "(the sum over each window of x^norm_type)^(1 / norm_type), 0 where the sum is negative."
    return function


def with_indices(pool: Callable[..., Any]) -> Callable[..., tuple[Tensor, Tensor]]:
    """The pooling function that always returns its indices too."""

    def function(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        values, indices = pool(*args, **kwargs, return_indices=True)
        return values, indices

    function.__name__ = f"{pool.__name__}_with_indices"
    function.__doc__ = f"(values, flat indices) of {pool.__name__}."
    return function


max_pool1d, max_pool2d, max_pool3d = (_max_pool(n) for n in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg_pool(n) for n in (1, 2, 3))
lp_pool1d, lp_pool2d, lp_pool3d = (_lp_pool(n) for n in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_adaptive_avg_pool(n) for n in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive_max_pool(n) for n in (1, 2, 3))

max_pool1d_with_indices = with_indices(max_pool1d)
max_pool2d_with_indices = with_indices(max_pool2d)
max_pool3d_with_indices = with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = with_indices(adaptive_max_pool3d)
