"""What scattering means to an array library: takes arrays, returns arrays.

NumPy combines entries in their order. On CuPy that would take atomics, which round anew in every run (and are wrong for
some dtypes): there entries are sorted by where they go, and combined in a tree over each run of equal targets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

COMBINE = {"add": "add", "max": "maximum", "min": "minimum", "mul": "multiply"}


def scatter(xp: Any, arg: tuple[int, str], base: Any, index: Any, values: Any) -> Any:
    """`base` with values combined into it along an axis, where the index says; of values that are set the last wins."""
    axis, mode = arg
    wide = base.dtype if mode == "set" else accumulator(base.dtype)
    if wide != base.dtype:  # rounded once
        made = scatter(xp, arg, base.astype(wide), index, values.astype(wide))
        return made != 0 if base.dtype == bool else made.astype(base.dtype)
    lines = [tuple(n if i == j else 1 for j in range(index.ndim)) for i, n in enumerate(index.shape)]
    grid = [xp.arange(n).reshape(line) for n, line in zip(index.shape, lines, strict=True)]
    grid[axis] = index
    return _combined(xp, mode, base, tuple(grid), values)


def segments(xp: Any, arg: Any, base: Any, values: Any, begins: Any, ends: Any, *rest: Any) -> Any:
    """Rows of values (n, columns) combined into those of the base, from begins to ends of each. Partial results (in
    `rest`, behind the order of entries) are left unread: they hold nothing that isn't in values."""
    lengths = xp.maximum(ends - begins, 0)
    row = xp.repeat(xp.arange(base.shape[0]), lengths)
    entry = xp.arange(row.size) - (xp.cumsum(lengths) - lengths)[row] + begins[row]
    taken = values[rest[0][entry] if arg.ordered else entry].astype(base.dtype)
    return _combined(xp, arg.mode, base, (row[:, None], xp.arange(base.shape[1])), taken)


def place(xp: Any, values: Any, positions: Any) -> Any:
    """Row i of the values at position i of a permutation."""
    result = xp.empty_like(values)
    result[positions] = values
    return result


def accumulator(dtype: Any) -> Any:
    """The type in which many values are combined into one of this type."""
    if dtype.itemsize == 2 and dtype.kind not in "iu":
        return np.dtype(np.float32)
    return dtype if dtype.itemsize >= 4 else np.dtype(np.int32)


def _combined(xp: Any, mode: str, base: Any, where: tuple[Any, ...], values: Any) -> Any:
    result = base.copy()
    if xp is np:
        if mode == "set":
            result[where] = values
        else:
            getattr(xp, COMBINE[mode]).at(result, where, values)
        return result
    if not values.size:
        return result
    places = xp.arange(base.size).reshape(base.shape)[where]
    targets = xp.broadcast_to(places, values.shape).reshape(-1)
    order = xp.argsort(targets, kind="stable")
    targets, found = targets[order], values.reshape(-1)[order]
    combine = (lambda earlier, later: later) if mode == "set" else getattr(xp, COMBINE[mode])
    distance = 1
    while distance < targets.size:  # each entry takes in the one so far before it: twice as many each time
        together = targets[distance:] == targets[:-distance]
        found[distance:] = xp.where(together, combine(found[:-distance], found[distance:]), found[distance:])
        distance *= 2
    last = xp.concatenate([targets[1:] != targets[:-1], xp.ones(1, bool)])
    flat = xp.concatenate([result.reshape(-1), xp.zeros(1, base.dtype)])  # behind the end goes what is not the last
    flat[xp.where(last, targets, base.size)] = combine(flat[targets], found)
    return flat[:-1].reshape(base.shape)


__all__ = ["place", "scatter", "segments"]
