"""Time. Takes a function, returns how long it takes as a program sees it, or how long the device works on it;
and what this machine's memory and matrix product can do, which shares are shares of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lazygrad as lg
from benchmarks.support import synchronize, torch
from lazygrad.runtime import gpu
from lazygrad.runtime.device_plan import DevicePlan

ROUNDS = 20
FLUSHED = 256 << 20  # bytes written before each timed run, so that no input waits in the L2 cache


def wall_seconds(call: Callable[[], Any], lib: Any, device: str, rounds: int = ROUNDS) -> float:
    """Median seconds of a call as a program sees it, from Python to results."""
    times = []
    for _ in range(rounds):
        synchronize(lib, device)
        start = time.perf_counter()
        call()
        synchronize(lib, device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def lazygrad_replay(call: Callable[[], Any]) -> Callable[[], None]:
    """What the device does in one call: the captured graphs of the plans that it runs.

    RuntimeError where a plan has no captured graph (LAZYGRAD_GRAPHS=0, or a plan that moves data).
    """
    ran: list[DevicePlan] = []
    original = DevicePlan.run

    def recording(self: DevicePlan, *arguments: Any) -> Any:
        ran.append(self)
        return original(self, *arguments)

    DevicePlan.run = recording  # type: ignore[method-assign]
    try:
        results = call()
    finally:
        DevicePlan.run = original  # type: ignore[method-assign]
    if not ran or any(plan.graph is None for plan in ran):
        raise RuntimeError(f"{len(ran)} plans ran, of which {sum(p.graph is None for p in ran)} have no captured graph")
    stream = gpu.stream_of(ran[0].device)
    kept = [results]  # the memory that the graphs write

    def replay() -> None:
        assert kept
        for plan in ran:
            plan.graph.launch(stream)

    return replay


def lazygrad_device_seconds(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Median seconds that the device works on a call, each with a cold L2 cache."""
    replay = lazygrad_replay(call)
    cupy = gpu.cupy()
    stream = gpu.stream_of(lg.device("cuda"))
    cold = cupy.empty(FLUSHED, np.uint8)
    pairs = []
    with stream:
        for _ in range(rounds):
            cold.fill(0)
            start, stop = cupy.cuda.Event(), cupy.cuda.Event()
            start.record(stream)
            replay()
            stop.record(stream)
            pairs.append((start, stop))
        stream.synchronize()
    return statistics.median(cupy.cuda.get_elapsed_time(a, b) for a, b in pairs) / 1e3


def torch_device_seconds(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The same of torch: its call captured in a CUDA graph, so that launches cost what they cost lazygrad."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = call()
    cold = torch.empty(FLUSHED, dtype=torch.uint8, device="cuda")
    pairs = []
    for _ in range(rounds):
        cold.zero_()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        stop.record()
        pairs.append((start, stop))
    torch.cuda.synchronize()
    del kept
    return statistics.median(a.elapsed_time(b) for a, b in pairs) / 1e3


@dataclass(frozen=True)
class Machine:
    name: str
    copy: float  # bytes/s of a large copy, read and write counted
    product: float  # flop/s of a large matrix product of the library, in the benchmarks' dtype


def machine(device: str) -> Machine:
    """Measured here and now: shares are of this, not of a data sheet. On a CPU one thread counts, torch's too:
    the sizes are small, and NumPy's elementwise loops have one."""
    if device == "cpu":
        if torch is not None:
            torch.set_num_threads(1)
        source = np.ones(1 << 24, np.float32)
        target = np.empty_like(source)
        copy = _median(lambda: np.copyto(target, source))
        a, b = (np.ones((768, 768), np.float32) for _ in range(2))
        product = _median(lambda: a @ b)
        return Machine(_processor(), 2 * source.nbytes / copy, 2 * 768**3 / product)
    cupy = gpu.cupy()
    stream = gpu.stream_of(lg.device("cuda"))
    with stream:
        source_ = cupy.ones(1 << 29, np.uint8)
        target_ = cupy.empty_like(source_)
        copy = _median_on_device(lambda: cupy.copyto(target_, source_), cupy, stream)
        size = 8192
        block = np.random.default_rng(0).standard_normal(4_194_301, np.float32)
        a_ = cupy.asarray(np.resize(block, (size, size)).astype(lg.bfloat16.numpy))
        product = _median_on_device(lambda: a_ @ a_, cupy, stream)
    return Machine(lg.cuda.get_device_name(), 2 * source_.nbytes / copy, 2 * size**3 / product)


def _median(run: Callable[[], Any], rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _median_on_device(run: Callable[[], Any], cupy: Any, stream: Any, rounds: int = 10) -> float:
    times = []
    for _ in range(rounds):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        run()
        stop.record(stream)
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop) / 1e3)
    return statistics.median(times)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "a CPU"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "a CPU")
