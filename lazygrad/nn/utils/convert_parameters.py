"""Parameters as one vector and back."""

from __future__ import annotations

from collections.abc import Iterable

from lazygrad.ir import build
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode, wrap


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters, one after the other."""
    return wrap(build.concat([build.reshape(p.node, (p.node.numel,)) for p in parameters], 0))


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write consecutive pieces of the vector into the parameters."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    with grad_mode(False):
        for parameter in parameters:
            node = parameter.node
            part = build.slice_(build.detach(vec.node), [(start, start + node.numel, 1)])
            parameter._write(build.cast(build.reshape(part, node.shape), node.dtype))
            start += node.numel
