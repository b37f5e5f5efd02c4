"""Each fusion case: lazygrad fused and unfused, torch eager and torch.compile, in one run.

    pytest benchmarks/                              small on a CPU, full on a GPU
    pytest benchmarks/ -k "softmax or adamw"
    pytest benchmarks/ --results speed.json         then: python benchmarks/report.py speed.json

pytest-benchmark's own table shows calls as a program sees them, Python and launches included. The figures
that are recorded are, on a GPU, what the device does: replays of captured graphs between two events, with a
cold L2 cache. On a CPU lazygrad runs op by op on NumPy, fused or not; what the two would launch and move on
an H200 at full size is known there too, and recorded everywhere.
"""

from __future__ import annotations

from typing import Any

import pytest

import lazygrad as lg
from benchmarks.cases import CASES
from benchmarks.plans import hollow_bench, launches_and_bytes, planned
from benchmarks.support import bench_of, call_of, prepared, torch, waiting
from benchmarks.timing import lazygrad_device_seconds, torch_device_seconds

VARIANTS = ("fused", "unfused", "torch", "compile")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_fusion(name: str, variant: str, benchmark: Any, record: Any, device: str, request: Any) -> None:
    benchmark.group = name
    if variant in ("torch", "compile"):
        if torch is None:
            pytest.skip("torch is not installed")
        if variant == "compile" and device == "cpu" and not request.config.getoption("--with-compile"):
            pytest.skip("torch.compile on a CPU: --with-compile")
        run_torch(name, variant, benchmark, record, device)
    elif device == "cpu" and variant == "unfused":
        pytest.skip("NumPy runs op by op either way: see the launches of the fused line")
    else:
        run_lazygrad(name, variant == "fused", benchmark, record, device)


def run_lazygrad(name: str, fuse: bool, benchmark: Any, record: Any, device: str) -> None:
    with lg.config(fuse=fuse):
        work, call = prepared(name, "fused", device)
        benchmark.pedantic(waiting(call, lg, device), rounds=5, warmup_rounds=4)
        wall = benchmark.stats.stats.median
        seconds = lazygrad_device_seconds(call) if device == "cuda" else wall
    figures = {"bytes": work.bytes, "flops": work.flops, "wall": wall}
    record.add(name, "fused" if fuse else "unfused", seconds, **figures)


def run_torch(name: str, variant: str, benchmark: Any, record: Any, device: str) -> None:
    work, call = prepared(name, variant, device)
    benchmark.pedantic(waiting(call, torch, device), rounds=5, warmup_rounds=4)
    wall = benchmark.stats.stats.median
    seconds = torch_device_seconds(call) if device == "cuda" else wall
    record.add(name, variant, seconds, bytes=work.bytes, flops=work.flops, wall=wall)


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str, record: Any) -> None:
    """What the full sizes would launch and move on an H200, fused and unfused: known on any machine."""
    launches, moved = launches_and_bytes(planned(name, fuse=True))
    launches_unfused, moved_unfused = launches_and_bytes(planned(name, fuse=False))
    least = CASES[name](hollow_bench()).bytes
    record.plan(name, launches, launches_unfused, moved, moved_unfused, least)
    assert launches <= launches_unfused and moved <= moved_unfused


@pytest.mark.parametrize("name", CASES)
def test_what_is_timed_is_right(name: str, device: str) -> None:
    """Speed of wrong results is no speed: both libraries give the same, to the dtype's precision."""
    if torch is None:
        pytest.skip("torch is not installed")
    found = []
    for library, lib in (("lazygrad", lg), ("torch", torch)):
        work = CASES[name](bench_of(library, device))
        if not work.compares:
            pytest.skip("random")
        results = call_of(work, lib, work.forward)()
        found.append([lib.tensor(0.0) if r is None else r for r in [*results, *work.updated()]])
    tolerance = 3e-2 if device == "cuda" else 2e-4
    for ours, theirs in zip(*found, strict=True):
        theirs = theirs.detach().float().cpu()
        ours = torch.from_numpy(ours.detach().float().cpu().numpy())
        scale = theirs.abs().max().item() or 1.0
        difference = (ours - theirs).abs().max().item() / scale
        assert difference < tolerance, f"{name}: differs from torch by {difference:.1e} of the greatest value"
