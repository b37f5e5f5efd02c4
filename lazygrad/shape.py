"""Shape arithmetic: broadcasting and axis normalisation. Takes tuples of ints, returns tuples of ints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lazygrad.errors import at_user_line

Shape = tuple[int, ...]


def numel(shape: Sequence[int]) -> int:
    """The number of elements; 1 for a 0-d shape."""
    return math.prod(shape)


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Row-major strides in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def broadcast(*shapes: Shape) -> Shape:
    """NumPy's broadcasting rule. ValueError naming the clashing dimension."""
    ndim = max((len(s) for s in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for i, size in enumerate(shape, ndim - len(shape)):
            if size == 1:
                continue
            if result[i] not in (1, size):
                raise ValueError(
                    f"The size of tensor a ({result[i]}) must match the size of tensor b ({size}) "
                    f"at non-singleton dimension {i}"
                )
            result[i] = size
    return tuple(result)


def normalize_axis(axis: int, ndim: int) -> int:
    """A negative axis counted from the end. IndexError, in torch's words, when out of range."""
    low, high = (-ndim, ndim - 1) if ndim else (-1, 0)
    if not low <= axis <= high:
        raise IndexError(
            at_user_line(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {axis})")
        )
    return axis % ndim if ndim else 0


def normalize_axes(axes: int | Iterable[int] | None, ndim: int) -> Shape:
    """Sorted, distinct, non-negative axes; None and () mean all. RuntimeError for a repeated one."""
    if axes is None:
        return tuple(range(ndim))
    listed = [axes] if isinstance(axes, int) else list(axes)
    if not listed:
        return tuple(range(ndim))
    found = [normalize_axis(a, ndim) for a in listed]
    if len(set(found)) != len(found):
        twice = next(a for a in found if found.count(a) > 1)
        raise RuntimeError(at_user_line(f"dim {twice} appears multiple times in the list of dims"))
    return tuple(sorted(found)) if ndim else ()


def resolve_reshape(shape: Shape, wanted: Sequence[int]) -> Shape:
    """`wanted` with a -1 filled in. RuntimeError, in torch's words, where the sizes don't agree."""
    total = numel(shape)
    if any(size < -1 for size in wanted):
        raise RuntimeError(at_user_line(f"invalid shape dimension {min(wanted)}"))
    if wanted.count(-1) > 1:
        raise RuntimeError(at_user_line("only one dimension can be inferred"))
    known = math.prod(size for size in wanted if size != -1)
    if -1 in wanted:
        if known == 0 and total == 0:
            raise RuntimeError(
                at_user_line(
                    f"cannot reshape tensor of 0 elements into shape {list(wanted)} because the unspecified dimension "
                    "size -1 can be any value and is ambiguous"
                )
            )
        if known and total % known == 0:
            return tuple(total // known if size == -1 else size for size in wanted)
    elif known == total:
        return tuple(wanted)
    raise RuntimeError(at_user_line(f"shape '{list(wanted)}' is invalid for input of size {total}"))
