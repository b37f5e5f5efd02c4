"""The examples are scripts: their folder goes on the path, as it does when they are run."""

import pydoc_data.topics
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))


@pytest.fixture(autouse=True)
def cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("LAZYGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def text() -> str:
    return "\n\n".join(pydoc_data.topics.topics[name] for name in ("if", "while", "with", "try"))


@pytest.fixture
def text_file(tmp_path, text) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path
