"""Samples to batches: takes a list of samples, returns one object of their shape with tensors of one dimension
more. Everything is stacked on the host, so that a batch is a buffer and not a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from lazygrad.device import CPU
from lazygrad.dtype import float64, from_numpy
from lazygrad.ir import build
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array, tensor


def tensor_from(array: np.ndarray[Any, Any]) -> Tensor:
    return wrap(from_array(array, CPU, from_numpy(array.dtype)))


def map_leaves(function: Callable[[Any], Any], value: Any, whole: tuple[type, ...] = ()) -> Any:
    """`value` with every leaf of its nested containers replaced; objects of the types `whole` are leaves too."""
    if isinstance(value, whole):
        return function(value)
    if isinstance(value, Mapping):
        return mapping_like(value, {key: map_leaves(function, v, whole) for key, v in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_leaves(function, v, whole) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(map_leaves(function, v, whole) for v in value)
    return function(value)


def mapping_like(old: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """A mapping of the kind of `old` with these values; a dict where that kind can't be made so."""
    try:
        if isinstance(old, MutableMapping):
            made = copy(old)
            made.update(values)
            return made
        return type(old)(values)  # type: ignore[call-arg]
    except TypeError:
        return values


def default_convert(data: Any) -> Any:
    """Arrays of numbers as tensors, containers kept; but tuples become lists, as in torch."""
    if isinstance(data, Mapping):
        return mapping_like(data, {key: default_convert(v) for key, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [default_convert(v) for v in data]
    numbers = isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "OSU"
    return tensor_from(np.asarray(data)) if numbers else data


def default_collate(batch: Sequence[Any]) -> Any:
    """Tensors, arrays and numbers stacked; dictionaries and sequences element by element; strings in the
    sequence they came in."""
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch)
    if isinstance(first, np.ndarray):
        return tensor_from(np.stack(batch))
    if isinstance(first, np.generic):
        return tensor_from(np.asarray(batch))
    if isinstance(first, float):
        return tensor(batch, dtype=float64, device=CPU)
    if isinstance(first, int):
        return tensor(batch, device=CPU)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return mapping_like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        if hasattr(first, "_fields"):
            return type(first)(*columns)
        return columns
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}"
    )


def _stacked(batch: Sequence[Tensor]) -> Tensor:
    first = batch[0]
    if any(t.shape != first.shape for t in batch):
        shapes = sorted({tuple(t.shape) for t in batch})
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {', '.join(map(str, shapes[:3]))}")
    if first.device == CPU and not any(t.requires_grad for t in batch):
        return tensor_from(np.stack([t.numpy() for t in batch]))
    return wrap(build.concat([build.reshape(t.node, (1, *t.node.shape)) for t in batch], 0))
