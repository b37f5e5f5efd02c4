"""Whole training steps of GPT-2: forward, backward, AdamW; tokens/s as a program sees them.

124M parameters, 32 x 1024 tokens in bfloat16 on a GPU; two small layers on a
CPU. `share` is of the measured speed of a matrix product: arithmetic alone, 6 flops a parameter and token
and the products of attention.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

import lazygrad as lg
from benchmarks.support import batches, gpt2_model, gpt2_step, synchronize, torch

WARMUP = 4
VARIANTS = ("fused", "unfused", "torch", "compile")


@pytest.mark.parametrize("variant", VARIANTS)
def test_gpt2_step(variant: str, benchmark: Any, record: Any, device: str, request: Any) -> None:
    if variant in ("torch", "compile"):
        if torch is None:
            pytest.skip("torch is not installed")
        if variant == "compile" and device == "cpu" and not request.config.getoption("--with-compile"):
            pytest.skip("torch.compile on a CPU: --with-compile")
    elif device == "cpu" and variant == "unfused":
        pytest.skip("NumPy runs op by op either way")
    model = gpt2_model()
    if device == "cuda":
        config, batch, steps = model.SIZES["gpt2"], 32, 10
    else:
        config, batch, steps = replace(model.SIZES["tiny"], vocabulary=512, rows=512), 4, 5
    data = list(batches(4, batch, config.context, config.vocabulary))
    with lg.config(fuse=variant != "unfused"):
        step, losses, count = gpt2_step(variant, config, data, device)
        lib = lg if "fused" in variant else torch
        start = time.perf_counter()
        step()
        synchronize(lib, device)
        first = time.perf_counter() - start
        for _ in range(WARMUP - 1):
            step()
        synchronize(lib, device)

        def several() -> None:
            for _ in range(steps):
                step()
            synchronize(lib, device)

        benchmark.pedantic(several, rounds=3 if device == "cuda" else 1)
    seconds = benchmark.stats.stats.median / steps
    tokens = batch * config.context
    flops = 6 * count * tokens + 6 * config.layers * tokens * config.context * config.width
    record.add(
        "gpt2_step", variant, seconds, flops=flops, tokens=tokens / seconds, first=first, loss=float(losses[-1].item())
    )
