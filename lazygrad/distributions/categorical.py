"""Categorical: k with probability p_k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import exactly_one, lazy_property, logits_to_probs, probs_to_logits
from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.broadcasting import broadcast_tensors
from lazygrad.tensor.creation import full
from lazygrad.tensor.grad_mode import no_grad
from lazygrad.tensor.limits import finfo
from lazygrad.tensor.sequences import arange


class Categorical(Distribution):
    """0, 1, ... n-1 with the probabilities in the last dimension of `probs`, which need not sum to 1, or of the
    softmax of `logits`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        exactly_one(probs, logits)
        self._given = "logits" if probs is None else "probs"
        given: Any = logits if probs is None else probs
        if given.dim() < 1:
            raise ValueError(at_user_line(f"`{self._given}` parameter must be at least one-dimensional."))
        if probs is not None:
            self.__dict__["probs"] = probs.div(probs.sum(-1, keepdim=True))
        else:
            self.__dict__["logits"] = given.sub(given.logsumexp(-1, keepdim=True))
        super().__init__(given.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Categorical:
        shape = (*batch_shape, self._num_events)
        given = [n for n in ("probs", "logits") if n in self.__dict__]
        parameters: dict[str, Any] = {n: self.__dict__[n].expand(shape) for n in given}
        return self._new(batch_shape, (), {"_given": self._given, **parameters})

    @property
    def _param(self) -> Tensor:
        return self.__dict__[self._given]

    @property
    def _num_events(self) -> int:
        return int(self._param.shape[-1])

    @property
    def param_shape(self) -> Any:
        return self._param.shape

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits)

    @property
    def mean(self) -> Tensor:
        """NaN: the numbers are names."""
        return full(self._batch_shape, math.nan, dtype=self._param.dtype, device=self._param.device)

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return full(self._batch_shape, math.nan, dtype=self._param.dtype, device=self._param.device)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        count = math.prod(sample_shape)
        shape = self._extended_shape(sample_shape)
        if not math.prod(shape):
            return full(shape, 0, dtype=int64, device=self._param.device)
        with no_grad():
            rows = self.probs.detach().reshape((-1, self._num_events))
            return rows.multinomial(count, True).t().reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        chosen, logits = broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, chosen.narrow(-1, 0, 1)).squeeze(-1)

    def entropy(self) -> Tensor:
        finite = self.logits.clamp(min=finfo(self.logits.dtype).min)
        return finite.mul(self.probs).sum(-1).neg()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        lead = (1,) * len(self._batch_shape)
        values = arange(self._num_events, device=self._param.device).reshape((-1, *lead))
        return values.expand((-1, *self._batch_shape)) if expand else values
