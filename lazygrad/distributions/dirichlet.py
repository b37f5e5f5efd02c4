"""Dirichlet, over probabilities that sum to 1, and Beta, its case of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.gamma_draws import standard_gamma
from lazygrad.distributions.scalar import ScalarDistribution, log_beta
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.assembly import stack
from lazygrad.tensor.creation import zeros_like
from lazygrad.tensor.limits import finfo


class Dirichlet(Distribution):
    """Density prod x_i^(a_i - 1) / B(a) over the simplex, a = the last dimension of `concentration`."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError(at_user_line("`concentration` parameter must be at least one-dimensional."))
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Dirichlet:
        wide = self.concentration.expand((*batch_shape, *self._event_shape))
        return self._new(batch_shape, self._event_shape, {"concentration": wide})

    @property
    def support(self) -> constraints.Constraint:
        return constraints.simplex

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """Where no part's concentration reaches 1: the corner of the first of the largest."""
        above = (self.concentration - 1).clamp(min=0)
        inside = above / above.sum(-1, keepdim=True)
        corner = zeros_like(above).scatter(-1, above.argmax(-1, keepdim=True), 1.0)
        return corner.where(self.concentration.lt(1).all(-1, keepdim=True), inside)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total.square() * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        parts = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        return parts / parts.sum(-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return (a - 1).xlogy(value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Tensor:
        a = self.concentration
        total = a.sum(-1)
        normalizer = a.lgamma().sum(-1) - total.lgamma()
        return normalizer - (a.shape[-1] - total) * total.digamma() - ((a - 1) * a.digamma()).sum(-1)


class Beta(ScalarDistribution):
    """Density x^(a - 1) (1 - x)^(b - 1) / B(a, b) on (0, 1), a = `concentration1`, b = `concentration0`."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    has_rsample = True
    concentration1: Tensor
    concentration0: Tensor

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        super().__init__({"concentration1": concentration1, "concentration0": concentration0}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.unit_interval

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        both = stack([self.concentration1, self.concentration0], -1)
        return Dirichlet(both, validate_args=False).mode.select(-1, 0)

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        success, failure = (standard_gamma(c.expand(shape)) for c in (self.concentration1, self.concentration0))
        tiny = finfo(success.dtype).tiny
        return (success / (success + failure)).clamp(tiny, 1 - finfo(success.dtype).eps / 2)

    def _log_density(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (a - 1).xlogy(value) + (b - 1).xlogy(1 - value) - log_beta(a, b)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        own = (a - 1) * a.digamma() + (b - 1) * b.digamma()
        return log_beta(a, b) - own + (a + b - 2) * (a + b).digamma()
