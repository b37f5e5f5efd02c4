"""Tuning: takes ways to compute the same, times them on the device, remembers the fastest on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygrad.codegen.kernel import Kernel
from lazygrad.runtime.disk_cache import DiskCache, digest
from lazygrad.schedule.plan import Choice

ROUNDS = 5


def key_of(choices: tuple[Choice, ...], device_name: str) -> str:
    """What a decision belongs to: the candidates and the device they were timed on."""
    texts = [f"{c.code} {c.params} {c.num_warps} {c.num_stages}" if isinstance(c, Kernel) else repr(c) for c in choices]
    return digest(device_name, *texts)


def remembered(cache: DiskCache, key: str, choices: tuple[Choice, ...]) -> int | None:
    found = cache.get_json("choice", key)
    if isinstance(found, dict) and isinstance(found.get("best"), int) and 0 <= found["best"] < len(choices):
        return int(found["best"])
    return None


def fastest(runs: list[Callable[[], None]], stream: Any, cupy: Any) -> tuple[int, list[float]]:
    """The index of the fastest run, and the median milliseconds of each."""
    times: list[float] = []
    for run in runs:
        run()
        times.append(median_milliseconds(run, stream, cupy))
    return min(range(len(times)), key=times.__getitem__), times


def median_milliseconds(run: Callable[[], None], stream: Any, cupy: Any) -> float:
    return sorted(milliseconds(run, stream, cupy) for _ in range(ROUNDS))[ROUNDS // 2]


def milliseconds(run: Callable[[], None], stream: Any, cupy: Any) -> float:
    """How long the device takes for one run."""
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record(stream)
    run()
    stop.record(stream)
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop))
