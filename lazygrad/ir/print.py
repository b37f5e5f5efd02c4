"""A graph as text: takes Nodes, returns what looks like a Python function, one line for each node.

    def simplify(in0):
        sum = sum(in0, axes=(1,))  # float32[64, 1]  train.py:7
        return sum

Constants stand where they are used. What is printed here is for reading; nothing reads it back.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lazygrad.errors import UNKNOWN, show_line
from lazygrad.ir import op as ops
from lazygrad.ir.build import constant_value
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.op import Kind, Op

COMMENT_COLUMN = 56
SILENT = (Kind.MOVEMENT, Kind.SOURCE, Kind.MARKER, Kind.EXAMPLE)  # nothing is computed by these

# how an op's argument reads; ops that aren't named here show it as it is, or have none
ARGUMENTS: dict[Op, Callable[[Any], str]] = {
    ops.CAST: lambda dtype: dtype.name,
    ops.BITCAST: lambda dtype: dtype.name,
    ops.PERMUTE: lambda axes: f"axes={axes}",
    ops.FLIP: lambda axes: f"axes={axes}",
    ops.SLICE: lambda bounds: f"[{', '.join(_slice_text(*b) for b in bounds)}]",
    ops.PAD: lambda arg: f"widths={arg[0]}, fill={arg[1]}",
    ops.SKEW: lambda arg: f"axis={arg.axis}, by={arg.by}, step={arg.step}, start={arg.start}, size={arg.size}",
    ops.CONCAT: lambda axis: f"axis={axis}",
    ops.GATHER: lambda axis: f"axis={axis}",
    ops.SCATTER: lambda arg: f'axis={arg[0]}, mode="{arg[1]}"',
    ops.ARGSORT: lambda axis: f"axis={axis}",
    ops.COPY: lambda device: f'device="{device}"',
}


def _slice_text(start: int, stop: int, step: int) -> str:
    return f"{start}:{stop}" if step == 1 else f"{start}:{stop}:{step}"


def graph_text(roots: Sequence[Node], heading: str = "graph", given: Iterable[Node] = ()) -> str:
    """The graph behind `roots` as a function of its buffers, and of what is `given`: nothing behind that is shown."""
    names, stops = _Names(), set(given)
    order = toposort(roots, stop=lambda n: n in stops)
    parameters = [n for n in order if n in stops or n.op is ops.BUFFER]
    for node in parameters:
        names.parameter(node)
    lines = []
    for node in order:
        if node in names.of or literal_of(node) is not None:
            continue
        call = _call(node, [names.text(s) for s in node.src])
        lines.append(_commented(f"    {names.fresh(node)} = {call}", node))
    results = ", ".join(names.text(r) for r in roots)
    head = _def(heading, [_parameter(names.of[n], n) for n in parameters])
    return "\n".join([*head, *lines, f"    return {results}"])


def literal_of(node: Node) -> str | None:
    """The text of a constant, or of one seen through movement."""
    value = constant_value(node)
    return None if value is None else repr(value)


def shape_text(node: Node) -> str:
    """`float32[64, 96]`."""
    return f"{node.dtype.name}{list(node.shape)}"


def operation_lines(nodes: Iterable[Node]) -> list[str]:
    """One line for each node that computes: op, shape, the user's line; equal lines once."""
    told = [n for n in nodes if n.op.kind not in SILENT]
    return list(dict.fromkeys(f"{_word(n)}  {shape_text(n)}  {origin(n)}".rstrip() for n in told))


def origin(node: Node) -> str:
    """`train.py:7 layer_norm`: the user's line and the composite that was asked for there."""
    line = "" if node.where[0] in ("", UNKNOWN[0]) else show_line(node.where)
    return f"{line} {node.where[2]}".strip()


def operation_count(nodes: Iterable[Node]) -> int:
    """How many of the nodes compute something."""
    return sum(n.op.kind not in SILENT for n in nodes)


class _Names:
    """A name for every node: sum, sum_1, sum_2 ..."""

    def __init__(self) -> None:
        self.of: dict[Node, str] = {}
        self._seen: dict[str, int] = {}

    def fresh(self, node: Node, stem: str = "") -> str:
        stem = stem or _word(node)
        count = self._seen.get(stem, 0)
        self._seen[stem] = count + 1
        self.of[node] = f"{stem}_{count}" if count else stem
        return self.of[node]

    def parameter(self, node: Node) -> None:
        index = getattr(node.arg, "index", None) if node.op is ops.BUFFER else None
        self.fresh(
            node, "buffer" if node.op is ops.BUFFER and index is None else f"in{index}" if index is not None else ""
        )

    def text(self, node: Node) -> str:
        return self.of[node] if node in self.of else literal_of(node) or "?"


def _word(node: Node) -> str:
    word = node.op.name.lower()
    return f"{word}_" if keyword.iskeyword(word) else word


def _call(node: Node, sources: list[str]) -> str:
    argument = ""
    if node.arg is not None and node.op not in (ops.CONST, ops.BUFFER):
        if node.op in ARGUMENTS:
            argument = ARGUMENTS[node.op](node.arg)
        elif node.op.kind is Kind.REDUCE:
            argument = f"axes={node.arg}"
        elif node.op.kind is Kind.SCAN:
            argument = f"axis={node.arg}"
        else:
            argument = str(node.arg)
    elif node.op is ops.CONST:
        argument = repr(node.arg)
    return f"{_word(node)}({', '.join([*sources, *([argument] if argument else [])])})"


def _commented(text: str, node: Node) -> str:
    return f"{text:<{COMMENT_COLUMN}}  # {shape_text(node)}  {origin(node)}".rstrip()


def _parameter(name: str, node: Node) -> str:
    return f"{name}: {shape_text(node)}"


def _def(heading: str, parameters: list[str]) -> list[str]:
    name = "".join(c if c.isalnum() else "_" for c in heading)
    whole = f"def {name}({', '.join(parameters)}):"
    if len(whole) <= 100:
        return [whole]
    return [f"def {name}(", *[f"    {p}," for p in parameters], "):"]
