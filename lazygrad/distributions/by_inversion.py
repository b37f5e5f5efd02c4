"""Distributions of one number that are drawn by inverting their distribution function: Weibull, Pareto,
Kumaraswamy, the half of Cauchy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.scalar import EULER, INF, NAN, ScalarDistribution, log_beta, where_else
from lazygrad.tensor import Tensor


class Weibull(ScalarDistribution):
    """scale * e^(1 / k), e exponential of rate 1 and k = `concentration`."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    has_rsample = True
    scale: Tensor
    concentration: Tensor

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        super().__init__({"scale": scale, "concentration": concentration}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.positive

    def _moment(self, order: int) -> Tensor:
        """The mean of (x / scale)^order."""
        return (1 + order / self.concentration).lgamma().exp()

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        k = self.concentration
        return self.scale * ((k - 1) / k).pow(k.reciprocal())

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (self._moment(2) - self._moment(1).square())

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.scale * self._exponential(sample_shape).pow(self.concentration.reciprocal())

    def _log_density(self, value: Tensor) -> Tensor:
        k = self.concentration
        log = (value / self.scale).log()
        return (k / self.scale).log() + (k - 1) * log - (k * log).exp()

    def cdf(self, value: Tensor) -> Tensor:
        return -(-(self._checked(value) / self.scale).pow(self.concentration)).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-(-value).log1p()).pow(self.concentration.reciprocal())

    def entropy(self) -> Tensor:
        k = self.concentration
        return EULER * (1 - k.reciprocal()) + (self.scale / k).log() + 1


class Pareto(ScalarDistribution):
    """Density alpha scale^alpha / x^(alpha + 1) for x >= scale."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}
    has_rsample = True
    alpha: Tensor
    scale: Tensor

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        super().__init__({"scale": scale, "alpha": alpha}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        return where_else(self.alpha.gt(1), self.alpha * self.scale / (self.alpha - 1), INF)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = self.alpha
        return where_else(a.gt(2), self.scale.square() * a / ((a - 1).square() * (a - 2)), INF)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.scale * (self._exponential(sample_shape) / self.alpha).exp()

    def _log_density(self, value: Tensor) -> Tensor:
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - (self.scale / self._checked(value)).pow(self.alpha)

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (1 - value).pow(-self.alpha.reciprocal())

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()


class Kumaraswamy(ScalarDistribution):
    """(1 - (1 - u)^(1 / b))^(1 / a), u uniform, a = `concentration1`, b = `concentration0`: near Beta(a, b)."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    has_rsample = True
    concentration1: Tensor
    concentration0: Tensor

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        super().__init__({"concentration1": concentration1, "concentration0": concentration0}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.unit_interval

    def _moment(self, order: int) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return b * log_beta(1 + order / a, b).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        peak = ((a - 1) / (a * b - 1)).pow(a.reciprocal())
        return where_else(a.ge(1).logical_and(b.ge(1)), peak, NAN)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape))

    def _log_density(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return a.log() + b.log() + (a - 1) * value.log() + (b - 1) * (-value.pow(a)).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - (1 - self._checked(value).pow(self.concentration1)).pow(self.concentration0)

    def icdf(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (1 - (1 - value).pow(b.reciprocal())).pow(a.reciprocal())

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + EULER
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class HalfCauchy(ScalarDistribution):
    """The absolute value of a Cauchy draw of median 0."""

    arg_constraints = {"scale": constraints.positive}
    has_rsample = True
    scale: Tensor

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__({"scale": scale}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        return self.scale * INF

    @property
    def mode(self) -> Tensor:
        return self.scale * 0

    @property
    def variance(self) -> Tensor:
        return self.scale * INF

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape))

    def _log_density(self, value: Tensor) -> Tensor:
        inside = math.log(2 / math.pi) - self.scale.log() - (value / self.scale).square().log1p()
        return where_else(value.ge(0), inside, -INF)

    def cdf(self, value: Tensor) -> Tensor:
        return (self._checked(value) / self.scale).atan() * (2 / math.pi)

    def icdf(self, value: Tensor) -> Tensor:
        return (value * (math.pi / 2)).tan() * self.scale

    def entropy(self) -> Tensor:
        return self.scale.log() + math.log(2 * math.pi)
