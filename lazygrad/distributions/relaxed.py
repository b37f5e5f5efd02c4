"""Continuous relaxations of Bernoulli and of one-hot categorical draws (Maddison et al. 2017, Jang et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.bernoulli import BinaryChoice
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import broadcast_all, log_sigmoid
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import rand, zeros
from lazygrad.tensor.limits import finfo


class RelaxedBernoulli(BinaryChoice):
    """sigmoid((logits + logit(u)) / temperature), u uniform: near 0 and 1 at low temperatures."""

    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(probs, logits, validate_args)
        (self.temperature,) = broadcast_all(temperature)

    def expand(self, batch_shape: Sequence[int]) -> RelaxedBernoulli:
        made: RelaxedBernoulli = super().expand(batch_shape)
        made.temperature = self.temperature
        return made

    @property
    def support(self) -> constraints.Constraint:
        return constraints.unit_interval

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        eps = finfo(self._param.dtype).eps
        u = rand(self._extended_shape(sample_shape), dtype=self._param.dtype, device=self._param.device)
        return ((self.logits + u.clamp(eps, 1 - eps).logit()) / self.temperature).sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        """That of the logit of value, which is logistic, less the log of the sigmoid's slope there."""
        if self._validate_args:
            self._validate_sample(value)
        y = value.logit()
        z = self.logits - y * self.temperature
        slope = log_sigmoid(y) + log_sigmoid(-y)
        return self.temperature.log() + z + 2 * log_sigmoid(-z) - slope


class RelaxedOneHotCategorical(Distribution):
    """softmax((logits + Gumbel noise) / temperature): near a one-hot vector at low temperatures."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        (self.temperature,) = broadcast_all(temperature)
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> RelaxedOneHotCategorical:
        parameters = {"temperature": self.temperature, "_categorical": self._categorical.expand(batch_shape)}
        return self._new(batch_shape, self._event_shape, parameters)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.simplex

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        logits = self.logits
        shape = self._extended_shape(sample_shape)
        noise = zeros(shape, dtype=logits.dtype, device=logits.device).exponential_().log()
        return ((logits - noise) / self.temperature).softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self._event_shape[0]
        log = value.log()
        score = self.logits - self.temperature * log
        shared = (n - 1) * self.temperature.log() + math.lgamma(n)
        return shared + score.sum(-1) - n * score.logsumexp(-1) - log.sum(-1)
