"""The source that level 4 prints runs by itself, and kernels are named in the field's terms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lazygrad as lg
from lazygrad import engine
from lazygrad.config import current
from lazygrad.device import INTERPRETER
from lazygrad.inspect.source import kernel_text, tiling
from lazygrad.ir.node import uncomputed
from lazygrad.nn import functional as F
from lazygrad.schedule.canonical import canonical_graph, structure_of
from lazygrad.schedule.plan import KernelStep, Plan, kernel_of


def plan_of(*tensors: lg.Tensor) -> Plan:
    """The plan that realizing these together would follow on the interpreter."""
    roots = [t.node for t in tensors]
    engine.realize_sources(uncomputed(roots), roots)
    structure = structure_of(roots, uncomputed(roots))
    return engine.compile_plan(canonical_graph(structure), structure.leaves, INTERPRETER, current())


def names(*tensors: lg.Tensor) -> list[str]:
    return [kernel_of(s).name for s in plan_of(*tensors).steps if isinstance(s, KernelStep)]


def leaf(*shape: int) -> lg.Tensor:
    return lg.randn(*shape).realize()


def gradient(function, *inputs: lg.Tensor) -> list[lg.Tensor]:
    wanted = [x.requires_grad_() for x in inputs]
    function(*wanted).square().sum().backward()
    return [x.grad for x in wanted]


NAMED = {
    "softmax_kernel": lambda: [F.softmax(leaf(4, 9), 1)],
    "layer_norm_kernel": lambda: [F.layer_norm(leaf(4, 9), (9,), leaf(9), leaf(9))],
    "add_layer_norm_kernel": lambda: [F.layer_norm(leaf(4, 9) + leaf(4, 9), (9,))],
    "gelu_kernel": lambda: [F.gelu(leaf(9))],
    "matmul_add_gelu_tanh_kernel": lambda: [F.gelu(F.linear(leaf(8, 9), leaf(7, 9), leaf(7)), approximate="tanh")],
    "cross_entropy_kernel": lambda: [F.cross_entropy(leaf(4, 9), lg.tensor([1, 2, 3, 4]), reduction="none")],
    "embedding_kernel": lambda: [F.embedding(lg.tensor([1, 2, 3]), leaf(9, 5))],
    "matmul_kernel": lambda: [leaf(8, 9) @ leaf(9, 7)],
    "sum_kernel": lambda: [leaf(4, 9).sum(1)],
    "silu_backward_kernel": lambda: gradient(F.silu, leaf(9)),
    "reshape_kernel": lambda: [leaf(4, 6).T.reshape(-1)],
}


@pytest.mark.parametrize("name", NAMED)
def test_kernels_are_named_after_what_was_asked_for(name):
    found = names(*NAMED[name]())
    assert name in found or any(n.startswith(name.removesuffix("_kernel")) for n in found), found


def kernels(plan: Plan) -> list[str]:
    return [kernel_text(kernel_of(s), s, plan) for s in plan.steps if isinstance(s, KernelStep)]


def run_alone(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The printed module with its launch lines uncommented, in Triton's interpreter."""
    source, _, launch = text.partition("# to launch it:\n")
    lines = [line.removeprefix("# ") for line in launch.splitlines() if not line.startswith("# ====")]
    program = source + "\n".join(lines).replace('"cuda"', '"cpu"')
    script = tmp_path / "alone.py"
    script.write_text(program)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, str(script)]
    return subprocess.run(command, env=clean | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, cwd=tmp_path)


def test_printed_kernels_run_alone(tmp_path):
    texts = kernels(plan_of(F.layer_norm(leaf(4, 9), (9,), leaf(9), leaf(9)), leaf(5, 9) @ leaf(9, 17)))
    assert len(texts) == 2
    for i, text in enumerate(texts):
        (tmp_path / str(i)).mkdir()
        done = run_alone(text, tmp_path / str(i))
        assert done.returncode == 0, text + done.stderr


def test_a_kernel_over_many_tensors_runs_alone(tmp_path):
    plan = plan_of(*[leaf(n) * 2 for n in (30, 40, 50)])
    (text,) = kernels(plan)
    assert "table = torch.tensor(" in text
    done = run_alone(text, tmp_path)
    assert done.returncode == 0, text + done.stderr


def test_tiling():
    plan = plan_of(F.softmax(leaf(4, 9), 1))
    assert re.fullmatch(
        r"X_BLOCK \d+, R_BLOCK 16, rows held whole; \d+ warps?, 2 stages, grid 1", tiling(kernel_of(plan.steps[0]))
    )
    plan = plan_of(leaf(1, 40000).sum(1))
    assert any("r walked over" in tiling(kernel_of(s)) or "rows held" in tiling(kernel_of(s)) for s in plan.steps)


def test_comments_are_no_part_of_a_kernel():
    def one() -> lg.Tensor:
        return leaf(4, 9).exp()

    first = kernel_of(plan_of(one()).steps[0])
    second = kernel_of(plan_of(leaf(4, 9).exp()).steps[0])
    assert first.source != second.source and first.code == second.code
