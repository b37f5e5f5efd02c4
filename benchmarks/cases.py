"""The fusion cases: each is the same source over lazygrad or torch. Takes a Bench, returns the Work to time.

`bytes` is the least a perfect program would move: every input read once, every output written once. So a
share of copy speed is a share of what memory allows, whatever a library really moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazygrad.device import CPU
from lazygrad.dtype import int64
from lazygrad.ir import build
from lazygrad.runtime.buffer import Buffer
from lazygrad.tensor.core import wrap

BLOCK = 4_194_301  # random numbers drawn for one input; prime, so that rows repeat nowhere in step


@dataclass(frozen=True)
class Bench:
    """One library on one device: all that a case needs to build its inputs."""

    lib: Any  # lazygrad or torch
    functional: Any
    device: str
    dtype: str  # of the data: bfloat16 on a GPU, float32 on a CPU
    full: bool  # the sizes of the table in docs/performance.md, or ones a CPU gets through in milliseconds
    hollow: bool = False  # lazygrad tensors without memory: enough to plan with, at any size

    @property
    def item(self) -> int:
        return 2 if self.dtype == "bfloat16" else 4

    def size(self, full: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, ...]:
        return full if self.full else small

    def tensor(self, *shape: int, seed: int = 0, grad: bool = False, scale: float = 1.0, dtype: str = "") -> Any:
        """Normal numbers, the same in both libraries."""
        if self.hollow:
            return hollow(shape, getattr(self.lib, dtype or self.dtype)).requires_grad_(grad)
        count = int(np.prod(shape))
        block = np.random.default_rng(seed).standard_normal(min(BLOCK, count), np.float32) * np.float32(scale)
        made = self.lib.from_numpy(block).to(self.device)
        if count > BLOCK:
            made = made.expand(-(-count // BLOCK), BLOCK).reshape(-1)[:count]
        made = made.reshape(shape).to(getattr(self.lib, dtype or self.dtype)).contiguous()
        if self.lib.__name__ == "lazygrad":
            made.realize()
        return made.detach().requires_grad_(grad)

    def indices(self, high: int, count: int) -> Any:
        if self.hollow:
            return hollow((count,), int64)
        return self.lib.from_numpy(np.random.default_rng(7).integers(0, high, count)).to(self.device)


def hollow(shape: tuple[int, ...], dtype: Any) -> Any:
    """A lazygrad tensor that counts as computed and has no memory."""
    return wrap(build.buffer(Buffer(None, dtype, shape, CPU), dtype, shape, CPU))


@dataclass(frozen=True)
class Work:
    """`forward(*inputs)`, then, where `wanted` names inputs, their gradients for the cotangent `gradient`."""

    forward: Callable[..., Any]
    inputs: tuple[Any, ...]
    bytes: int = 0
    flops: int = 0
    wanted: tuple[Any, ...] = ()
    gradient: Any = None
    compares: bool = True  # False: random, so that two libraries differ
    updated: Callable[[], list[Any]] = list  # what is written in place instead of returned


CASES: dict[str, Callable[[Bench], Work]] = {}


def case(make: Callable[[Bench], Work]) -> Callable[[Bench], Work]:
    CASES[make.__name__] = make
    return make


# -- rows ---------------------------------------------------------------------------------------------
def _softmax(bench: Bench, rows: int, width: int) -> Work:
    x = bench.tensor(rows, width)
    return Work(lambda x: bench.functional.softmax(x, -1), (x,), bytes=2 * rows * width * bench.item)


@case
def softmax_4096(bench: Bench) -> Work:
    return _softmax(bench, *bench.size((16384, 4096), (64, 512)))


@case
def softmax_65536(bench: Bench) -> Work:
    return _softmax(bench, *bench.size((2048, 65536), (8, 4096)))


def _layer_norm(bench: Bench, rows: int, width: int, backward: bool) -> Work:
    x = bench.tensor(rows, width, grad=backward)
    weight, bias = (bench.tensor(width, seed=seed, grad=backward) for seed in (1, 2))
    forward = lambda x, weight, bias: bench.functional.layer_norm(x, (width,), weight, bias)
    moved = rows * width * bench.item
    if not backward:
        return Work(forward, (x, weight, bias), bytes=2 * moved)
    gradient = bench.tensor(rows, width, seed=3)
    inputs = (x, weight, bias)
    return Work(forward, inputs, bytes=4 * moved, wanted=inputs, gradient=gradient)


@case
def layernorm_768(bench: Bench) -> Work:
    return _layer_norm(bench, *bench.size((65536, 768), (64, 192)), backward=False)


@case
def layernorm_4096(bench: Bench) -> Work:
    return _layer_norm(bench, *bench.size((16384, 4096), (32, 512)), backward=False)


@case
def layernorm_8192(bench: Bench) -> Work:
    return _layer_norm(bench, *bench.size((8192, 8192), (16, 1024)), backward=False)


@case
def layernorm_backward_768(bench: Bench) -> Work:
    return _layer_norm(bench, *bench.size((65536, 768), (64, 192)), backward=True)


@case
def layernorm_backward_4096(bench: Bench) -> Work:
    return _layer_norm(bench, *bench.size((16384, 4096), (32, 512)), backward=True)


@case
def layernorm_backward_8192(bench: Bench) -> Work:
    return _layer_norm(bench, *bench.size((8192, 8192), (16, 1024)), backward=True)


@case
def rmsnorm_backward_8192(bench: Bench) -> Work:
    rows, width = bench.size((8192, 8192), (16, 1024))
    x, weight = bench.tensor(rows, width, grad=True), bench.tensor(width, seed=1, grad=True)
    return Work(
        lambda x, weight: bench.functional.rms_norm(x, (width,), weight),
        (x, weight),
        bytes=4 * rows * width * bench.item,
        wanted=(x, weight),
        gradient=bench.tensor(rows, width, seed=3),
    )


@case
def cross_entropy_50304(bench: Bench) -> Work:
    rows, kinds = bench.size((32768, 50304), (32, 2048))
    logits = bench.tensor(rows, kinds, grad=True)
    targets = bench.indices(kinds, rows)
    return Work(
        lambda logits: bench.functional.cross_entropy(logits, targets),
        (logits,),
        bytes=2 * rows * kinds * bench.item,
        wanted=(logits,),
    )


@case
def dropout_residual_layernorm(bench: Bench) -> Work:
    rows, width = bench.size((16384, 4096), (32, 512))
    hidden, residual = bench.tensor(rows, width), bench.tensor(rows, width, seed=1)
    weight, bias = bench.tensor(width, seed=2), bench.tensor(width, seed=3)

    def forward(hidden: Any, residual: Any, weight: Any, bias: Any) -> Any:
        total = residual + bench.functional.dropout(hidden, 0.1, training=True)
        return total, bench.functional.layer_norm(total, (width,), weight, bias)

    moved = 4 * rows * width * bench.item
    return Work(forward, (hidden, residual, weight, bias), bytes=moved, compares=False)


@case
def var_mean(bench: Bench) -> Work:
    rows, width = bench.size((16384, 8192), (64, 512))
    x = bench.tensor(rows, width)
    return Work(lambda x: bench.lib.var_mean(x, dim=1), (x,), bytes=rows * width * bench.item)


# -- columns and wholes -------------------------------------------------------------------------------
@case
def column_sum(bench: Bench) -> Work:
    rows, width = bench.size((65536, 3072), (256, 256))
    x = bench.tensor(rows, width)
    return Work(lambda x: x.sum(0), (x,), bytes=rows * width * bench.item)


@case
def whole_sum(bench: Bench) -> Work:
    (count,) = bench.size((1 << 28,), (1 << 16,))
    return Work(lambda x: x.sum(), (bench.tensor(count),), bytes=count * bench.item)


@case
def transpose(bench: Bench) -> Work:
    rows, width = bench.size((16384, 8192), (256, 256))
    return Work(lambda x: x.t().contiguous(), (bench.tensor(rows, width),), bytes=2 * rows * width * bench.item)


# -- pointwise ----------------------------------------------------------------------------------------
@case
def pointwise_chain(bench: Bench) -> Work:
    (count,) = bench.size((1 << 27,), (1 << 15,))
    x, y = bench.tensor(count), bench.tensor(count, seed=1)

    def forward(x: Any, y: Any) -> Any:
        return ((x * 1.5 + y).sin() * (y - 0.5).tanh() + x.abs().sqrt()).clamp(-1, 1) * y.sigmoid()

    return Work(forward, (x, y), bytes=3 * count * bench.item)


@case
def swiglu(bench: Bench) -> Work:
    rows, width = bench.size((16384, 8192), (64, 512))
    gate, up = bench.tensor(rows, width), bench.tensor(rows, width, seed=1)
    moved = 3 * rows * width * bench.item
    return Work(lambda gate, up: bench.functional.silu(gate) * up, (gate, up), bytes=moved)


@case
def adamw(bench: Bench) -> Work:
    """One step over GPT-2's 148 parameters in float32: four streams in, three out."""
    layers, width = bench.size((12, 768), (2, 32))
    shapes = [(50304 if bench.full else 128, width), (1024 if bench.full else 64, width), (width,), (width,)]
    for _ in range(layers):
        shapes += [(3 * width, width), (3 * width,), (width, width), (width,)]
        shapes += [(4 * width, width), (4 * width,), (width, 4 * width), (width,)] + 4 * [(width,)]
    parameters = [bench.tensor(*s, seed=i, grad=True, dtype="float32") for i, s in enumerate(shapes)]
    for i, parameter in enumerate(parameters):
        parameter.grad = bench.tensor(*parameter.shape, seed=1000 + i, dtype="float32")
    on_gpu = {"fused": True, "capturable": True} if bench.device == "cuda" else {}
    optimizer = bench.lib.optim.AdamW(parameters, lr=1e-4, **on_gpu)
    count = sum(int(np.prod(s)) for s in shapes)

    def updated() -> list[Any]:
        moments = [optimizer.state[p][name] for p in parameters for name in ("exp_avg", "exp_avg_sq")]
        return [*parameters, *moments]

    return Work(lambda: optimizer.step(), (), bytes=7 * 4 * count, updated=updated)


# -- products and attention ---------------------------------------------------------------------------
@case
def bias_gelu_matmul(bench: Bench) -> Work:
    rows, width, inner = bench.size((32768, 3072, 768), (128, 256, 64))
    x = bench.tensor(rows, inner)
    weight, bias = bench.tensor(width, inner, seed=1, scale=0.02), bench.tensor(width, seed=2)
    functional = bench.functional
    forward = lambda x, w, b: functional.gelu(functional.linear(x, w, b), approximate="tanh")
    return Work(forward, (x, weight, bias), flops=2 * rows * width * inner)


def _attention(bench: Bench, backward: bool) -> Work:
    batch, heads, time, width = bench.size((32, 12, 1024, 64), (1, 2, 64, 32))
    shape = (batch, heads, time, width)
    inputs = tuple(bench.tensor(*shape, seed=seed, grad=backward) for seed in range(3))
    forward = lambda q, k, v: bench.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    flops = 2 * batch * heads * time * time * width  # two products, half of each behind the diagonal
    if not backward:
        return Work(forward, inputs, flops=flops)
    return Work(forward, inputs, flops=flops * 7 // 2, wanted=inputs, gradient=bench.tensor(*shape, seed=3))


@case
def attention(bench: Bench) -> Work:
    return _attention(bench, backward=False)


@case
def attention_backward(bench: Bench) -> Work:
    return _attention(bench, backward=True)
