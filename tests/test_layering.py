"""Law 1: files stand in one total order, and a file imports only files above it, at module level.

The order is the fenced listing under "## The order of files" in docs/architecture.md, and only it.
A folder line such as `nn/` stands for every file below it, in any order without a cycle.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "lazygrad"
PAGE = REPOSITORY / "docs" / "architecture.md"

# `import lazygrad` works without these, so they are met in few places.
IMPORTERS = {
    "triton": {"runtime/triton.py"},
    "torch": {"runtime/triton.py"},
    "cupy": {"runtime/array.py", "runtime/cublas.py", "runtime/gpu.py"},
}


@dataclass(frozen=True)
class Import:
    """`import module` or `from module import names`, with the module's absolute name."""

    line: int
    module: str
    names: tuple[str, ...]
    late: bool  # inside a function


def listed_order(page: str) -> list[str]:
    """Takes the text of the architecture page, returns the lines of its listing."""
    found = re.search(r"^## The order of files$.*?^```\w*\n(.*?)^```$", page, re.M | re.S)
    assert found, "docs/architecture.md has no fenced listing under '## The order of files'"
    return [
        line.split("#")[0].strip() for line in found[1].splitlines() if line.split("#")[0].strip()
    ]


def imports_of(tree: ast.AST, package: list[str], late: bool = False) -> Iterator[Import]:
    """Takes the syntax of a module that lies in `package`, returns its imports but for typing's."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, (), late)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(node.lineno, module, tuple(alias.name for alias in node.names), late)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imports_of(ast.Module([other], []), package, late)
        else:
            if isinstance(node, ast.Call) and (name := dynamic_import(node)):
                yield Import(node.lineno, name, (), late)
            function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
            yield from imports_of(node, package, late or isinstance(node, function))


def dynamic_import(call: ast.Call) -> str | None:
    """The module that `importlib.import_module("...")` or `__import__("...")` names."""
    if not re.search(r"\b(import_module|__import__)$", ast.unparse(call.func)):
        return None
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def files_imported(statement: Import, importer: str, files: set[str], package: str) -> set[str]:
    """Takes an import, returns the package's files that run because of it.

    Python runs the `__init__.py` of every folder on the way; those that hold the importer too have
    begun before it, so they are no news.
    """

    def file_of(module: str) -> str | None:
        path = "/".join(module.split(".")[1:])
        candidates = (f"{path}.py", f"{path}/__init__.py") if path else ("__init__.py",)
        return next((candidate for candidate in candidates if candidate in files), None)

    if statement.module.split(".")[0] != package:
        return set()
    modules = [f"{statement.module}.{name}" for name in statement.names] or [statement.module]
    found = {file_of(module) or file_of(statement.module) for module in modules} - {None, importer}
    folders = {folder for file in found for folder in Path(file).parents}
    folders -= set(Path(importer).parents)
    return found | ({f"{folder}/__init__.py" for folder in folders} & files)


def position(file: str, listing: list[str]) -> int | None:
    """Where `file` stands in the listing: its own line, else its innermost listed folder."""
    places = [file, *(f"{folder}/" for folder in Path(file).parents)]
    return next((listing.index(place) for place in places if place in listing), None)


def listing_faults(files: set[str], listing: list[str]) -> Iterator[str]:
    """Takes the files of a package, returns the lines of the listing that name none of them."""
    for line in sorted(set(listing)):
        if listing.count(line) > 1:
            yield f"{line}: listed twice"
        if not any(file == line or file.startswith(line) and line.endswith("/") for file in files):
            yield f"{line}: listed, but there is no such file"


def import_faults(
    file: str, statement: Import, targets: set[str], order: list[str]
) -> Iterator[str]:
    """Takes an import of `file` and the files it runs, returns the breaches of law 1 in it."""
    where = f"{file}:{statement.line}"
    library = statement.module.split(".")[0]
    if file not in IMPORTERS.get(library, {file}):
        yield f"{where}: imports {library}, which is left to {sorted(IMPORTERS[library])}"
    if targets and statement.late:
        yield f"{where}: imports {statement.module} inside a function"
    here = position(file, order)
    for target in sorted(targets):
        there = position(target, order)
        if here is not None and there is not None and there > here:
            yield f"{where}: imports {target}, which stands below it"


def violations(package: Path, listing: list[str]) -> list[str]:
    """Takes a package and the order of its files, returns every breach of law 1, one per line."""
    trees = {
        path.relative_to(package).as_posix(): ast.parse(path.read_bytes(), str(path))
        for path in sorted(package.rglob("*.py"))
    }
    # An __init__.py that is empty or only a docstring has no place to keep.
    spoken = {
        file
        for file, tree in trees.items()
        if Path(file).name != "__init__.py" or tree.body[bool(ast.get_docstring(tree)) :]
    }
    found = [f"{file}: not listed" for file in sorted(spoken) if position(file, listing) is None]
    graph: dict[str, set[str]] = {file: set() for file in spoken}
    for file in sorted(spoken):
        for statement in imports_of(trees[file], [package.name, *Path(file).parent.parts]):
            targets = files_imported(statement, file, set(trees), package.name) & spoken
            found += import_faults(file, statement, targets, listing)
            graph[file] |= targets
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("cycle: " + " <- ".join(error.args[1]))
    return found


def test_files_import_only_what_stands_above_them():
    found = violations(PACKAGE, listed_order(PAGE.read_text("utf-8")))
    assert not found, "\n".join(["law 1 of docs/architecture.md:", *found])


def test_every_line_of_the_listing_names_a_file():
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    found = list(listing_faults(files, listed_order(PAGE.read_text("utf-8"))))
    assert not found, "\n".join(["the listing in docs/architecture.md:", *found])


LAWFUL = {
    "__init__.py": "from house.roof.tiles import tile",
    "cellar.py": "import os",
    "hall.py": "from . import cellar\nfrom house.cellar import wine",
    "roof/__init__.py": '"""Says nothing."""',
    "roof/beams.py": "import house.hall",
    "roof/tiles.py": "from .beams import beam\nfrom house.roof import beams",
}
LISTING = ["cellar.py", "hall.py", "roof/", "__init__.py"]


def build(folder: Path, files: dict[str, str]) -> Path:
    """Takes file contents by path, returns the package `house` made of them."""
    for name, text in files.items():
        path = folder / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "house"


def test_a_lawful_package_passes(tmp_path):
    assert violations(build(tmp_path, LAWFUL), LISTING) == []


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        ("attic.py", "x = 1", "attic.py: not listed"),
        ("cellar.py", "from house.hall import lamp", "imports hall.py, which stands below"),
        ("cellar.py", "from . import hall", "imports hall.py, which stands below"),
        ("cellar.py", "import house", "imports __init__.py, which stands below"),
        ("cellar.py", "from house import tile", "imports __init__.py, which stands below"),
        ("cellar.py", "try:\n  import house.hall\nfinally: pass", "cellar.py:2: imports hall.py"),
        ("cellar.py", "__import__('house.hall')", "imports hall.py, which stands below"),
        ("hall.py", "def f():\n  import house.cellar", "hall.py:2: imports house.cellar inside"),
        ("hall.py", "class A:\n  def f(self):\n    from . import cellar", "inside a function"),
        ("hall.py", "import triton.language", "imports triton, which is left to"),
        ("hall.py", "def f():\n  from torch import cuda", "imports torch, which is left to"),
        ("hall.py", "import cupy as cp", "imports cupy, which is left to"),
        ("hall.py", "if typing.TYPE_CHECKING:\n  from house import tile", ""),
        ("hall.py", "if TYPE_CHECKING: pass\nelse:\n  import house.roof.tiles", "stands below"),
        ("roof/beams.py", "from .tiles import tile", "cycle: roof/"),
        ("roof/__init__.py", "from .tiles import tile", ""),
    ],
)
def test_a_breach_is_named(tmp_path, file, text, breach):
    found = violations(build(tmp_path, LAWFUL | {file: text}), LISTING)
    assert any(breach in line for line in found) if breach else found == []


def test_importing_a_file_runs_its_folder(tmp_path):
    """`hall` imports one beam; the folder's __init__ brings the tiles, which need `hall`."""
    files = LAWFUL | {"hall.py": "import house.roof.beams", "roof/beams.py": ""}
    files |= {"roof/__init__.py": "from .tiles import tile", "roof/tiles.py": "import house.hall"}
    listing = ["cellar.py", "roof/beams.py", "hall.py", "roof/", "__init__.py"]
    found = violations(build(tmp_path, files), listing)
    assert "hall.py:1: imports roof/__init__.py, which stands below it" in found


def test_a_listing_that_repeats_itself_or_names_nothing_fails():
    assert list(listing_faults(set(LAWFUL), LISTING)) == []
    assert list(listing_faults(set(LAWFUL), [*LISTING, "hall.py"])) == ["hall.py: listed twice"]
    assert "stable/: listed, but" in next(listing_faults(set(LAWFUL), [*LISTING, "stable/"]))


def test_the_listing_is_read_from_its_section():
    order = "## The order of files\nTop first.\n```text\na.py  # why\n\nnn/\n```\n"
    page = f"```\nno\n```\n{order}```\nno\n```\n"
    assert listed_order(page) == ["a.py", "nn/"]
