"""The page docs/coverage.md: takes the tables of cases, returns one row for each public function they call.

Every case is traced, nothing is computed: which public functions it calls, for which dtypes, whether gradients
flow, and how the graph of each result is planned for an H200. `python -m tests.coverage` writes the page.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

import lazygrad as lg
from lazygrad import engine
from lazygrad.config import current
from lazygrad.device import H200
from lazygrad.ir import build
from lazygrad.ir.node import Node, substitute, toposort, uncomputed
from lazygrad.ir.op import OPS, Kind, Op
from lazygrad.runtime.buffer import Buffer
from lazygrad.schedule.canonical import canonical_graph, structure_of
from lazygrad.schedule.plan import KernelStep
from lazygrad.tensor import values
from tests import support
from tests.support import Case

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "coverage.md"
FOLDERS = ("tests/tensor", "tests/nn")

# where public functions live, and where torch has them; in the order in which a row takes its name
PLACES: tuple[tuple[str, Any, Any], ...] = (
    ("", lg, torch),
    ("linalg.", lg.linalg, torch.linalg),
    ("special.", lg.special, torch.special),
    ("nn.functional.", lg.nn.functional, torch.nn.functional),
    ("Tensor.", lg.Tensor, torch.Tensor),
)
KINDS = {"float": support.FLOATS, "int": ("int64", "int32", "uint8"), "bool": ("bool",)}


@dataclass
class Row:
    """What the cases say about one public function."""

    name: str
    dtypes: set[str] = field(default_factory=set)
    order: int = 0  # the highest derivative that is compared with torch
    realizing: set[bool] = field(default_factory=set)  # whether its calls compute their input, for its shape or values
    ways: dict[str, set[Op]] = field(default_factory=dict)  # how its plans run, and the ops that go each way


@dataclass
class Call:
    """One call of a public function, seen from outside."""

    name: str
    frame: FrameType
    given: frozenset[Node]  # the nodes of its arguments
    realizes: bool = False
    result: Any = None

    def roots(self) -> list[Node]:
        """What the call itself adds to the graph, its arguments as leaves; nothing where it only passes them on."""
        made = [n for n in nodes_of(self.result) if n not in self.given]
        return list(dict.fromkeys(substitute(made, {n: hollow(n) for n in self.given})[n] for n in made))


# -- which functions are public -------------------------------------------------------------------------
Named = list[tuple[str, dict[str, Any]]]


def public_functions() -> dict[CodeType, Named]:
    """For the code of every public function the name of its row, each with the variables that it closes over:
    functions that one factory made share their code."""
    public = [
        (prefix + name, getattr(place, name))
        for prefix, place, theirs in PLACES
        for name in dir(place)
        if hasattr(getattr(place, name), "__code__") and not name.startswith("_") and hasattr(theirs, name)
    ]
    names: dict[Any, list[str]] = {}
    for name, function in public:
        names.setdefault(inspect.unwrap(function), []).append(name)
    found: dict[CodeType, Named] = {}
    for _, function in public:
        code, own = function.__code__, inspect.unwrap(function)
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        held = dict(zip(code.co_freevars, cells, strict=True))
        found.setdefault(code, []).append((row_name(own.__name__, names[own]), held))
    return found


def row_name(own: str, names: list[str]) -> str:
    """Of a function's names the one it was written under, before second names."""
    return next((n for n in names if n.rpartition(".")[2] == own), names[0])


def name_of(frame: FrameType) -> str:
    """The name of the public function that a frame runs."""
    inside = frame.f_locals
    fitting = (n for n, held in PUBLIC.get(frame.f_code, ()) if all(inside.get(k) is v for k, v in held.items()))
    return next(fitting, "")


PUBLIC = public_functions()
REALIZING = {values.computed.__code__}


# -- tracing -----------------------------------------------------------------------------------------------
def calls_of(each: Case, dtype: str) -> list[Call]:
    """The public functions that a case calls itself, with what they return."""
    arrays = support._arrays(each, dtype)
    inputs = [support._lazy(a, d, False) for a, d in arrays]
    inputs = [x.requires_grad_() if each.gradient and x.is_floating_point() else x for x in inputs]
    found: list[Call] = []
    active: list[Call] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and not active and (name := name_of(frame)):
            given = [*frame.f_locals.values(), *frame.f_locals.get("kwargs", {}).values()]
            arguments = [v for v in support._flat(given) if isinstance(v, lg.Tensor)]
            bases = {t._cell.read() for t in arguments if t._cell.node.computed is None}
            active.append(Call(name, frame, frozenset(nodes_of(arguments)) | bases))
        elif event == "call" and active and frame.f_code in REALIZING:
            active[0].realizes = True
        elif event == "return" and active and frame is active[0].frame:
            call = active.pop()
            call.result = argument
            found.append(call)

    sys.setprofile(watch)
    try:
        each.function(lg, *inputs)
    finally:
        sys.setprofile(None)
    return found


def nodes_of(values: Any) -> list[Node]:
    """The nodes of the tensors in a value that aren't computed yet."""
    tensors = [t for t in support._flat(values) if isinstance(t, lg.Tensor)]
    return list(dict.fromkeys(t.node for t in tensors if t.node.computed is None))


def hollow(node: Node) -> Node:
    """A leaf in a node's place, with no memory behind it: enough to plan with."""
    leaf = build.buffer(Buffer(None, node.dtype, node.shape, node.device), node.dtype, node.shape, node.device)
    return build.leaf(leaf, 0) if node.needs_grad else leaf


# -- planning ----------------------------------------------------------------------------------------------
NAMED = {
    Kind.CONTRACT: "product",
    Kind.ATTENTION: "attention",
    Kind.SEGMENT: "segment",
    Kind.SCAN: "scan",
}


def ways_of(roots: list[Node]) -> Iterator[tuple[str, frozenset[Op]]]:
    """How an H200 runs what these nodes stand for: (the way, the ops that go it) for each step of the plan."""
    structure = structure_of(roots, uncomputed(roots))
    with lg.config(backend="triton"):
        plan = engine.compile_plan(canonical_graph(structure), structure.leaves, H200, current())
    for step in plan.steps:
        if isinstance(step, KernelStep):
            ops = frozenset(n.op for n in step.body)
            kinds = [NAMED[op.kind] for op in sorted(ops, key=lambda op: op.name) if op.kind in NAMED]
            yield (kinds[0] if kinds else "fused"), ops
        elif step.node.op.kind in (Kind.MOVEMENT, Kind.SOURCE, Kind.MARKER):
            yield "view", frozenset([step.node.op])
        else:
            yield f"CuPy `{step.node.op.name.lower()}`", frozenset([step.node.op])


# -- rows ----------------------------------------------------------------------------------------------------
def all_cases() -> Iterator[Case]:
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).glob("test_*.py")):
            if "\nCASES = " in path.read_text("utf-8"):
                yield from importlib.import_module(f"{folder.replace('/', '.')}.{path.stem}").CASES


def rows() -> dict[str, Row]:
    """A row for each public function that some case calls."""
    found: dict[str, Row] = {}
    planned: set[tuple[str, frozenset[Op]]] = set()
    for each in all_cases():
        if not isinstance(each, Case):
            continue
        for dtype in each.dtypes:
            try:
                calls = calls_of(each, dtype)
            except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
                continue  # torch refuses this dtype too: check_forward compares
            for call in calls:
                nodes = call.roots()
                if not nodes and not call.realizes:
                    continue  # no tensor at all, or one that was given
                row = found.setdefault(call.name, Row(call.name))
                row.dtypes.add(dtype)
                row.realizing.add(call.realizes)
                if each.gradient and any(n.needs_grad for n in nodes_of(call.result)):
                    row.order = max(row.order, 2 if each.second else 1)
                ops = frozenset(n.op for n in toposort(nodes))
                if nodes and (call.name, ops) not in planned:
                    planned.add((call.name, ops))
                    for way, body in ways_of(nodes):
                        row.ways.setdefault(way, set()).update(body)
    return found


def ways_of_ops(found: dict[str, Row]) -> dict[Op, set[str]]:
    """For each op the ways it went in any plan."""
    ways: dict[Op, set[str]] = {}
    for row in found.values():
        for way, ops in row.ways.items():
            for op in ops:
                ways.setdefault(op, set()).add(way)
    return ways


def without_cases(found: dict[str, Row]) -> list[str]:
    """The functions that have no row, but for in-place twins and what lazygrad refuses."""
    offered = {c: named for c, named in PUBLIC.items() if Path(c.co_filename).name != "absent.py"}
    names = {name for named in offered.values() for name, _ in named if not name.endswith("_")}
    return sorted(f"`{name}`" for name in names - found.keys())


# -- text -----------------------------------------------------------------------------------------------------
HEAD = """# Coverage

Made by `python -m tests.coverage` from the tables of cases in `tests/tensor` and `tests/nn`; a test fails where this
page is not what that prints. Every function here is compared with PyTorch for the dtypes of its row. In-place twins
(`add_`), operators and second names run what they are named after.

- **gradient**: `2nd`: the first and second derivatives agree with PyTorch's in float64; `1st`: the first do; `-`: none
  is compared, as for results that carry none.
- **on Triton**: how the graph of a call is planned for an H200. `fused`: generated kernels of loops, which take in what
  stands around them. `product`, `scan`, `segment`, `attention`: a generated kernel of that kind; products may be
  cuBLAS's where tuning finds it faster. `CuPy ...`: a call of CuPy's library, on the device. `view`: no kernel at all.
  `computes its input`: the shape or the value of the result needs values, so the input is computed when the function is
  called, and what needs them is CuPy's on the device.

Nothing of this runs on the host."""

REST = """
## Public functions that no table of cases calls

Settings, questions about a tensor, random draws, and what has tests of its own kind.
"""

TABLE = "| name | dtypes | gradient | on Triton |\n| --- | --- | --- | --- |"


def page(found: dict[str, Row]) -> str:
    lines = [HEAD]
    for prefix, _, _ in PLACES:
        own = [r for n, r in found.items() if n.startswith(prefix) and (prefix or "." not in n)]
        if own:
            lines += [f"\n## `lazygrad{'.' if prefix else ''}{prefix.removesuffix('.')}`\n", TABLE]
            lines += [_line(row) for row in sorted(own, key=lambda r: r.name.lower())]
    ways = ways_of_ops(found)
    lines += ["\n## The IR's operations\n", "| op | kind | on Triton |\n| --- | --- | --- |"]
    lines += [f"| `{op.name}` | {op.kind.value} | {_joined(ways[op])} |" for op in OPS.values() if op in ways]
    lines += [REST, *textwrap.wrap(", ".join(without_cases(found)), 118)]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    gradient = {0: "-", 1: "1st", 2: "2nd"}[row.order]
    computes = {True: ["computes its input"], False: []}[row.realizing == {True}]
    computes = ["computes its input in some forms"] if len(row.realizing) == 2 else computes
    kinds = [k if set(names) <= row.dtypes else " ".join(n for n in names if n in row.dtypes) for k, names in KINDS.items()]
    shown = ", ".join([*computes, _joined(row.ways)] if row.ways or not computes else computes)
    return f"| `{row.name}` | {', '.join(k for k in kinds if k)} | {gradient} | {shown} |"


def _joined(ways: Iterable[str]) -> str:
    """Views cost nothing: they are named where nothing else is."""
    listed = sorted(set(ways) - {"view"}, key=lambda w: (w != "fused", w))
    return ", ".join(listed or ["view"])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(rows()), "utf-8")
