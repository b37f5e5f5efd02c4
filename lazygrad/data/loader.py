"""DataLoader: takes a dataset and an order, yields batches, fetched here or by worker processes."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import multiprocessing.context
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lazygrad.data.collate import default_collate, default_convert, map_leaves
from lazygrad.data.dataset import IterableDataset
from lazygrad.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from lazygrad.data.seed import fresh_seed
from lazygrad.data.worker import Workers
from lazygrad.tensor import Tensor
from lazygrad.tensor.random import Generator


class FetchByIndex:
    """Indices to a batch of a dataset with items."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any]) -> None:
        self.dataset = dataset
        self.collate = collate

    def __call__(self, indices: Any) -> Any:
        if not isinstance(indices, list):
            return self.collate(self.dataset[indices])
        if hasattr(self.dataset, "__getitems__"):
            return self.collate(self.dataset.__getitems__(indices))
        return self.collate([self.dataset[i] for i in indices])


class FetchFromStream:
    """A number of items (None: a single one) to a batch of a stream. StopIteration at its end."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset = dataset
        self.collate = collate
        self.drop_last = drop_last
        self._items: Iterator[Any] | None = None

    def __call__(self, count: Any) -> Any:
        if self._items is None:
            self._items = iter(self.dataset)
        if count == 0:
            return self.collate(next(self._items))
        batch = list(itertools.islice(self._items, count))
        if not batch or (self.drop_last and len(batch) < count):
            raise StopIteration
        return self.collate(batch)


class _MakeFetch:
    """How a worker makes its fetch function; a class, so that it can be pickled."""

    def __init__(self, stream: bool, collate: Callable[[Any], Any], drop_last: bool) -> None:
        self.stream, self.collate, self.drop_last = stream, collate, drop_last

    def __call__(self, dataset: Any) -> Any:
        if self.stream:
            return FetchFromStream(dataset, self.collate, self.drop_last)
        return FetchByIndex(dataset, self.collate)


class DataLoader:
    """Batches of a dataset. See torch.utils.data.DataLoader; pinned memory is accepted and means nothing
    here."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("prefetch_factor option could only be specified in multiprocessing.")
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        _check_context(multiprocessing_context, num_workers)
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.persistent_workers = persistent_workers
        self._stream = isinstance(dataset, IterableDataset)
        self._choose_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.collate_fn = collate_fn or (
            default_convert if self.batch_size is None and batch_sampler is None else default_collate
        )
        self._workers: Workers | None = None

    def _choose_order(
        self, batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool
    ) -> None:
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler options"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not self._stream:
            if shuffle:
                sampler = RandomSampler(self.dataset, generator=self.generator)
            else:
                sampler = SequentialSampler(self.dataset)
        if batch_size is not None and batch_sampler is None:
            if self._stream:
                BatchSampler([], batch_size, drop_last)  # checks the two
            else:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler

    def _tasks(self) -> Iterator[Any]:
        """What is to be fetched, batch by batch."""
        if self._stream:
            return itertools.repeat(self.batch_size or 0)
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return iter(order)

    def __iter__(self) -> Iterator[Any]:
        make = _MakeFetch(self._stream, self.collate_fn, self.drop_last)
        seed = fresh_seed(self.generator)  # drawn in either case, so that the order doesn't depend on who fetches
        return self._here(make(self.dataset)) if self.num_workers == 0 else self._elsewhere(make, seed)

    def _here(self, fetch: Callable[[Any], Any]) -> Iterator[Any]:
        for task in self._tasks():
            try:
                batch = fetch(task)
            except StopIteration:
                return
            yield batch

    def _elsewhere(self, make: _MakeFetch, seed: int) -> Iterator[Any]:
        # a stream begins anew only in a new process
        workers = self._workers if self.persistent_workers and not self._stream else None
        if workers is None:
            workers = Workers(
                self.dataset,
                make,
                self.num_workers,
                seed,
                self.worker_init_fn,
                self.timeout,
                self.prefetch_factor or 2,
                self.multiprocessing_context,
            )
        finished = False
        try:
            yield from workers.batches(self._tasks())
            finished = True
        finally:
            if finished and self.persistent_workers and not self._stream:
                self._workers = workers
            else:
                self._workers = None
                workers.close()

    def __len__(self) -> int:
        if self._stream:
            length = len(self.dataset)
            if self.batch_size is None:
                return length
            return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)


def _check_context(context: Any, workers: int) -> None:
    """ValueError for a way to start processes that there isn't, or without processes to start; TypeError for what
    isn't one."""
    if context is None:
        return
    if workers == 0:
        raise ValueError("multiprocessing_context can only be used with multi-process loading (num_workers > 0)")
    if isinstance(context, str):
        known = multiprocessing.get_all_start_methods()
        if context not in known:
            raise ValueError(f"multiprocessing_context should be one of {known}, but got {context!r}")
    elif not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(f"multiprocessing_context should be a start method or a context, but got {context!r}")


def prefetch(batches: Iterable[Any], device: Any, ahead: int = 2) -> Iterator[Any]:
    """The same batches with their tensors on `device`; `ahead` of them are on their way while one is used."""
    waiting: list[Any] = []
    for batch in batches:
        waiting.append(map_leaves(lambda v: v.to(device).realize() if isinstance(v, Tensor) else v, batch))
        if len(waiting) > ahead:
            yield waiting.pop(0)
    yield from waiting
