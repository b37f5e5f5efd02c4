"""Programs written for PyTorch, run twice: with torch, and with lazygrad under its name. Their losses agree."""

from __future__ import annotations

import ast
import sys
from functools import lru_cache

import pytest

import lazygrad as lg
from tests.programs.harness import FOLDER, PROGRAMS, TOLERANCE, differences, run

SMALLEST = ("own_optimizer", "attention_by_hand", "gradient_penalty")  # for Triton's interpreter, shortened


@lru_cache
def theirs(program: str, steps: int | None = None) -> list[float]:
    return run(program, "torch", steps=steps)


def assert_losses_agree(program: str, device: str = "cpu", steps: int | None = None) -> None:
    expected = theirs(program, steps)
    assert len(set(expected)) > 2, "the program must learn something"
    found = differences(run(program, "lazygrad", device, steps), expected)
    assert max(found) < TOLERANCE, f"losses differ by {max(found):.1e}, the first at {found.index(max(found))}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_on_numpy(program):
    assert len(theirs(program)) >= 20
    assert_losses_agree(program)


@pytest.mark.parametrize("program", SMALLEST)
def test_on_interpreted_triton(program):
    with lg.config(backend="triton"):
        assert_losses_agree(program, steps=2)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["triton", "cupy"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_on_a_gpu(program, backend):
    if not lg.cuda.is_available():
        pytest.skip("no GPU here: benchmarks/on_gpu.py programs runs these on one")
    with lg.config(backend=backend):
        assert_losses_agree(program, "cuda")


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_know_of_torch_alone(program):
    """They are what a user has: nothing in them is there for lazygrad."""
    source = (FOLDER / f"{program}.py").read_text("utf-8")
    assert 30 <= len(source.splitlines()) <= 150 and "lazygrad" not in source
    statements = [n for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    modules = {a.name for n in statements if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in statements if isinstance(n, ast.ImportFrom)}
    roots = {m.partition(".")[0] for m in modules}
    assert roots - set(sys.stdlib_module_names) == {"torch", "numpy"}


def test_the_name_torch_is_left_alone():
    """A program that runs on lazygrad has lazygrad's tensors, while `import torch` elsewhere is still torch."""
    torch = sys.modules["torch"]
    run("own_optimizer", "lazygrad", steps=3)
    assert sys.modules["torch"] is torch and torch is not lg
