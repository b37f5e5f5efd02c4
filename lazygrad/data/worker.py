"""Worker processes of a DataLoader: each takes lists of indices, returns batches as arrays, in order.

Tensors cross as NumPy arrays; what a worker raises is raised again where the batch is asked for.
"""

from __future__ import annotations

import multiprocessing
import queue
import random
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lazygrad.data.collate import map_leaves, tensor_from
from lazygrad.tensor import Tensor
from lazygrad.tensor.random import manual_seed


@dataclass(frozen=True)
class WorkerInfo:
    """Which of how many workers this process is, its seed, and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


LOOK_AFTER = 1.0  # seconds between two looks at whether the workers are alive

_info: list[WorkerInfo] = []


def get_worker_info() -> WorkerInfo | None:
    """In a worker process, what it is; None in the main process."""
    return _info[0] if _info else None


class Packed(NamedTuple):
    """A tensor on its way between processes."""

    array: np.ndarray[Any, Any]


class Failure(NamedTuple):
    """What a worker raised."""

    kind: type[BaseException]
    text: str

    def again(self) -> BaseException:
        message = f"Caught {self.kind.__name__} in DataLoader worker process.\nOriginal {self.text}"
        try:
            return self.kind(message)
        except TypeError:  # an exception that wants other arguments
            return RuntimeError(message)


class Finished(NamedTuple):
    """A stream has ended in this worker."""

    worker: int


def _pack(value: Any) -> Any:
    return map_leaves(lambda v: Packed(v.numpy(force=True)) if isinstance(v, Tensor) else v, value)


def _unpack(value: Any) -> Any:
    return map_leaves(lambda v: tensor_from(v.array) if isinstance(v, Packed) else v, value, (Packed,))


def _work(
    info: WorkerInfo, fetch: Callable[[Any], Any], tasks: Any, results: Any, init: Callable[[int], Any] | None
) -> None:
    _info[:] = [info]
    seed = info.seed + info.id
    random.seed(seed)
    np.random.seed(seed % 2**32)
    manual_seed(seed)
    try:
        if init is not None:
            init(info.id)
        problem = None
    except Exception as error:
        problem = Failure(type(error), traceback.format_exc())
    while (task := tasks.get()) is not None:
        number, indices = task
        if problem is not None:
            results.put((number, problem))
            continue
        try:
            results.put((number, _pack(fetch(indices))))
        except StopIteration:
            results.put((number, Finished(info.id)))
        except Exception as error:
            results.put((number, Failure(type(error), traceback.format_exc())))


class Workers:
    """Processes that fetch batches ahead of their use."""

    def __init__(
        self,
        dataset: Any,
        make_fetch: Callable[[Any], Callable[[Any], Any]],
        count: int,
        seed: int,
        init: Callable[[int], Any] | None,
        timeout: float,
        ahead: int,
        context: Any,
    ) -> None:
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self._timeout = timeout
        self._ahead = ahead * count
        self._results = context.Queue()
        self._tasks = [context.Queue() for _ in range(count)]
        self._processes: list[Any] = []
        for i, tasks in enumerate(self._tasks):
            info = WorkerInfo(i, count, seed, dataset)
            arguments = (info, make_fetch(dataset), tasks, self._results, init)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)
        # also when nobody holds them any more
        self._finish = weakref.finalize(self, _end, self._processes, self._tasks, self._results)

    def batches(self, tasks: Iterator[Any]) -> Iterator[Any]:
        """The batch of every task, in order. A worker whose stream has ended gets no more."""
        active = list(range(len(self._tasks)))
        waiting: dict[int, Any] = {}
        sent = wanted = 0
        turn = 0
        more = True
        while True:
            while more and active and sent - wanted < self._ahead:
                task = next(tasks, None)
                if task is None:
                    more = False
                    break
                self._tasks[active[turn % len(active)]].put((sent, task))
                turn += 1
                sent += 1
            if wanted == sent:
                return
            while wanted not in waiting:
                number, result = self._receive()
                waiting[number] = result
                if isinstance(result, Finished) and result.worker in active:
                    active.remove(result.worker)
            result = waiting.pop(wanted)
            wanted += 1
            if isinstance(result, Failure):
                raise result.again()
            if not isinstance(result, Finished):
                yield _unpack(result)

    def _receive(self) -> tuple[int, Any]:
        started = time.monotonic()
        while True:
            left = self._timeout - (time.monotonic() - started) if self._timeout else LOOK_AFTER
            try:
                found: tuple[int, Any] = self._results.get(timeout=max(0.0, min(left, LOOK_AFTER)))
                return found
            except queue.Empty:
                pass
            dead = [p for p in self._processes if not p.is_alive()]
            if dead:
                raise RuntimeError(
                    f"DataLoader worker (pid {dead[0].pid}) exited unexpectedly with exit code {dead[0].exitcode}"
                )
            if self._timeout and left <= LOOK_AFTER:
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")

    def close(self) -> None:
        """End the processes."""
        self._finish()


def _end(processes: list[Any], tasks: list[Any], results: Any) -> None:
    for channel, process in zip(tasks, processes, strict=True):
        if process.is_alive():
            channel.put(None)
    for process in processes:
        process.join(timeout=1)
        if process.is_alive():
            process.terminate()
            process.join()
    for channel in (*tasks, results):
        channel.cancel_join_thread()
        channel.close()
