"""What a well-formed graph is: takes Nodes, raises GraphError where one says something about itself that is not so.

A node is well formed when the checked constructor of its op (ir/build.py), given its sources and argument,
arrives at its shape and dtype. Beyond what the constructors accept from users: sources of a pointwise op
share the node's shape (nothing broadcasts inside a graph), arguments are in their one canonical spelling,
and only COPY crosses devices. Runs between passes in the tests and under LAZYGRAD_CHECK=1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lazygrad.dtype import bool_
from lazygrad.errors import GraphError
from lazygrad.ir import attention, build, factorizations
from lazygrad.ir import op as ops
from lazygrad.ir.formula import expanded
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.op import Kind, Op
from lazygrad.ir.print import graph_text, shape_text


def verify(roots: Sequence[Node], stage: str) -> None:
    """GraphError, naming the stage and showing the node, for the first node that is not well formed."""
    for node in toposort(roots):
        try:
            reason = fault(node)
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error)
        if reason:
            shown = graph_text([node], "malformed", given=node.src)
            raise GraphError(f"after {stage}, {node.op.name} is not well formed: {reason}\n{shown}")


def fault(node: Node) -> str | None:
    """Why a node is not well formed, or None. May also raise what a constructor raises for its sources."""
    if node.op.arity not in (-1, len(node.src)):
        return f"it has {len(node.src)} sources instead of {node.op.arity}"
    if any(not isinstance(n, int) or n < 0 for n in node.shape):
        return f"its shape {node.shape} is not made of sizes"
    if node.op is not ops.COPY and any(s.device != node.device for s in node.src):
        return f"it is on {node.device}, its sources on {', '.join(sorted({str(s.device) for s in node.src}))}"
    reason = _argument_fault(node)
    if reason:
        return reason
    twin = _rebuilt(node)
    if twin.dtype is not node.dtype or twin.shape != node.shape:
        return f"it says {shape_text(node)}, but its sources make {shape_text(twin)}"
    return None


# -- arguments ------------------------------------------------------------------------------------------
def _axes_fault(node: Node) -> str | None:
    axes, size = node.arg, node.src[0].ndim
    if not axes or list(axes) != sorted(set(axes)) or not all(0 <= a < size for a in axes):
        return f"axes {axes} are not sorted, different and within {size} dimensions"
    if node.op in (ops.ARGMAX, ops.ARGMIN) and len(axes) != 1:
        return f"it takes one axis, not {axes}"
    return None


def _axis_fault(node: Node) -> str | None:
    axis = node.arg[0] if node.op is ops.SCATTER else node.arg
    return None if 0 <= axis < node.src[0].ndim else f"axis {axis} is outside {node.src[0].ndim} dimensions"


def _slice_fault(node: Node) -> str | None:
    for (start, stop, step), size in zip(node.arg, node.src[0].shape, strict=True):
        if not (0 <= start <= stop <= size and step > 0):
            return f"{start}:{stop}:{step} is no slice of {size} elements"
    return None


def _argument_fault(node: Node) -> str | None:
    op = node.op
    if op.kind is Kind.REDUCE:
        return _axes_fault(node)
    if op.kind is Kind.INDEXED and not node.src[1].dtype.is_integer:
        return f"its index is {node.src[1].dtype.name}"
    if op.kind is Kind.SCAN or op in (ops.GATHER, ops.SCATTER, ops.ARGSORT, ops.CONCAT):
        return _axis_fault(node)
    if op is ops.SLICE:
        return _slice_fault(node)
    if op is ops.PERMUTE and sorted(node.arg) != list(range(node.src[0].ndim)):
        return f"{node.arg} is no order of {node.src[0].ndim} dimensions"
    if op is ops.PAD and any(w < 0 for pair in node.arg[0] for w in pair):
        return f"its widths {node.arg[0]} are negative"
    if op is ops.SKEW and (node.arg.axis == node.arg.by or node.arg.size < 0):
        return f"{node.arg} skews nothing"
    if op is ops.BITCAST and node.arg.itemsize != node.src[0].dtype.itemsize:
        return f"{node.arg.name} and {node.src[0].dtype.name} differ in size"
    if op.kind is Kind.POINTWISE and any(s.shape != node.shape for s in node.src):
        return f"its sources have shapes {', '.join(str(list(s.shape)) for s in node.src)}"
    if op is ops.WHERE and node.src[0].dtype is not bool_:
        return f"its condition is {node.src[0].dtype.name}"
    return None


# -- inference ------------------------------------------------------------------------------------------
def _scattered(node: Node) -> Node:
    base, index, values = node.src
    if index.shape != values.shape:
        raise ValueError(f"index {list(index.shape)} and values {list(values.shape)} differ")
    return build.scatter(base, index, values, *node.arg)


def _attention(node: Node) -> Node:
    src, arg = node.src, node.arg
    if any(s.ndim != 4 for s in src[:3]):
        raise ValueError("q, k and v need four dimensions")
    if node.op is ops.ATTENTION_LSE:
        return attention.log_sum_exp(arg, *src)
    plain = replace(arg, token_major=False)
    operand = {ops.ATTENTION_DQ: 0, ops.ATTENTION_DK: 1, ops.ATTENTION_DV: 2}.get(node.op)
    made = attention.attention(plain, *src) if operand is None else src[operand]
    return build.permute(made, (0, 2, 1, 3)) if arg.token_major else made


# by op where an op is built in a way of its own, else by kind
INFER: dict[Op | Kind, Callable[[Node], Node]] = {
    ops.BUFFER: lambda n: n,
    ops.CONST: lambda n: build.const(n.arg, n.dtype, n.device),
    ops.IOTA: lambda n: build.iota(n.arg, n.device),
    Kind.MARKER: lambda n: n.src[0],
    ops.EXAMPLE: lambda n: build.example(n.src[0], *n.arg),
    Kind.APPLY: lambda n: expanded(n.arg, n.src, n.where, {}),
    Kind.POINTWISE: lambda n: build.pointwise(n.op, *n.src, arg=n.arg),
    ops.RESHAPE: lambda n: build.reshape(n.src[0], n.arg),
    ops.PERMUTE: lambda n: build.permute(n.src[0], n.arg),
    ops.EXPAND: lambda n: build.expand(n.src[0], n.arg),
    ops.FLIP: lambda n: build.flip(n.src[0], n.arg),
    ops.SLICE: lambda n: build.slice_(n.src[0], n.arg),
    ops.PAD: lambda n: build.pad(n.src[0], *n.arg),
    ops.SKEW: lambda n: build.skew(n.src[0], n.arg),
    ops.CONCAT: lambda n: build.concat(n.src, n.arg),
    Kind.REDUCE: lambda n: build.reduce(n.op, n.src[0], n.arg),
    ops.DOT: lambda n: build.dot(*n.src),
    ops.GATHER: lambda n: build.gather(n.src[0], n.src[1], n.arg),
    ops.SCATTER: _scattered,
    ops.PLACE: lambda n: build.place(*n.src),
    ops.SEGMENT: lambda n: build.segments(n.arg, *n.src),
    Kind.SCAN: lambda n: build.scan(n.op, n.src[0], n.arg),
    ops.ARGSORT: lambda n: build.argsort(n.src[0], n.arg),
    **dict.fromkeys((ops.IGAMMA, ops.IGAMMAC, ops.ZETA), lambda n: build.of_pairs(n.op, *n.src)),
    ops.SOLVE: lambda n: build.solve(*n.src),
    ops.CHOLESKY: lambda n: build.cholesky(n.src[0]),
    ops.LOGABSDET: lambda n: build.log_abs_det(n.src[0]),
    ops.DETSIGN: lambda n: build.det_sign(n.src[0]),
    ops.DET: lambda n: build.det(n.src[0]),
    ops.COFACTORS: lambda n: factorizations.cofactors(n.src[0]),
    ops.EIGH: lambda n: factorizations.factorization(n.op, n.src[0], n.arg),
    ops.SVD: lambda n: factorizations.factorization(n.op, n.src[0], n.arg),
    ops.QR: lambda n: factorizations.factorization(n.op, n.src[0], n.arg),
    ops.LU: lambda n: factorizations.factorization(n.op, n.src[0], n.arg),
    ops.PINV: lambda n: factorizations.pinv(n.src[0], n.arg),
    ops.SWAPPED: lambda n: factorizations.swapped(n.src[0], n.arg),
    Kind.ATTENTION: _attention,
    Kind.TRANSFER: lambda n: build.copy(n.src[0], n.arg),
}


def _rebuilt(node: Node) -> Node:
    infer = INFER.get(node.op) or INFER[node.op.kind]
    return infer(node)


__all__ = ["INFER", "fault", "verify"]
