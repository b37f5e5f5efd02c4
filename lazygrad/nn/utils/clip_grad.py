"""Gradient clipping, in place and without reading a value back: the norm stays a lazy tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lazygrad.dtype import promote
from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import TensorBase, grad_mode, wrap
from lazygrad.tensor.creation import zeros

names_what_it_makes(__file__)


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    listed = [parameters] if isinstance(parameters, TensorBase) else list(parameters)
    return [p.grad for p in listed if p.grad is not None]


def _combined(values: list[Node], op: ops.Op) -> Node:
    """Pairs of pairs: a balanced tree adds with less rounding than a chain, and as few ops."""
    while len(values) > 1:
        joined = [build.pointwise(op, a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = joined + values[len(values) - len(values) % 2 :]
    return values[0]


def _total_norm(grads: list[Node], p: float) -> Node:
    """The p-norm of all elements of all gradients, 0-d, in the compute dtype."""
    wide = [library.wide(g) for g in grads]
    device = wide[0].device
    largest = wide[0].dtype
    for node in wide[1:]:
        largest = promote(largest, node.dtype)

    def over_all(op: ops.Op, node: Node) -> Node:
        result = build.reduce(op, node, tuple(range(node.ndim)), keepdim=False)
        return build.copy(build.cast(result, largest), device)

    if math.isinf(p):
        parts = [over_all(ops.MAX, build.pointwise(ops.ABS, g)) for g in wide if g.numel]
        return _combined(parts, ops.MAXIMUM)
    if p == 2:
        parts = [over_all(ops.SUM, build.mul(g, g)) for g in wide]
        return build.pointwise(ops.SQRT, _combined(parts, ops.ADD))
    sizes = [build.pointwise(ops.ABS, g) for g in wide]
    parts = [over_all(ops.SUM, build.pointwise(ops.POW, s, build.like(s, p))) for s in sizes]
    total = _combined(parts, ops.ADD)
    return build.pointwise(ops.POW, total, build.like(total, 1 / p))


def _result_dtype(grads: list[Node]) -> Any:
    dtype = grads[0].dtype
    for g in grads[1:]:
        dtype = promote(dtype, g.dtype)
    return dtype


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors, as if they were one vector."""
    nodes = [build.detach(t.node) for t in ([tensors] if isinstance(tensors, TensorBase) else tensors)]
    if not nodes:
        return zeros(())
    total = wrap(build.cast(_total_norm(nodes, float(norm_type)), _result_dtype(nodes)))
    if error_if_nonfinite:
        _refuse_nonfinite(total, norm_type)
    return total


def _refuse_nonfinite(total: Tensor, norm_type: float) -> None:
    if not math.isfinite(total.item()):
        raise RuntimeError(
            at_user_line(
                f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so "
                f"it cannot be "
                "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
                "`error_if_nonfinite=False`"
            )
        )


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients down so that their common norm is at most max_norm; returns the norm before.

    Nothing is computed until it is needed, unless error_if_nonfinite asks for the value.
    """
    grads = _grads(parameters)
    if not grads:
        return zeros(())
    nodes = [build.detach(g.node) for g in grads]
    total = _total_norm(nodes, float(norm_type))
    result = wrap(build.cast(total, _result_dtype(nodes)))
    if error_if_nonfinite:
        _refuse_nonfinite(result, norm_type)
    factor = build.div(build.like(total, max_norm), build.shift(total, 1e-6))
    _scale(grads, nodes, build.pointwise(ops.MINIMUM, factor, build.like(factor, 1)))
    return result


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients by max_norm / total_norm where that is below 1."""
    grads = _grads(parameters)
    total = library.wide(build.detach(total_norm.node))
    factor = build.div(build.like(total, max_norm), build.shift(total, 1e-6))
    _scale(
        grads,
        [build.detach(g.node) for g in grads],
        build.pointwise(ops.MINIMUM, factor, build.like(factor, 1)),
    )


def _scale(grads: list[Any], nodes: list[Node], factor: Node) -> None:
    with grad_mode(False):
        for grad, node in zip(grads, nodes, strict=True):
            wide = library.wide(node)
            local = build.cast(build.copy(factor, wide.device), wide.dtype)
            grad._write(build.cast(build.mul(wide, local), node.dtype))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limit every gradient element to [-clip_value, clip_value]."""
    bound = float(clip_value)
    with grad_mode(False):
        for grad in _grads(parameters):
            node = build.detach(grad.node)
            low = build.pointwise(ops.MAXIMUM, node, build.like(node, -bound))
            grad._write(build.pointwise(ops.MINIMUM, low, build.like(node, bound)))
