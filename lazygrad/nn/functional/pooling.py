"""Pooling over windows of positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import convolution as ir
from lazygrad.nn.functional.convolution import Sizes, sizes_of
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def _check_padding(padding: Sequence[int], kernel: Sequence[int]) -> None:
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(
            at_user_line(
                f"pad should be at most half of effective kernel size, but got pad={padding} and "
                f"kernel={kernel}"
            )
        )


def _max_pool(positions: int) -> Callable[..., Any]:
    def function(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        k = sizes_of(kernel_size, positions)
        s = k if stride is None or stride == [] else sizes_of(stride, positions)
        p, d = sizes_of(padding, positions), sizes_of(dilation, positions)
        _check_padding(p, k)
        best, place = ir.max_pool(input.node, k, s, p, d, ceil_mode)
        return (wrap(best), wrap(place)) if return_indices else wrap(best)

    function.__name__ = f"max_pool{positions}d"
    function.__doc__ = "The largest element of each window; stride=None is the kernel's size."
    return function


def _avg_pool(positions: int) -> Callable[..., Any]:
    def function(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        k = sizes_of(kernel_size, positions)
        s = k if stride is None or stride == [] else sizes_of(stride, positions)
        p = sizes_of(padding, positions)
        _check_padding(p, k)
        return wrap(ir.average_pool(input.node, k, s, p, ceil_mode, count_include_pad, divisor_override))

    function.__name__ = f"avg_pool{positions}d"
    function.__doc__ = "The mean of each window; stride=None is the kernel's size."
    return function


def _adaptive(positions: int, average: bool) -> Callable[..., Any]:
    def function(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
        if return_indices:
            raise NotImplementedError(at_user_line("adaptive_max_pool: return_indices is not supported"))
        old = input.node.shape[input.node.ndim - positions :]
        wanted = (
            [output_size] * positions if isinstance(output_size, int) or output_size is None else output_size
        )
        counts = tuple(n if count is None else int(count) for n, count in zip(old, wanted, strict=True))
        return wrap(ir.adaptive_pool(input.node, counts, average))

    function.__name__ = f"adaptive_{'avg' if average else 'max'}_pool{positions}d"
    function.__doc__ = "Pooling over windows chosen so that the result has output_size positions."
    return function


max_pool1d, max_pool2d, max_pool3d = (_max_pool(n) for n in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg_pool(n) for n in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_adaptive(n, True) for n in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive(n, False) for n in (1, 2, 3))


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window."""
    k = sizes_of(kernel_size, 2)
    s = k if stride is None else sizes_of(stride, 2)
    powers = input.pow(norm_type).node
    mean = ir.average_pool(powers, k, s, (0, 0), ceil_mode, True, None)
    total = wrap(build.scale(mean, k[0] * k[1]))
    return total.sign().mul(total.abs()).clamp(min=0).pow(1 / norm_type)
