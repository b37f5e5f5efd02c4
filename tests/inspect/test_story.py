"""What LAZYGRAD_DEBUG tells, level by level, on the interpreter."""

from __future__ import annotations

import re

import pytest

import lazygrad as lg
from lazygrad.inspect import story
from lazygrad.nn import functional as F

SIZES = iter(range(11, 1000, 2))  # every test compiles plans of its own


def told(capfd: pytest.CaptureFixture[str], debug: int | str, work, **settings) -> str:
    """What is written to stderr while `work` runs."""
    capfd.readouterr()
    with lg.config(backend="triton", debug=debug, **settings):
        work()
    return capfd.readouterr().err


@pytest.fixture
def norm():
    size = next(SIZES)
    x = lg.randn(5, size).realize()
    return lambda: F.layer_norm(x, (size,)).exp().realize()


def test_level_0_says_nothing(capfd, norm):
    assert told(capfd, 0, norm) == ""


def test_level_1_tells_of_plans(capfd, norm):
    said = told(capfd, 1, norm)
    found = re.fullmatch(r"lazygrad: plan \d+: 10 ops -> 1 kernel, arena 0 B, compiled in [\d.]+ \ws  \((.*)\)\n", said)
    assert found and found[1].startswith("tests/inspect/test_story.py:")
    assert re.fullmatch(r"lazygrad: plan \d+: reused  \(.*\)\n", told(capfd, 1, norm))
    assert told(capfd, 1, norm) == ""  # counted from here on


def test_level_1_sums_up(capfd, norm):
    told(capfd, 1, lambda: [norm() for _ in range(4)])
    story.summary()
    assert re.search(r"lazygrad: \d+ plans, reused \d+ times \(plan \d+: ", capfd.readouterr().err)


NEEDS_VALUES = {
    "nonzero": lambda x, i: (x.nonzero(), x.argwhere(), lg.where(x > 0), lg.nonzero(x, as_tuple=True)),
    "masked_select": lambda x, i: x.masked_select(x > 0),
    "an index of bools": lambda x, i: (x[x > 0], x.clone().index_put_((x > 0,), lg.ones(2))),
    "unique": lambda x, i: x.unique(),
    "unique_consecutive": lambda x, i: x.unique_consecutive(),
    "bincount": lambda x, i: i.bincount(),
    "repeat_interleave": lambda x, i: (x.repeat_interleave(i), i.repeat_interleave()),
    "tensor_split": lambda x, i: x.tensor_split(i[1:]),
    "one_hot": lambda x, i: lg.nn.functional.one_hot(i),
    "poisson": lambda x, i: lg.poisson(x),
    "binomial": lambda x, i: lg.binomial(x, x / 2),
    "matrix_exp": lambda x, i: x.outer(x).matrix_exp(),
}


@pytest.mark.parametrize("name", NEEDS_VALUES)
def test_level_1_tells_when_a_shape_needs_values(capfd, name):
    x, i = lg.tensor([0.0, 1.0, 2.0]), lg.tensor([0, 1, 2])
    said = told(capfd, 1, lambda: NEEDS_VALUES[name](x, i))
    assert f"{name} computes its input now: its shape depends on values  (tests/inspect/test_story.py:" in said


def test_level_2_has_a_line_for_each_kernel_of_a_first_run(capfd, norm):
    said = told(capfd, 2, norm)
    assert re.search(
        r"^  layer_norm_exp_kernel +[\d.]+ \ws +[\d.e-]+ GB/s +tests/inspect/test_story.py:\d+$", said, re.M
    )
    assert re.search(r"ran 1 kernel in [\d.]+ \ws$", said, re.M)
    assert "GB/s" not in told(capfd, 2, norm)
    assert "GB/s" in told(capfd, 2, norm, profile=True)


def test_level_2_counts_products(capfd):
    n = next(SIZES)
    a, b = lg.randn(n, n).realize(), lg.randn(n, n).realize()
    said = told(capfd, 2, lambda: (a @ b).realize())
    assert re.search(r"^  matmul_kernel .* GB/s .* TFLOP/s ", said, re.M)


def test_level_2_names_optimizers_and_gradients(capfd):
    model = lg.nn.Linear(next(SIZES), 5)
    optimizer = lg.optim.AdamW(model.parameters())
    x = lg.randn(3, model.in_features).realize()

    def step():
        F.silu(model(x)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        model.weight.realize()

    said = told(capfd, 2, step)
    assert re.search(r"^  \w*silu_backward_kernel ", said, re.M) and re.search(r"^  \w*adamw\w*_kernel ", said, re.M)


def test_level_2_on_numpy_tells_of_ops(capfd):
    x = lg.randn(next(SIZES)).realize()
    said = told(
        capfd,
        2,
        lambda: x.exp().sum().realize(),
    )
    with lg.config(backend="numpy", debug=2):
        x.log1p().sum().realize()
    said = capfd.readouterr().err
    assert "-> 2 array ops" in said and re.search(r"^  log1p  ", said, re.M)


def test_level_3_gives_reasons_and_tiles(capfd):
    size = next(SIZES)
    x = lg.randn(6, size).realize()
    said = told(capfd, 3, lambda: (F.softmax(x, 1) @ lg.ones(size, 3)).sum(0).realize())
    assert re.search(r"^  not joined: \w+_kernel and \w+_kernel: .*test_story.py:\d+\)$", said, re.M)
    assert re.search(
        r"^  tiled: softmax_kernel: X_BLOCK \d+, R_BLOCK \d+, rows held whole; \d+ warps?, \d stages, grid \d+$",
        said,
        re.M,
    )
    assert "import triton" not in said


def test_level_4_prints_each_source_once(capfd, norm):
    said = told(capfd, 4, norm)
    assert said.count("@triton.jit\ndef layer_norm_exp_kernel(") == 1
    assert re.search(r"^    # rsqrt  float32\[5, 1\]  tests/inspect/test_story.py:\d+ layer_norm$", said, re.M)
    assert "def " not in told(capfd, 4, norm)


def test_level_5_shows_every_pass(capfd, norm):
    said = told(capfd, 5, norm)
    for stage in ("asked", "simplify", "prepare"):
        assert f"# -- {stage}: " in said and f"def {stage}(in0: float32" in said


@pytest.mark.parametrize("name", ["layer_norm", "LayerNorm", "exp"])
def test_a_kernel_may_be_named(capfd, norm, name):
    x = lg.randn(next(SIZES)).realize()
    said = told(capfd, f"5:{name}", lambda: (norm(), x.log1p().realize()))
    assert "def layer_norm_exp_kernel(in0_ptr" in said and "def layer_norm_exp_kernel(in0: float32" in said
    assert "def log1p_kernel" not in said and "tiled: log1p" not in said and "# -- simplify" not in said
    assert "log1p_kernel" in said  # level 2 tells of all


def test_no_colour_but_on_a_terminal(capfd, norm, monkeypatch):
    assert "\x1b" not in told(capfd, 3, norm)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    size = next(SIZES)
    assert "\x1b[" in told(capfd, 1, lambda: lg.ones(size).exp().realize())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in told(capfd, 1, lambda: lg.ones(size + 1).exp().realize())
