"""Derivatives of functions of Tensors, in the older face: jacobian, hessian and products with them.

As func's, but inputs are positional Tensors (or a tuple of them), and results carry a history only where
`create_graph` asks for it. `strict` makes independence an error where it otherwise counts as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.func.jacobians import by_columns, by_rows, with_zeros
from lazygrad.func.recording import Recording
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, grad_mode

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Tensors = Any  # a Tensor or a tuple of them


def _tuple(value: Any, what: str) -> tuple[Any, ...]:
    found = value if isinstance(value, tuple) else tuple(value) if isinstance(value, list) else (value,)
    for item in found:
        if not isinstance(item, TensorBase):
            raise TypeError(at_user_line(f"{what} must be a Tensor or a tuple of Tensors, got {type(item).__name__}"))
    return found


class _Call:
    """func(*inputs), recorded; results are tuples exactly where what they answer for was one."""

    def __init__(self, func: Callable[..., Any], inputs: Tensors, create_graph: bool, strict: bool) -> None:
        self.many_inputs = isinstance(inputs, (tuple, list))
        self.inputs = _tuple(inputs, "inputs")
        self.recording = Recording(func, self.inputs, {}, range(len(self.inputs)))
        self.many_outputs = isinstance(self.recording.output, (tuple, list))
        self.outputs = [o.node for o in _tuple(self.recording.output, "outputs of the function")]
        self.create_graph = create_graph
        self.strict = strict

    @property
    def leaves(self) -> list[Node]:
        return self.recording.leaves

    def scalar(self, name: str) -> Node:
        if len(self.outputs) != 1 or self.outputs[0].numel != 1:
            raise RuntimeError(at_user_line(f"The function given to {name} should return one Tensor of one element"))
        return self.outputs[0]

    def vectors(self, given: Tensors, like: Sequence[Node], many: bool, what: str) -> list[Node]:
        """The nodes of `v`, one for each of `like`; ones where it may be left out."""
        if given is None:
            if len(like) != 1 or like[0].numel != 1:
                raise RuntimeError(at_user_line(f"The vector v can only be None if the {what} is one element; pass v="))
            return [build.like(like[0], 1)]
        nodes = [v.node for v in _tuple(given, "v")]
        if [n.shape for n in nodes] != [n.shape for n in like]:
            raise RuntimeError(
                at_user_line(
                    f"v must have the shapes of the {what}: {[list(n.shape) for n in like]}, got "
                    f"{[list(n.shape) for n in nodes]}"
                )
            )
        return [build.cast(n, o.dtype) for n, o in zip(nodes, like, strict=True)]

    def checked(self, found: Sequence[Node | None], what: str) -> Sequence[Node | None]:
        if self.strict and any(f is None for f in found):
            raise RuntimeError(at_user_line(f"{what}; strict=True does not allow that"))
        return found

    def result(self, found: Sequence[Node | None], like: Sequence[Node], many: bool) -> Tensors:
        tensors = self.tensors(self.recording.or_zeros(found, like))
        return tuple(tensors) if many else tensors[0]

    def tensors(self, nodes: Sequence[Node]) -> list[Tensor]:
        with grad_mode(self.create_graph):
            return self.recording.finished(nodes)

    def value(self) -> Tensors:
        return self.result(self.outputs, self.outputs, self.many_outputs)


INDEPENDENT = "Some of the outputs do not depend on some of the inputs"


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Tensors:
    """d func(*inputs) / d inputs: Tensors of shape (*output.shape, *input.shape), in a tuple over outputs and one
    over inputs where those are tuples.

    All rows (columns with strategy="forward-mode") are made at once, whatever `vectorize` says. TypeError for what is
    no Tensor; RuntimeError with `strict` where an output doesn't depend on an input; ValueError for another strategy.
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(at_user_line(f'strategy must be "reverse-mode" or "forward-mode", got {strategy!r}'))
    call = _Call(func, inputs, create_graph, strict)
    forward = strategy == "forward-mode"
    blocks = by_columns(call.recording, call.outputs) if forward else by_rows(call.recording, call.outputs)
    for row in blocks:
        call.checked(row, INDEPENDENT)
    rows = [call.tensors(row) for row in with_zeros(blocks, call.outputs, call.leaves)]
    found = tuple(tuple(row) if call.many_inputs else row[0] for row in rows)
    return found if call.many_outputs else found[0]


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Tensors:
    """The second derivatives of a function of one element: Tensors (*input_i.shape, *input_j.shape), in a tuple of
    tuples where inputs are one. RuntimeError where the output has more elements, or with `strict` independent ones."""

    def slopes(*given: Tensor) -> Tensors:
        inner = _Call(func, given, True, strict)
        output = inner.scalar("hessian")
        found = inner.checked(inner.recording.pull([output], [build.like(output, 1)]), INDEPENDENT)
        return inner.result(found, inner.leaves, True)

    many = isinstance(inputs, (tuple, list))
    given = _tuple(inputs, "inputs")
    found = jacobian(slopes, given, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if many else found[0][0]


def vjp(
    func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensors, Tensors]:
    """(func(*inputs), v^T J): the gradients of sum(outputs * v), of the inputs' shapes. v may be left out for an output
    of one element; RuntimeError where its shapes aren't the outputs'."""
    call = _Call(func, inputs, create_graph, strict)
    seeds = call.vectors(v, call.outputs, call.many_outputs, "output of the function")
    found = call.checked(call.recording.pull(call.outputs, seeds), INDEPENDENT)
    return call.value(), call.result(found, call.leaves, call.many_inputs)


def jvp(
    func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensors, Tensors]:
    """(func(*inputs), J v): the derivatives of the outputs along v, of the outputs' shapes. v may be left out for an
    input of one element; RuntimeError where its shapes aren't the inputs'."""
    call = _Call(func, inputs, create_graph, strict)
    tangents = call.vectors(v, call.leaves, call.many_inputs, "input of the function")
    found = call.checked(call.recording.push(call.outputs, list(tangents)), INDEPENDENT)
    return call.value(), call.result(found, call.outputs, call.many_outputs)


def vhp(
    func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensors, Tensors]:
    """(func(*inputs), v^T H) with the Hessian H of a function of one element: the gradient of sum(gradient * v), of the
    inputs' shapes. RuntimeError for more elements, and where v's shapes aren't the inputs'."""
    call = _Call(func, inputs, create_graph, strict)
    output = call.scalar("vhp")
    weights = call.vectors(v, call.leaves, call.many_inputs, "input of the function")
    slopes = call.checked(call.recording.pull([output], [build.like(output, 1)]), INDEPENDENT)
    live = [(g, w) for g, w in zip(slopes, weights, strict=True) if g is not None]
    found = call.recording.pull([g for g, _ in live], [w for _, w in live])
    return call.value(), call.result(call.checked(found, INDEPENDENT), call.leaves, call.many_inputs)


def hvp(
    func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensors, Tensors]:
    """(func(*inputs), H v), which is v^T H: the Hessian is symmetric."""
    return vhp(func, inputs, v, create_graph, strict)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
