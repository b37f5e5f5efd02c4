"""Samples to batches: takes a list of samples, returns one object of their shape with tensors of one
dimension
more. Everything is stacked on the host, so that a batch is a buffer and not a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lazygrad.device import CPU
from lazygrad.dtype import float64, from_numpy, int64
from lazygrad.ir import build
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array


def tensor_from(array: np.ndarray[Any, Any]) -> Tensor:
    return wrap(from_array(array, CPU, from_numpy(array.dtype)))


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """`value` with every leaf of its nested containers replaced."""
    if isinstance(value, Mapping):
        return {key: map_leaves(function, v) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_leaves(function, v) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(map_leaves(function, v) for v in value)
    return function(value)


def default_convert(data: Any) -> Any:
    """Arrays as tensors, containers kept."""
    return map_leaves(
        lambda v: tensor_from(np.asarray(v)) if isinstance(v, (np.ndarray, np.generic)) else v, data
    )


def default_collate(batch: Sequence[Any]) -> Any:
    """Tensors, arrays and numbers stacked; dictionaries and sequences element by element; strings as a
    list."""
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch)
    if isinstance(first, np.ndarray):
        return tensor_from(np.stack(batch))
    if isinstance(first, np.generic):
        return tensor_from(np.asarray(batch))
    if isinstance(first, (bool, float, int)):
        array = np.asarray(batch)
        kind = (
            array.dtype if isinstance(first, bool) else (int64 if isinstance(first, int) else float64).numpy
        )
        return tensor_from(array.astype(kind))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        if hasattr(first, "_fields"):
            return type(first)(*columns)
        return columns
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{type(first)}"
    )


def _stacked(batch: Sequence[Tensor]) -> Tensor:
    first = batch[0]
    if any(t.shape != first.shape for t in batch):
        shapes = sorted({tuple(t.shape) for t in batch})
        raise RuntimeError(
            f"stack expects each tensor to be equal size, but got {', '.join(map(str, shapes[:3]))}"
        )
    if first.device == CPU and not any(t.requires_grad for t in batch):
        return tensor_from(np.stack([t.numpy() for t in batch]))
    return wrap(build.concat([build.reshape(t.node, (1, *t.node.shape)) for t in batch], 0))
