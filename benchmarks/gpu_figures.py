"""How fast it is on a GPU: sections of on_gpu.py, each prints figures. fusion and steps write $OUT/speed.json and
speed.svg."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gpt2_model

import lazygrad as lg
from benchmarks.cases import CASES
from benchmarks.record import Record
from benchmarks.report import picture, table
from benchmarks.support import batches, gpt2_step, prepared, steps_per_second, synchronize, torch, torch_twin, waiting
from benchmarks.timing import lazygrad_device_seconds, torch_device_seconds, wall_seconds
from lazygrad import engine
from lazygrad.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]


def speed(*which, batch=32, steps=60):
    which = which or ("lazygrad", "eager", "compile")
    config = gpt2_model.SIZES["gpt2"]
    data = list(batches(4, batch, 1024, 50257))
    for name in which:
        if name == "lazygrad":
            lg.manual_seed(0)
            model = gpt2_model.GPT2(config).to("cuda")
            optimizer = lg.optim.AdamW(model.parameters(), lr=1e-4)
            result = steps_per_second(lg, model, optimizer, data, F, steps, 4)
        else:
            theirs = torch_twin()
            torch.manual_seed(0)
            torch.set_float32_matmul_precision("high")
            model = theirs.GPT2(theirs.GPT2Config(**vars(config))).cuda()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
            run = torch.compile(model) if name == "compile" else model
            result = steps_per_second(torch, run, optimizer, data, torch.nn.functional, steps, 4)
        seconds, first, losses = result
        print(
            f"speed {name}: {batch * 1024 / seconds:,.0f} tokens/s, {seconds * 1e3:.1f} ms a step;"
            f" first step {first:.1f} s; losses {', '.join(f'{x:.3f}' for x in losses)}",
            flush=True,
        )
        del model, optimizer


def story(level="2"):
    """The README's layer norm on this device, told at level 2 (story:4 for another)."""
    code = (
        "import lazygrad as lg\nfrom lazygrad.nn import functional as F\n\n"
        "x = lg.randn(16384, 4096, device='cuda', dtype=lg.bfloat16).realize()\n"
        "weight, bias = (lg.rand(4096, device='cuda', dtype=lg.bfloat16).realize() for _ in range(2))\n"
        "for _ in range(2):\n    F.layer_norm(x, (4096,), weight, bias).realize()\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "norm.py").write_text(code)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "LAZYGRAD_DEBUG": f"{level}", "LAZYGRAD_PROFILE": "1"}
        subprocess.run([sys.executable, "norm.py"], cwd=folder, env=environment, check=True)


def recorded():
    """The record of this run, its machine measured once."""
    global record
    record = record or Record("cuda")
    return record


def written():
    folder = Path(os.environ.get("OUT", ".benchmarks"))
    recorded().write(folder / "speed.json")
    (folder / "speed.svg").write_text(picture(recorded().document()))
    print("\n".join(table(recorded().document())), flush=True)


def fusion(*words, variants=("fused", "unfused", "torch", "compile")):
    """What tests of benchmarks/test_fusion.py record, without pytest."""
    for name in CASES:
        if words and not any(word in name for word in words):
            continue
        for variant in variants:
            try:
                fusion_case(name, variant)
            except Exception as error:
                print(f"fusion: {name} {variant}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    written()


def fusion_case(name, variant):
    ours = variant in ("fused", "unfused")
    lib = lg if ours else torch
    with lg.config(fuse=variant != "unfused"):
        work, call = prepared(name, "fused" if ours else variant, "cuda")
        start = time.perf_counter()
        waiting(call, lib, "cuda")()
        first = time.perf_counter() - start
        for _ in range(3):
            call()
        wall = wall_seconds(call, lib, "cuda", rounds=5)
        seconds = (lazygrad_device_seconds if ours else torch_device_seconds)(call)
    recorded().add(name, variant, seconds, bytes=work.bytes, flops=work.flops, wall=wall, first=first)
    row = recorded().rows[-1]
    print(
        f"fusion: {name} {variant}: {seconds * 1e3:.3f} ms on the device, {100 * row['share']:.0f}% of {row['of']};"
        f" {wall * 1e3:.3f} ms a call; first {first:.2f} s",
        flush=True,
    )
    del work, call
    torch.cuda.empty_cache()
    lg.cuda.empty_cache()


def steps(*variants, batch=32, count=10):
    """GPT-2 124M, what benchmarks/test_gpt2.py records, without pytest."""
    config = gpt2_model.SIZES["gpt2"]
    data = list(batches(4, batch, config.context, config.vocabulary))
    for variant in variants or ("fused", "torch", "compile"):
        lib = lg if "fused" in variant else torch
        with lg.config(fuse=variant != "unfused"):
            step, losses, parameters = gpt2_step(variant, config, data, "cuda")
            times = []
            for number in (1, 3, count):
                start = time.perf_counter()
                for _ in range(number):
                    step()
                synchronize(lib, "cuda")
                times.append((time.perf_counter() - start) / number)
        tokens = batch * config.context
        flops = 6 * parameters * tokens + 6 * config.layers * tokens * config.context * config.width
        loss = float(losses[0].item())
        more = {"tokens": tokens / times[-1], "first": times[0], "loss": loss}
        recorded().add("gpt2_step", variant, times[-1], flops=flops, **more)
        rate = tokens / times[-1]
        print(f"steps {variant}: {rate:,.0f} tokens/s; first {times[0]:.1f} s; loss {loss:.4f}", flush=True)
        del step, losses
    written()


def first():
    """Where the time of the first step goes."""
    import cProfile
    import pstats

    profile = cProfile.Profile()
    start = time.perf_counter()
    model = gpt2_model.GPT2(gpt2_model.SIZES["gpt2"]).to("cuda")
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-4)
    print(f"first: model and optimizer {time.perf_counter() - start:.2f} s")
    data = list(batches(1, 32, 1024, 50257))
    start = time.perf_counter()
    profile.enable()
    steps_per_second(lg, model, optimizer, data, F, 0, 1)
    profile.disable()
    print(f"first: step {time.perf_counter() - start:.2f} s")
    pstats.Stats(profile).sort_stats("cumtime").print_stats(45)


def largest_bound():
    """The plan with most steps among those that have been captured."""
    captured = [b for c in engine._plans.values() for b in c.on_device.values() if b.graph is not None]
    return max(captured, key=lambda b: len(b.plan.steps))


def host():
    """Seconds of Python for one step, and of the device for one replay."""
    model = gpt2_model.GPT2(gpt2_model.SIZES["gpt2"]).to("cuda")
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-4)
    data = list(batches(2, 32, 1024, 50257))
    steps_per_second(lg, model, optimizer, data, F, 0, 4)
    bound = largest_bound()
    stream = lg.cuda.gpu.stream_of(bound.device)
    for _ in range(3):
        lg.cuda.synchronize()
        start = time.perf_counter()
        bound.graph.launch(stream)
        stream.synchronize()
        print(f"host: one replay {1e3 * (time.perf_counter() - start):.1f} ms on the device")
    for _ in range(3):
        lg.cuda.synchronize()
        times = [time.perf_counter()]
        tx, ty = (lg.from_numpy(v).to("cuda") for v in data[0])
        with lg.autocast("cuda", dtype=lg.bfloat16):
            loss = F.cross_entropy(model(tx).flatten(0, 1), ty.flatten())
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        optimizer.step()
        times.append(time.perf_counter())
        optimizer.zero_grad()
        times.append(time.perf_counter())
        lg.cuda.synchronize()
        times.append(time.perf_counter())
        names = ("forward", "backward", "step", "zero_grad and launch", "waiting")
        parts = ", ".join(f"{n} {1e3 * (b - a):.1f}" for n, a, b in zip(names, times, times[1:], strict=False))
        print(f"host: {parts} ms")
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.enable()
    steps_per_second(lg, model, optimizer, data, F, 3, 0)
    profile.disable()
    print(f"host: {bound.runs} runs, {bound.captures} captures, {len(bound.donations)} outputs in place of inputs")
    moved = list(bound.moved)
    print("host: staged inputs", [(list(bound.plan.values[i].shape), bound.plan.values[i].dtype.name) for i in moved])
    loose = [p for p, v in enumerate(bound.plan.outputs) if p not in bound.donations]
    print("host: outputs of their own", [list(bound.plan.values[bound.plan.outputs[p]].shape) for p in loose])
    pstats.Stats(profile).sort_stats("cumtime").print_stats(40)


def kernels():
    """The time of every step of the largest plan, on its own."""
    bound = largest_bound()
    rows = bound.profile()
    print(f"{len(rows)} launches, {sum(s for s, _ in rows) * 1e3:.2f} ms in all, each alone")
    together: dict[str, list[float]] = {}
    for seconds, text in rows:
        together.setdefault(text, []).append(seconds)
    for text, times in sorted(together.items(), key=lambda entry: -sum(entry[1])):
        print(f"{sum(times) * 1e3:8.3f} ms  {len(times):3d} x {times[0] * 1e3:7.3f}  {text}")


def convolution(images=64, channels=64, size=32, kernel=3, rounds=30):
    """Forward and backward of one conv2d and a relu, as a program sees them: the median wall time beside cuDNN's."""
    torch.backends.cudnn.allow_tf32 = False

    def median(lib, dtype):
        x = lib.randn(images, channels, size, size, device="cuda").to(dtype).requires_grad_()
        w = lib.randn(channels, channels, kernel, kernel, device="cuda").to(dtype).requires_grad_()
        times = []
        for _ in range(rounds + 5):
            lib.cuda.synchronize()
            start = time.perf_counter()
            y = lib.nn.functional.conv2d(x, w, padding=kernel // 2).relu()
            found = lib.autograd.grad(y.float().square().sum(), [x, w])
            if lib is lg:
                found[0].realize()  # both: gradients of one call are computed together
            lib.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return sorted(times[5:])[rounds // 2] * 1e3

    for dtype in ("float32", "bfloat16"):
        theirs, ours = (median(lib, getattr(lib, dtype)) for lib in (torch, lg))
        shape = f"{images} x {channels} x {size} x {size}, {kernel} x {kernel}"
        print(f"convolution {dtype} {shape}: torch {theirs:.2f} ms, lazygrad {ours:.2f} ms", flush=True)


SECTIONS = {f.__name__: f for f in (speed, story, fusion, steps, first, host, kernels, convolution)}
