"""Datasets: something with a length and items by index, or something to iterate over."""

from __future__ import annotations

import bisect
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from lazygrad.data.seed import permutation
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array
from lazygrad.tensor.random import Generator

T = TypeVar("T")


class Dataset(Generic[T]):
    """Base class: __getitem__(index), and __len__ where samplers need it."""

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[T]) -> ConcatDataset[T]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Base class of streams: __iter__ only. With workers, each iterates over the whole stream unless it asks
    get_worker_info() for its share."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Any) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


def item_of(tensor: Tensor, index: int) -> Tensor:
    """tensor[index]; on the CPU copied at once, so that a batch is not a graph of slices."""
    if tensor.device.type != "cpu" or tensor.requires_grad:
        return tensor[index]
    row = np.array(tensor.numpy()[index])
    return wrap(from_array(row, tensor.device, tensor.dtype))


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of equal length; an item is the tuple of their rows."""

    def __init__(self, *tensors: Tensor) -> None:
        if any(t.shape[0] != tensors[0].shape[0] for t in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(item_of(t, index) for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset[Any]):
    """Datasets of equal length; an item is the tuple (or the dictionary) of their items."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes datasets as arguments or as keywords, not both and not none")
        self.datasets: Any = args or kwargs
        lengths = {len(d) for d in (args or kwargs.values())}
        if len(lengths) > 1:
            raise ValueError("Size mismatch between datasets")
        self._length = lengths.pop()

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return int(self._length)


class ConcatDataset(Dataset[T]):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T:
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        found: T = self.datasets[which][index - before]
        return found


class ChainDataset(IterableDataset[Any]):
    """Streams one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield from dataset

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)


class Subset(Dataset[T]):
    """The items of a dataset at some indices."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T:
        found: T = self.dataset[[self.indices[i] for i in index] if isinstance(index, list) else self.indices[index]]
        return found

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset[Any]]:
    """Subsets of these lengths, or of these shares if they add up to 1, drawn at random without overlap."""
    total = len(dataset)
    sizes = [int(n) for n in lengths]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = [math.floor(total * share) for share in lengths]
        for i in range(total - sum(sizes)):  # what rounding left over goes round the subsets
            sizes[i % len(sizes)] += 1
    if sum(sizes) != total:
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = permutation(total, generator)
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


class TokenDataset(Dataset[tuple[Tensor, Tensor]]):
    """A file of token numbers, mapped into memory: item i is (tokens, the same shifted by one).

    Pieces of `length` tokens start every `stride` tokens (default: `length`, so that none is seen twice).
    """

    def __init__(
        self, path: str | os.PathLike[str], length: int, dtype: Any = np.uint16, stride: int | None = None
    ) -> None:
        self.tokens = np.memmap(path, dtype, mode="r")
        self.length = length
        self.stride = length if stride is None else stride
        if len(self.tokens) <= length:
            raise ValueError(f"{path} holds {len(self.tokens)} tokens: too few for a piece of {length} and its target")

    def __len__(self) -> int:
        return (len(self.tokens) - 1 - self.length) // self.stride + 1

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range")
        start = index % len(self) * self.stride
        piece = self.tokens[start : start + self.length + 1].astype(np.int64)
        return piece[:-1], piece[1:]
