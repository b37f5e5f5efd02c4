"""Uniform: density 1 / (high - low) on [low, high)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import are_numbers, broadcast_all
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import full_like, rand
from lazygrad.tensor.values import always


class Uniform(Distribution):
    """The uniform distribution on [low, high)."""

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(() if are_numbers(low, high) else self.low.shape, validate_args=validate_args)
        if self._validate_args and not always(self.low.lt(self.high)):
            raise ValueError(at_user_line("Uniform is not defined when low >= high"))

    arg_constraints = {"low": constraints.dependent, "high": constraints.dependent}

    def expand(self, batch_shape: Sequence[int]) -> Uniform:
        return self._new(batch_shape, (), {"low": self.low.expand(batch_shape), "high": self.high.expand(batch_shape)})

    @property
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return self.high.add(self.low).div(2)

    @property
    def mode(self) -> Tensor:
        """NaN: no value is more probable than others."""
        return full_like(self.high, float("nan"))

    @property
    def variance(self) -> Tensor:
        return self.high.sub(self.low).square().div(12)

    @property
    def stddev(self) -> Tensor:
        return self.high.sub(self.low).div(12**0.5)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = rand(self._extended_shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
        return self.low.add(u.mul(self.high.sub(self.low)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = self.low.le(value).logical_and(self.high.gt(value))
        return inside.type_as(self.low).log().sub(self.high.sub(self.low).log())

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value.sub(self.low).div(self.high.sub(self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value.mul(self.high.sub(self.low)).add(self.low)

    def entropy(self) -> Tensor:
        return self.high.sub(self.low).log()
