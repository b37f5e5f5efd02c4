"""Gradients at the user's side: backward(), grad(), and the hooks on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, WeakValueDictionary

from lazygrad.config import current
from lazygrad.errors import at_user_line, one_line, users_own_lines
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.batching import batched, new_level, spread
from lazygrad.ir.grad import Custom, by_its_call, gradients
from lazygrad.ir.node import Node, set_apart, toposort
from lazygrad.ir.recognise import recognise
from lazygrad.runtime.buffer import Buffer
from lazygrad.schedule.remat import saved_for_backward
from lazygrad.tensor.anomaly import check_flow, is_anomaly_check_nan_enabled, is_anomaly_enabled
from lazygrad.tensor.core import (
    Cell,
    TensorBase,
    flush,
    grad_mode,
    is_grad_enabled,
    leaf_tensor,
    take_twins,
    tensor_class,
    wrap,
)
from lazygrad.tensor.hooks import RemovableHandle, called, hooks_of_leaf, hooks_of_node, watched

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

# by id, for == of tensors is an operation
_retaining: WeakValueDictionary[int, TensorBase] = WeakValueDictionary()


class Autograd(TensorBase):
    __slots__ = ()

    def _buffer(self) -> Buffer:
        """A loss that is read before its backward() is computed together with what that will need, so that no
        forward pass runs twice."""
        if self.node.computed is None and self.node.needs_grad and self.node.numel == 1:
            if is_grad_enabled() and not self._consumed:
                with one_line():
                    expected, kept = _foreseen(self)
                    saved = saved_for_backward(self.node, expected, kept)
                self._saved = expected if saved else None  # what was saved lives as long as who will read it
                return flush([self.node, *saved])[0]
        return super()._buffer()

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | Tensor | None = None,
    ) -> None:
        """Accumulate d(self)/d(leaf) into the .grad of every leaf (or of `inputs`); nothing runs yet.

        `gradient` is the cotangent: needed unless self has one element. RuntimeError where nothing
        requires grad, and for a second backward without retain_graph=True.
        """
        backward([self], [gradient], retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """The same value, sharing memory, without gradient history: what is written here changes the values of
        self and not its gradients."""
        return self._viewed(build.detach, lambda base, value: build.graft(value, base), lambda lies: lies)

    def retain_grad(self) -> None:
        """Keep .grad of this intermediate value at the next backward()."""
        if not self.requires_grad:
            raise RuntimeError(at_user_line("can't retain_grad on Tensor that has requires_grad=False"))
        if not self.is_leaf:
            self._retains = True
            _retaining[id(self)] = self
            set_apart(self.node)

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(grad)` when the gradient of this tensor is complete; what it returns goes on instead.

        RuntimeError where the tensor doesn't require grad.
        """
        if not self.requires_grad:
            raise RuntimeError(at_user_line("cannot register a hook on a tensor that doesn't require gradient"))
        return RemovableHandle(hooks_of_leaf(self).before if self.is_leaf else hooks_of_node(self.node), hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook(tensor)` when backward() has accumulated in the .grad of this leaf."""
        if not self.requires_grad:
            raise RuntimeError(at_user_line("cannot register a hook on a tensor that doesn't require gradient"))
        if not self.is_leaf:
            raise RuntimeError(at_user_line("post accumulate grad hooks cannot be registered on non-leaf tensors"))
        return RemovableHandle(hooks_of_leaf(self).after, hook)


def _cotangent(output: TensorBase, gradient: TensorBase | None) -> Node:
    node = output.node
    if gradient is None:
        if node.numel != 1:
            raise RuntimeError(at_user_line("grad can be implicitly created only for scalar outputs; pass gradient="))
        return build.like(node, 1)
    if not isinstance(gradient, TensorBase):
        raise TypeError(at_user_line(f"gradients can be either Tensors or None, but got {type(gradient).__name__}"))
    given = gradient.node
    if given.shape != node.shape:
        raise RuntimeError(
            at_user_line(
                f"Mismatch in shape: grad_output has a shape of {list(given.shape)} and output has a shape of"
                f" {list(node.shape)}."
            )
        )
    return build.cast(given, node.dtype)


def _check_outputs(outputs: Sequence[TensorBase], retain_graph: bool) -> None:
    for output in outputs:
        if not output.requires_grad:
            raise RuntimeError(at_user_line("element 0 of tensors does not require grad and does not have a grad_fn"))
        if output._consumed:
            raise RuntimeError(
                at_user_line(
                    "Trying to backward through the graph a second time (or directly access saved tensors after they "
                    "have already been freed). Saved intermediate values of the graph are freed when you call "
                    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
                    "graph a second time or if you need to access saved tensors after calling backward."
                )
            )
        if not retain_graph and not output.is_leaf:
            output._consumed = True
            output._saved = None


def _foreseen(loss: TensorBase) -> tuple[list[Node], list[Node]]:
    """(gradients that a backward() of this loss would ask for, what the calls on the way saved for it). Nobody's
    backward or hook runs here: in place of what such a call would return stand ones."""
    kept: list[Node] = []

    def without_running(node: Node, given: dict[int, Node]) -> list[Node | None]:
        kept.extend(node.arg.call.saved)
        return [build.like(s, 1) if s.needs_grad else None for s in node.src[1:]]

    swept = sweep([loss.node], [build.like(loss.node, 1)], _uses(_leaves_of([loss]), [loss.node]), without_running)
    return [g for g in swept if g is not None], kept


def _sweep(
    outputs: Sequence[TensorBase],
    cotangents: Sequence[TensorBase | None],
    wanted: Sequence[TensorBase],
    others: Sequence[Sequence[Node]] = (),
) -> list[Node | None]:
    nodes = [o.node for o in outputs]
    seeds = [_cotangent(o, g) for o, g in zip(outputs, cotangents, strict=True)]
    targets = _uses(wanted, nodes)
    return sweep(nodes, seeds, [*targets, *others], hooks=True)[: len(targets)]


def _uses(wanted: Sequence[TensorBase], nodes: Sequence[Node]) -> list[list[Node]]:
    """Where each tensor stands in the graph. A leaf is known by its number: its value may have been computed or
    replaced since it was used."""
    leaves: dict[int, list[Node]] = {}
    for n in toposort(nodes, stop=lambda n: not n.needs_grad):
        if n.op is ops.LEAF:
            leaves.setdefault(n.arg, []).append(n)
    found = []
    for tensor in wanted:
        number = tensor._cell.leaf_number
        uses = [] if number is None or tensor._path else leaves.get(number, [])
        found.append(uses or [tensor.node])
    return found


def sweep(
    nodes: Sequence[Node],
    seeds: Sequence[Node],
    targets: Sequence[Sequence[Node]],
    custom: Custom = by_its_call,
    hooks: bool = False,
) -> list[Node | None]:
    """The gradient of sum(nodes * seeds) for each target, which is the sum of its nodes; None where nothing flows."""
    before = toposort(nodes, stop=lambda n: not n.needs_grad) if hooks else []
    hooked = watched(before, {})
    # what a gradient is wanted for stays in the graph
    wanted = [n for uses in targets for n in uses]
    found = recognise([*nodes, *wanted, *hooked]) if current().fuse else {}
    take_twins(found)
    if hooks:
        hooked = watched(before, found)
    outputs, targets_now = ([found.get(n, n) for n in some] for some in (nodes, wanted))
    seen = check_flow if hooks and is_anomaly_enabled() and is_anomaly_check_nan_enabled() else None
    swept = iter(gradients(outputs, list(seeds), targets_now, custom, hooked, seen))
    return [_total([next(swept) for _ in uses]) for uses in targets]


def _total(parts: list[Node | None]) -> Node | None:
    present = [p for p in parts if p is not None]
    total = present[0] if present else None
    for part in present[1:]:
        assert total is not None
        total = build.add(total, part)
    return total


def after_hooks(tensor: TensorBase, grad: Tensor) -> Tensor:
    """The gradient of a leaf after its hooks; an intermediate value's have been called on the way."""
    return grad if tensor._hooks is None else called(tensor._hooks.before, grad)


def _leaves_of(tensors: Sequence[TensorBase]) -> list[TensorBase]:
    """The tensors that backward() gives gradients to: leaves, and those that asked to retain theirs."""
    reachable = toposort([t.node for t in tensors], stop=lambda n: not n.needs_grad)
    numbers = dict.fromkeys(n.arg for n in reachable if n.op is ops.LEAF)
    present = set(reachable)
    found = [leaf_tensor(number) for number in numbers]
    return [t for t in found if t is not None] + [t for t in list(_retaining.values()) if t.node in present]


def _forgotten(tensors: Sequence[TensorBase]) -> list[list[Node]]:
    """Leaves whose tensor is gone, where hooks or a user's backward() on the way to them are to run all the same."""
    order = toposort([t.node for t in tensors], stop=lambda n: not n.needs_grad)
    if not any(n.op is ops.CUSTOM for n in order) and not watched(order, {}):
        return []
    return [[n] for n in order if n.op is ops.LEAF and leaf_tensor(n.arg) is None]


def backward(
    tensors: Sequence[TensorBase] | TensorBase,
    grad_tensors: Sequence[TensorBase | None] | TensorBase | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[TensorBase] | TensorBase | None = None,
) -> None:
    """torch.autograd.backward: the gradients of all `tensors` together, accumulated into the leaves."""
    tensors = [tensors] if isinstance(tensors, TensorBase) else list(tensors)
    cotangents = _matching(tensors, grad_tensors)
    if inputs is not None and not isinstance(inputs, TensorBase) and not len(inputs):
        raise RuntimeError(at_user_line("`inputs` argument to `backward()` cannot be empty."))
    _check_outputs(tensors, create_graph if retain_graph is None else retain_graph)
    if inputs is None:
        held = _leaves_of(tensors)
    else:
        held = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    together: WeakSet[Cell] = WeakSet()
    with grad_mode(create_graph), one_line("backward"):
        grads = _sweep(tensors, cotangents, held, _forgotten(tensors) if inputs is None else ())
        for tensor, node in zip(held, grads, strict=True):
            if node is not None:
                _accumulate(tensor, after_hooks(tensor, wrap(node)), create_graph, together)


def _accumulate(tensor: TensorBase, grad: Tensor, create_graph: bool, together: WeakSet[Cell]) -> None:
    if tensor._grad is None:
        tensor._grad = grad
        grad._cell.together = together
        together.add(grad._cell)
    elif create_graph:
        tensor._grad = tensor._grad + grad
    else:
        tensor._grad.add_(grad)
    if tensor._hooks is not None:
        with users_own_lines():
            for hook in list(tensor._hooks.after.values()):
                hook(tensor)


def _matching(outputs: Sequence[TensorBase], given: Any) -> list[TensorBase | None]:
    """One cotangent or None for each output."""
    if given is None:
        return [None] * len(outputs)
    if not isinstance(given, (TensorBase, list, tuple)):
        raise TypeError(at_user_line(f"gradients can be either Tensors or None, but got {type(given).__name__}"))
    cotangents = [given] if isinstance(given, TensorBase) else list(given)
    if len(cotangents) != len(outputs):
        raise RuntimeError(at_user_line(f"got {len(outputs)} tensors and {len(cotangents)} gradients"))
    return cotangents


def grad(
    outputs: Sequence[TensorBase] | TensorBase,
    inputs: Sequence[TensorBase] | TensorBase,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """torch.autograd.grad: the gradients of `outputs` for `inputs`, returned, not accumulated.

    RuntimeError where an input isn't part of the graph and allow_unused is not True. `only_inputs` is true whatever
    is said, as in torch. With `is_grads_batched` every cotangent has one more dimension in front, and so has every
    gradient: all are made in one sweep.
    """
    outs = [outputs] if isinstance(outputs, TensorBase) else list(outputs)
    ins = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    if not ins:
        raise RuntimeError(at_user_line("`inputs` argument to `grad()` cannot be empty."))
    if materialize_grads and allow_unused is False:
        raise ValueError(at_user_line("Expected allow_unused to be True or not passed when materialize_grads=True"))
    if any(not i.requires_grad for i in ins):
        raise RuntimeError(at_user_line("One of the differentiated Tensors does not require grad"))
    size = 0
    cotangents = _matching(outs, grad_outputs)
    if is_grads_batched:
        level, size, cotangents = _examples(cotangents)
    _check_outputs(outs, create_graph if retain_graph is None else retain_graph)
    with grad_mode(create_graph), one_line("grad"):
        found = _sweep(outs, cotangents, ins)
        if is_grads_batched:
            found = _for_all_examples(found, level, size)
        pairs = zip(ins, found, strict=True)
        return tuple(_result(i, node, materialize_grads, bool(allow_unused)) for i, node in pairs)


def _result(tensor: TensorBase, node: Node | None, materialize: bool, allow_unused: bool) -> Tensor | None:
    if node is not None:
        return after_hooks(tensor, wrap(node))
    if materialize:
        return wrap(build.like(tensor.node, 0))
    if allow_unused:
        return None
    raise RuntimeError(
        at_user_line(
            "One of the differentiated Tensors appears to not have been used in the graph. "
            "Set allow_unused=True if this is the desired behavior."
        )
    )


def _examples(cotangents: Sequence[TensorBase | None]) -> tuple[int, int, list[TensorBase | None]]:
    """(number, size, one of each) of cotangents with an axis of examples in front."""
    if any(c is None or not c.ndim for c in cotangents):
        raise RuntimeError(at_user_line("is_grads_batched=True: every grad_output needs a dimension of examples"))
    nodes = [c.node for c in cotangents if c is not None]
    if len({n.shape[0] for n in nodes}) != 1:
        raise ValueError(at_user_line(f"is_grads_batched=True: examples of {[n.shape[0] for n in nodes]} differ"))
    level = new_level()
    return level, nodes[0].shape[0], [tensor_class()(build.example(n, level, 0)) for n in nodes]


def _for_all_examples(found: Sequence[Node | None], level: int, size: int) -> list[Node | None]:
    wholes = iter(batched([n for n in found if n is not None], level, size))
    result: list[Node | None] = []
    for node in found:
        whole = None if node is None else next(wholes)
        result.append(spread(node, size) if node is not None and whole is None else whole)
    return result


__all__ = ["Autograd", "backward", "grad"]
