"""Gradients at the user's side: backward(), grad(), and what switches recording off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ContextDecorator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from lazygrad.config import current
from lazygrad.errors import at_user_line, one_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.grad import gradients
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.recognise import recognise
from lazygrad.runtime.buffer import Buffer
from lazygrad.schedule.remat import saved_for_backward
from lazygrad.tensor.core import (
    Cell,
    TensorBase,
    flush,
    grad_mode,
    is_grad_enabled,
    leaf_tensor,
    set_grad_mode,
    take_twins,
    wrap,
)

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

_retaining: WeakSet[TensorBase] = WeakSet()


class Autograd(TensorBase):
    __slots__ = ()

    def _buffer(self) -> Buffer:
        """A loss that is read before its backward() is computed together with what that will need, so that no
        forward pass runs twice."""
        if self.node.computed is None and self.node.needs_grad and self.node.numel == 1:
            if is_grad_enabled() and not self._consumed:
                with one_line():
                    gradients = [g for g in _sweep([self], [None], _leaves_of([self])) if g is not None]
                    saved = saved_for_backward(self.node, gradients)
                self._saved = gradients if saved else None  # what was saved lives as long as who will read it
                return flush([self.node, *saved])[0]
        return super()._buffer()

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() accumulated here, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and tuple(value.shape) != tuple(self.shape):
            raise RuntimeError(
                at_user_line(f"assigned grad has data of a different size: {list(value.shape)} for {list(self.shape)}")
            )
        self._grad = value

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
        """The same value, sharing memory, without gradient history."""
        view = self._viewed(build.detach, lambda base, value: value)
        return view

    def detach_(self) -> Tensor:
        """Forget the gradient history in place."""
        if self._path:
            raise RuntimeError(at_user_line("Can't detach views in-place; use detach() instead"))
        self._cell.leaf_number = None
        self._cell.node = build.detach(self._cell.node)
        return self  # type: ignore[return-value]

    def retain_grad(self) -> None:
        """Keep .grad of this intermediate value at the next backward()."""
        if not self.requires_grad:
            raise RuntimeError(at_user_line("can't retain_grad on Tensor that has requires_grad=False"))
        if not self.is_leaf:
            self._retains = True
            _retaining.add(self)

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(grad)` when a gradient for this tensor is made; what it returns replaces it."""
        if not self.requires_grad:
            raise RuntimeError(at_user_line("cannot register a hook on a tensor that doesn't require gradient"))
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)


class RemovableHandle:
    """What register_hook returns: .remove() takes the hook away."""

    _next = 0

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks = hooks
        self.id = RemovableHandle._next
        RemovableHandle._next += 1
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def _cotangent(output: TensorBase, gradient: TensorBase | None) -> Node:
    node = output.node
    if gradient is None:
        if node.numel != 1:
            raise RuntimeError(at_user_line("grad can be implicitly created only for scalar outputs; pass gradient="))
        return build.like(node, 1)
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
                    "Trying to backward through the graph a second time. Specify retain_graph=True if you need to "
                    "backward through the graph a second time"
                )
            )
        if not retain_graph and not output.is_leaf:
            output._consumed = True
            output._saved = None


def _sweep(
    outputs: Sequence[TensorBase], cotangents: Sequence[TensorBase | None], wanted: Sequence[TensorBase]
) -> list[Node | None]:
    nodes = [o.node for o in outputs]
    seeds = [_cotangent(o, g) for o, g in zip(outputs, cotangents, strict=True)]
    # what a gradient is wanted for stays in the graph
    found = recognise([*nodes, *(w.node for w in wanted)]) if current().fuse else {}
    take_twins(found)
    nodes = [found.get(n, n) for n in nodes]
    # a leaf is known by its number: its value may have been computed or replaced since it was used
    leaves: dict[int, list[Node]] = {}
    for n in toposort(nodes, stop=lambda n: not n.needs_grad):
        if n.op is ops.LEAF:
            leaves.setdefault(n.arg, []).append(n)
    targets = []
    for tensor in wanted:
        number = tensor._cell.leaf_number
        uses = [] if number is None or tensor._path else leaves.get(number, [])
        targets.append(uses or [found.get(tensor.node, tensor.node)])
    grads = iter(gradients(nodes, seeds, [n for uses in targets for n in uses]))
    return [_total([next(grads) for _ in uses]) for uses in targets]


def _total(parts: list[Node | None]) -> Node | None:
    present = [p for p in parts if p is not None]
    total = present[0] if present else None
    for part in present[1:]:
        assert total is not None
        total = build.add(total, part)
    return total


def _hooked(tensor: TensorBase, grad: Tensor) -> Tensor:
    for hook in list((tensor._hooks or {}).values()):
        replaced = hook(grad)
        grad = grad if replaced is None else replaced
    return grad


def _leaves_of(tensors: Sequence[TensorBase]) -> list[TensorBase]:
    """The tensors that backward() gives gradients to: leaves, and those that asked to retain theirs."""
    reachable = toposort([t.node for t in tensors], stop=lambda n: not n.needs_grad)
    numbers = dict.fromkeys(n.arg for n in reachable if n.op is ops.LEAF)
    present = set(reachable)
    found = [leaf_tensor(number) for number in numbers]
    return [t for t in found if t is not None] + [t for t in list(_retaining) if t.node in present]


def backward(
    tensors: Sequence[TensorBase],
    grad_tensors: Sequence[TensorBase | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[TensorBase] | TensorBase | None = None,
) -> None:
    """torch.autograd.backward: the gradients of all `tensors` together, accumulated into the leaves."""
    keep = create_graph if retain_graph is None else retain_graph
    _check_outputs(tensors, keep)
    if inputs is None:
        held = _leaves_of(tensors)
    else:
        held = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    cotangents = list(grad_tensors) if grad_tensors is not None else [None] * len(tensors)
    with one_line("backward"):
        grads = _sweep(tensors, cotangents, held)
    together: WeakSet[Cell] = WeakSet()
    with grad_mode(create_graph and is_grad_enabled()), one_line("backward"):
        for tensor, node in zip(held, grads, strict=True):
            if node is None:
                continue
            grad = _hooked(tensor, wrap(node))
            if tensor._grad is None:
                tensor._grad = grad
                grad._cell.together = together
                together.add(grad._cell)
            elif create_graph:
                tensor._grad = tensor._grad + grad
            else:
                tensor._grad.add_(grad)


def grad(
    outputs: Sequence[TensorBase] | TensorBase,
    inputs: Sequence[TensorBase] | TensorBase,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """torch.autograd.grad: the gradients of `outputs` for `inputs`, returned, not accumulated.

    RuntimeError where an input isn't part of the graph and allow_unused is not True.
    """
    outs = [outputs] if isinstance(outputs, TensorBase) else list(outputs)
    ins = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    given = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, TensorBase) else list(grad_outputs)
    cotangents = given if len(given) == len(outs) else [None] * len(outs)
    _check_outputs(outs, create_graph if retain_graph is None else retain_graph)
    if any(not i.requires_grad for i in ins):
        raise RuntimeError(at_user_line("One of the differentiated Tensors does not require grad"))
    found = _sweep(outs, cotangents, ins)
    results: list[Tensor | None] = []
    with grad_mode(create_graph and is_grad_enabled()):
        for tensor, node in zip(ins, found, strict=True):
            if node is None and materialize_grads:
                node = build.like(tensor.node, 0)
            if node is None and not allow_unused:
                raise RuntimeError(
                    at_user_line(
                        "One of the differentiated Tensors appears to not have been used in the graph. "
                        "Set allow_unused=True if this is the desired behavior."
                    )
                )
            results.append(None if node is None else _hooked(tensor, wrap(node)))
    return tuple(results)


class _GradMode(ContextDecorator):
    """Sets recording on entry (as a context or a decorator) and restores it on exit."""

    _wanted = False

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._stack: list[AbstractContextManager[None]] = []

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        made = super().__new__(cls)
        if callable(function):  # used bare: @no_grad
            made.__init__()  # type: ignore[misc]
            return made(function)
        return made

    def __enter__(self) -> None:
        context = grad_mode(self._wanted)
        context.__enter__()
        self._stack.append(context)

    def __exit__(self, *exc: Any) -> None:
        self._stack.pop().__exit__(*exc)


class no_grad(_GradMode):
    """Operations inside are not recorded for backward."""


class inference_mode(_GradMode):
    """As no_grad."""

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return super().__new__(cls, mode)
        made = super().__new__(cls)
        made._wanted = not mode
        return made


class enable_grad(_GradMode):
    """Operations inside are recorded for backward, also within no_grad."""

    _wanted = True


class set_grad_enabled(ContextDecorator):
    """Switch recording on or off: at once, and until the end of the block where used as a context."""

    def __init__(self, mode: bool) -> None:
        self._before = is_grad_enabled()
        self._mode = mode
        set_grad_mode(mode)

    def __enter__(self) -> None:
        set_grad_mode(self._mode)

    def __exit__(self, *exc: Any) -> None:
        set_grad_mode(self._before)


__all__ = [
    "Autograd",
    "RemovableHandle",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]
