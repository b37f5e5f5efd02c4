"""autograd.Function: an operation whose gradient the user writes, in Tensors.

`apply` runs forward() without recording and marks what it returns as the outputs of one call (ir/custom.py). The
sweep hands the call the gradients of all outputs at once; backward() runs once for them, on Tensors, and what it
computes is graph like any other: it fuses with the rest, and is differentiated again where it was recorded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazygrad.autograd.mapped import by_rule
from lazygrad.device import Device
from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.custom import custom
from lazygrad.ir.node import Node
from lazygrad.shape import Shape
from lazygrad.tensor.core import TensorBase, grad_mode, is_grad_enabled, tensor_class, wrap
from lazygrad.tensor.custom import TensorCall

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class FunctionCtx:
    """What forward() and backward() of one call share. Attributes of the user's own may be set on it."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._to_save: tuple[TensorBase | None, ...] = ()
        self._dirty: tuple[TensorBase, ...] = ()
        self._without_gradient: tuple[TensorBase, ...] = ()
        self._zeros_for_none = True
        self._unpack: Callable[[], tuple[Tensor | None, ...]] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs or intermediate values for backward(). TypeError for what is no Tensor."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, TensorBase):
                raise TypeError(
                    at_user_line(
                        f"save_for_backward can only save variables, but argument is of type {type(tensor).__name__}"
                    )
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Accepted: func.jvp() follows from backward() and reads what that one saved."""

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What save_for_backward() was given: inputs and outputs with their history, so that gradients of
        gradients flow through them."""
        if self._unpack is None:
            return tuple(self._to_save)  # type: ignore[arg-type]
        return self._unpack()

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs forward() wrote in place; they must be among what it returns."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs no gradient flows through."""
        self._without_gradient = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward() gets zeros (as it does by default) or None for outputs that nothing flowed to."""
        self._zeros_for_none = value


Kind = tuple[Shape, DType, Device]


@dataclass(frozen=True)
class _SavedOutput:
    """An output of the call itself: made again when it is asked for, for the node must not hold itself."""

    index: int
    value: Node


class _FunctionCall(TensorCall):
    """One call of a Function's forward."""

    def __init__(
        self, function: type[Function], ctx: FunctionCtx, places: Sequence[int | None], kinds: Sequence[Kind | None]
    ) -> None:
        self._function = function
        self._ctx = ctx
        self._places = places  # of each argument: which input of the call it is, if any
        self._kinds = kinds  # of each output; None where it is no tensor
        self._saved: list[Node | _SavedOutput | None] = []

    def keep(self, saved: list[Node | _SavedOutput | None]) -> None:
        self._saved = saved
        self._ctx._to_save = ()

    @property
    def saved(self) -> list[Node]:  # type: ignore[override]
        return [s.value if isinstance(s, _SavedOutput) else s for s in self._saved if s is not None]

    @property
    def name(self) -> str:
        return f"{self._function.__name__}Backward"

    def _tensor(self, saved: Node | _SavedOutput | None, inputs: Sequence[Node]) -> Tensor | None:
        """With its history, whatever the grad mode: backward() may switch it on and differentiate."""
        if isinstance(saved, _SavedOutput):
            saved = custom(self, saved.index, saved.value, inputs)
        return None if saved is None else tensor_class()(saved)

    def backward(self, inputs: Sequence[Node], grads: dict[int, Tensor]) -> list[Any]:
        ctx = self._ctx
        ctx._unpack = lambda: tuple(self._tensor(s, inputs) for s in self._saved)
        try:
            found = self._function._user_backward()(ctx, *[self._grad(i, grads) for i in range(len(self._kinds))])
        finally:
            ctx._unpack = None
        return self._by_input(found if isinstance(found, tuple) else (found,), len(inputs))

    def _grad(self, index: int, grads: dict[int, Tensor]) -> Tensor | None:
        kind = self._kinds[index]
        if index in grads or kind is None or not self._ctx._zeros_for_none:
            return grads.get(index)
        shape, dtype, device = kind
        return wrap(build.const(0, dtype, device, shape))

    def _by_input(self, found: tuple[Any, ...], count: int) -> list[Any]:
        arguments = len(self._places)
        if len(found) < arguments or any(extra is not None for extra in found[arguments:]):
            raise RuntimeError(
                at_user_line(
                    f"function {self.name} returned an incorrect number of gradients "
                    f"(expected {arguments}, got {len(found)})"
                )
            )
        gradients: list[Any] = [None] * count
        for place, grad in zip(self._places, found, strict=False):
            if place is not None:
                gradients[place] = grad
        return gradients


class Function:
    """Base class of operations with a gradient of their own. See torch.autograd.Function.

    Override the static methods forward(ctx, *args) and backward(ctx, *grads), or forward(*args) with
    setup_context(ctx, inputs, output); call with apply(*args).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            at_user_line(f"{type(self).__name__} should not be instantiated: its methods are static; call .apply()")
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The value: a Tensor, or a tuple of Tensors and anything else."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward() needs, where forward() has no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient of each argument (None: it has none) from those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @classmethod
    def _user_backward(cls) -> Callable[..., Any]:
        if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
            raise RuntimeError(
                at_user_line(f"{cls.__name__}: a custom Function has either 'backward' or 'vjp', and this has both")
            )
        return cls.backward if cls.vjp is Function.vjp else cls.vjp

    @classmethod
    def _with_context(cls) -> bool:
        """Whether forward() takes ctx itself."""
        return cls.setup_context is Function.setup_context

    generate_vmap_rule = False
    """Accepted: inside vmap forward() and backward() are batched op by op, unless there is a vmap()."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """(output, out_dims) for a batch of examples in dimension 0 of the arguments whose in_dims is 0.

        Written where forward() asks for values (with NumPy, say) and so can't be batched op by op.
        """
        raise NotImplementedError("vmap is not implemented.")

    @classmethod
    def _value(cls, args: tuple[Any, ...]) -> Any:
        if cls.vmap is Function.vmap:
            return cls.forward(*args)
        found = by_rule(cls, args)
        return cls.forward(*args) if found is None else found

    @classmethod
    def _in_order(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments by position, as backward() returns their gradients. TypeError where they don't fit, and for
        what can only be given by name."""
        context = (None,) if cls._with_context() else ()
        bound = inspect.signature(cls.forward).bind(*context, *args, **kwargs)
        if bound.kwargs:
            raise TypeError(at_user_line(f"{cls.__name__}.apply: {sorted(bound.kwargs)} can't be given by position"))
        return bound.args[len(context) :]

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """forward(*args), recorded with backward() as its gradient."""
        args = cls._in_order(args, kwargs) if kwargs else args
        tensors = [a for a in args if isinstance(a, TensorBase)]
        inputs = [t.node for t in tensors]
        recorded = is_grad_enabled() and any(n.needs_grad for n in inputs)
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, TensorBase) and a.requires_grad for a in args)
        with grad_mode(False):
            if cls._with_context():
                output = cls.forward(ctx, *args)
            else:
                output = cls._value(args)
                cls.setup_context(ctx, args, output)
        outputs = output if isinstance(output, tuple) else (output,)
        _check_dirty(ctx, tensors, outputs)
        if not recorded:
            return output if not _any_is(outputs, tensors) else _like(output, [_plain(o, ctx) for o in outputs])
        order = iter(range(len(inputs)))
        places = [next(order) if isinstance(a, TensorBase) else None for a in args]
        kinds = [(o.node.shape, o.dtype, o.device) if isinstance(o, TensorBase) else None for o in outputs]
        call = _FunctionCall(cls, ctx, places, kinds)
        call.keep([_to_keep(t, tensors, inputs, outputs) for t in ctx._to_save])
        results = [_marked(call, i, o, inputs) for i, o in enumerate(outputs)]
        ctx._dirty = ctx._without_gradient = ()
        return _like(output, results)


def _any_is(found: Iterable[Any], among: Sequence[Any]) -> bool:
    return any(f is a for f in found for a in among)


def _like(output: Any, results: list[Any]) -> Any:
    return tuple(results) if isinstance(output, tuple) else results[0]


def _check_dirty(ctx: FunctionCtx, tensors: Sequence[TensorBase], outputs: Sequence[Any]) -> None:
    for tensor in ctx._dirty:
        if tensor.requires_grad and tensor.is_leaf and is_grad_enabled():
            raise RuntimeError(
                at_user_line("a leaf Variable that requires grad has been used in an in-place operation.")
            )
        if not _any_is([tensor], tensors) or not _any_is([tensor], outputs):
            raise RuntimeError(
                at_user_line("mark_dirty: a tensor written in place must be an input of forward() and returned by it")
            )


def _plain(output: Any, ctx: FunctionCtx) -> Any:
    """An output of a call that isn't recorded: an input that comes back is another tensor, unless written."""
    if not isinstance(output, TensorBase) or _any_is([output], ctx._dirty):
        return output
    return wrap(build.detach(output.node))


def _to_keep(
    tensor: TensorBase | None, tensors: Sequence[TensorBase], inputs: Sequence[Node], outputs: Sequence[Any]
) -> Node | _SavedOutput | None:
    """What is saved is the value as it is now: later writes in place don't reach it."""
    if tensor is None:
        return None
    for index, output in enumerate(outputs):
        if output is tensor and not _any_is([tensor], tensors):
            return _SavedOutput(index, build.detach(tensor.node))
    for given, node in zip(tensors, inputs, strict=True):
        if given is tensor:
            return node
    return tensor.node


def _marked(call: _FunctionCall, index: int, output: Any, inputs: Sequence[Node]) -> Any:
    if not isinstance(output, TensorBase):
        return output
    ctx = call._ctx
    if _any_is([output], ctx._without_gradient) or not output.dtype.is_floating_point:
        return wrap(build.detach(output.node))
    made = custom(call, index, output.node, inputs)
    return output._write(made) if _any_is([output], ctx._dirty) else wrap(made)


# -- backward() that must not be differentiated ---------------------------------------------------------
class _Refusal(TensorCall):
    def backward(self, inputs: Sequence[Node], grads: dict[int, Tensor]) -> Sequence[Any]:
        raise RuntimeError(
            at_user_line("trying to differentiate twice a function that was marked with @once_differentiable")
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a backward() whose own gradient would be wrong: asking for it is a RuntimeError."""

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with grad_mode(False):
            found = backward(ctx, *grads)
        inputs = [g.node for g in grads if isinstance(g, TensorBase) and g.requires_grad]
        if not is_grad_enabled() or not inputs:
            return found
        refusal = _Refusal()
        outputs = found if isinstance(found, tuple) else (found,)
        marked = [
            wrap(custom(refusal, i, o.node, inputs)) if isinstance(o, TensorBase) else o for i, o in enumerate(outputs)
        ]
        return _like(found, marked)

    return once


__all__ = ["Function", "FunctionCtx", "once_differentiable"]
