"""Look-ups in a table of rows: one row for each index, or one for each bag of indices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.core import grad_mode, wrap
from lazygrad.tensor.reduce import vector_norm

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def _check(index: Node, weight: Node, padding_idx: int | None) -> None:
    if index.dtype.category != 1:
        raise RuntimeError(
            at_user_line(f"Expected tensor for argument #1 'indices' to have an integer dtype, got {index.dtype.name}")
        )
    if weight.ndim != 2:
        raise RuntimeError(at_user_line(f"'weight' must be 2-D, got {list(weight.shape)}"))
    if padding_idx is not None and not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise AssertionError(at_user_line("Padding_idx must be within num_embeddings"))


def _counts(index: Node, entries: int) -> Node:
    """(entries,): how often each row is asked for."""
    flat = build.reshape(build.cast(index, int64), (index.numel,))
    zeros = build.const(0, int64, index.device, (entries,))
    return build.scatter(zeros, flat, build.const(1, int64, index.device, flat.shape), 0, "add")


def _limit_norms(index: Node, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are asked for and longer than max_norm down to it, in place and outside autograd."""
    with grad_mode(False):
        table = build.detach(weight.node)
        size = vector_norm(library.wide(table), norm_type, (1,), keepdim=True)
        asked = build.reshape(_counts(index, table.shape[0]), size.shape)
        long = build.logical_and(build.less(build.like(asked, 0), asked), build.less(build.like(size, max_norm), size))
        factor = build.where(long, build.div(build.like(size, max_norm), build.shift(size, 1e-7)), build.like(size, 1))
        weight._write(build.cast(build.mul(library.wide(table), factor), table.dtype))


def _rows(index: Node, weight: Node, padding_idx: int | None, by_frequency: bool) -> Node:
    rows = library.embedding(index, weight, padding_idx)
    if not by_frequency:
        return rows
    flat = build.reshape(build.cast(index, int64), (index.numel,))
    count = build.cast(build.gather(_counts(index, weight.shape[0]), flat, 0), weight.dtype)
    share = build.reshape(count, (*index.shape, 1))
    held = build.detach(rows)
    return build.add(held, build.div(build.sub(rows, held), share))  # the value of rows, 1 / count of its gradient


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` (entries, width) at the integers `input` (*): (*, width). Row padding_idx takes no gradient.

    max_norm first scales the rows that are asked for down to that norm, in place. scale_grad_by_freq divides each
    row's gradient by how often it is asked for. Gradients are dense, also with sparse=True.
    """
    _check(input.node, weight.node, padding_idx)
    if max_norm is not None:
        _limit_norms(input.node, weight, max_norm, norm_type)
    return wrap(_rows(input.node, weight.node, padding_idx, scale_grad_by_freq))


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of each bag: (bags, width). Entries that are padding_idx do not count.

    `input` is (bags, length), or one row of entries with `offsets` (bags,) where each bag begins; then
    include_last_offset says that a last offset holds the end. An empty bag gives zeros.
    """
    index, table = input.node, weight.node
    _check(index, table, padding_idx)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(at_user_line("mode has to be one of sum, mean or max"))
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError(at_user_line("max mode does not support scale_grad_by_freq or sparse"))
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(at_user_line(f"embedding_bag: per_sample_weights are for mode='sum', got {mode!r}"))
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ValueError(
            at_user_line(
                f"embedding_bag: per_sample_weights {list(per_sample_weights.shape)} must have the shape of the input "
                f"{list(index.shape)}"
            )
        )
    if (index.ndim, offsets is None) not in ((2, True), (1, False)):
        raise ValueError(
            at_user_line("embedding_bag: input has to be 2D without offsets, or 1D with a 1D tensor of offsets")
        )
    if max_norm is not None:
        _limit_norms(index, weight, max_norm, norm_type)
        table = weight.node
    rows = _rows(index, table, padding_idx, scale_grad_by_freq)
    if per_sample_weights is not None:
        factor = build.cast(per_sample_weights.node, rows.dtype)
        rows = build.mul(rows, build.reshape(factor, (*index.shape, 1)))
    counted = build.const(1, rows.dtype, rows.device, (*index.shape, 1))
    if padding_idx is not None:
        padding = build.equal(index, build.like(index, padding_idx % table.shape[0]))
        counted = build.where(build.reshape(padding, counted.shape), build.like(counted, 0), counted)
    if offsets is None:
        return wrap(_bags_of_rows(rows, counted, mode))
    if offsets.ndim != 1:
        raise ValueError(at_user_line("offsets has to be a 1D Tensor"))
    bags = offsets.node.shape[0] - include_last_offset
    starts = build.slice_(offsets.node, [(0, bags, 1)])
    return wrap(_bags_of_segments(rows, counted, starts, mode))


def _without_padding(rows: Node, counted: Node, otherwise: float) -> Node:
    none = build.equal(counted, build.like(counted, 0))
    return build.where(none, build.like(rows, otherwise), rows)


def _mean(total: Node, count: Node) -> Node:
    return build.div(total, build.pointwise(ops.MAXIMUM, count, build.like(count, 1)))


# A maximum is looked up at its place: as in torch, the first of equal entries takes the whole gradient.
def _bags_of_rows(rows: Node, counted: Node, mode: str) -> Node:
    """Rows (bags, length, width)."""
    if not rows.shape[1]:
        return build.const(0, rows.dtype, rows.device, (rows.shape[0], rows.shape[2]))
    count = build.reduce(ops.SUM, counted, (1,))
    if mode == "max":
        place = build.reduce(ops.ARGMAX, build.detach(_without_padding(rows, counted, -math.inf)), (1,))
        result = _without_padding(build.gather(rows, place, 1), count, 0)
    else:
        result = build.reduce(ops.SUM, _without_padding(rows, counted, 0), (1,))
        result = _mean(result, count) if mode == "mean" else result
    return build.reshape(result, (rows.shape[0], rows.shape[2]))


def _bags_of_segments(rows: Node, counted: Node, starts: Node, mode: str) -> Node:
    """Rows (entries, width), bag i from starts[i] up to the next start."""
    (entries, width), bags = rows.shape, starts.shape[0]
    if not entries or not bags:
        return build.const(0, rows.dtype, rows.device, (bags, width))
    steps = build.const(0, int64, rows.device, (entries + 1,))
    ones = build.const(1, int64, rows.device, (bags,))
    begun = build.scan(ops.CUMSUM, build.scatter(steps, build.cast(starts, int64), ones, 0, "add"), 0)
    bag = build.reshape(build.shift(build.slice_(begun, [(0, entries, 1)]), -1), (entries, 1))
    into = build.expand(bag, (entries, width))

    def combined(values: Node, start: float, mode: str) -> Node:
        base = build.const(start, values.dtype, values.device, (bags, values.shape[1]))
        return build.scatter(base, bag if values.shape[1] == 1 else into, values, 0, mode)

    count = combined(counted, 0, "add")
    if mode != "max":
        total = combined(_without_padding(rows, counted, 0), 0, "add")
        return _mean(total, count) if mode == "mean" else total
    held = build.detach(_without_padding(rows, counted, -math.inf))
    wins = build.equal(held, build.gather(combined(held, -math.inf, "max"), into, 0))
    place = build.expand(build.reshape(build.iota(entries, rows.device), (entries, 1)), (entries, width))
    first = combined(build.where(wins, place, build.like(place, entries - 1)), entries - 1, "min")
    return _without_padding(build.gather(rows, first, 0), count, 0)
