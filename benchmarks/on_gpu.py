"""Everything that must be seen on a GPU, in one run: checks first, then figures. Usage: on_gpu.py [section ...]

Sections: smoke, twin (4-layer GPT against torch), speed (GPT-2 124M tokens/s beside torch eager and
torch.compile). Prints one line for each fact; a section that fails prints its traceback and the next goes on.
"""

from __future__ import annotations

import sys
import time
import traceback
import types
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "examples")]

import lazygrad as lg
from lazygrad import engine
from lazygrad.nn import functional as F


def torch_twin():
    """The example's model over torch: the same source, another library under the name."""
    import torch

    source = (Path(__file__).resolve().parent.parent / "examples" / "gpt2_model.py").read_text()
    source = source.replace("import lazygrad as lg", "import torch as lg").replace("from lazygrad", "from torch")
    module = types.ModuleType("torch_gpt2_model")
    sys.modules[module.__name__] = module
    exec(compile(source, "torch_gpt2_model.py", "exec"), module.__dict__)
    return torch, module


def batches(count, batch, time_, vocabulary, seed=0):
    rng = np.random.default_rng(seed)
    # learnable: each token follows from the one before, with noise
    table = rng.integers(0, vocabulary, vocabulary)
    for _ in range(count):
        rows = np.empty((batch, time_ + 1), np.int64)
        rows[:, 0] = rng.integers(0, vocabulary, batch)
        for t in range(time_):
            noise = rng.random(batch) < 0.1
            rows[:, t + 1] = np.where(noise, rng.integers(0, vocabulary, batch), table[rows[:, t]])
        yield rows[:, :-1].copy(), rows[:, 1:].copy()


def smoke():
    x = lg.randn(7, 300, device="cuda", requires_grad=True)
    y = F.layer_norm(x, (300,))
    (y * y.sin()).sum().backward()
    on_gpu = x.grad.cpu().numpy().copy()
    z = lg.tensor(x.detach().cpu().numpy(), requires_grad=True)
    w = F.layer_norm(z, (300,))
    (w * w.sin()).sum().backward()
    print("smoke: layer_norm gradient, greatest difference from NumPy:", np.abs(on_gpu - z.grad.numpy()).max())


def twin(dtype="float32", steps=50, layers=4):
    import gpt2_model
    from dataclasses import replace

    torch, theirs = torch_twin()
    torch.backends.cuda.matmul.allow_tf32 = False
    config = replace(gpt2_model.SIZES["gpt2"], layers=layers, heads=6, width=384, context=128, vocabulary=1000, rows=1024)
    torch.manual_seed(0)
    b = theirs.GPT2(theirs.GPT2Config(**vars(config))).cuda()
    a = gpt2_model.GPT2(config)
    a.load_state_dict({k: lg.tensor(v.detach().cpu().numpy()) for k, v in b.state_dict().items()})
    a = a.to("cuda")
    oa = lg.optim.AdamW(a.parameters(), lr=1e-3)
    ob = torch.optim.AdamW(b.parameters(), lr=1e-3)
    worst = 0.0
    for step, (x, y) in enumerate(batches(steps, 8, 128, 1000)):
        losses = []
        for lib, m, o, f in ((lg, a, oa, F), (torch, b, ob, torch.nn.functional)):
            tx, ty = (lib.from_numpy(v).to("cuda") for v in (x, y))
            with lib.autocast("cuda", dtype=lib.bfloat16, enabled=dtype == "bfloat16"):
                loss = f.cross_entropy(m(tx).flatten(0, 1), ty.flatten())
            loss.backward()
            o.step()
            o.zero_grad()
            losses.append(loss.item())
        worst = max(worst, abs(losses[0] - losses[1]) / abs(losses[1]))
        if step % 10 == 0 or step == steps - 1:
            print(f"twin {dtype}: step {step}: lazygrad {losses[0]:.6f}, torch {losses[1]:.6f}", flush=True)
    print(f"twin {dtype}: greatest relative difference of {steps} losses: {worst:.2e}")


def steps_per_second(lib, model, optimizer, data, functional, steps, warmup):
    times = []
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
    times = (time.perf_counter() - start) / max(steps, 1)
    return times, first, losses


def speed(*which, batch=32, steps=20):
    import gpt2_model

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
            torch, theirs = torch_twin()
            torch.manual_seed(0)
            torch.set_float32_matmul_precision("high")
            model = theirs.GPT2(theirs.GPT2Config(**vars(config))).cuda()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
            run = torch.compile(model) if name == "compile" else model
            result = steps_per_second(torch, run, optimizer, data, torch.nn.functional, steps, 4)
        seconds, first, losses = result
        print(
            f"speed {name}: {batch * 1024 / seconds:,.0f} tokens/s, {seconds * 1e3:.1f} ms a step; first step {first:.1f} s; "
            f"losses {', '.join(f'{x:.3f}' for x in losses)}",
            flush=True,
        )
        del model, optimizer


def first():
    """Where the time of the first step goes."""
    import cProfile
    import pstats

    import gpt2_model

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


def host():
    """Seconds of Python for one step, and of the device for one replay."""
    import gpt2_model

    model = gpt2_model.GPT2(gpt2_model.SIZES["gpt2"]).to("cuda")
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-4)
    data = list(batches(2, 32, 1024, 50257))
    steps_per_second(lg, model, optimizer, data, F, 0, 4)
    largest = max((c for c in engine._plans.values() if c.on_device), key=lambda c: len(c.plan.steps))
    bound = next(iter(largest.on_device.values()))
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
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def kernels():
    """The time of every step of the largest plan, on its own."""
    largest = max((c for c in engine._plans.values() if c.on_device), key=lambda c: len(c.plan.steps))
    bound = next(iter(largest.on_device.values()))
    rows = bound.profile()
    print(f"{len(rows)} launches, {sum(s for s, _ in rows) * 1e3:.2f} ms in all, each alone")
    together: dict[str, list[float]] = {}
    for seconds, text in rows:
        together.setdefault(text, []).append(seconds)
    for text, times in sorted(together.items(), key=lambda entry: -sum(entry[1])):
        print(f"{sum(times) * 1e3:8.3f} ms  {len(times):3d} x {times[0] * 1e3:7.3f}  {text}")


def main(names):
    for name in names:
        start = time.perf_counter()
        try:
            section, _, rest = name.partition(":")
            values = [int(v) if v.isdigit() else v for v in rest.split(",") if v]
            globals()[section](*values)
        except Exception:
            traceback.print_exc()
        print(f"[{name}: {time.perf_counter() - start:.1f} s]", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["smoke", "twin", "speed", "kernels"])
