"""Where the shape of a result depends on values: the input is computed now, and level 1 of the story says so."""

from __future__ import annotations

from typing import Any

from lazygrad.config import current
from lazygrad.device import Device
from lazygrad.dtype import DType, int64
from lazygrad.inspect import story
from lazygrad.ir import build
from lazygrad.ir.batching import of_all_examples
from lazygrad.ir.node import Node
from lazygrad.runtime.array import library
from lazygrad.runtime.buffer import Buffer
from lazygrad.tensor.core import TensorBase, wrap


def computed(tensor: TensorBase, name: str) -> Any:
    """The NumPy or CuPy array of a tensor, computed now because `name` must know it."""
    if current().debug >= 1:
        story.shape_needs_values(name)
    return tensor._buffer().read()


def largest(tensor: TensorBase, name: str) -> float:
    """The largest element, among those of all examples inside a vmap; computed now because `name` must know it."""
    return float(computed(wrap(of_all_examples(build.detach(tensor.node))).amax(), name))


def always(condition: TensorBase) -> bool:
    """Whether a bool tensor is True everywhere, in all examples inside a vmap too: computed now, to check arguments."""
    return bool(wrap(of_all_examples(build.detach(condition.node))).all())


def leaf_of(array: Any, dtype: DType, device: Device) -> Node:
    """A node that reads an array which this call made."""
    shape = tuple(int(n) for n in array.shape)
    array = library(device.type).ascontiguousarray(array.astype(dtype.numpy, copy=False)).reshape(shape)
    return build.buffer(Buffer(array, dtype, shape, device), dtype, shape, device)


def nonzero_nodes(tensor: TensorBase, name: str = "nonzero") -> list[Node]:
    """One int64 index vector for each dimension: where the tensor isn't zero; `name` must know it."""
    array = computed(tensor, name)
    return [leaf_of(found, int64, tensor.device) for found in array.nonzero()]
