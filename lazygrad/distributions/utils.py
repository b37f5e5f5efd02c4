"""What distributions share: parameters of one shape, and probabilities known by themselves or by their logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir import library
from lazygrad.tensor import Tensor
from lazygrad.tensor.broadcasting import broadcast_tensors
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import tensor
from lazygrad.tensor.grad_mode import enable_grad
from lazygrad.tensor.limits import finfo
from lazygrad.tensor.promote import get_default_dtype, is_scalar


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape; numbers take the dtype and device of the first tensor.

    ValueError for anything else.
    """
    if not all(is_scalar(v) or isinstance(v, Tensor) for v in values):
        raise ValueError(at_user_line("Input arguments must all be instances of numbers.Number or torch.Tensor."))
    given = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = get_default_dtype() if given is None else given.dtype
    device = None if given is None else given.device
    return tuple(
        broadcast_tensors(*(v if isinstance(v, Tensor) else tensor(v, dtype=dtype, device=device) for v in values))
    )


def are_numbers(*values: Any) -> bool:
    return all(is_scalar(v) for v in values)


def exactly_one(probs: Any, logits: Any) -> None:
    """ValueError unless one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError(at_user_line("Either `probs` or `logits` must be specified, but not both."))


def clamp_probs(probs: Tensor) -> Tensor:
    """Away from 0 and 1 by the spacing of the dtype, so that both logs are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log-odds of a binary variable, logs of a categorical one's probabilities."""
    safe = clamp_probs(probs)
    return safe.log().sub(safe.neg().log1p()) if is_binary else safe.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), safe from overflow."""
    return wrap(library.activation(library.log1p_exp, x.node))


def log_sigmoid(x: Tensor) -> Tensor:
    """-log(1 + e^-x)."""
    return softplus(x.neg()).neg()


class lazy_property:
    """A value made when it is first asked for, with its gradient history whatever the mode then is."""

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self._make(instance)
        instance.__dict__[self._name] = value
        return value
