"""LogNormal: exp of a normal variable."""

from __future__ import annotations

from collections.abc import Sequence

from lazygrad.distributions import constraints
from lazygrad.distributions.location_scale import LocationScale
from lazygrad.distributions.normal import Normal
from lazygrad.tensor import Tensor


class LogNormal(LocationScale):
    """The distribution of exp(x), x normal of mean `loc` and standard deviation `scale`."""

    @property
    def base_dist(self) -> Normal:
        """The distribution of the logs."""
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.positive

    @property
    def mean(self) -> Tensor:
        return self.loc.add(self.scale.square().div(2)).exp()

    @property
    def mode(self) -> Tensor:
        return self.loc.sub(self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        square = self.scale.square()
        return square.expm1().mul(self.loc.mul(2).add(square).exp())

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log = value.log()
        return self.base_dist.log_prob(log).sub(log)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.base_dist.cdf(value.log())

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf(value).exp()

    def entropy(self) -> Tensor:
        return self.base_dist.entropy().add(self.loc)
