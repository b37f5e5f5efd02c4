"""What the benchmarks share: the two libraries under one name, torch's twin of the example's model, data."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import lazygrad as lg
from benchmarks.cases import CASES, Bench, Work
from lazygrad.nn import functional

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


def bench_of(library: str, device: str) -> Bench:
    dtype = "bfloat16" if device == "cuda" else "float32"
    if library == "torch":
        return Bench(torch, torch.nn.functional, device, dtype, device == "cuda")
    return Bench(lg, functional, device, dtype, device == "cuda")


def gpt2_model() -> Any:
    """examples/gpt2_model.py."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return __import__("gpt2_model")


def torch_twin() -> Any:
    """The example's model over torch: the same source, another library under the name."""
    source = (EXAMPLES / "gpt2_model.py").read_text("utf-8")
    source = source.replace("import lazygrad as lg", "import torch as lg").replace("from lazygrad", "from torch")
    module = types.ModuleType("torch_gpt2_model")
    sys.modules[module.__name__] = module
    exec(compile(source, "torch_gpt2_model.py", "exec"), module.__dict__)
    return module


def batches(count: int, batch: int, length: int, vocabulary: int, seed: int = 0) -> Iterator[tuple[Any, Any]]:
    """(inputs, targets) that can be learned: each token follows from the one before, with noise."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, vocabulary, vocabulary)
    for _ in range(count):
        rows = np.empty((batch, length + 1), np.int64)
        rows[:, 0] = rng.integers(0, vocabulary, batch)
        for t in range(length):
            noise = rng.random(batch) < 0.1
            rows[:, t + 1] = np.where(noise, rng.integers(0, vocabulary, batch), table[rows[:, t]])
        yield rows[:, :-1].copy(), rows[:, 1:].copy()


def call_of(work: Work, lib: Any, forward: Callable[..., Any]) -> Callable[[], list[Any]]:
    """A function that runs forward and backward once and returns all results."""

    def call() -> list[Any]:
        result = forward(*work.inputs)
        results = list(result) if isinstance(result, tuple) else [] if result is None else [result]
        if not work.wanted:
            return results
        return results + list(lib.autograd.grad(results[0], work.wanted, work.gradient))

    return call


def prepared(name: str, variant: str, device: str) -> tuple[Work, Callable[[], Any]]:
    """A case and a call of it that computes everything it returns. Variants: fused, torch, compile."""
    ours = variant == "fused"
    work = CASES[name](bench_of("lazygrad" if ours else "torch", device))
    if ours:
        return work, lg.compile(call_of(work, lg, work.forward))
    if variant == "compile":
        torch._dynamo.reset()
    return work, call_of(work, torch, torch.compile(work.forward) if variant == "compile" else work.forward)


def waiting(call: Callable[[], Any], lib: Any, device: str) -> Callable[[], None]:
    """The call, and the wait until it is done."""

    def whole() -> None:
        call()
        synchronize(lib, device)

    return whole


def synchronize(lib: Any, device: str) -> None:
    if device == "cuda":
        lib.cuda.synchronize()


def gpt2_step(variant: str, config: Any, data: list[Any], device: str) -> tuple[Callable[[], None], list[Any], int]:
    """(a function that takes one training step, the list that holds its loss, the number of parameters).

    Variants: fused and unfused are lazygrad, torch, compile.
    """
    bench = bench_of("lazygrad" if "fused" in variant else "torch", device)
    lib = bench.lib
    module = gpt2_model() if lib is lg else torch_twin()
    lib.manual_seed(0)
    network = module.GPT2(module.GPT2Config(**vars(config))).to(device)
    optimizer = lib.optim.AdamW(network.parameters(), lr=1e-4, **({"fused": True} if device == "cuda" else {}))
    run = torch.compile(network) if variant == "compile" else network
    losses: list[Any] = []
    taken = 0

    def step() -> None:
        nonlocal taken
        inputs, targets = (lib.from_numpy(v).to(device) for v in data[taken % len(data)])
        taken += 1
        with lib.autocast(device, dtype=lib.bfloat16, enabled=device == "cuda"):
            loss = bench.functional.cross_entropy(run(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses[:] = [loss.detach()]
        if lib is lg and device == "cpu":
            losses[0].realize()  # on a GPU the next step, or the synchronization at the end, does this

    return step, losses, network.parameter_count()


def steps_per_second(lib, model, optimizer, data, functional, steps, warmup):
    """(seconds a step, seconds until the first was done, losses of the first, the last before the clock, the last)."""
    synchronize = lib.cuda.synchronize
    start = time.perf_counter()
    first = None
    losses = []
    for i in range(steps + warmup):
        x, y = data[i % len(data)]
        tx, ty = (lib.from_numpy(v).to("cuda") for v in (x, y))
        with lib.autocast("cuda", dtype=lib.bfloat16):
            loss = functional.cross_entropy(model(tx).flatten(0, 1), ty.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if i == 0 or i == warmup - 1:
            losses.append(loss.item())
            synchronize()
            if i == 0:
                first = time.perf_counter() - start
            start = time.perf_counter()
    losses.append(loss.item())
    synchronize()
    return (time.perf_counter() - start) / max(steps, 1), first, losses
