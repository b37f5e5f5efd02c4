"""The flash attention kernels: their values against float64 math, and that every variant compiles.

Values are computed by Triton's interpreter on CPU tensors, so TRITON_INTERPRET is set before triton
is imported; compiling for real GPUs needs it unset and happens in one subprocess, `compile_all`.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest
import torch
import triton.language as tl

from lazygrad.codegen.attention import (
    AttentionConfig,
    AttentionSpec,
    MaskSpec,
    Strided,
    backward_kv,
    backward_q,
    candidates,
    forward,
    lse_shape,
)
from lazygrad.codegen.kernel import Kernel
from lazygrad.dtype import DType, bfloat16, bool_, float16, float32, float64

NAN, INF = math.nan, math.inf
SMALL = AttentionConfig(16, 16)
SEED, OFFSET = 0x1234_5678_9ABC_DEF, (1 << 32) - 7  # the counter crosses 2**32 within the test


@pytest.fixture(autouse=True, scope="module")
def interpreted_bfloat16_products() -> Iterator[None]:
    """Triton's interpreter multiplies the bit patterns of bfloat16 tiles: give it the values."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    original = InterpreterBuilder.create_dot

    def values(tile: Any) -> Any:
        if tile.dtype.scalar is not tl.bfloat16:
            return tile
        return TensorHandle((tile.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return original(self, values(a), values(b), *rest)

    InterpreterBuilder.create_dot = create_dot
    yield
    InterpreterBuilder.create_dot = original


def torch_dtype(dtype: DType) -> torch.dtype:
    return getattr(torch, dtype.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


numbers = itertools.count()


def load(kernel: Kernel, folder: Path) -> Any:
    """takes a kernel, returns its function, from a file: triton.jit reads its own source."""
    path = folder / f"{kernel.name}_{next(numbers)}.py"
    path.write_text(kernel.source)
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return getattr(module, kernel.name)


def launch(kernel: Kernel, folder: Path, buffers: dict[str, torch.Tensor]) -> None:
    arguments = [buffers[pointer.name.removesuffix("_ptr")] for pointer in kernel.params]
    load(kernel, folder)[kernel.grid](*arguments)


def philox(seed: int, counters: np.ndarray) -> np.ndarray:
    """takes 64-bit counters, returns the first word of Philox-4x32-10, as Random123 defines it."""
    word = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c0, c1 = counters & word, counters >> half
    c2, c3 = np.zeros_like(c0), np.zeros_like(c0)
    k0, k1 = np.uint64(seed & 0xFFFFFFFF), np.uint64((seed >> 32) & 0xFFFFFFFF)
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (second >> half) ^ c1 ^ k0,
            second & word,
            (first >> half) ^ c3 ^ k1,
            first & word,
        )
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & word, (k1 + np.uint64(0xBB67AE85)) & word
    return c0


@dataclass(frozen=True)
class Case:
    """One problem; `mask` says what it varies over, of batch, head, query and key: "bhij", "j"."""

    batch: int = 2
    heads: int = 2
    kv_heads: int = 2
    q_len: int = 21
    k_len: int = 21
    head_dim: int = 16
    dtype: DType = float32
    causal: bool = False
    mask: str = ""
    mask_dtype: DType = bool_
    hide_rows: bool = False  # whether some rows see no key at all
    hidden_score: float = -INF  # in a float mask
    fill: float = -INF
    empty_rows: str = "nan"
    dropout: float = 0.0
    scale: float = 0.3
    packed: bool = False
    config: AttentionConfig = SMALL


def strided(tensor: torch.Tensor) -> Strided:
    return Strided(tuple(tensor.stride()), tensor.storage_offset())  # type: ignore[arg-type]


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """The buffer a view lies in: kernels get the address of element 0."""
    return torch.as_strided(
        tensor, (tensor.untyped_storage().nbytes() // tensor.itemsize,), (1,), 0
    )


def operands(case: Case, poison: bool) -> list[torch.Tensor]:
    """takes a case, returns q, k, v or their gradients, random or NaN, packed or not."""
    dtype, heads = torch_dtype(case.dtype), (case.heads, case.kv_heads, case.kv_heads)
    lengths = (case.q_len, case.k_len, case.k_len)
    if case.packed:
        shape = (case.batch, case.q_len, sum(heads) * case.head_dim)
        whole = torch.full(shape, NAN, dtype=dtype) if poison else torch.randn(shape).to(dtype)
        parts = whole.split([count * case.head_dim for count in heads], dim=2)
        sizes = zip(parts, heads, strict=True)
        return [part.unflatten(2, (count, case.head_dim)).transpose(1, 2) for part, count in sizes]
    shapes = [(case.batch, h, t, case.head_dim) for h, t in zip(heads, lengths, strict=True)]
    return [torch.full(s, NAN, dtype=dtype) if poison else torch.randn(s).to(dtype) for s in shapes]


def make_mask(case: Case) -> torch.Tensor | None:
    if not case.mask:
        return None
    sizes = {"b": case.batch, "h": case.heads, "i": case.q_len, "j": case.k_len}
    shape = [sizes[axis] if axis in case.mask else 1 for axis in "bhij"]
    visible = torch.rand(shape) < 0.7
    visible[..., 0] = True
    if case.hide_rows:
        visible[..., 3:6, :] = False
    full = visible
    if case.mask_dtype is not bool_:
        full = torch.where(visible, torch.randn(shape), case.hidden_score).to(
            torch_dtype(case.mask_dtype)
        )
    return full.expand(case.batch, case.heads, case.q_len, case.k_len)


def reference(case: Case, q: Any, k: Any, v: Any, mask: torch.Tensor | None) -> tuple[Any, Any]:
    """takes float64 operands, returns out and lse by the definition, in torch operations."""
    group = case.heads // case.kv_heads
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q @ k.transpose(-2, -1) * case.scale
    if mask is not None and mask.dtype is torch.bool:
        scores = scores.masked_fill(~mask, case.fill)
    elif mask is not None:
        # Scores are float32 in the kernels: what -1e9 swallows there is swallowed here.
        scores = scores + ((scores + mask).float().double() - scores).detach()
    if case.causal:
        hidden = torch.ones(case.q_len, case.k_len).triu(1) > 0
        scores = scores.masked_fill(hidden, -INF)
    lse = scores.logsumexp(-1)
    empty = scores.amax(-1, keepdim=True) == -INF
    if case.empty_rows == "zero":
        weights = scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
        lse = lse.masked_fill(empty.squeeze(-1), INF)
    else:
        weights = scores.softmax(-1)
    if case.dropout:
        counters = np.arange(weights.numel(), dtype=np.uint64) + np.uint64(OFFSET)
        uniform = (philox(SEED, counters) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        keep = torch.from_numpy(uniform >= np.float32(case.dropout)).reshape(weights.shape)
        weights = torch.where(keep, weights / (1 - case.dropout), 0.0)
    return weights @ v, lse


def specification(case: Case, tensors: dict[str, torch.Tensor]) -> AttentionSpec:
    layouts = {name: strided(tensor) for name, tensor in tensors.items() if name != "mask"}
    mask = tensors.get("mask")
    mask_spec = None
    if mask is not None:
        mask_spec = MaskSpec(case.mask_dtype, tuple(mask.stride()))  # type: ignore[arg-type]
    return AttentionSpec(
        batch=case.batch, heads=case.heads, kv_heads=case.kv_heads, q_len=case.q_len,
        k_len=case.k_len, head_dim=case.head_dim, dtype=case.dtype, scale=case.scale,
        causal=case.causal, mask=mask_spec, fill=case.fill, empty_rows=case.empty_rows,
        dropout=case.dropout, **layouts,
    )  # fmt: skip


def test_philox_is_random123s() -> None:
    assert philox(0, np.zeros(1, np.uint64))[0] == 0x6627E8D5


TOLERANCE = {
    float64: 1e-11, float32: 2e-5, float16: 4e-3, bfloat16: 3e-2,
}  # fmt: skip

WIDE, TALL = AttentionConfig(32, 16), AttentionConfig(16, 64)  # blocks of more queries, more keys
CASES = {
    "plain": Case(),
    "even lengths": Case(q_len=32, k_len=48),
    "one by one": Case(q_len=1, k_len=1),
    "one query": Case(q_len=1, k_len=37, causal=False),
    "five": Case(q_len=5, k_len=5, causal=True),
    "seventeen": Case(q_len=17, k_len=17, causal=True),
    "causal": Case(causal=True),
    "causal even": Case(q_len=48, k_len=48, causal=True),
    "causal, blocks of more queries": Case(q_len=70, k_len=70, causal=True, config=WIDE),
    "causal, blocks of more keys": Case(q_len=70, k_len=70, causal=True, config=TALL),
    "causal, more queries": Case(q_len=70, k_len=21, causal=True, config=AttentionConfig(16, 32)),
    "causal, many more queries": Case(q_len=97, k_len=32, causal=True, config=WIDE),
    "causal, more keys": Case(q_len=21, k_len=70, causal=True, config=WIDE),
    "long": Case(batch=1, q_len=130, k_len=130, causal=True, config=AttentionConfig(64, 32)),
    "head 48": Case(head_dim=48, q_len=20, k_len=20, causal=True),
    "head 80": Case(batch=1, head_dim=80, q_len=17, k_len=18),
    "head 96": Case(batch=1, head_dim=96, q_len=17, k_len=18),
    "head 128": Case(batch=1, head_dim=128, q_len=17, k_len=18),
    "head 5": Case(batch=1, head_dim=5, q_len=17, k_len=18),
    "grouped": Case(heads=6, kv_heads=2, batch=1, causal=True),
    "one head of keys": Case(heads=3, kv_heads=1, q_len=18, k_len=35),
    "packed": Case(packed=True, causal=True),
    "packed grouped": Case(packed=True, heads=4, kv_heads=2, q_len=17, k_len=17),
    "negative scale": Case(scale=-0.7, causal=True),
    "zero scale": Case(scale=0.0),
    "bool mask": Case(mask="bhij"),
    "bool mask, causal": Case(mask="ij", causal=True),
    "bool mask over keys": Case(mask="bj", q_len=18),
    "bool mask over queries": Case(mask="i", hide_rows=True, empty_rows="zero", q_len=18),
    "bool mask over batch": Case(mask="bh", q_len=18),
    "bool mask, empty rows are zero": Case(mask="hij", hide_rows=True, empty_rows="zero"),
    "bool mask, empty rows are nan": Case(mask="bhij", hide_rows=True, q_len=18, k_len=17),
    "filled": Case(mask="bhij", fill=-1e9, hide_rows=True),
    "filled, causal": Case(mask="ij", fill=-1e9, hide_rows=True, causal=True),
    "filled with a moderate score": Case(mask="bij", fill=-1.5, hide_rows=True),
    "filled with -1e4": Case(mask="bij", fill=-1e4, hide_rows=True),
    "additive": Case(mask="bhij", mask_dtype=float32),
    "additive over keys": Case(mask="bj", mask_dtype=float32, causal=True),
    "additive over heads": Case(mask="hij", mask_dtype=bfloat16, q_len=18),
    "additive, empty rows are zero": Case(
        mask="hij", mask_dtype=float32, hide_rows=True, empty_rows="zero"
    ),
    "additive, empty rows are nan": Case(
        mask="ij", mask_dtype=float32, hide_rows=True, batch=1, k_len=17
    ),
    "additive -1e9": Case(mask="ij", mask_dtype=float32, hide_rows=True, hidden_score=-1e9),
    "additive, float32's least": Case(
        mask="ij", mask_dtype=float32, hide_rows=True, hidden_score=float(np.finfo("f4").min)
    ),
    "dropout": Case(dropout=0.3, causal=True),
    "dropout, grouped, masked": Case(
        dropout=0.5, heads=4, mask="bij", fill=-1e9, hide_rows=True, q_len=18
    ),
    "half": Case(dtype=float16, causal=True),
    "half, packed": Case(dtype=bfloat16, causal=True, packed=True, head_dim=48),
    "half, additive": Case(dtype=bfloat16, mask="hij", mask_dtype=bfloat16),
    "half, dropout": Case(dtype=float16, dropout=0.2),
    "double": Case(dtype=float64, causal=True),
}  # fmt: skip


@pytest.mark.parametrize("label", CASES)
def test_values(label: str, folder: Path) -> None:
    case = CASES[label]
    torch.manual_seed(sum(label.encode()))
    dtype, statistics = torch_dtype(case.dtype), torch_dtype(case.dtype.compute)
    tensors = dict(zip("qkv", operands(case, poison=False), strict=True))
    across = (case.batch, case.q_len, case.heads, case.head_dim)
    tensors["out"] = torch.full(across, NAN, dtype=dtype).transpose(1, 2)
    tensors["grad_out"] = torch.randn(across).to(dtype).transpose(1, 2)
    gradients = operands(case, poison=True)
    tensors |= dict(zip(("grad_q", "grad_k", "grad_v"), gradients, strict=True))
    mask = make_mask(case)
    if mask is not None:
        tensors["mask"] = mask
    spec = specification(case, tensors)

    exact = [tensors[name].double().requires_grad_() for name in "qkv"]
    out, lse = reference(
        case, *exact, mask if mask is None or mask.dtype is torch.bool else mask.double()
    )
    out.backward(tensors["grad_out"].double())

    buffers = {name: flat(tensor) for name, tensor in tensors.items()}
    if case.mask_dtype is bool_ and mask is not None:
        buffers["mask"] = buffers["mask"].view(torch.uint8)
    buffers["lse"] = torch.full(lse_shape(spec), NAN, dtype=statistics)
    buffers["seed"], buffers["offset"] = torch.tensor([SEED]), torch.tensor([OFFSET])
    launch(forward(spec, case.config), folder, buffers)
    tolerance = TOLERANCE[case.dtype]
    check(tensors["out"], out, tolerance)
    found_lse = buffers["lse"].sum(0) if buffers["lse"].dim() == 4 else buffers["lse"]
    check(found_lse, lse, tolerance if case.dtype.itemsize > 2 else 1e-3)

    delta = (tensors["grad_out"].to(statistics) * out.detach().to(statistics)).sum(-1)
    buffers["delta"] = delta.contiguous()
    launch(backward_kv(spec, case.config), folder, buffers)
    launch(backward_q(spec, case.config), folder, buffers)
    for found, wanted in zip(gradients, exact, strict=True):
        check(found, wanted.grad, 2 * tolerance)


def check(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    """Equal up to `tolerance` of the largest finite value; infinities and NaN in their places."""
    wanted = wanted.detach()
    finite = wanted[wanted.isfinite()].abs()
    size = max(1.0, float(finite.max())) if finite.numel() else 1.0
    torch.testing.assert_close(
        found.double(), wanted, rtol=tolerance, atol=tolerance * size, equal_nan=True
    )


def packed(
    batch: int, heads: int, length: int, head_dim: int, dtype: DType, **more: Any
) -> AttentionSpec:
    """GPT-2's layout: q, k, v side by side in one product's output, out as the next reads it."""
    width = heads * head_dim
    parts = [
        Strided((length * 3 * width, head_dim, 3 * width, 1), part * width) for part in range(3)
    ]
    out = Strided((length * width, head_dim, width, 1))
    gradients = dict(zip(("grad_q", "grad_k", "grad_v"), parts, strict=True))
    return AttentionSpec(
        batch, heads, heads, length, length, head_dim, dtype, 0.125, True, *parts, out,
        grad_out=out, **gradients, **more,
    )  # fmt: skip


GPT2 = packed(32, 12, 1024, 64, bfloat16)
BUILDERS = {"forward": forward, "backward_q": backward_q, "backward_kv": backward_kv}
TINY = AttentionConfig(16, 16, 4, 2)
MASKED = MaskSpec(bool_, (0, 0, 100, 1))
BIASED = MaskSpec(bfloat16, (0, 10000, 100, 1))
COMPILED = {
    "gpt2": (GPT2, None),
    "masked, uneven, head 80": (
        packed(2, 2, 100, 80, float16, mask=MASKED, fill=-1e9), TINY
    ),
    "grouped, biased, dropout": (
        replace(
            packed(2, 4, 100, 48, bfloat16, mask=BIASED, empty_rows="zero", dropout=0.1),
            kv_heads=2, causal=False,
        ), TINY,
    ),
    "wide": (
        replace(packed(16384, 4, 512, 32, float16, mask=MASKED, dropout=0.1), kv_heads=2),
        AttentionConfig(16, 32, 4, 2),
    ),
    "single": (packed(2, 2, 40, 16, float32), TINY),
    "double": (packed(2, 2, 40, 16, float64), TINY),
}  # fmt: skip
SHARED = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}


def test_every_variant_compiles(tmp_path: Path) -> None:
    """For GPUs that aren't here; the first guess for GPT-2 spills no register on Hopper."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    root = Path(__file__).parents[2]
    environment |= {"PYTHONPATH": str(root), "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(COMPILED) * len(BUILDERS) * len(SHARED)
    for row in rows:
        assert row["shared"] <= SHARED[row["arch"]], row
        if row["variant"] == "gpt2" and row["arch"] == 90:
            assert row["stack"] == 0 and row["tensor_cores"], row


def compile_all(folder: Path) -> None:
    """Prints one line of JSON for each variant, kernel and architecture: the resources it takes."""
    for (variant, (spec, config)), arch, which in itertools.product(
        COMPILED.items(), SHARED, BUILDERS
    ):
        chosen = config or candidates(spec, which, arch)[0]
        row = compiled(BUILDERS[which](spec, chosen), arch, folder)
        print(json.dumps({"variant": variant, "kernel": which, "arch": arch} | row), flush=True)


def compiled(kernel: Kernel, arch: int, folder: Path) -> dict[str, Any]:
    """takes a kernel and 80, 90 or 100, returns the resources it takes there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    spelling = {
        "bool": "u8",
        "float16": "fp16",
        "bfloat16": "bf16",
        "float32": "fp32",
        "float64": "fp64",
    }
    source = ASTSource(
        fn=load(kernel, folder),
        signature={p.name: "*" + spelling.get(p.dtype.name, "i64") for p in kernel.params},
        constexprs={},
        attrs={(index,): [["tt.divisibility", 16]] for index in range(len(kernel.params))},
    )
    options = {"num_warps": kernel.num_warps, "num_stages": kernel.num_stages}
    result = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    binary = folder / "kernel.cubin"
    binary.write_bytes(result.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    usage = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True, check=True)
    numbers = dict(re.findall(r"(REG|STACK):(\d+)", usage.stdout))
    return {
        "shared": result.metadata.shared,
        "registers": int(numbers["REG"]),
        "stack": int(numbers["STACK"]),
        "tensor_cores": "wgmma" in result.asm["ptx"] or "tcgen05" in result.asm["ptx"],
    }


if __name__ == "__main__":
    compile_all(Path(sys.argv[1]))
