"""Poisson: probability rate^k exp(-rate) / k! of k = 0, 1, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import are_numbers, broadcast_all
from lazygrad.tensor import Tensor
from lazygrad.tensor.grad_mode import no_grad
from lazygrad.tensor.sampling import poisson


class Poisson(Distribution):
    """How many events happen in a unit of time, where `rate` are expected."""

    arg_constraints = {"rate": constraints.nonnegative}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(() if are_numbers(rate) else self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Poisson:
        return self._new(batch_shape, (), {"rate": self.rate.expand(batch_shape)})

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value.xlogy(self.rate).sub(self.rate).sub(value.add(1).lgamma())
