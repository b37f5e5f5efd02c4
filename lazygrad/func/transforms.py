"""grad, vjp, jvp and Jacobians: take a function of Tensors, return the function that computes its derivative.

They compose with each other and with vmap, in any order and depth, because each is a rewriting of the graph.
A transformation records whatever mode it is called in; its results follow that mode again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.func.jacobians import Blocks, by_columns, by_rows, with_zeros
from lazygrad.func.recording import Recording
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.tensor import tree
from lazygrad.tensor.core import TensorBase

Argnums = int | tuple[int, ...]


def _positions(argnums: Argnums, count: int) -> list[int]:
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(at_user_line(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}"))
    listed = [argnums] if isinstance(argnums, int) else list(argnums)
    if not listed:
        raise RuntimeError(at_user_line("argnums must be non-empty"))
    for n in listed:
        if not -count <= n < count:
            raise RuntimeError(at_user_line(f"Got argnum={n}, but only {count} positional inputs"))
    found = [n % count for n in listed]
    if len(set(found)) != len(found):
        raise RuntimeError(at_user_line(f"argnums elements must be unique, got {argnums}"))
    return found


def _by_argnums(argnums: Argnums, values: Sequence[Any]) -> Any:
    return values[0] if isinstance(argnums, int) else tuple(values)


# -- gradients of a number ------------------------------------------------------------------------------
def _gradient(function: Callable[..., Any], argnums: Argnums, has_aux: bool, name: str) -> Callable[..., Any]:
    """(gradients, value, aux) of each call."""

    def derivative(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        call = Recording(function, args, kwargs, _positions(argnums, len(args)), has_aux)
        value = call.scalar(name)
        found = call.or_zeros(call.pull([value], [build.like(value, 1)]), call.leaves)
        *grads, result = call.finished([*found, value])
        return _by_argnums(argnums, call.in_inputs(grads)), result, call.finished_tree(call.aux)

    return functools.wraps(function)(derivative)


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that returns the gradient of func's scalar output for args[argnums]: trees of Tensors of their
    shapes and dtypes, zeros where nothing depends on them.

    `has_aux`: func returns (output, aux), and the new function (gradient, aux). RuntimeError where the output is no 0-d
    Tensor, for arguments that are not of floating point, argnums that don't fit, and writing in place into an argument
    or, with what depends on one, into a captured Tensor. See torch.func.grad.
    """
    derivative = _gradient(func, argnums, has_aux, "grad")

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        grads, _, aux = derivative(*args, **kwargs)
        return (grads, aux) if has_aux else grads

    return gradient


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As grad, returning (gradient, value), or (gradient, (value, aux))."""
    derivative = _gradient(func, argnums, has_aux, "grad_and_value")

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        grads, value, aux = derivative(*args, **kwargs)
        return grads, ((value, aux) if has_aux else value)

    return both


def value_and_grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As grad_and_value in JAX's order: (value, gradient), or ((value, aux), gradient)."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def value_first(*args: Any, **kwargs: Any) -> Any:
        grads, value = both(*args, **kwargs)
        return value, grads

    return value_first


# -- products with the Jacobian -------------------------------------------------------------------------
def _nodes_like(values: Any, like: Sequence[Node], what: str, of: str) -> list[Node]:
    """The nodes of a tree's Tensors, as the cotangents or tangents of `like`."""
    found = tree.leaves(values)
    if len(found) != len(like):
        raise RuntimeError(at_user_line(f"got {len(found)} {what}s for {len(like)} {of}s"))
    nodes = []
    for i, (value, node) in enumerate(zip(found, like, strict=True)):
        if not isinstance(value, TensorBase):
            raise RuntimeError(at_user_line(f"{what} {i} must be a Tensor, got {type(value)}"))
        if value.node.shape != node.shape:
            raise RuntimeError(
                at_user_line(
                    f"Mismatch in shape: {what}[{i}] has a shape of {list(value.node.shape)} and {of}[{i}] has a "
                    f"shape of {list(node.shape)}."
                )
            )
        nodes.append(build.cast(value.node, node.dtype))
    return nodes


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), the function from cotangents of the output to a tuple of gradients, one a primal).

    Gradients have the shapes and dtypes of the primals. `has_aux`: func returns (output, aux), and aux comes third.
    RuntimeError for outputs that are no floating point Tensors, for cotangents that don't fit them, and for writes in
    place as in grad(). See torch.func.vjp.
    """
    call = Recording(func, primals, {}, range(len(primals)), has_aux)
    outputs = call.differentiable_outputs("vjp(f, *primals)")

    def pullback(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> tuple[Any, ...]:
        seeds = _nodes_like(cotangents, outputs, "grad_output", "output")
        found = call.or_zeros(call.pull(outputs, seeds), call.leaves)
        return tuple(call.in_inputs(call.finished(found)))

    result = call.finished_tree(call.output)
    return (result, pullback, call.finished_tree(call.aux)) if has_aux else (result, pullback)


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple[Any, ...]:
    """(func(*primals), its derivative along `tangents`), both with the structure of the output.

    `strict`: RuntimeError where an output depends on no primal. `has_aux`: aux comes third. The derivative
    follows from the gradients: a custom Function needs no jvp() of its own. RuntimeError for primals or tangents that
    are no tuples, or differ in shape; ValueError for primals that are not of floating point. See torch.func.jvp.
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(
            at_user_line("jvp(f, primals, tangents): Expected primals to be a tuple, of the arguments of f(*primals).")
        )
    if not isinstance(tangents, tuple) or len(tangents) != len(primals):
        raise RuntimeError(at_user_line("jvp(f, primals, tangents): Expected tangents to be a tuple like primals."))
    if not primals:
        raise RuntimeError(at_user_line("jvp(f, primals, tangents): Expected primals to contain at least one Tensor."))
    for primal in tree.leaves(primals):
        if isinstance(primal, TensorBase) and not primal.dtype.is_floating_point:
            raise ValueError(at_user_line(f"Expected primal to be floating point, but got: {primal.dtype}"))
    call = Recording(func, primals, {}, range(len(primals)), has_aux, writable=True)
    outputs = call.outputs("jvp(f, primals, tangents)")
    moved = call.push(outputs, list(_nodes_like(tangents, call.leaves, "tangent", "primal")))
    if strict and any(m is None for m in moved):
        raise RuntimeError(at_user_line("jvp(f, primals, tangents): strict=True, and an output depends on no primal"))
    derivative = tree.filled(call.output, call.finished(call.or_zeros(moved, outputs)))
    result = call.finished_tree(call.output)
    return (result, derivative, call.finished_tree(call.aux)) if has_aux else (result, derivative)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), the linear function from tangents to the derivative along them).

    func runs once, however often the other is called. RuntimeError for outputs that are no Tensors, and for tangents
    that differ from the primals in shape. See torch.func.linearize.
    """
    call = Recording(func, primals, {}, range(len(primals)), writable=True)
    outputs = call.outputs("linearize(f, *primals)")

    def derivative(*tangents: Any) -> Any:
        moved = call.push(outputs, list(_nodes_like(tangents, call.leaves, "tangent", "primal")))
        return tree.filled(call.output, call.finished(call.or_zeros(moved, outputs)))

    return call.finished_tree(call.output), derivative


# -- Jacobians ------------------------------------------------------------------------------------------
def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable[..., Any]:
    """The function that returns d output / d args[argnums]: for each output a tree like the arguments, of Tensors
    of shape (*output.shape, *input.shape), by pulling back all rows at once (`chunk_size` rows at a time).

    `has_aux`: func returns (output, aux), and the new function (Jacobian, aux). RuntimeError for outputs that are no
    floating point Tensors; ValueError for a `chunk_size` that isn't positive. See torch.func.jacrev.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(at_user_line("jacrev: `chunk_size` should be greater than 0."))

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = Recording(func, args, kwargs, _positions(argnums, len(args)), has_aux)
        outputs = call.differentiable_outputs("jacrev(f)(*args)")
        return _jacobian_tree(call, argnums, outputs, by_rows(call, outputs, chunk_size), has_aux)

    return jacobian


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """As jacrev, by pushing all columns forward at once: for more outputs than inputs.

    `randomness` is accepted: func runs once, so every column sees the same draws. See torch.func.jacfwd.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = Recording(func, args, kwargs, _positions(argnums, len(args)), has_aux, writable=True)
        outputs = call.outputs("jacfwd(f)(*args)")
        return _jacobian_tree(call, argnums, outputs, by_columns(call, outputs), has_aux)

    return jacobian


def _jacobian_tree(call: Recording, argnums: Argnums, outputs: Sequence[Node], blocks: Blocks, has_aux: bool) -> Any:
    rows = [call.finished(row) for row in with_zeros(blocks, outputs, call.leaves)]
    found = tree.filled(call.output, [_by_argnums(argnums, call.in_inputs(row)) for row in rows])
    return (found, call.finished_tree(call.aux)) if has_aux else found


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns the Hessian: Tensors of shape (*output.shape, *input.shape, *input.shape).

    The Jacobian of the Jacobian, both pulled back. See torch.func.hessian.
    """
    return jacrev(jacrev(func, argnums), argnums)


__all__ = [
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]
