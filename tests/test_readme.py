"""The README says what is so: its example prints what stands below it, its settings are the settings."""

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from lazygrad.config import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "README.md").read_text("utf-8")


def described_settings() -> dict[str, str]:
    """The text below each field of Settings."""
    body = ast.parse(inspect.getsource(Settings)).body[0].body
    return {a.target.id: b.value.value for a, b in pairwise(body) if isinstance(a, ast.AnnAssign) and isinstance(b, ast.Expr)}


def test_the_example_prints_what_the_readme_shows(tmp_path):
    code, output = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.S).groups()
    script = tmp_path / "example.py"
    script.write_text(code)
    environment = {"PYTHONPATH": str(REPOSITORY), "LAZYGRAD_BACKEND": "numpy", "PATH": ""}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == output


def test_the_table_of_settings_is_complete():
    rows = dict(re.findall(r"^\| `(LAZYGRAD_\w+)` \|.*?\| (.*) \|$", PAGE, re.M))
    names = {f"LAZYGRAD_{f.name.upper()}" for f in fields(Settings)} - {"LAZYGRAD_DEBUG_KERNEL"}
    assert set(rows) == names


@pytest.mark.parametrize(("name", "text"), described_settings().items(), ids=described_settings())
def test_the_table_of_settings_says_what_the_code_says(name, text):
    if name == "debug_kernel":
        pytest.skip("part of LAZYGRAD_DEBUG")
    row = re.search(rf"^\| `LAZYGRAD_{name.upper()}` \| *(.*?) *\| (.*) \|$", PAGE, re.M)
    assert " ".join(text.split()) in row[2].replace("\\|", "|")
    default = getattr(Settings(), name)
    assert row[1].strip() == (str(int(default)) if isinstance(default, bool | int) else default)


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")], ids=lambda p: p.name)
def test_every_link_leads_somewhere(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text("utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)#]+)", prose)
    assert not [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
