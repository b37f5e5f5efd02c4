"""The README says what is so: its example prints what stands below it, its settings are the settings."""

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from lazygrad import config

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "README.md").read_text("utf-8")


def described_settings() -> dict[str, str]:
    """The text below each field of Settings."""
    body = ast.parse(inspect.getsource(config.Settings)).body[0].body
    pairs = zip(body, body[1:], strict=False)
    return {a.target.id: b.value.value for a, b in pairs if isinstance(a, ast.AnnAssign) and isinstance(b, ast.Expr)}


def test_the_example_prints_what_the_readme_shows(tmp_path):
    code, output = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.S).groups()
    script = tmp_path / "example.py"
    script.write_text(code)
    environment = {"PYTHONPATH": str(REPOSITORY), "LAZYGRAD_BACKEND": "numpy", "PATH": ""}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == output


def test_the_table_of_settings_is_complete():
    rows = dict(re.findall(r"^\| `(LAZYGRAD_\w+)` \|.*?\| (.*) \|$", PAGE, re.M))
    names = {f"LAZYGRAD_{f.name.upper()}" for f in fields(config.Settings)} - {"LAZYGRAD_DEBUG_KERNEL"}
    assert set(rows) == names


@pytest.mark.parametrize(("name", "text"), described_settings().items())
def test_the_table_of_settings_says_what_the_code_says(name, text):
    if name == "debug_kernel":
        pytest.skip("part of LAZYGRAD_DEBUG")
    row = re.search(rf"^\| `LAZYGRAD_{name.upper()}` \| (.*?) \| (.*) \|$", PAGE, re.M)
    assert " ".join(text.split()) in row[2].replace("\\|", "|")
    default = getattr(config.Settings(), name)
    assert row[1].strip() == (str(int(default)) if isinstance(default, bool | int) else default)


def test_every_link_leads_somewhere():
    for page in (REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)|!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8")):
            path = next(t for t in target if t)
            assert path.startswith("http") or (page.parent / path).exists(), f"{page.name}: {path}"
