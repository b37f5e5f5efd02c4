"""The operation that a node belongs to, as torch would name its backward: takes a node, returns a name and sources.

Nodes are finer than torch's operations: a mean is a sum and a division, a softmax five nodes. What was made together
is told by the composite that its nodes name, and otherwise by the shape of the graph, so that a few names are guesses:
`x * x` and `x ** 2` are one node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind

ACCUMULATE = "torch::autograd::AccumulateGrad"

COMPOSITES = {
    "batch_norm": "NativeBatchNorm",
    "binary_cross_entropy": "BinaryCrossEntropy",
    "binary_cross_entropy_with_logits": "BinaryCrossEntropyWithLogits",
    "convolution": "Convolution",
    "cross_entropy": "NllLoss",
    "elu": "Elu",
    "embedding": "Embedding",
    "gelu": "Gelu",
    "gelu_tanh": "Gelu",
    "glu": "Glu",
    "group_norm": "NativeGroupNorm",
    "hardshrink": "Hardshrink",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "hardtanh": "Hardtanh",
    "huber": "HuberLoss",
    "kl_div": "KlDiv",
    "layer_norm": "NativeLayerNorm",
    "leaky_relu": "LeakyRelu",
    "log_softmax": "LogSoftmax",
    "logsigmoid": "LogSigmoid",
    "logsumexp": "Logsumexp",
    "mish": "Mish",
    "mse": "MseLoss",
    "nll_loss": "NllLoss",
    "prelu": "PreluKernel",
    "relu": "Relu",
    "scaled_dot_product_attention": "ScaledDotProductAttention",
    "selu": "Elu",
    "silu": "Silu",
    "smooth_l1": "SmoothL1Loss",
    "soft_margin": "SoftMarginLoss",
    "softmax": "Softmax",
    "softplus": "Softplus",
    "softshrink": "Softshrink",
    "threshold": "Threshold",
    "transposed_convolution": "Convolution",
}
# elementwise, then averaged or added up
LOSSES = (
    "mse", "smooth_l1", "huber", "soft_margin", "kl_div", "binary_cross_entropy", "binary_cross_entropy_with_logits",
)  # fmt: skip

OPS = {
    ops.LOG1P: "Log1P",
    ops.CONCAT: "Cat",
    ops.CAST: "ToCopy",
    ops.PAD: "ConstantPadNd",
    ops.ATTENTION: "ScaledDotProductAttention",
    ops.GATHER: "Index",
    ops.REMAINDER: "Remainder",
    ops.SOLVE: "LinalgSolveEx",
    ops.CHOLESKY: "LinalgCholeskyEx",
    ops.EIGH: "LinalgEigh",
    ops.SVD: "LinalgSvd",
    ops.QR: "LinalgQr",
}
REDUCTIONS = {ops.SUM: "Sum", ops.MAX: "Amax", ops.MIN: "Amin", ops.PROD: "Prod"}


@dataclass(frozen=True)
class Operation:
    """An operation: the name of its backward, and the nodes that its gradients are passed on to."""

    name: str
    sources: tuple[Node, ...]


def operation_of(node: Node) -> Operation:
    """The operation whose result `node` is."""
    while node.op is ops.CAST and node.src[0].op is not ops.LEAF and node.needs_grad:
        node = node.src[0]
    if node.op is ops.LEAF:
        return Operation(ACCUMULATE, ())
    if node.op is ops.CUSTOM:
        return Operation(getattr(node.arg.call, "name", "CheckpointFunctionBackward"), node.src[1:])
    found = _reduction(node) or _composite(node) or _linear(node) or _small_power(node)
    if found is None:
        name = NAMES[node.op](node) if node.op in NAMES else OPS.get(node.op, node.op.name.capitalize()) + "Backward0"
        found = Operation(name, node.src)
    pointwise = node.op.kind is Kind.POINTWISE
    return Operation(found.name, tuple(_past(s, ops.CAST, broadcasts=pointwise) for s in found.sources))


def _past(node: Node, *passed: ops.Op, broadcasts: bool = False) -> Node:
    """The first node that is none of these ops; not one that broadcasting made either."""
    while node.needs_grad and (node.op in passed or (broadcasts and node.op is ops.EXPAND)):
        node = node.src[0]
    return node


# -- made together ----------------------------------------------------------------------------------------
def _composite(node: Node) -> Operation | None:
    made_by = node.where[2]
    if made_by not in COMPOSITES:
        return None
    return Operation(COMPOSITES[made_by] + "Backward0", _entering(node, made_by))


def _entering(node: Node, made_by: str) -> tuple[Node, ...]:
    """What a composite read: the first nodes with a gradient that it didn't make."""
    found: dict[Node, None] = {}
    seen, pending = {node}, [node]
    while pending:
        for source in pending.pop().src:
            if source in seen or not source.needs_grad:
                continue
            seen.add(source)
            if source.where[2] == made_by and source.op is not ops.LEAF:
                pending.append(source)
            else:
                found[source] = None
    return tuple(found)


def _reduction(node: Node) -> Operation | None:
    """A sum, mean or extreme with its dimensions dropped; the mean of an elementwise loss is the loss."""
    inner, averaged = node, False
    if node.op in (ops.DIV, ops.MUL) and not node.src[1].needs_grad:
        inner, averaged = node.src[0], True
    dropped = inner.op is ops.RESHAPE
    inner = inner.src[0] if dropped else inner
    if not averaged and inner.op in (ops.DIV, ops.MUL) and not inner.src[1].needs_grad:
        return _reduction(inner) if inner.src[0].op is ops.SUM else None
    if inner.op not in REDUCTIONS or (averaged and not _averages(node, inner)):
        return None
    summed = _past(inner.src[0], ops.CAST)
    if inner.op is ops.SUM and summed.where[2] in LOSSES:
        return _composite(summed)
    whole = not node.ndim
    if averaged:
        return Operation(f"MeanBackward{0 if whole else 1}", (summed,))
    if inner.op is ops.MAX or inner.op is ops.MIN:
        name = inner.op.name.capitalize() + "Backward1" if whole else REDUCTIONS[inner.op] + "Backward0"
        return Operation(name, (summed,))
    return Operation(f"{REDUCTIONS[inner.op]}Backward{0 if whole else 1}", (summed,))


def _averages(node: Node, summed: Node) -> bool:
    factor = build.constant_value(node.src[1])
    count = summed.src[0].numel // max(summed.numel, 1)
    if factor is None or summed.op is not ops.SUM or not count:
        return False
    return math.isclose(factor, count if node.op is ops.DIV else 1 / count, rel_tol=1e-6)


def _linear(node: Node) -> Operation | None:
    """A product with a transposed weight, and a bias added to its rows."""
    if node.op is not ops.ADD or node.ndim != 2:
        return None
    for product, bias in (node.src, node.src[::-1]):
        if product.op is ops.DOT and product.src[1].op is ops.PERMUTE and bias.op is ops.EXPAND:
            return Operation("AddmmBackward0", (bias, *product.src))
    return None


# -- told by what they do ---------------------------------------------------------------------------------
def _product(node: Node) -> str:
    return "MmBackward0" if node.ndim == 2 else "BmmBackward0"


def _permutation(node: Node) -> str:
    moved = [i for i, axis in enumerate(node.arg) if i != axis]
    if len(moved) == 2:
        return "TBackward0" if node.ndim == 2 else "TransposeBackward0"
    return "PermuteBackward0"


def _reshape(node: Node) -> str:
    source = node.src[0]
    if source.op is ops.DOT:
        return "DotBackward0" if not node.ndim else "MvBackward0" if node.ndim == 1 else "UnsafeViewBackward0"
    if source.op is ops.SLICE and node.ndim < source.ndim:
        return "SelectBackward0"
    kept = [n for n in node.shape if n != 1]
    if kept == [n for n in source.shape if n != 1] and node.ndim != source.ndim:
        return "UnsqueezeBackward0" if node.ndim > source.ndim else "SqueezeBackward1"
    return "ViewBackward0"


def _small_power(node: Node) -> Operation | None:
    """x * x and x * x * x, which x ** 2 and x ** 3 are."""
    if node.op is not ops.MUL:
        return None
    squared, base = node.src
    if squared is base or (squared.op is ops.MUL and squared.src == (base, base)):
        return Operation("PowBackward0", (base,))
    return None


def _power(node: Node) -> str:
    base, exponent = (build.constant_value(s) for s in node.src)
    return "PowBackward2" if base is not None else "PowBackward1" if exponent is None else "PowBackward0"


NAMES: dict[ops.Op, Callable[[Node], str]] = {
    ops.GRAFT: lambda node: "CopySlices",
    ops.DOT: _product,
    ops.PERMUTE: _permutation,
    ops.RESHAPE: _reshape,
    ops.POW: _power,
}
