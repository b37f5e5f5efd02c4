"""HalfNormal: the absolute value of a normal variable of mean 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import are_numbers, broadcast_all
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import randn, zeros_like


class HalfNormal(Distribution):
    """The distribution of |x|, x normal of mean 0 and standard deviation `scale`."""

    arg_constraints = {"scale": constraints.positive}
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(() if are_numbers(scale) else self.scale.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int]) -> HalfNormal:
        return self._new(batch_shape, (), {"scale": self.scale.expand(batch_shape)})

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        return self.scale.mul(math.sqrt(2 / math.pi))

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return self.scale.square().mul(1 - 2 / math.pi)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return randn(shape, dtype=self.scale.dtype, device=self.scale.device).mul(self.scale).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = value.div(self.scale).square().div(-2).sub(self.scale.log()).add(math.log(2 / math.pi) / 2)
        return inside.masked_fill(value.lt(0), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value.div(self.scale).div(math.sqrt(2)).erf()

    def icdf(self, value: Tensor) -> Tensor:
        return value.erfinv().mul(math.sqrt(2)).mul(self.scale)

    def entropy(self) -> Tensor:
        return self.scale.log().add(math.log(math.pi / 2) / 2 + 0.5)
