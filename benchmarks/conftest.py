"""Options, and the record of all results with its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

# The CPU's sizes are too small for more than one thread; this must be said before NumPy is there.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import lazygrad as lg
from benchmarks.record import Record
from benchmarks.report import table

DEFAULT = Path(__file__).resolve().parents[1] / ".benchmarks" / "results.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lazygrad")
    group.addoption("--results", default=str(DEFAULT), help="JSON file to write the figures to")
    group.addoption("--with-compile", action="store_true", help="time torch.compile on a CPU too: minutes")


_records: list[Record] = []


@pytest.fixture(scope="session")
def device() -> str:
    return "cuda" if lg.cuda.is_available() else "cpu"


@pytest.fixture(scope="session")
def record(device: str) -> Record:
    made = Record(device)
    _records.append(made)
    return made


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for record in _records:
        path = Path(config.getoption("--results"))
        record.write(path)
        terminalreporter.write_line("")
        for line in table(record.document()):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"written to {path}")
