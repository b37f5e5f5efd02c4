"""Everything that must be seen on a GPU, in one run: checks first, then figures. Usage: on_gpu.py [section ...]

Sections: smoke, twin (4-layer GPT against torch), speed (GPT-2 124M tokens/s beside torch eager and
torch.compile), fusion (the fusion cases; no pytest needed; fusion:softmax,adamw for those whose names
contain a word), steps (GPT-2 for the same record), story (a layer norm under LAZYGRAD_DEBUG), first, host,
kernels and more: a section is a function below. Prints one line for each fact; a section that fails prints
its traceback and the next goes on. fusion and steps write $OUT/speed.json and speed.svg.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import gpt2_model  # noqa: E402

import lazygrad as lg  # noqa: E402
from benchmarks.cases import CASES  # noqa: E402
from benchmarks.record import Record  # noqa: E402
from benchmarks.report import picture, table  # noqa: E402
from benchmarks.support import batches, gpt2_step, prepared, synchronize, torch, torch_twin, waiting  # noqa: E402
from benchmarks.timing import lazygrad_device_seconds, torch_device_seconds, wall_seconds  # noqa: E402
from lazygrad import engine  # noqa: E402
from lazygrad.nn import functional as F  # noqa: E402
from tests.programs import harness  # noqa: E402


def smoke():
    x = lg.randn(7, 300, device="cuda", requires_grad=True)
    y = F.layer_norm(x, (300,))
    (y * y.sin()).sum().backward()
    on_gpu = x.grad.cpu().numpy().copy()
    z = lg.tensor(x.detach().cpu().numpy(), requires_grad=True)
    w = F.layer_norm(z, (300,))
    (w * w.sin()).sum().backward()
    print("smoke: layer_norm gradient, greatest difference from NumPy:", np.abs(on_gpu - z.grad.numpy()).max())


def twin(dtype="float32", count=50, layers=4):
    theirs = torch_twin()
    torch.backends.cuda.matmul.allow_tf32 = False
    sizes = {"layers": layers, "heads": 6, "width": 384, "context": 128, "vocabulary": 1000, "rows": 1024}
    config = replace(gpt2_model.SIZES["gpt2"], **sizes)
    torch.manual_seed(0)
    b = theirs.GPT2(theirs.GPT2Config(**vars(config))).cuda()
    a = gpt2_model.GPT2(config)
    a.load_state_dict({k: lg.tensor(v.detach().cpu().numpy()) for k, v in b.state_dict().items()})
    a = a.to("cuda")
    oa = lg.optim.AdamW(a.parameters(), lr=1e-3)
    ob = torch.optim.AdamW(b.parameters(), lr=1e-3)
    worst = 0.0
    for step, (x, y) in enumerate(batches(count, 8, 128, 1000)):
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
        if step % 10 == 0 or step == count - 1:
            print(f"twin {dtype}: step {step}: lazygrad {losses[0]:.6f}, torch {losses[1]:.6f}", flush=True)
    print(f"twin {dtype}: greatest relative difference of {count} losses: {worst:.2e}")


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


record = None


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


def one_step(batch=2, steps=2):
    """A training step of GPT-2 124M, small enough for compute-sanitizer: run this under its memcheck."""
    import gpt2_model

    model = gpt2_model.GPT2(gpt2_model.SIZES["gpt2"]).to("cuda")
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-4)
    _, _, losses = steps_per_second(lg, model, optimizer, list(batches(1, batch, 1024, 50257)), F, 0, steps)
    print("one_step: losses", losses)


def losses(steps=200, batch=32, *variants):
    """GPT-2 124M in bfloat16 from torch's initial weights, on the same batches of CPython's
    language reference (its bytes) as torch: the loss every 20 steps.

    Variants: lazygrad, launches (without captured graphs), untuned (first guesses), torch; with 32, in float32.
    """
    import gpt2_model

    theirs = torch_twin()
    config = gpt2_model.SIZES["gpt2"]
    torch.manual_seed(0)
    first = theirs.GPT2(theirs.GPT2Config(**vars(config)))
    weights = {k: v.detach().clone() for k, v in first.state_dict().items()}
    text = np.frombuffer("\n".join(topics[k] for k in sorted(topics)).encode(), np.uint8).astype(np.int64)
    rng = np.random.default_rng(0)
    starts = [rng.integers(0, len(text) - 1025, batch) for _ in range(steps)]
    data = [tuple(np.stack([text[a + d : a + d + 1024] for a in row]) for d in (0, 1)) for row in starts]
    for variant in variants or ("lazygrad", "torch"):
        lib, f = (torch, torch.nn.functional) if "torch" in variant else (lg, F)
        model = (theirs.GPT2(theirs.GPT2Config(**vars(config))) if lib is torch else gpt2_model.GPT2(config))
        model.load_state_dict({k: v if lib is torch else lg.tensor(v.numpy()) for k, v in weights.items()})
        model = model.to("cuda")
        optimizer = lib.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95))
        found = []
        with lg.config(graphs=variant != "launches", autotune=variant != "untuned"):
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = 6e-4 * min(1, (step + 1) / 20)
                tx, ty = (lib.from_numpy(v).to("cuda") for v in data[step % len(data)])
                with lib.autocast("cuda", dtype=lib.bfloat16, enabled="32" not in variant):
                    loss = f.cross_entropy(model(tx).flatten(0, 1), ty.flatten())
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if step % 20 == 0 or step == steps - 1:
                    found.append(loss.item())
        print(f"losses: {variant:9s} {' '.join(f'{v:.4f}' for v in found)}", flush=True)
        del model, optimizer, loss


def gradients(batch=8, steps=20):
    """How far the gradients of GPT-2 124M in bfloat16 are from torch's in float32, for lazygrad and for torch, at the
    first step and after some: |difference| / |gradient|, the worst of each kind of parameter."""
    import gpt2_model

    theirs = torch_twin()
    config = gpt2_model.SIZES["gpt2"]
    torch.manual_seed(0)
    b = theirs.GPT2(theirs.GPT2Config(**vars(config))).cuda()
    a = gpt2_model.GPT2(config).to("cuda")
    optimizer = torch.optim.AdamW(b.parameters(), lr=6e-4, betas=(0.9, 0.95))
    data = list(batches(8, batch, 1024, 50257))

    def gradient(lib, model, functional, x, y, half):
        model.zero_grad()
        tx, ty = (lib.from_numpy(v).to("cuda") for v in (x, y))
        with lib.autocast("cuda", dtype=lib.bfloat16, enabled=half):
            loss = functional.cross_entropy(model(tx).flatten(0, 1), ty.flatten())
        loss.backward()
        found = {n: p.grad.detach().float().cpu().numpy().astype(np.float64) for n, p in model.named_parameters()}
        model.zero_grad()
        return found

    for step in range(steps + 1):
        x, y = data[step % len(data)]
        if step in (0, steps):
            a.load_state_dict({k: lg.tensor(v.detach().cpu().numpy()) for k, v in b.state_dict().items()})
            exact = gradient(torch, b, torch.nn.functional, x, y, False)
            for name, found in (
                ("lazygrad", gradient(lg, a, F, x, y, True)),
                ("torch", gradient(torch, b, torch.nn.functional, x, y, True)),
            ):
                kinds: dict[str, list[float]] = {}
                for n, g in found.items():
                    error = np.linalg.norm(g - exact[n]) / np.linalg.norm(exact[n])
                    kinds.setdefault(".".join(w for w in n.split(".")[1:] if not w.isdigit()), []).append(error)
                text = ", ".join(f"{max(e):.4f} {n}" for n, e in kinds.items())
                print(f"gradients: step {step}: {name} from float32: {text}", flush=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            tx, ty = (torch.from_numpy(v).to("cuda") for v in (x, y))
            loss = torch.nn.functional.cross_entropy(b(tx).flatten(0, 1), ty.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def relative(mine, other):
    """|mine - other| / |other| of a lazygrad and a torch tensor."""
    a = mine.detach().float().cpu().numpy().astype(np.float64)
    b = other.detach().double().cpu().numpy()
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)


def parts(scale=3):
    """Attention, the loss over the whole vocabulary, layer norm and GELU on values far from those of a fresh model,
    forward and gradients, beside torch in float32 on the same bfloat16 inputs."""
    rng = np.random.default_rng(0)

    def both(*shape, spread=1.0):
        value = torch.from_numpy((rng.standard_normal(shape) * spread).astype(np.float32)).bfloat16().float()
        mine = lg.from_numpy(value.numpy()).to("cuda").to(lg.bfloat16).detach().requires_grad_()
        return mine, value.cuda().requires_grad_()

    def compare(name, mine, other, *pairs):
        g = torch.from_numpy(rng.standard_normal(tuple(other.shape)).astype(np.float32)).bfloat16().float()
        mine.backward(lg.from_numpy(g.numpy()).to("cuda").to(mine.dtype))
        other.backward(g.cuda())
        found = [relative(mine, other)] + [relative(a.grad, b.grad) for a, b in pairs]
        print(f"parts: {name}: forward {found[0]:.1e}, gradients {' '.join(f'{e:.1e}' for e in found[1:])}", flush=True)

    q, k, v = (both(4, 12, 1024, 64, spread=scale**0.5) for _ in range(3))
    compare(
        "attention",
        F.scaled_dot_product_attention(q[0], k[0], v[0], is_causal=True),
        torch.nn.functional.scaled_dot_product_attention(q[1], k[1], v[1], is_causal=True),
        q, k, v,
    )  # fmt: skip
    logits = both(2048, 50304, spread=scale)
    ids = rng.integers(0, 50257, 2048)
    compare(
        "cross-entropy",
        F.cross_entropy(logits[0].float(), lg.from_numpy(ids).to("cuda")),
        torch.nn.functional.cross_entropy(logits[1], torch.from_numpy(ids).cuda()),
        logits,
    )
    x, w, b = both(8192, 768, spread=scale), both(768), both(768)
    compare("layer norm", F.layer_norm(x[0], (768,), w[0], b[0]),
            torch.nn.functional.layer_norm(x[1], (768,), w[1], b[1]), x, w, b)  # fmt: skip
    x = both(4096, 3072, spread=scale)
    compare("gelu", F.gelu(x[0], approximate="tanh"), torch.nn.functional.gelu(x[1], approximate="tanh"), x)
    x, w, b = both(8192, 768), both(3072, 768, spread=0.05), both(3072)
    compare("linear", F.linear(x[0], w[0], b[0]), torch.nn.functional.linear(x[1], w[1], b[1]), x, w, b)
    compare("linear+gelu", F.gelu(F.linear(x[0], w[0], b[0]), approximate="tanh"),
            torch.nn.functional.gelu(torch.nn.functional.linear(x[1], w[1], b[1]), approximate="tanh"))  # fmt: skip


def embedding(count=32768, rows=50304, width=768):
    """The gradient of an embedding against NumPy, for uniform, Zipf-like and equal ids, run three times each."""
    rng = np.random.default_rng(0)
    kinds = {
        "uniform": rng.integers(0, rows, count),
        "zipf": np.minimum(rng.zipf(1.3, count), rows) - 1,
        "equal": np.full(count, 7),
    }
    for kind, ids in kinds.items():
        g = rng.standard_normal((count, width)).astype(np.float32)
        expected = np.zeros((rows, width))
        np.add.at(expected, ids, g.astype(np.float64))
        bits = []
        for _ in range(4):
            weight = lg.zeros(rows, width, device="cuda", requires_grad=True)
            out = F.embedding(lg.from_numpy(ids).to("cuda"), weight)
            out.backward(lg.from_numpy(g).to("cuda"))
            bits.append(weight.grad.cpu().numpy().copy())
        error = np.abs(bits[0] - expected).max()
        same = all(np.array_equal(bits[0], other) for other in bits)
        print(f"embedding: {kind}: greatest error {error:.2e}, equal bits in every run: {same}")


def cupy():
    """The same small GPT through Triton and through CuPy: losses step by step."""
    config = replace(gpt2_model.SIZES["gpt2"], layers=4, heads=6, width=384, context=128, vocabulary=1000, rows=1024)
    runs = []
    for backend in ("triton", "cupy"):
        with lg.config(backend=backend):
            lg.manual_seed(0)
            model = gpt2_model.GPT2(config).to("cuda")
            optimizer = lg.optim.AdamW(model.parameters(), lr=1e-3)
            found = []
            start = time.perf_counter()
            for x, y in batches(20, 8, 128, 1000):
                tx, ty = (lg.from_numpy(v).to("cuda") for v in (x, y))
                loss = F.cross_entropy(model(tx).flatten(0, 1), ty.flatten())
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                found.append(loss.item())
            print(f"cupy: {backend}: {found[0]:.6f} ... {found[-1]:.6f} in {time.perf_counter() - start:.1f} s")
            runs.append(found)
    worst = max(abs(p - q) / q for p, q in zip(*runs, strict=True))
    print(f"cupy: greatest relative difference of 20 losses {worst:.2e}")


def checks():
    """The tests that need a GPU."""
    import pytest

    folder = Path(__file__).resolve().parent.parent
    pytest.main(["--gpu", "-p", "no:cacheprovider", str(folder / "tests" / "gpu")])


def example(steps=60):
    """examples/gpt2.py as a user runs it: trained, resumed from its checkpoint, evaluated, sampled from; and a small
    one with every kernel checked, and told at level 2."""
    script = str(ROOT / "examples" / "gpt2.py")

    def gpt2(*words, **settings):
        start = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
        done = subprocess.run(
            [sys.executable, script, *words],
            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        lines = [line.rpartition("\r")[2] for line in done.stdout.split("\n")]
        shown = lines if len(lines) < 60 else [*lines[:25], "[...]", *lines[-34:]]
        print(f"example: {' '.join(words)} {settings or ''}: exit {done.returncode},", end=" ")
        print(f"{time.perf_counter() - start:.1f} s", *shown, sep="\n  ", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        large = ("--model", "gpt2", "--batch", "32", "--dtype", "bfloat16", "--out", folder)
        half = str(steps // 2)
        gpt2(*large, "--steps", str(steps), "--checkpoint-every", half, "--eval-every", half, "--tokens", "100")
        gpt2(*large, "--steps", str(steps + 10), "--resume", "--eval-every", half, "--tokens", "20")
        gpt2(*large, "--eval-only")
        gpt2(*large, "--sample", "The ", "--tokens", "200")
    for dtype in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as folder:
            small = ("--model", "nano", "--steps", "6", "--dtype", dtype, "--out", folder, "--tokens", "5")
            gpt2(*small, LAZYGRAD_CHECK="1")
    with tempfile.TemporaryDirectory() as folder:
        gpt2("--model", "nano", "--steps", "4", "--out", folder, "--tokens", "5", LAZYGRAD_DEBUG="2")


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


def programs(*names):
    """tests/programs with torch, through Triton and through CuPy, all on the GPU: how far the losses are apart."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for name in names or harness.PROGRAMS:
        expected = []
        for variant in ("torch", "triton", "cupy"):
            library, backend = ("torch", "auto") if variant == "torch" else ("lazygrad", variant)
            start = time.perf_counter()
            try:
                with lg.config(backend=backend), redirect_stdout(io.StringIO()):
                    losses = harness.run(name, library, "cuda")
            except Exception:
                traceback.print_exc()
                print(f"programs: {name}: {variant} failed", flush=True)
                continue
            expected = expected or losses
            worst = max(harness.differences(losses, expected))
            seconds = time.perf_counter() - start
            print(f"programs: {name}: {variant} {seconds:.1f} s, losses within {worst:.1e} of torch's", flush=True)


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
