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


@pytest.fixture(params=["arrays", "kernels"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice, by an array library op by op and by generated kernels, on the device that goes with it."""
    import lazygrad as lg

    on_gpu = request.config.option.gpu
    name = "triton" if request.param == "kernels" else "cupy" if on_gpu else "numpy"
    with lg.config(backend=name), lg.device("cuda" if on_gpu else "cpu"):
        yield name
