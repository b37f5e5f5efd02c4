"""docs/coverage.md says what the tables say, and nothing on it runs on the host."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lazygrad.ir import op as ops
from lazygrad.ir.op import Kind
from tests import coverage

# families of functions, and the ways they may go on a GPU: generated kernels, and CuPy's sort
KERNELS = {"fused", "product", "scan", "segment", "attention", "view"}
SORT = "CuPy `argsort`"
FAMILIES = {
    "convolution": (r"(nn\.functional\.)?(conv\w*|unfold|fold)", KERNELS),
    "pooling": (r"(nn\.functional\.)?\w*pool\w*", KERNELS),
    "sort": (r"sort|argsort|msort|topk|kthvalue|median|quantile|searchsorted|bucketize", {*KERNELS, SORT}),
    "scan": (r"cumsum|cumprod|cummax|cummin|logcumsumexp", KERNELS),
    "scatter": (r"scatter\w*|index_add|index_copy|index_fill|index_put|index_reduce|put|masked_scatter", KERNELS),
    "gather": (r"gather|take\w*|index_select|embedding", KERNELS),
}


@pytest.fixture(scope="module")
def rows():
    return coverage.rows()


def test_the_page_is_current(tmp_path):
    """Made by an interpreter of its own, as the page is: what other tests have computed is no part of it."""
    made = tmp_path / "coverage.md"
    repository = coverage.PAGE.parents[1]
    subprocess.run([sys.executable, "-m", "tests.coverage", str(made)], cwd=repository, check=True)
    assert made.read_text("utf-8") == coverage.PAGE.read_text("utf-8"), "run python -m tests.coverage"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_runs_as_kernels_or_library_calls(rows, family):
    pattern, allowed = FAMILIES[family]
    members = [row for name, row in rows.items() if re.fullmatch(pattern, name)]
    assert len(members) >= 3, f"{family}: only {[r.name for r in members]} have cases"
    strays = {row.name: sorted(set(row.ways) - allowed) for row in members if set(row.ways) - allowed}
    assert not strays, f"{family}: {strays}"
    computing = [row.name for row in members if True in row.realizing]
    assert not computing, f"{family}: {computing} compute their input when called"


def test_only_library_and_a_few_pointwise_ops_are_the_array_librarys(rows):
    """What no generated kernel computes: sorting, factorizations, and the functions that Triton has no spelling for."""
    by_library = {op for op, ways in coverage.ways_of_ops(rows).items() if any(w.startswith("CuPy") for w in ways)}
    assert {op for op in by_library if op.kind is not Kind.LIBRARY} == {ops.DIGAMMA, ops.POLYGAMMA}


def test_every_kind_of_operation_is_on_the_page(rows):
    seen = {op.kind for op in coverage.ways_of_ops(rows)}
    # transfers are plans of their own; markers, and what stands for a user's own function, vanish before
    not_planned = {Kind.TRANSFER, Kind.MARKER, Kind.APPLY, Kind.EXAMPLE}
    assert set(Kind) - seen <= not_planned
