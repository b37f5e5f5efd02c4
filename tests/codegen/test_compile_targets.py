"""Every kernel that representative graphs generate compiles for sm_80, sm_90 and sm_100, with no GPU around.

Values are the business of the interpreter, which forgives much that the compiler does not: dtypes it has to be
told, shapes that must match, functions it does not have. Plans are made here; compiling needs Triton without its
interpreter, so a subprocess does it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def compiled(job: tuple[Any, Any]) -> str:
    """What the compiler says against this kernel: nothing, if all is well."""
    from lazygrad.runtime.triton import compile_cubin

    kernel, target = job
    try:
        code, facts = compile_cubin(kernel, target)
        if not code:
            return f"{kernel.name}: no machine code"
        if facts["shared"] > target.shared_memory:
            return f"{kernel.name}: {facts['shared']} bytes of shared memory"
    except Exception as error:
        return f"{kernel.name}: {error}\n{kernel.source}"
    return ""


def main(path: str) -> None:
    jobs = pickle.loads(Path(path).read_bytes())
    with ProcessPoolExecutor(2) as pool:
        complaints = [c for c in pool.map(compiled, jobs, chunksize=4) if c]
    print("\n\n".join(complaints))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    main(sys.argv[1])
    raise AssertionError("unreachable")

os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.codegen.kernel import Kernel
from lazygrad.device import CPU, Target
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.nn import functional as F
from lazygrad.runtime.buffer import Buffer
from lazygrad.schedule.plan import KernelStep, Plan, kernel_of
from tests.codegen.test_fusion import nano, step_of, updated
from tests.graphs import leaf, plan_of
from tests.ir.test_op_table import ALL, BY_LIBRARY, POINTWISE, REDUCTIONS

TARGETS = {
    80: Target("triton", arch=80, multiprocessors=108, shared_memory=166912),
    90: Target("triton", arch=90, multiprocessors=132, shared_memory=232448),
    100: Target("triton", arch=100, multiprocessors=148, shared_memory=232448),
}


def tensor(*shape: int, dtype: Any = lg.float32, grad: bool = False) -> lg.Tensor:
    made = lg.tensor(np.zeros(shape, np.float32)).to(dtype).realize()
    return made.requires_grad_() if grad else made


# -- the graphs ---------------------------------------------------------------------------------------
def gpt() -> Any:
    return step_of(nano(1))


def gpt_autocast() -> Any:
    model = nano(1, width=64)
    with lg.autocast("cpu", dtype=lg.bfloat16):
        return step_of(model)


def adamw() -> Any:
    return updated(lg.optim.AdamW, 1)


def sgd() -> Any:
    return updated(lambda p, lr: lg.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True), 1)


def pointwise() -> Any:
    """Every op at every dtype it is for: the ops of one dtype share their inputs, and so their kernels."""
    found = []
    inputs = {dtype: [leaf(np.ones(70) + i, dtype) for i in range(2)] for dtype in ALL}
    for op, row in POINTWISE.items():
        if op in BY_LIBRARY:
            continue
        for dtype in row.dtypes:
            found.append(build.pointwise(op, *inputs[dtype][: op.arity], arg=row.arg))
    return found


def casts() -> Any:
    inputs = {dtype: leaf(np.ones(50), dtype) for dtype in ALL}
    return [build.cast(inputs[a], b) for a in ALL for b in ALL if a is not b]


def choices() -> Any:
    condition = leaf(np.ones(60, bool))
    plain = [build.where(condition, leaf(np.ones(60), d), build.like(leaf(np.ones(60), d), 1)) for d in ALL]
    halves = [build.pointwise(ops.BITCAST, leaf(np.ones(60), a), arg=b) for a, b in ((lg.float16, lg.int16), (lg.int16, lg.bfloat16))]
    return plain + halves


COMMON = (lg.float32, lg.bfloat16, lg.int64, lg.bool)


def reductions(shape: tuple[int, ...], axis: int, dtypes: tuple[Any, ...] = COMMON) -> Callable[[], Any]:
    def graph() -> Any:
        inputs = {dtype: leaf(np.ones(shape), dtype) for dtype in ALL}
        return [
            build.reduce(op, inputs[dtype], (axis,))
            for op, (_, defined) in REDUCTIONS.items()
            for dtype in defined
            if dtype in dtypes
        ]

    return graph


def rows() -> Any:
    x = tensor(40, 300, grad=True)
    out = [x.softmax(-1), x.logsumexp(0), F.layer_norm(x, (300,)), x.var(0), x.argmax(1), F.normalize(x)]
    return [*out, *lg.autograd.grad([o.sum() for o in out if o.requires_grad], [x])]


def long_rows() -> Any:
    x = tensor(300, 40000)
    return [x.softmax(-1), x.argmax(-1), F.layer_norm(x, (40000,))]


def views() -> Any:
    """Padding, steps, flips and joins, as convolutions and pooling make them."""
    x = tensor(2, 3, 20, 21, grad=True)
    windows = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)
    columns = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, 27)
    out = columns @ tensor(27, 8)
    pooled = windows.amax((-1, -2)) + F.pad(x[:, :, ::2, ::2], (0, 1, 0, 1))[:, :, :10, :11]
    joined = lg.cat([x.flip(3), x.roll(2, 2), x * 2], 1)
    losses = [out.square().sum(), pooled.sum(), joined.tanh().sum(), x.tril().sum()]
    return [out, pooled, joined, *lg.autograd.grad(losses, [x])]


def planes() -> Any:
    """Transposed operands, and columns of which each program sums up a part."""
    found = []
    for dtype in (lg.float32, lg.bfloat16, lg.bool):
        x, y = tensor(3, 70, 130, dtype=dtype), tensor(3, 130, 70, dtype=dtype)
        found += [x.transpose(1, 2).contiguous(), x.permute(2, 1, 0) == y.permute(1, 2, 0), x.mT & y if dtype is lg.bool else x.mT * y]
    return [*found, tensor(9001, 130, dtype=lg.bfloat16).sum(0), tensor(2, 3000, 65).amax(1), (found[0] + found[2]).sum(1)]


def walks() -> Any:
    """Rows walked part by part, their columns added up on the way."""
    found = []
    for dtype, rows, width in ((lg.float32, 4096, 768), (lg.bfloat16, 2400, 5000), (lg.float64, 3000, 300)):
        x, y, w, b = (tensor(*s, dtype=dtype, grad=True) for s in ((rows, width), (rows, width), (width,), (width,)))
        total = x + (y.tanh() + b)
        out = F.layer_norm(total, (width,), w) + total
        found += lg.autograd.grad(out, [x, w, b], tensor(rows, width, dtype=dtype))
    return found


def huge() -> Any:
    """More elements than an int32 counts."""
    shape = (100_000, 50_304)
    x = build.buffer(Buffer(None, lg.bfloat16, shape, CPU), lg.bfloat16, shape, CPU)
    return [build.reduce(ops.MAX, x, (axis,)) for axis in (0, 1)] + [build.pointwise(ops.NEG, build.permute(x, (1, 0)))]


def indexing() -> Any:
    x, i = tensor(50, 60, grad=True), lg.tensor(np.zeros((50, 7), np.int64))
    out = [x.gather(1, i), x[i[:, 0]], x.scatter_add(1, i, tensor(50, 7)), F.cross_entropy(x, i[:, 0]), x.cumsum(1), x.cumsum(0)]
    return [*out, i.scatter_reduce(1, i, i, "amax"), i.cumsum(0), *lg.autograd.grad([o.sum() for o in out], [x])]


def random() -> Any:
    x = tensor(30, 50, grad=True)
    dropped = F.dropout(x, 0.2)
    return [lg.rand(1000), lg.randn(33, 7, dtype=lg.bfloat16), lg.randint(0, 9, (100,)), lg.rand(10, dtype=lg.float64), dropped,
            *lg.autograd.grad(dropped, [x], tensor(30, 50))]  # fmt: skip


def integers() -> Any:
    i, b = lg.tensor(np.arange(200).reshape(10, 20)), lg.tensor(np.ones((10, 20), bool))
    small = i.to(lg.int8)
    return [i // 3, i % 7, small // 3, (small * small).sum(0), b.any(1), b.all(0), b.sum(), b & (i > 3), ~b, ~small, i << 2, i.max(1), small @ small.T]


def products() -> Any:
    found = []
    for dtype in (lg.float32, lg.bfloat16, lg.float16):
        a, b = tensor(65, 48, dtype=dtype), tensor(3, 48, 40, dtype=dtype)
        found += [F.gelu(a @ b + 1), a @ a.T, F.relu(F.linear(a, tensor(128, 48, dtype=dtype), tensor(128, dtype=dtype)))]
    return [*found, tensor(10, 20, dtype=lg.float64) @ tensor(20, 5, dtype=lg.float64)]


def attention() -> Any:
    """One head width with padding; tests/codegen/test_attention_template.py compiles the others."""
    q, k, v = (tensor(1, 2, 70, 40, dtype=lg.bfloat16, grad=True) for _ in range(3))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1)
    return [out, *lg.autograd.grad(out, [q, k, v], tensor(1, 2, 70, 40, dtype=lg.bfloat16))]


GRAPHS: dict[str, Callable[[], Any]] = {
    "gpt": gpt, "gpt autocast": gpt_autocast, "adamw": adamw, "sgd": sgd, "pointwise": pointwise, "casts": casts, "choices": choices,
    "short rows": reductions((13, 70), 1, ALL), "short columns": reductions((130, 50), 0), "looped rows": reductions((3, 17001), 1),
    "split columns": reductions((9001, 3), 0), "rows": rows, "long rows": long_rows, "views": views, "indexing": indexing,
    "random": random, "integers": integers, "products": products, "attention": attention,
    "planes": planes, "walks": walks, "huge": huge,
}  # fmt: skip


def kernels_in(plan: Plan) -> list[Kernel]:
    """The best guess of every step; the templates' own tests compile the runners-up."""
    return [kernel_of(s) for s in plan.steps if isinstance(s, KernelStep)]


@pytest.mark.parametrize("arch", TARGETS)
def test_every_kernel_compiles(arch: int, tmp_path: Path) -> None:
    target = TARGETS[arch]
    found: dict[Kernel, None] = {}
    for graph in GRAPHS.values():
        lg.manual_seed(0)
        for kernel in kernels_in(plan_of(graph(), target)):
            found.setdefault(kernel)
    assert len(found) > 100
    path = tmp_path / "kernels"
    path.write_bytes(pickle.dumps([(kernel, target) for kernel in found]))
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"LAZYGRAD_CACHE_DIR": str(tmp_path / "lazygrad"), "TRITON_CACHE_DIR": str(tmp_path / "triton")}
    done = subprocess.run([sys.executable, __file__, str(path)], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"sm_{arch}:\n{done.stdout}\n{done.stderr[-3000:]}"
