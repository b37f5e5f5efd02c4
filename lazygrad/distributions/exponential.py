"""Exponential: density rate exp(-rate x) on x >= 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import are_numbers, broadcast_all
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import zeros, zeros_like


class Exponential(Distribution):
    """The waiting times of events that happen `rate` times in a unit of time."""

    arg_constraints = {"rate": constraints.positive}
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(() if are_numbers(rate) else self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Exponential:
        return self._new(batch_shape, (), {"rate": self.rate.expand(batch_shape)})

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.rate.square().reciprocal()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return zeros(shape, dtype=self.rate.dtype, device=self.rate.device).exponential_().div(self.rate)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.log().sub(self.rate.mul(value))

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.mul(value).neg().expm1().neg()

    def icdf(self, value: Tensor) -> Tensor:
        return value.neg().log1p().neg().div(self.rate)

    def entropy(self) -> Tensor:
        return self.rate.log().neg().add(1)
