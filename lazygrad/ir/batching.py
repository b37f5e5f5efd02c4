"""Batching: takes Nodes of one example, returns the Nodes of all examples at once.

A function under vmap is given EXAMPLE nodes: one slice of a batch, whichever. What it made of them is rewritten
here, node by node, with one more axis in front that counts the examples. Nodes that depend on no example stay as
they are and are shared by all. The table is closed under differentiation: gradients are ordinary nodes, and
those of a call with a gradient of its own are batched where they are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lazygrad.ir import attention, build
from lazygrad.ir import op as ops
from lazygrad.ir.custom import Call, custom
from lazygrad.ir.formula import expanded
from lazygrad.ir.node import Node, make, toposort
from lazygrad.ir.op import Kind, Op
from lazygrad.shape import Shape

_levels = itertools.count()


def new_level() -> int:
    """The number of a vmap: tells its examples from those of every other."""
    return next(_levels)


def depends(node: Node, level: int) -> bool:
    """Whether a node has a value for each example of this vmap."""
    return any(n.op is ops.EXAMPLE and n.arg[0] == level for n in _within([node]))


def innermost(nodes: Sequence[Node]) -> tuple[int, int] | None:
    """(level, size) of the innermost vmap that a node has a value for each example of, if any."""
    found = [n for n in _within(nodes) if n.op is ops.EXAMPLE]
    last = max(found, key=lambda n: n.arg[0], default=None)
    return None if last is None else (last.arg[0], last.src[0].shape[last.arg[1]])


def of_innermost_examples(node: Node) -> Node | None:
    """The values for all examples of the innermost vmap that a node depends on, those in front; None for none."""
    found = innermost([node])
    return None if found is None else batched([node], *found)[0]


def of_all_examples(node: Node) -> Node:
    """The values for all examples of every vmap that a node depends on, those of the outermost in front."""
    while (whole := of_innermost_examples(node)) is not None:
        node = whole
    return node


def _within(nodes: Sequence[Node]) -> list[Node]:
    """What may depend on examples: nothing that is computed does, and no batch on the examples taken from it."""
    return toposort(nodes, stop=lambda n: n.computed is not None or n.op is ops.EXAMPLE)


def batched(nodes: Sequence[Node], level: int, size: int) -> list[Node | None]:
    """The values of each node for all `size` examples, the examples in front; None where it depends on none."""
    twin: dict[Node, Node] = {}
    for node in _within(nodes):
        if node.op is ops.EXAMPLE and node.arg[0] == level:
            twin[node] = _to_front(node.src[0], node.arg[1])
        elif node.op is not ops.EXAMPLE and any(s in twin for s in node.src):
            rule = RULES.get(node.op) or RULES[node.op.kind]
            made = twin[node] = rule(Batched(node, tuple([twin.get(s) for s in node.src]), level, size))
            if made.op.kind is not Kind.SOURCE and made not in node.src:
                made.where = node.where
    return [twin.get(n) for n in nodes]


@dataclass(frozen=True)
class Batched:
    """A node of one example, and for each source its values for all examples: None where all share one."""

    node: Node
    src: tuple[Node | None, ...]
    level: int
    size: int

    def loose(self) -> tuple[Node, ...]:
        """Sources that broadcast against each other from the right: shared ones lack the axis of examples."""
        return tuple([s if b is None else b for s, b in zip(self.node.src, self.src, strict=True)])

    def full(self) -> tuple[Node, ...]:
        """All sources with the axis of examples."""
        pairs = zip(self.node.src, self.src, strict=True)
        return tuple([spread(s, self.size) if b is None else b for s, b in pairs])


def spread(node: Node, size: int) -> Node:
    """The same value for each of `size` examples."""
    return build.expand(node, (size, *node.shape))


def _to_front(node: Node, axis: int) -> Node:
    return build.permute(node, (axis, *(i for i in range(node.ndim) if i != axis)))


Rule = Callable[[Batched], Node]


# -- where the axis of examples goes ------------------------------------------------------------------
def _behind(axes: Shape) -> Shape:
    return tuple(a + 1 for a in axes)


def _expand(b: Batched) -> Node:
    (source,) = b.full()
    lead = b.node.ndim - b.node.src[0].ndim
    aligned = build.reshape(source, (b.size, *(1,) * lead, *source.shape[1:]))
    return build.expand(aligned, (b.size, *b.node.shape))


def _same_op(b: Batched) -> Node:
    """An op that works on each matrix, or each pair of numbers, of a batch of any shape."""
    node = b.node
    return make(node.op, b.full(), node.arg, node.dtype, (b.size, *node.shape), node.device)


def _dot(b: Batched) -> Node:
    """A factor that all examples share isn't repeated: the examples become more rows (or columns) of the other."""
    (left, right), (one_left, one_right) = b.src, b.node.src
    lead = one_left.ndim - 2
    batch, (m, k), n = one_left.shape[:-2], one_left.shape[-2:], one_right.shape[-1]
    inner = tuple(range(1, lead + 1))
    if left is not None and right is not None:
        return build.dot(left, right)
    if left is not None:  # (batch, examples * m, k) x (batch, k, n)
        rows = build.reshape(build.permute(left, (*inner, 0, lead + 1, lead + 2)), (*batch, b.size * m, k))
        return _to_front(build.reshape(build.dot(rows, one_right), (*batch, b.size, m, n)), lead)
    assert right is not None  # (batch, m, k) x (batch, k, examples * n)
    columns = build.reshape(build.permute(right, (*inner, lead + 1, 0, lead + 2)), (*batch, k, b.size * n))
    return _to_front(build.reshape(build.dot(one_left, columns), (*batch, m, b.size, n)), lead + 1)


def _in_parts(b: Batched, one: Node) -> Node:
    """By the rules of the nodes that an op stands for."""
    (found,) = batched([one], b.level, b.size)
    assert found is not None
    return found


def _custom(b: Batched) -> Node:
    value, *inputs = b.loose()
    value = spread(value, b.size) if b.src[0] is None else value
    call = BatchedCall(b.node.arg.call, b.node.src[1:], tuple(s is not None for s in b.src[1:]), b.level, b.size)
    return custom(call, b.node.arg.index, value, inputs)


# -- attention: examples are more of its batch --------------------------------------------------------
def _attention(b: Batched) -> Node:
    node, arg = b.node, b.node.arg
    if arg.dropout:  # elements are told apart by where they lie in the batch of one example: in parts, then
        return _in_parts(b, attention.DECOMPOSITIONS[node.op](node))
    batch = node.src[0].shape[0]
    planes = [1 if _is_two_planes(node, i) else 0 for i in range(len(node.src))]
    src = [
        _folded(whole, plane, batch) if one.shape[plane : plane + 1] == (batch,) else _mask(b, i, batch)
        for i, (one, whole, plane) in enumerate(zip(node.src, b.full(), planes, strict=True))
    ]
    if node.op is ops.ATTENTION_LSE and node.ndim == 4:
        shape = (2, b.size * batch, *node.shape[2:])
        made = make(node.op, tuple(src), arg, node.dtype, shape, node.device)
        return _to_front(build.reshape(made, (2, b.size, *node.shape[1:])), 1)
    shape = (b.size * batch, *node.shape[1:])
    made = make(node.op, tuple(src), arg, node.dtype, shape, node.device)
    return build.reshape(made, (b.size, *node.shape))


def _is_two_planes(node: Node, position: int) -> bool:
    """Whether a source is a row's maximum and log sum, kept apart: (2, batch, heads, q_len)."""
    return position == node.arg.operands + 1 and node.src[position].ndim == 4


def _folded(whole: Node, plane: int, batch: int) -> Node:
    """(examples, [2], batch, ...) as ([2], examples * batch, ...)."""
    if plane:
        whole = build.permute(whole, (1, 0, *range(2, whole.ndim)))
    shape = whole.shape
    return build.reshape(whole, (*shape[:plane], shape[plane] * batch, *shape[plane + 2 :]))


def _mask(b: Batched, position: int, batch: int) -> Node:
    """A mask that broadcasts over an example's batch: over all of them, where the examples share it."""
    one, whole = b.node.src[position], b.src[position]
    if whole is None:
        return one
    rest = one.shape[1:] if one.ndim == 4 else (*(1,) * (3 - one.ndim), *one.shape)
    aligned = build.reshape(whole, (b.size, 1, *rest))
    return build.reshape(build.expand(aligned, (b.size, batch, *rest)), (b.size * batch, *rest))


OF_PAIRS = (ops.IGAMMA, ops.IGAMMAC, ops.ZETA)
OF_EACH_MATRIX = (
    ops.SOLVE, ops.CHOLESKY, ops.LOGABSDET, ops.DETSIGN, ops.DET, ops.COFACTORS, ops.EIGH, ops.SVD, ops.QR, ops.LU,
    ops.PINV, ops.SWAPPED,
)  # fmt: skip


def _gather(b: Batched) -> Node:
    data, index = b.full()
    return build.gather(data, index, b.node.arg + 1)


def _scatter(b: Batched) -> Node:
    base, index, values = b.full()
    axis, mode = b.node.arg
    return build.scatter(base, index, values, axis + 1, mode)


# by op where an op has a rule of its own, else by kind; sources depend on no example
RULES: dict[Op | Kind, Rule] = {
    ops.LEAF: lambda b: build.leaf(b.full()[0], b.node.arg),
    ops.CLONE: lambda b: build.clone(b.full()[0]),
    ops.DETACH: lambda b: build.detach(b.full()[0]),
    ops.GRAFT: lambda b: build.graft(*b.full()),
    ops.CUSTOM: _custom,
    Kind.APPLY: lambda b: _in_parts(b, expanded(b.node.arg, b.node.src, b.node.where, {})),
    Kind.POINTWISE: lambda b: build.pointwise(b.node.op, *b.loose(), arg=b.node.arg),
    ops.RESHAPE: lambda b: build.reshape(b.full()[0], (b.size, *b.node.arg)),
    ops.PERMUTE: lambda b: build.permute(b.full()[0], (0, *_behind(b.node.arg))),
    ops.EXPAND: _expand,
    ops.FLIP: lambda b: build.flip(b.full()[0], _behind(b.node.arg)),
    ops.SLICE: lambda b: build.slice_(b.full()[0], ((0, b.size, 1), *b.node.arg)),
    ops.PAD: lambda b: build.pad(b.full()[0], ((0, 0), *b.node.arg[0]), b.node.arg[1]),
    ops.SKEW: lambda b: build.skew(b.full()[0], replace(b.node.arg, axis=b.node.arg.axis + 1, by=b.node.arg.by + 1)),
    ops.CONCAT: lambda b: build.concat(b.full(), b.node.arg + 1),
    Kind.REDUCE: lambda b: build.reduce(b.node.op, b.full()[0], _behind(b.node.arg)),
    ops.DOT: _dot,
    ops.GATHER: _gather,
    ops.SCATTER: _scatter,
    Kind.SCAN: lambda b: build.scan(b.node.op, b.full()[0], b.node.arg + 1),
    ops.ARGSORT: lambda b: build.argsort(b.full()[0], b.node.arg + 1),
    **dict.fromkeys((*OF_EACH_MATRIX, *OF_PAIRS), _same_op),
    Kind.ATTENTION: _attention,
    Kind.TRANSFER: lambda b: build.copy(b.full()[0], b.node.arg),
}


@dataclass(frozen=True, eq=False)
class BatchedCall:
    """A call made once for each example: its gradient is that of one example, batched in turn. What all examples
    share gets the sum of theirs."""

    call: Call
    inputs: tuple[Node, ...]
    has_examples: tuple[bool, ...]
    level: int
    size: int

    @property
    def saved(self) -> list[Node]:
        found = batched(self.call.saved, self.level, self.size)
        return [s if b is None else b for s, b in zip(self.call.saved, found, strict=True)]

    def vjp(self, inputs: Sequence[Node], cotangents: dict[int, Node]) -> list[Node | None]:
        one = {index: build.example(g, self.level, 0) for index, g in cotangents.items()}
        flows = self.call.vjp(self.inputs, one)
        wholes = batched([f for f in flows if f is not None], self.level, self.size)
        found = iter(wholes)
        return [None if f is None else self._of_input(f, next(found), e) for f, e in zip(flows, self.has_examples)]

    def _of_input(self, one: Node, whole: Node | None, has_examples: bool) -> Node:
        whole = spread(one, self.size) if whole is None else whole
        return whole if has_examples else build.reduce(ops.SUM, whole, (0,), keepdim=False)


__all__ = [
    "RULES",
    "BatchedCall",
    "batched",
    "depends",
    "innermost",
    "new_level",
    "of_all_examples",
    "of_innermost_examples",
    "spread",
]
