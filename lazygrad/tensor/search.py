"""Searching in what is sorted: searchsorted, bucketize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.dtype import int32, int64
from lazygrad.dtype import promote as promote_types
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import wrap
from lazygrad.tensor.promote import is_scalar, result_type

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each input would be inserted in the sorted last dimension: before equals, or behind them with right=True
    or side="right". NaN goes last.

    Arguments: `sorted_sequence` (..., n), `input` (..., m) of the same leading shape, or any shape (and a number)
    where the sequence has one dimension; `sorter` holds the int64 order of a sequence that isn't sorted. Returns int64
    (or int32) of the shape of `input`. RuntimeError for shapes, sides and sorters that can't be.
    """
    check_tensor(sorted_sequence, "searchsorted", "sorted_sequence")
    lines = sorted_sequence.node
    if is_scalar(input):
        input = wrap(build.const(input, result_type(sorted_sequence, input), lines.device))
    node = input.node
    _check_places(lines, node, right, side)
    if sorter is not None:
        _check_sorter(lines, sorter)
        lines = build.gather(lines, sorter.node, lines.ndim - 1)
    dtype = promote_types(lines.dtype, node.dtype)
    lines, node = build.cast(lines, dtype), build.cast(node, dtype)
    shape = node.shape
    if lines.ndim == 1:
        node = build.reshape(node, (node.numel,))
    found = build.reshape(bisect(lines, node, after=right or side == "right"), shape)
    return wrap(build.cast(found, int32) if out_int32 else found)


def _check_places(lines: Node, values: Node, right: bool, side: str | None) -> None:
    problem = ""
    if side not in (None, "left", "right"):
        problem = f"side can only be 'left' or 'right' but got {side}"
    elif side == "left" and right:
        problem = "side and right can't be set to opposites, got side of left while right was True"
    elif not lines.ndim or (not values.ndim and lines.ndim > 1):
        problem = (
            "input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor "
            f"dim({lines.ndim}) and input value's dim({values.ndim})"
        )
    elif lines.ndim > 1 and lines.shape[:-1] != values.shape[:-1]:
        problem = (
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value "
            f"tensor must match, but we got boundaries tensor {list(lines.shape)} and input value tensor "
            f"{list(values.shape)}"
        )
    if problem:
        raise RuntimeError(at_user_line(f"torch.searchsorted(): {problem}"))


def _check_sorter(lines: Node, sorter: Tensor) -> None:
    check_tensor(sorter, "searchsorted", "sorter")
    if sorter.shape != lines.shape:
        raise RuntimeError(
            at_user_line(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(lines.shape)} and sorter tensor {list(sorter.shape)}"
            )
        )
    if sorter.dtype is not int64:
        raise RuntimeError(
            at_user_line(
                f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {sorter.dtype.name}"
            )
        )


def bisect(lines: Node, values: Node, after: bool) -> Node:
    """Binary search along the last axis of `lines`: log2(n) gathers, no loop on the host. A value that no comparison
    holds for, a NaN, goes last."""
    size, axis = lines.shape[-1], lines.ndim - 1
    low = build.const(0, int64, values.device, values.shape)
    if not size:
        return low
    high = build.like(low, size)
    for _ in range(size.bit_length()):
        middle = build.pointwise(ops.FLOORDIV, build.add(low, high), build.like(low, 2))
        at = build.pointwise(ops.MINIMUM, middle, build.like(low, size - 1))
        stays = build.pointwise(ops.LT if after else ops.LE, values, build.gather(lines, at, axis))
        open_ = build.less(low, high)
        low, high = (
            build.where(build.logical_and(open_, build.logical_not(stays)), build.shift(middle, 1), low),
            build.where(build.logical_and(open_, stays), middle, high),
        )
    return low


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """searchsorted with the arguments turned round: the bucket each input falls in."""
    check_tensor(boundaries, "bucketize", "boundaries")
    if boundaries.ndim != 1:
        raise RuntimeError(
            at_user_line(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


__all__ = ["bisect", "bucketize", "searchsorted"]
