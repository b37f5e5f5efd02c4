"""What a kernel is called: takes the nodes it evaluates, returns a name in the field's terms.

Nodes made inside a composite carry its name (errors.py): a kernel is named after those and after the single
ops beside them, in the order they are computed: layer_norm_kernel, add_gelu_kernel, softmax_backward_kernel.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind

MOST_WORDS = 4
BACKWARD = "backward"  # what ir/grad.py calls its nodes
SAYS_LITTLE = (ops.CAST, ops.BITCAST, ops.WHERE, ops.LT, ops.LE, ops.EQ, ops.NE, ops.NEG)
TELLING = (Kind.REDUCE, Kind.POINTWISE, Kind.INDEXED, Kind.SCAN)


def kernel_words(body: Iterable[Node], stored: Collection[Node]) -> list[str]:
    """What is computed, each once; "backward" last where the reverse sweep made some of it."""
    told: list[str] = []
    swept: list[str] = []  # single ops of the reverse sweep: what they belong to says more
    little: list[str] = []
    backward = False
    for node in body:
        if node.op.kind not in TELLING:
            if node in stored and node.op.kind is not Kind.CONTRACT:
                little.append(node.op.name.lower())
            continue
        name, word = node.where[2], node.op.name.lower()
        if name and name != BACKWARD:
            told.append(name)
        elif node.op in SAYS_LITTLE:
            little.append(word)
        elif name:
            swept.append(word)
        else:
            told.append(word)
        backward |= name == BACKWARD
    words = list(dict.fromkeys(told or swept or little))
    if len(words) > MOST_WORDS:
        words = [*words[: MOST_WORDS - 1], f"and_{len(words) - MOST_WORDS + 1}_more"]
    return [*words, *([BACKWARD] if backward else [])]


def kernel_name(body: Iterable[Node], stored: Collection[Node], before: str = "") -> str:
    """`before` is what the template computes: matmul."""
    words = kernel_words(body, stored)
    return "_".join([*([before] if before else []), *words, "kernel"])
