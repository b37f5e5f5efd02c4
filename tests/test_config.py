"""Each LAZYGRAD_* variable in a process of its own, and as `with lg.config(...)`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.config import Settings, current, from_environment

PROGRAM = """
    import lazygrad as lg
    from lazygrad.config import current
    from lazygrad.nn import functional as F
    x = lg.arange(12).reshape(3, 4).float()
    y = F.layer_norm(x, (4,)) * 2
    print(round(y.abs().sum().item(), 3), current())
"""


def run(tmp_path: Path, program: str = PROGRAM, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program as a script under these LAZYGRAD_* variables."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(program))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYGRAD_")}
    root = str(Path(lg.__file__).resolve().parents[1])
    environment = clean | {f"LAZYGRAD_{k}": v for k, v in variables.items()} | {"PYTHONPATH": root}
    environment.setdefault("LAZYGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300)


def succeeded(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    done = run(tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("21.466"), done.stdout
    return done


def test_backend(tmp_path):
    done = succeeded(tmp_path, BACKEND="triton", DEBUG="1")
    assert "kernel" in done.stderr and "array op" not in done.stderr
    done = succeeded(tmp_path, BACKEND="numpy", DEBUG="1")
    assert "array ops" in done.stderr and "kernel" not in done.stderr


def test_fuse(tmp_path):
    fused = succeeded(tmp_path, BACKEND="triton", DEBUG="1").stderr
    apart = succeeded(tmp_path, BACKEND="triton", DEBUG="1", FUSE="0").stderr
    assert kernels_of(apart) > 2 * kernels_of(fused)


def kernels_of(story: str) -> int:
    """Of the plan that the script asked for last."""
    line = [line for line in story.splitlines() if " -> " in line][-1]
    return int(line.split(" -> ")[1].split()[0])


def test_check(tmp_path):
    assert "check=True" in succeeded(tmp_path, BACKEND="triton", CHECK="1").stdout
    wrong = """
        import lazygrad as lg
        from lazygrad.codegen.spelling import SPELLINGS
        from lazygrad.ir import op as ops
        SPELLINGS[ops.MUL] = lambda dtype, arg, a, b: f"{a} * {b} + 1"
        print((lg.arange(5) * lg.arange(5)).sum().item())
    """
    assert run(tmp_path, wrong, BACKEND="triton").returncode == 0
    done = run(tmp_path, wrong, BACKEND="triton", CHECK="1")
    assert "CheckError: kernel" in done.stderr and "script.py:6" in done.stderr


def test_cache_dir(tmp_path):
    succeeded(tmp_path, BACKEND="triton", CACHE_DIR=str(tmp_path / "here"))
    assert list((tmp_path / "here").glob("lazygrad-*/source/*.py"))


def test_debug_is_silent_by_default(tmp_path):
    assert succeeded(tmp_path).stderr == ""


def test_debug_with_a_kernel_name(tmp_path):
    done = succeeded(tmp_path, BACKEND="triton", DEBUG="4:layernorm")
    assert "debug=4, debug_kernel='layernorm'" in done.stdout
    assert "def layer_norm_" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BACKEND", "cuda", "use one of auto, triton, cupy, numpy"),
        ("FUSE", "maybe", "LAZYGRAD_FUSE is 'maybe'; use 0 or 1"),
        ("DEBUG", "loud", "LAZYGRAD_DEBUG is 'loud'; use a whole number from 0 to 5"),
        ("DEBUG", "6", "use 0 to 5"),
    ],
)
def test_a_value_that_makes_no_sense(variable, value, said):
    with pytest.raises(ValueError, match=said):
        from_environment({f"LAZYGRAD_{variable}": value})


def test_an_empty_variable_is_unset():
    assert from_environment({"LAZYGRAD_FUSE": "", "LAZYGRAD_DEBUG": ""}) == Settings()


def test_context_manager():
    before = current()
    with lg.config(backend="triton", fuse=False, check=True) as settings:
        assert current() is settings and (settings.fuse, settings.check) == (False, True)
        with lg.config(fuse=True):
            assert current().fuse and current().check
        assert lg.arange(4).float().exp().sum().item() == pytest.approx(np.exp(np.arange(4)).sum())
    assert current() is before


def test_context_manager_reads_text_as_the_environment_does():
    with lg.config(debug="0:softmax") as settings:
        assert (settings.debug, settings.debug_kernel) == (0, "softmax")


def test_context_manager_cache_dir(tmp_path):
    with lg.config(backend="triton", cache_dir=str(tmp_path)):
        (lg.arange(7).float().log1p() * 3.25).realize()
    assert list(tmp_path.glob("lazygrad-*/source/*.py"))


def test_context_manager_refuses_what_it_does_not_know():
    with pytest.raises(TypeError, match="no setting 'fusion'"), lg.config(fusion=True):
        pass
    with pytest.raises(ValueError, match="backend is"), lg.config(backend="tpu"):
        pass
