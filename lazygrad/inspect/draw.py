"""A graph to look at: takes a tensor, returns a Drawing of everything it is computed from.

    from lazygrad.inspect.draw import draw
    draw(loss, dict(model.named_parameters())).save("loss.svg")

Each box holds an op or the name of a leaf, its value, and the gradient of the drawn tensor with respect to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.errors import at_user_line
from lazygrad.inspect.layout import Layout, layered
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.grad import gradients
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.print import literal_of, shape_text
from lazygrad.runtime.array import download
from lazygrad.tensor.core import flush

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

MOST_BOXES = 600
MOST_NUMBERS = 4  # of a value that is written out; of a larger one its shape and range

# fill and outline of each kind of box
COLOURS = {
    "parameter": ("#fdf1dc", "#c98a1b"),
    "input": ("#e6f0fa", "#3f7fbf"),
    "number": ("#f4f4f4", "#a0a0a0"),
    "op": ("#ffffff", "#707a85"),
    "result": ("#e4f5e6", "#3a9148"),
}
SIGNS = {"ADD": "+", "SUB": "−", "MUL": "×", "DIV": "÷", "NEG": "−( )", "DOT": "@", "SQRT": "√", "SUM": "Σ"}

FONT_SIZE, LINE, LETTER, PADDING, MARGIN = 12, 16, 7.3, 8, 16
ARROW = 7
FAMILY = "DejaVu Sans Mono, Menlo, Consolas, monospace"


@dataclass(frozen=True)
class Box:
    """One box: what is written in it, line by line, the first as its title, and what kind it is."""

    lines: tuple[str, ...]
    kind: str
    where: str  # dtype and shape, shown when a mouse rests on the box

    @property
    def size(self) -> tuple[float, float]:
        return max(map(len, self.lines)) * LETTER + 2 * PADDING, len(self.lines) * LINE + 2 * PADDING - 2


@dataclass(frozen=True)
class Drawing:
    """Boxes and the edges between them, by number; `dot()` and `svg()` write them down."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]

    def dot(self) -> str:
        """For Graphviz."""
        lines = [
            "digraph {",
            '  graph [rankdir=LR, nodesep=0.15, ranksep=0.5, bgcolor="transparent"]',
            f'  node [shape=box, style="rounded,filled", fontname="{FAMILY.split(",")[0]}", fontsize={FONT_SIZE}]',
            '  edge [color="#8a949e", arrowsize=0.6]',
        ]
        for number, box in enumerate(self.boxes):
            fill, outline = COLOURS[box.kind]
            label, tip = (_quoted(text) for text in ("\n".join(box.lines), box.where))
            lines.append(f'  n{number} [label={label}, tooltip={tip}, fillcolor="{fill}", color="{outline}"]')
        lines += [f"  n{start} -> n{end}" for start, end in self.edges]
        return "\n".join([*lines, "}", ""])

    def svg(self) -> str:
        """For a browser; laid out here, so that no Graphviz is needed."""
        layout = layered(dict(enumerate(b.size for b in self.boxes)), self.edges)
        width, height = (round(side + 2 * MARGIN) for side in (layout.width, layout.height))
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="{FAMILY}" font-size="{FONT_SIZE}">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            f'<g transform="translate({MARGIN} {MARGIN})">',
            '<g fill="none" stroke="#8a949e" stroke-width="1.2">',
            *(f'<path d="{self._curve(edge, layout)}"/>' for edge in dict.fromkeys(self.edges)),
            "</g>",
            '<g fill="#8a949e">',
            *(f'<path d="{self._arrow(end, layout)}"/>' for end in dict.fromkeys(e for _, e in self.edges)),
            "</g>",
        ]
        for number, box in enumerate(self.boxes):
            lines += _box_svg(box, *layout.centre[number])
        return "\n".join([*lines, "</g>", "</svg>", ""])

    def save(self, path: str | Path) -> None:
        """As DOT or SVG, by the suffix. ValueError for another."""
        path = Path(path)
        writers = {".dot": self.dot, ".gv": self.dot, ".svg": self.svg}
        if path.suffix not in writers:
            raise ValueError(at_user_line(f"a drawing is saved as {', '.join(writers)}, not {path.suffix or path}"))
        path.write_text(writers[path.suffix](), "utf-8")

    def _curve(self, edge: tuple[int, int], layout: Layout) -> str:
        """From the right side of one box to the arrow at the left side of the other."""
        (x0, y0), (x1, y1) = (layout.centre[n] for n in edge)
        x0, x1 = x0 + self.boxes[edge[0]].size[0] / 2, x1 - self.boxes[edge[1]].size[0] / 2
        *way, (side, _) = layout.ways[edge]
        text = f"M{x0:.1f} {y0:.1f}"
        for (xa, ya), (xb, yb) in pairwise([(x0, y0), *way, (side - ARROW, y1), (x1 - ARROW, y1)]):
            middle = (xa + xb) / 2
            text += f" H{xb:.1f}" if ya == yb else f" C{middle:.1f} {ya:.1f} {middle:.1f} {yb:.1f} {xb:.1f} {yb:.1f}"
        return text

    def _arrow(self, number: int, layout: Layout) -> str:
        x, y = layout.centre[number]
        tip = x - self.boxes[number].size[0] / 2
        return f"M{tip:.1f} {y:.1f} l-{ARROW} -3.5 v7 z"


def draw(output: Tensor, names: Mapping[str, Tensor] | None = None) -> Drawing:
    """Everything that `output` is computed from, with values, and with gradients where `output` is one number
    that requires grad.

    `names` are written where they belong: dict(model.named_parameters()), or {"x": x}; what has a name and needs no
    gradient is drawn as an input, wherever it comes from. Values that have not been computed are; so draw before
    an optimizer overwrites what they depend on (StaleValueError after). ValueError where there are too many boxes
    to look at.
    """
    root = _shown(output.node)
    called = _called(names or {})
    inputs = {key for key in called if isinstance(key, Node) and not key.needs_grad}
    order = [n for n in toposort([root], stop=lambda n: _is_end(n) or n in inputs) if n is _shown(n)]
    if len(order) > MOST_BOXES:
        raise ValueError(at_user_line(f"{len(order)} boxes are more than one can look at; draw at most {MOST_BOXES}"))
    slopes: dict[Node, Node] = {}
    if root.needs_grad and root.numel == 1:
        live = [n for n in order if n.needs_grad]
        found = gradients([root], [build.like(root, 1)], live)
        slopes = {n: slope for n, slope in zip(live, found) if slope is not None}
    values = _values([*order, *slopes.values()])
    number = {node: i for i, node in enumerate(order)}
    ends = {n for n in order if _is_end(n) or n in inputs}
    boxes = []
    for node in order:
        kind = "parameter" if node.op is ops.LEAF else "input" if node in ends else "result" if node is root else "op"
        slope = values[slopes[node]] if node in slopes else None
        boxes.append(_box(node, kind, called.get(_identity(node)), values[node], slope))
    edges = tuple((number[_shown(s)], number[n]) for n in order if n not in ends for s in n.src)
    return Drawing(tuple(boxes), edges)


def _called(names: Mapping[str, Tensor]) -> dict[Any, str]:
    """The name, or names, of each identity."""
    called: dict[Any, str] = {}
    for name, tensor in names.items():
        key = _identity(_shown(tensor.node))
        called[key] = f"{called[key]}, {name}" if key in called else name
    return called


def _identity(node: Node) -> Any:
    """A leaf stays the same leaf when its value is updated."""
    return node.arg if node.op is ops.LEAF else node


def _is_end(node: Node) -> bool:
    """Nothing behind it is drawn: a leaf, a buffer, or a constant of whatever shape."""
    return node.op is ops.LEAF or not node.src or literal_of(node) is not None


def _shown(node: Node) -> Node:
    """What is cut off from gradients has no box of its own: its source has it."""
    while node.op is ops.DETACH:
        node = node.src[0]
    return node


def _values(nodes: Iterable[Node]) -> dict[Node, np.ndarray]:
    """All of them, computed together."""
    wanted = list(dict.fromkeys(nodes))
    return {n: download(buffer.read()) for n, buffer in zip(wanted, flush(wanted))}


def _box(node: Node, kind: str, name: str | None, value: np.ndarray, slope: np.ndarray | None) -> Box:
    literal = literal_of(node)
    if literal is not None and name is None:
        return Box((literal,), "number", shape_text(node))
    word = kind if kind in ("parameter", "input") else SIGNS.get(node.op.name, node.op.name.lower())
    lines = [name or word, *_written("", value)]
    if slope is not None:
        lines += _written("∂ ", slope)
    return Box(tuple(lines), kind, f"{word}: {shape_text(node)}")


def _written(mark: str, value: np.ndarray) -> list[str]:
    """A number, a few of them, or a shape with the least and the greatest."""
    if value.size <= MOST_NUMBERS:
        text = " ".join(_number(v) for v in value.reshape(-1))
        return [f"{mark}{text}" if value.ndim == 0 else f"{mark}[{text}]"]
    shape = "×".join(map(str, value.shape))
    return [f"{mark}{shape}: {_number(value.min())} … {_number(value.max())}"]


def _number(value: np.generic) -> str:
    return f"{float(value):.4g}".replace("-", "−") if value.dtype.kind not in "biu" else str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _box_svg(box: Box, x: float, y: float) -> list[str]:
    width, height = box.size
    fill, outline = COLOURS[box.kind]
    left, top = x - width / 2, y - height / 2
    lines = [
        f"<g><title>{escape(box.where)}</title>",
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" '
        f'fill="{fill}" stroke="{outline}"/>',
    ]
    for i, text in enumerate(box.lines):
        at = top + PADDING + LINE * i + FONT_SIZE - 1
        style = ' font-weight="bold"' if i == 0 else ' fill="#b3261e"' if text.startswith("∂") else ""
        lines.append(f'<text x="{x:.1f}" y="{at:.1f}" text-anchor="middle"{style}>{escape(text)}</text>')
    return [*lines, "</g>"]
