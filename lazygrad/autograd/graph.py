"""torch.autograd.graph: the graph's nodes to look at, and the contexts about what is saved for backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from lazygrad.errors import at_user_line
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.history import GradFn as Node
from lazygrad.tensor.history import grad_fn

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class GradientEdge(NamedTuple):
    """Where a tensor's gradient arrives: the backward that takes it, and as which of its outputs."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor that requires grad. RuntimeError for any other."""
    if not isinstance(tensor, TensorBase) or not tensor.requires_grad:
        raise RuntimeError(
            at_user_line("It is not possible to get the gradient edge for a Tensor that does not require gradients")
        )
    return GradientEdge(grad_fn(tensor.node), 0)


class saved_tensors_hooks:
    """NotImplementedError: what backward reads is decided when it is planned, so there is no moment at which one
    tensor after the other is saved. torch.utils.checkpoint keeps less; autograd.Function keeps what it is told to."""

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        raise NotImplementedError(
            at_user_line(
                "saved_tensors_hooks(): lazygrad plans what backward reads and saves no tensor one by one; use "
                "utils.checkpoint to keep less, or an autograd.Function that saves what it is to save"
            )
        )


@contextmanager
def save_on_cpu(pin_memory: bool = False, device_type: str = "cuda") -> Iterator[None]:
    """A block whose results are those of torch's: where values are kept until backward changes none of them.
    Nothing is moved to the CPU; utils.checkpoint is what saves memory here."""
    yield


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """A block without saved_tensors_hooks: every block is."""
    yield


__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "save_on_cpu",
    "saved_tensors_hooks",
]
