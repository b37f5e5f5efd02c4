"""What must be right on a GPU: sections of on_gpu.py, each compares with torch, NumPy or CuPy and prints how far apart
they are."""

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

import gpt2_model
import numpy as np

import lazygrad as lg
from benchmarks.support import batches, steps_per_second, torch, torch_twin
from lazygrad.nn import functional as F
from tests.programs import harness

ROOT = Path(__file__).resolve().parents[1]


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


def one_step(batch=2, steps=2):
    """A training step of GPT-2 124M, small enough for compute-sanitizer: run this under its memcheck."""
    import gpt2_model

    model = gpt2_model.GPT2(gpt2_model.SIZES["gpt2"]).to("cuda")
    optimizer = lg.optim.AdamW(model.parameters(), lr=1e-4)
    _, _, losses = steps_per_second(lg, model, optimizer, list(batches(1, batch, 1024, 50257)), F, 0, steps)
    print("one_step: losses", losses)


def checks():
    """The tests that need a GPU."""
    pytest("tests/gpu")


def pytest(*words):
    """Run in a process of its own, which must not have imported Triton to interpret it."""
    command = [sys.executable, "-m", "pytest", "--gpu", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, flush=True)


def tables(*words):
    """Every table of cases and all comparisons of layers with torch, through Triton and through CuPy."""
    words = words or ("tensor", "nn", "test_seeds.py", "schedule")
    chosen = [f"tests/{word}" for word in words]
    pytest(*chosen, "-k", "arrays or kernels", "-n", str(max(1, (os.cpu_count() or 2) - 1)), "--tb=short")


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


def programs(*names):
    """tests/programs with torch, through Triton and through CuPy, all on the GPU: how far the losses are apart. Where
    that is far, how far they are from torch's on the CPU: its two devices break ties differently."""
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
            if worst > harness.TOLERANCE:
                with redirect_stdout(io.StringIO()):
                    on_cpu = harness.run(name, "torch", "cpu")
                apart = [max(harness.differences(found, on_cpu)) for found in (losses, expected)]
                print(f"    torch's on the CPU: within {apart[0]:.1e}; torch's on the GPU: {apart[1]:.1e}", flush=True)


SECTIONS = {
    f.__name__: f
    for f in (
        smoke, twin, losses, gradients, parts, embedding, cupy, one_step, checks, tables, example, programs,
    )
}  # fmt: skip
