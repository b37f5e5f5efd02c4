"""einsum: takes an equation and operands, contracts pairs from the left, each pair as one DOT.

A label is a letter, or a number for each dimension that an ellipsis stands for. Repeated labels of an
operand take its diagonal; labels that nothing later needs are summed as soon as they meet.
"""

from __future__ import annotations

import math
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.linalg import product

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Label = Any  # "a".."Z", or -1, -2, ... for the dimensions of an ellipsis, counted from the last
Labels = tuple[Label, ...]


def einsum(equation: Any, *operands: Any) -> Tensor:
    """torch.einsum: sums of products by Einstein's convention; also the sublist form einsum(a, [0, 1], ...).

    RuntimeError for an equation that is malformed or does not fit the operands.
    """
    if isinstance(equation, TensorBase):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    for operand in operands:
        check_tensor(operand, "einsum", "operands")
    if not operands:
        raise ValueError(at_user_line("einsum(): must specify the equation string and at least one operand"))
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        more = "fewer" if len(terms) > len(operands) else "more"
        raise RuntimeError(
            at_user_line(f"einsum(): {more} operands were provided than specified in the equation '{equation}'")
        )
    parsed = [_labels(term, op.node, equation) for term, op in zip(terms, operands, strict=True)]
    output = _output(right, parsed, equation) if arrow else _implied(parsed)
    sizes = _sizes(parsed, [op.node for op in operands], output, equation)
    nodes = [_own_diagonals(op.node, labels) for op, labels in zip(operands, parsed, strict=True)]
    node, labels = nodes[0]
    for i in range(1, len(nodes)):
        needed = set(output).union(*(labels_ for _, labels_ in nodes[i + 1 :]))
        node, labels = _pair(node, labels, *nodes[i], needed, sizes)
    node, labels = _summed(node, labels, set(output))
    node = build.permute(node, [labels.index(label) for label in output])
    return wrap(build.expand(node, tuple(sizes[label] for label in output)))


def _letter(label: Any) -> str:
    if label is Ellipsis:
        return "..."
    if not 0 <= label < len(ascii_letters):
        raise ValueError(
            at_user_line(
                f"einsum(): subscript in subscript list is not within the valid range [0, 52), but got {label}"
            )
        )
    return (ascii_uppercase + ascii_lowercase)[label]


def _from_sublists(arguments: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    def spell(sublist: Any) -> str:
        return "".join(map(_letter, sublist))

    pairs, output = arguments, ""
    if len(arguments) % 2:
        pairs, output = arguments[:-1], "->" + spell(arguments[-1])
    return ",".join(spell(s) for s in pairs[1::2]) + output, tuple(pairs[0::2])


def _labels(term: str, node: Node, equation: str) -> Labels:
    head, dots, tail = term.partition("...")
    letters = head + tail
    if not all(c.isascii() and c.isalpha() for c in letters):
        bad = next(c for c in letters if not (c.isascii() and c.isalpha()))
        raise RuntimeError(
            at_user_line(f"einsum(): invalid subscript given in '{equation}': {bad!r}; subscripts must be in [a-zA-Z]")
        )
    hidden = node.ndim - len(letters)
    if hidden < 0 or (hidden and not dots):
        raise RuntimeError(
            at_user_line(
                f"einsum(): the number of subscripts in the equation ({len(letters)}) does not match the number of "
                f"dimensions ({node.ndim}) for operand {term!r} and no ellipsis was given"
            )
        )
    return (*head, *range(-hidden, 0), *tail)


def _hidden(parsed: list[Labels]) -> list[int]:
    return sorted({label for labels in parsed for label in labels if isinstance(label, int)})


def _output(right: str, parsed: list[Labels], equation: str) -> Labels:
    head, dots, tail = right.partition("...")
    known = {label for labels in parsed for label in labels}
    for letter in head + tail:
        if letter not in known:
            raise RuntimeError(
                at_user_line(
                    f"einsum(): output subscript {letter} does not appear in the equation for any "
                    f"input operand: '{equation}'"
                )
            )
        if (head + tail).count(letter) > 1:
            raise RuntimeError(
                at_user_line(f"einsum(): output subscript {letter} appears more than once in the output: '{equation}'")
            )
    return (*head, *(_hidden(parsed) if dots else ()), *tail)


def _implied(parsed: list[Labels]) -> Labels:
    """Without an arrow: the ellipsis, then every letter that occurs once, in order of the alphabet."""
    letters = [label for labels in parsed for label in labels if isinstance(label, str)]
    return (*_hidden(parsed), *sorted(c for c in set(letters) if letters.count(c) == 1))


def _sizes(parsed: list[Labels], nodes: list[Node], output: Labels, equation: str) -> dict[Label, int]:
    sizes: dict[Label, int] = {}
    for labels, node in zip(parsed, nodes, strict=True):
        for label, size in zip(labels, node.shape, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and size not in (1, known):
                raise RuntimeError(
                    at_user_line(
                        f"einsum(): subscript {label} has size {size} for an operand which does not broadcast with "
                        f"previously seen size {known} in '{equation}'"
                    )
                )
            sizes[label] = size if known == 1 else known
    return sizes


def _own_diagonals(node: Node, labels: Labels) -> tuple[Node, Labels]:
    """Repeated labels of one operand: the diagonal of their dimensions."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            n, m = node.shape[first], node.shape[second]
            if n != m:
                raise RuntimeError(
                    at_user_line(
                        f"einsum(): subscript {label} is repeated for an operand but the sizes don't match, {m} != {n}"
                    )
                )
            rest = [i for i in range(node.ndim) if i not in (first, second)]
            moved = build.permute(node, [*rest, first, second])
            lead = moved.shape[:-2]
            flat = build.reshape(moved, (*lead, n * n))
            bounds = [*((0, k, 1) for k in lead), (0, n * n, n + 1)]
            node = build.slice_(flat, bounds)
            labels = (*(labels[i] for i in rest), label)
    return node, labels


def _summed(node: Node, labels: Labels, needed: set[Label]) -> tuple[Node, Labels]:
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return node, labels
    return build.reduce(ops.SUM, node, axes, keepdim=False), tuple(x for x in labels if x in needed)


def _pair(
    a: Node, a_labels: Labels, b: Node, b_labels: Labels, needed: set[Label], sizes: dict[Label, int]
) -> tuple[Node, Labels]:
    """Both operands contracted over what they share and nothing else needs."""
    a, a_labels = _summed(a, a_labels, needed | set(b_labels))
    b, b_labels = _summed(b, b_labels, needed | set(a_labels))
    shared = [x for x in a_labels if x in b_labels]
    inner = [x for x in shared if x not in needed]
    batch = [x for x in shared if x in needed]
    rows = [x for x in a_labels if x not in shared]
    columns = [x for x in b_labels if x not in shared]

    def arranged(node: Node, labels: Labels, order: list[Label], groups: list[list[Label]]) -> Node:
        moved = build.permute(node, [labels.index(x) for x in order])
        full = build.expand(moved, tuple(sizes[x] if x in shared else node.shape[labels.index(x)] for x in order))
        return build.reshape(full, tuple(math.prod(full.shape[order.index(x)] for x in g) for g in groups))

    left = arranged(a, a_labels, [*batch, *rows, *inner], [batch, rows, inner])
    right = arranged(b, b_labels, [*batch, *inner, *columns], [batch, inner, columns])
    if inner:
        joined = product(left, right, "einsum")
    else:
        joined = build.mul(left, right)  # (batch, rows, 1) by (batch, 1, columns)
    lengths = (
        [sizes[x] for x in batch]
        + [a.shape[a_labels.index(x)] for x in rows]
        + [b.shape[b_labels.index(x)] for x in columns]
    )
    return build.reshape(joined, tuple(lengths)), (*batch, *rows, *columns)


__all__ = ["einsum"]
