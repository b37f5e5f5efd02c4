"""checkpoint: what a function computes on the way is not kept for backward, but computed again there.

Nothing is run twice but kernels. A function's graph is a value: for the backward pass it is rebuilt over barriers
in place of its arguments. What stands on a barrier shares nothing with the forward pass and waits for the gradient
to arrive; what depends on parameters alone is no activation, and shared. Random numbers are nodes too, so the same
ones are drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.custom import custom
from lazygrad.ir.grad import gradients, without_leaves
from lazygrad.ir.node import Node, rebuild, toposort
from lazygrad.tensor import tree
from lazygrad.tensor.core import TensorBase, is_grad_enabled, new_leaf, wrap


class _Region:
    """A part of the graph, from its `inputs` to its `results`, of which what depends on the `renewed` inputs is
    computed again for its gradient."""

    def __init__(self, results: Sequence[Node], inputs: Sequence[Node], renewed: set[Node]) -> None:
        self.results = results
        self.inputs = inputs
        self.renewed = renewed

    @property
    def saved(self) -> Sequence[Node]:
        return self.inputs

    def vjp(self, inputs: Sequence[Node], cotangents: dict[int, Node]) -> list[Node | None]:
        after = next(iter(cotangents.values()))
        # each input a leaf of its own: one may depend on another, which is no matter of this region
        pairs = zip(self.inputs, inputs, strict=True)
        again = {n: new_leaf(build.barrier(given, after) if n in self.renewed else given) for n, given in pairs}
        leaves = list(again.values())
        for node in toposort(self.results, stop=lambda n: n in again):
            if node not in again:
                again[node] = rebuild(node, tuple(again.get(s, s) for s in node.src))
        outputs = [again[self.results[index]] for index in cotangents]
        swept = gradients(outputs, list(cotangents.values()), leaves)
        found = iter(without_leaves([g for g in swept if g is not None], leaves))
        return [None if g is None else next(found) for g in swept]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), whose intermediate values are computed again for backward() instead of kept.

    The function runs once and its graph is computed twice, so there is nothing that could differ between the
    two: `use_reentrant`, `determinism_check`, `early_stop` and `debug` change nothing, and random numbers are
    the same ones. NotImplementedError for preserve_rng_state=False, which asks for others, and for a context_fn
    (what is kept inside is not chosen op by op). See torch.utils.checkpoint.
    """
    if not preserve_rng_state:
        raise NotImplementedError(
            at_user_line("checkpoint: preserve_rng_state=False asks for a gradient of other random numbers' value")
        )
    if context_fn is not None:
        raise NotImplementedError(at_user_line("checkpoint: context_fn (selective checkpointing) is not supported"))
    result = function(*args, **kwargs)
    tensors = [t for t in tree.leaves(result) if isinstance(t, TensorBase)]
    recorded = [t for t in tensors if t.requires_grad]
    if not recorded or not is_grad_enabled():
        return result
    given = [t.node for t in tree.leaves((args, kwargs)) if isinstance(t, TensorBase)]
    nodes = [t.node for t in recorded]
    inputs = _read(nodes, given)
    region = _Region(nodes, inputs, _renewed(inputs, given))
    marked: Iterator[Any] = iter([wrap(custom(region, i, node, inputs)) for i, node in enumerate(nodes)])
    return tree.mapped(lambda v: next(marked) if isinstance(v, TensorBase) and v.requires_grad else v, result)


def _read(results: Sequence[Node], given: Sequence[Node]) -> list[Node]:
    """What a region reads: its arguments, the leaves that gradients are for, and what is already computed."""
    border = set(given)
    order = toposort(results, stop=lambda n: n in border or n.op is ops.LEAF or n.computed is not None)
    return [n for n in order if n in border or n.op is ops.LEAF or (n.computed is not None and n.src)]


def _renewed(inputs: Sequence[Node], given: Sequence[Node]) -> set[Node]:
    """The arguments; not leaves, where there is something else that the activations depend on."""
    arguments = [n for n in inputs if n in given] or list(inputs)
    return {n for n in arguments if n.op is not ops.LEAF} or set(arguments)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """The functions (or a Sequential's modules) one after the other, in `segments` parts that are checkpointed.

    The last part is not: backward begins there. ValueError for fewer than one part or more than functions.
    """
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(len(steps), 1):
        raise ValueError(at_user_line(f"checkpoint_sequential: {segments} segments of {len(steps)} functions"))
    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(_chain(steps[start : start + size]), input, use_reentrant=use_reentrant, **kwargs)
    return _chain(steps[size * (segments - 1) :])(input)


def _chain(steps: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run


__all__ = ["checkpoint", "checkpoint_sequential"]
