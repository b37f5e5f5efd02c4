"""New tensors put together from others: cat, stack, repeat, flip, roll, pad, tril."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.dtype import int32, int64
from lazygrad.dtype import promote as promote_types
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.runtime.array import library
from lazygrad.tensor.arguments import axes_of, axis_of, check_tensor, integer, integers
from lazygrad.tensor.broadcasting import atleast_1d, atleast_2d, atleast_3d
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import from_array, zeros
from lazygrad.tensor.indexing import take_rows
from lazygrad.tensor.keywords import public
from lazygrad.tensor.layout import embed, narrowed, positions
from lazygrad.tensor.values import computed, leaf_of

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Assembly(TensorBase):
    __slots__ = ()

    # -- repetition
    def repeat(self, *repeats: Any) -> Tensor:
        """The tensor tiled that many times along each dimension; more numbers than dimensions add some."""
        times = integers(repeats, "repeat()")
        node = self.node
        lead = len(times) - node.ndim
        if lead < 0:
            raise RuntimeError(
                at_user_line(
                    "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
                )
            )
        if any(n < 0 for n in times):
            raise RuntimeError(at_user_line(f"Trying to create tensor with negative dimension: repeat{times}"))
        shape = (1,) * lead + node.shape
        split = build.reshape(node, tuple(x for n in shape for x in (1, n)))
        spread = build.expand(split, tuple(x for t, n in zip(times, shape, strict=True) for x in (t, n)))
        return wrap(build.reshape(spread, tuple(t * n for t, n in zip(times, shape, strict=True))))

    def tile(self, *dims: Any) -> Tensor:
        """As repeat; with fewer numbers than dimensions the leading ones aren't repeated."""
        times = integers(dims, "tile()")
        return self.repeat((1,) * (self.node.ndim - len(times)) + times)

    def repeat_interleave(
        self, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
    ) -> Tensor:
        """Every slice along `dim` repeated in place; `repeats` is a number or a tensor with one for each. Without them
        self is the repeats, and the places 0, 1, ... are repeated.

        A tensor of repeats is computed now.
        """
        if repeats is None:
            return wrap(build.iota(self.node.numel, self.device)).repeat_interleave(self)
        node = self.node if dim is not None else build.reshape(self.node, (self.node.numel,))
        axis = 0 if dim is None else axis_of(node, dim, "repeat_interleave")
        node = node if node.ndim else build.reshape(node, (1,))
        if hasattr(repeats, "__index__") and not isinstance(repeats, TensorBase):
            return wrap(_interleaved(node, axis, integer(repeats, "repeat_interleave()")))
        check_tensor(repeats, "repeat_interleave", "repeats")
        if repeats.dtype not in (int32, int64):
            raise RuntimeError(at_user_line("repeats has to be Long or Int tensor"))
        size = node.shape[axis]
        counts = (
            build.expand(build.reshape(repeats.node, (repeats.node.numel,)), (size,))
            if repeats.node.numel in (1, size)
            else None
        )
        if counts is None:
            raise RuntimeError(
                at_user_line(
                    "repeats must have the same size as input along dim, but got repeats.size(0) = "
                    f"{repeats.node.numel} and input.size({axis}) = {size}"
                )
            )
        array = computed(wrap(counts), "repeat_interleave")
        if (array < 0).any():
            raise RuntimeError(at_user_line("repeats can not be negative"))
        xp = library(node.device.type)
        index = xp.repeat(xp.arange(size), array.tolist())
        return wrap(take_rows(node, leaf_of(index, int64, node.device), axis))

    # -- order
    def flip(self, *dims: Any) -> Tensor:
        """Reversed along the dimensions given."""
        listed = integers(dims, "flip()")
        axes = axes_of(self.node, listed, "flip") if listed else ()
        return wrap(build.flip(self.node, axes))

    def fliplr(self) -> Tensor:
        """Reversed along dimension 1. RuntimeError below 2 dimensions."""
        if self.node.ndim < 2:
            raise RuntimeError(at_user_line("Input must be >= 2-d."))
        return self.flip(1)

    def flipud(self) -> Tensor:
        """Reversed along dimension 0. RuntimeError for 0-d tensors."""
        if self.node.ndim < 1:
            raise RuntimeError(at_user_line("Input must be >= 1-d."))
        return self.flip(0)

    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """Elements moved on by `shifts` along `dims`, what falls off coming back at the front."""
        amounts = integers((shifts,), "roll()") if not hasattr(shifts, "__index__") else (int(shifts),)
        if dims is None or (isinstance(dims, (tuple, list)) and not dims):
            if len(amounts) != 1:
                raise RuntimeError(at_user_line(f"shifts and dimensions must align. shifts: {len(amounts)}, dims:0"))
            flat = build.reshape(self.node, (self.node.numel,))
            return wrap(build.reshape(_rolled(flat, 0, amounts[0]), self.node.shape))
        axes = integers((dims,), "roll()") if not hasattr(dims, "__index__") else (int(dims),)
        if len(axes) != len(amounts):
            raise RuntimeError(
                at_user_line(f"shifts and dimensions must align. shifts: {len(amounts)}, dims:{len(axes)}")
            )
        node = self.node
        for amount, dim in zip(amounts, axes, strict=True):
            node = _rolled(node, axis_of(node, dim, "roll"), amount) if node.ndim else node
        return wrap(node)

    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
        """Turned by k * 90 degrees in the plane of two dimensions."""
        if len(dims) != 2:
            raise RuntimeError(at_user_line(f"expected total rotation dims == 2, but got dims = {len(dims)}"))
        if self.node.ndim < 2:
            raise RuntimeError(at_user_line(f"expected total dims >= 2, but got total dims = {self.node.ndim}"))
        a, b = axis_of(self.node, dims[0], "rot90"), axis_of(self.node, dims[1], "rot90")
        if a == b:
            raise RuntimeError(
                at_user_line(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
            )
        turns = k % 4
        if turns == 0:
            return self.clone()
        if turns == 2:
            return self.flip(a, b)
        return self.flip(b).transpose(a, b) if turns == 1 else self.transpose(a, b).flip(b)

    # -- triangles and diagonals
    def tril(self, diagonal: int = 0) -> Tensor:
        """0 above the diagonal of the last two dimensions."""
        return wrap(_triangle(self.node, diagonal, lower=True))

    def triu(self, diagonal: int = 0) -> Tensor:
        """0 below the diagonal of the last two dimensions."""
        return wrap(_triangle(self.node, diagonal, lower=False))

    def diag(self, diagonal: int = 0) -> Tensor:
        """The diagonal of a matrix, or the matrix with that diagonal."""
        if self.node.ndim == 2:
            return self.diagonal(diagonal).clone()
        if self.node.ndim != 1:
            raise RuntimeError(at_user_line(f"diag(): Supports 1D or 2D tensors. Got {self.node.ndim}D"))
        return self.diag_embed(diagonal)

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        """Matrices with the last dimension on a diagonal, zero elsewhere."""
        node = self.node
        axis_a, axis_b = axis_of(node, dim1, "diag_embed", 1), axis_of(node, dim2, "diag_embed", 1)
        if axis_a == axis_b:
            raise RuntimeError(at_user_line(f"diagonal dimensions cannot be identical {dim1}, {dim2}"))
        size = node.shape[-1] + abs(offset)
        flat = build.const(0, node.dtype, node.device, (*node.shape[:-1], size * size))
        start = offset if offset >= 0 else -offset * size
        bounds = [(0, n, 1) for n in node.shape[:-1]] + [(start, size * size, size + 1)]
        square = build.reshape(embed(flat, node, bounds), (*node.shape[:-1], size, size))
        order = [i for i in range(square.ndim) if i not in (axis_a, axis_b)]
        axes = [0] * square.ndim
        for source, target in enumerate([*order, axis_a, axis_b]):
            axes[target] = source
        return wrap(build.permute(square, axes))

    def diagflat(self, offset: int = 0) -> Tensor:
        """The matrix with all elements on a diagonal."""
        return self.reshape(-1).diag_embed(offset)


# -- Node -> Node -------------------------------------------------------------------------------------
def _interleaved(node: Node, axis: int, times: int) -> Node:
    if times < 0:
        raise RuntimeError(at_user_line("Repeats must be non-negative"))
    shape = node.shape
    split = build.reshape(node, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    spread = build.expand(split, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return build.reshape(spread, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))


def _rolled(node: Node, axis: int, amount: int) -> Node:
    size = node.shape[axis]
    amount = amount % size if size else 0
    if not amount:
        return node
    return build.concat([narrowed(node, axis, size - amount, size), narrowed(node, axis, 0, size - amount)], axis)


def _triangle(node: Node, diagonal: int, lower: bool) -> Node:
    if node.ndim < 2:
        raise RuntimeError(at_user_line(f"{'tril' if lower else 'triu'}: input tensor must have at least 2 dimensions"))
    row, column = positions(node, node.ndim - 2), positions(node, node.ndim - 1)
    edge = build.shift(row, diagonal) if diagonal else row
    inside = build.pointwise(ops.LE, column, edge) if lower else build.pointwise(ops.LE, edge, column)
    return build.where(inside, node, build.const(0, node.dtype, node.device))


# -- functions of several tensors ---------------------------------------------------------------------
def _listed(tensors: Any, name: str) -> list[Any]:
    if isinstance(tensors, TensorBase):
        raise TypeError(at_user_line(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"))
    found = list(tensors)
    for tensor in found:
        check_tensor(tensor, name, "tensors")
    return found


def _common(tensors: list[Any]) -> list[Node]:
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = promote_types(dtype, tensor.dtype)
    return [build.cast(t.node, dtype) for t in tensors]


@public
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """One after the other along `dim`; dtypes promote; empty vectors are skipped, as in torch."""
    listed = _listed(tensors, "cat")
    if not listed:
        raise ValueError(at_user_line("torch.cat(): expected a non-empty list of Tensors"))
    nodes = _common(listed)
    for i, node in enumerate(nodes):
        if not node.ndim:
            raise RuntimeError(at_user_line(f"zero-dimensional tensor (at position {i}) cannot be concatenated"))
    kept = [n for n in nodes if n.shape != (0,)] or nodes[:1]
    if any(n.ndim != kept[0].ndim for n in kept):
        dims = " and ".join(str(n.ndim) for n in kept[:2])
        raise RuntimeError(at_user_line(f"Tensors must have same number of dimensions: got {dims}"))
    return wrap(build.concat(kept, axis_of(kept[0], dim, "cat")))


@public
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Along a new dimension. RuntimeError where shapes differ."""
    listed = _listed(tensors, "stack")
    if not listed:
        raise RuntimeError(at_user_line("stack expects a non-empty TensorList"))
    first = listed[0].node.shape
    for i, tensor in enumerate(listed):
        if tensor.node.shape != first:
            raise RuntimeError(
                at_user_line(
                    f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                    f"{list(tensor.node.shape)} at entry {i}"
                )
            )
    nodes = _common(listed)
    axis = axis_of(nodes[0], dim, "stack", extra=1)
    return wrap(build.concat([build.reshape(n, (*n.shape[:axis], 1, *n.shape[axis:])) for n in nodes], axis))


@public
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Along dimension 1 (0 for vectors)."""
    listed = [atleast_1d(t) for t in _listed(tensors, "hstack")]
    return cat(listed, 0 if listed and listed[0].ndim == 1 else 1)


@public
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Along dimension 0, vectors as rows."""
    return cat([atleast_2d(t) for t in _listed(tensors, "vstack")], 0)


@public
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Along dimension 2."""
    return cat([atleast_3d(t) for t in _listed(tensors, "dstack")], 2)


@public
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Vectors as the columns of a matrix, matrices side by side."""
    listed = _listed(tensors, "column_stack")
    return cat([t.reshape(-1, 1) if t.ndim <= 1 else t for t in listed], 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of a larger one, zero elsewhere; vectors are rows. (1, 0) of none."""
    for i, tensor in enumerate(_listed(tensors, "block_diag")):
        if tensor.ndim > 2:
            raise RuntimeError(
                at_user_line(
                    "torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                    f"Input {i} has {tensor.ndim} dimensions"
                )
            )
    if not tensors:
        return zeros(1, 0)
    nodes = _common([atleast_2d(t) for t in tensors])
    width = sum(n.shape[1] for n in nodes)
    rows, before = [], 0
    for node in nodes:
        rows.append(build.pad(node, [(0, 0), (before, width - before - node.shape[1])]))
        before += node.shape[1]
    return wrap(build.concat(rows, 0))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: one tensor for each axis, all of the grid's shape."""
    listed = (
        _listed(tensors[0], "meshgrid")
        if len(tensors) == 1 and not isinstance(tensors[0], TensorBase)
        else list(tensors)
    )
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            at_user_line(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
        )
    for tensor in listed:
        if tensor.ndim > 1:
            raise RuntimeError(
                at_user_line(
                    f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got {list(tensor.shape)}"
                )
            )
    swap = indexing == "xy" and len(listed) >= 2
    if swap:
        listed[0], listed[1] = listed[1], listed[0]
    lengths = [t.node.numel for t in listed]
    found = []
    for i, tensor in enumerate(listed):
        found.append(tensor.reshape([n if j == i else 1 for j, n in enumerate(lengths)]).expand(lengths))
    if swap:
        found[0], found[1] = found[1], found[0]
    return tuple(found)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every combination of elements, one a row."""
    for tensor in _listed(tensors, "cartesian_prod"):
        if tensor.ndim != 1:
            raise RuntimeError(at_user_line(f"Expect a 1D vector, but got shape {list(tensor.shape)}"))
    if len(tensors) == 1:
        return tensors[0].clone()
    return stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """(n, r): all combinations of r elements of a vector, one a row, in the order of positions."""
    check_tensor(input, "combinations", "input")
    if input.ndim != 1:
        raise RuntimeError(at_user_line(f"Expect a 1D vector, but got shape {list(input.shape)}"))
    if r < 0:
        raise RuntimeError(at_user_line(f"Expect a non-negative number, but got {r}"))
    if not r:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input.node.numel), r)), np.int64).reshape(-1)
    picked = take_rows(input.node, from_array(places, input.device, int64), 0)
    return wrap(build.reshape(picked, (len(places) // r, r)))


def pad_constant(tensor: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """torch's pad: pairs (before, after) from the last dimension on; negative widths cut."""
    node = tensor.node
    widths = integers((pad,), "pad()")
    if len(widths) % 2 or len(widths) // 2 > node.ndim:
        raise RuntimeError(
            at_user_line(
                f"pad: length of pad ({len(widths)}) must be even and at most twice the number of "
                f"dimensions ({node.ndim})"
            )
        )
    pairs = [(0, 0)] * (node.ndim - len(widths) // 2)
    pairs += [(widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2)]
    for n, (before, after) in zip(node.shape, pairs, strict=True):
        if n + before + after < 0:
            raise RuntimeError(
                at_user_line(
                    f"The input size {n}, plus negative padding {before} and {after}, resulted in a "
                    "negative output size"
                )
            )
    bounds = [(max(0, -b), n - max(0, -a), 1) for n, (b, a) in zip(node.shape, pairs, strict=True)]
    cut = build.slice_(node, bounds)
    return wrap(build.pad(cut, [(max(0, b), max(0, a)) for b, a in pairs], value))


__all__ = [
    "Assembly",
    "block_diag",
    "cartesian_prod",
    "cat",
    "column_stack",
    "combinations",
    "dstack",
    "hstack",
    "meshgrid",
    "pad_constant",
    "stack",
    "vstack",
]
