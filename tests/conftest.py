"""Where the tests run: on NumPy and in Triton's interpreter, or with --gpu on the GPU, through Triton and CuPy."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Read before NumPy and torch are: one thread each, since test workers that share cores would wait for each
# other's threads many times longer than they compute.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    where = "run what is compared on every backend on the GPU, through Triton and CuPy, nothing interpreted"
    parser.addoption("--gpu", action="store_true", help=where)


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.gpu:
        os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports Triton


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        backends = ["triton", "cupy"] if metafunc.config.option.gpu else ["numpy", "triton"]
        metafunc.parametrize("backend", backends, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs once for every backend, on the device that goes with it."""
    import lazygrad as lg

    with lg.config(backend=request.param), lg.device("cuda" if request.config.option.gpu else "cpu"):
        yield request.param
