"""One call of a function as a graph over leaves of its own: what every transformation pulls gradients through.

The inputs become leaves that nobody else knows, so that transformations nest: each takes the gradients for its own
leaves, and gives back nodes in which the leaves are what they stood for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line, one_line
from lazygrad.func.captured import refusing_writes
from lazygrad.ir import build
from lazygrad.ir.grad import without_leaves
from lazygrad.ir.node import Node, toposort
from lazygrad.tensor import tree
from lazygrad.tensor.autograd import after_hooks, sweep
from lazygrad.tensor.core import TensorBase, grad_mode, new_leaf, tensor_class, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def pull(
    outputs: Sequence[Node], cotangents: Sequence[Node], leaves: Sequence[Node], hooks: bool = False
) -> list[Node | None]:
    """The gradient of sum(outputs * cotangents) for every leaf, through the hooks on its way if they are wanted; None
    where nothing depends on it."""
    with one_line("grad"), grad_mode(True):
        return sweep(outputs, cotangents, [[leaf] for leaf in leaves], hooks=hooks)


def push(outputs: Sequence[Node], leaves: Sequence[Node], tangents: Sequence[Node | None]) -> list[Node | None]:
    """The derivative of every output along the tangents of the leaves (None: zero).

    Pulling is linear in its cotangents, so pulling back through it is pushing forward; what stands in for
    the cotangents has no part in the result.
    """
    stand_ins = [new_leaf(build.like(o, 0)) for o in outputs]
    moving = [(g, t) for g, t in zip(pull(outputs, stand_ins, leaves), tangents, strict=True) if g and t]
    if not moving:
        return [None] * len(outputs)
    with one_line("jvp"), grad_mode(True):
        pushed = sweep([g for g, _ in moving], [t for _, t in moving], [[s] for s in stand_ins])
    live = [p for p in pushed if p is not None]
    settled = iter(without_leaves(live, stand_ins))
    return [None if p is None else next(settled) for p in pushed]


WRITES_OUTSIDE = (
    "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to write what depends on its "
    "arguments in place into a captured Tensor. This is not supported; please rewrite the function being transformed "
    "to explicitly accept the mutated Tensor(s) as inputs."
)


class Recording:
    """`output` is what the function returned; `inputs` are the trees it was differentiated for, `leaves` their
    nodes in the graph."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        positions: Sequence[int],
        has_aux: bool = False,
        writable: bool = False,
    ) -> None:
        """`writable`: the function may write in place into its arguments; else they are leaves, which refuse it."""
        self.leaves: list[Node] = []
        self._tensors: list[Tensor] = []  # what the function is given in their place
        self._writable = writable
        self.inputs = [args[i] for i in positions]
        given = list(args)
        with refusing_writes(self._depends, WRITES_OUTSIDE), grad_mode(True):
            for i in positions:
                given[i] = tree.mapped(self._leaf, args[i])
            returned = function(*given, **kwargs)
        self.aux: Any = None
        if has_aux:
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise RuntimeError(
                    at_user_line(
                        "has_aux=True: the function should return a tuple (output, aux) of length 2, got "
                        f"{type(returned).__name__}"
                    )
                )
            returned, self.aux = returned
        self.output = returned

    def _leaf(self, value: Any) -> Tensor:
        if not isinstance(value, TensorBase):
            raise ValueError(at_user_line(f"Thing passed to transform API must be Tensor, got {type(value)}"))
        if not value.dtype.is_floating_point:
            raise RuntimeError(at_user_line("only Tensors of floating point dtype can require gradients"))
        self.leaves.append(new_leaf(value.node))
        self._tensors.append(tensor_class()(self.leaves[-1] if self._writable else value.node))
        if not self._writable:
            self._tensors[-1]._cell.leaf_number = self.leaves[-1].arg
        return self._tensors[-1]

    def _depends(self, node: Node) -> bool:
        """Whether gradients flow from a node to this recording's leaves."""
        return any(n in self.leaves for n in toposort([node], stop=lambda n: not n.needs_grad))

    def outputs(self, name: str) -> list[Node]:
        """The nodes of all outputs. RuntimeError for what is no Tensor."""
        found = tree.leaves(self.output)
        for value in found:
            if not isinstance(value, TensorBase):
                raise RuntimeError(
                    at_user_line(f"{name}: expected the function to return only tensors, got unsupported {type(value)}")
                )
        return [value.node for value in found]

    def differentiable_outputs(self, name: str) -> list[Node]:
        """As outputs(). RuntimeError for what is not of floating point."""
        found = self.outputs(name)
        for node in found:
            if not node.dtype.is_floating_point:
                raise RuntimeError(
                    at_user_line(f"{name}: All outputs must be floating-point Tensors, got {node.dtype.name}")
                )
        return found

    def scalar(self, name: str) -> Node:
        """The node of an output that is one number."""
        if not isinstance(self.output, TensorBase):
            raise RuntimeError(
                at_user_line(f"{name}(f)(*args): Expected f(*args) to return a Tensor, got {type(self.output)}")
            )
        if self.output.ndim:
            raise RuntimeError(
                at_user_line(
                    f"{name}(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
                    f"{self.output.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            )
        return self.output.node

    # -- derivatives, as nodes over this recording's leaves; None where nothing depends
    def pull(self, outputs: Sequence[Node], cotangents: Sequence[Node]) -> list[Node | None]:
        """The gradient of sum(outputs * cotangents) for every leaf, through the hooks of what lies between."""
        found = pull(outputs, cotangents, self.leaves, hooks=True)
        with grad_mode(True):
            return [g and after_hooks(t, wrap(g)).node for t, g in zip(self._tensors, found, strict=True)]

    def push(self, outputs: Sequence[Node], tangents: Sequence[Node | None]) -> list[Node | None]:
        """The derivative of every output along the tangents of the leaves (None: zero)."""
        return push(outputs, self.leaves, tangents)

    # -- giving back
    def finished(self, nodes: Sequence[Node]) -> list[Tensor]:
        """Tensors with these values, as functions of what the leaves stood for."""
        return [wrap(n) for n in without_leaves(nodes, self.leaves)]

    def finished_tree(self, value: Any) -> Any:
        """The tree with its Tensors finished; anything else as it is."""
        tensors = [v for v in tree.leaves(value) if isinstance(v, TensorBase)]
        found = iter(self.finished([t.node for t in tensors]))
        return tree.mapped(lambda v: next(found) if isinstance(v, TensorBase) else v, value)

    def or_zeros(self, found: Sequence[Node | None], like: Sequence[Node]) -> list[Node]:
        return [build.like(n, 0) if f is None else f for f, n in zip(found, like, strict=True)]

    def in_inputs(self, values: Sequence[Any]) -> list[Any]:
        """One tree a differentiated argument, with one value for each of its leaves."""
        found: Iterator[Any] = iter(values)
        return [tree.mapped(lambda leaf: next(found), given) for given in self.inputs]
