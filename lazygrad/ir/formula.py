"""Formulas: takes a function of Nodes and traces it once, returns each of its applications as one Node a result.

An update rule is the same few dozen nodes for every parameter, step after step. As a formula it is traced over
parameters that stand for its operands, and an application names the formula and what it is applied to. Where a
structure becomes a graph of its own (schedule/canonical.py) the graph that is meant takes the application's place:
no pass behind that line has heard of formulas. No gradient flows through one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lazygrad.errors import Line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make, rebuild, toposort
from lazygrad.ir.op import Kind


class Parameter:
    """The argument of the BUFFER that stands for an operand."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __repr__(self) -> str:
        return f"parameter{self.index}"


class Formula:
    """Results over parameters. Compared by identity, as what names it in a plan's key must be quick to hash."""

    def __init__(self, name: str, function: Callable[..., Sequence[Node]], operands: Sequence[Node]) -> None:
        self.name = name
        stand_ins = [make(ops.BUFFER, (), Parameter(i), o.dtype, o.shape, o.device) for i, o in enumerate(operands)]
        self.results = list(function(*stand_ins))
        inside = toposort(self.results)
        hidden = [n for n in inside if n.op.kind in (Kind.MARKER, Kind.TRANSFER)]
        assert not hidden, f"{name}: leaves and transfers must be seen before a formula is expanded"
        self.parameters = [p for p in stand_ins if p in inside]
        self.applied = [Result(self, i) for i in range(len(self.results))]

    def __call__(self, *operands: Node) -> list[Node]:
        """Every result for these operands, of the dtypes, shapes and device that the formula was traced with."""
        src = tuple([build.detach(operands[p.arg.index]) for p in self.parameters])
        pairs = zip(self.applied, self.results, strict=True)
        return [make(ops.APPLY, src, result, n.dtype, n.shape, n.device) for result, n in pairs]


class Result:
    """The argument of an APPLY: one result of a formula."""

    def __init__(self, formula: Formula, index: int) -> None:
        self.formula, self.index = formula, index

    def __repr__(self) -> str:
        return f"{self.formula.name}.{self.index}"


Expansions = dict[tuple[Formula, tuple[Node, ...]], dict[Node, Node]]


def expanded(result: Result, operands: tuple[Node, ...], where: Line, known: Expansions) -> Node:
    """What an application means. Results of one application share what `known` has of it."""
    twin = known.setdefault((result.formula, operands), {})
    if not twin:
        twin.update(zip(result.formula.parameters, operands, strict=True))
    asked = result.formula.results[result.index]
    for node in toposort([asked], stop=lambda n: n in twin):
        if node not in twin:
            made = twin[node] = rebuild(node, tuple(twin[s] for s in node.src))
            if node.src:
                made.where = where
    return twin[asked]
