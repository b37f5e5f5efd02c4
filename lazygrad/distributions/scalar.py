"""Distributions of numbers: every parameter has the shape of the batch, an event has none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import are_numbers, broadcast_all
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import rand, zeros
from lazygrad.tensor.limits import finfo

S = TypeVar("S", bound="ScalarDistribution")


class ScalarDistribution(Distribution):
    """Base class: a subclass names its parameters in `arg_constraints` and gives the density `_log_density`."""

    def __init__(self, parameters: dict[str, Any], validate_args: bool | None = None) -> None:
        self.__dict__.update(zip(parameters, broadcast_all(*parameters.values()), strict=True))
        first: Tensor = self.__dict__[next(iter(parameters))]
        super().__init__(() if are_numbers(*parameters.values()) else first.shape, validate_args=validate_args)

    def expand(self: S, batch_shape: Sequence[int]) -> S:
        given = [name for name in self.arg_constraints if name in self.__dict__]
        return self._new(batch_shape, (), {name: self.__dict__[name].expand(batch_shape) for name in given})

    def log_prob(self, value: Tensor) -> Tensor:
        return self._log_density(self._checked(value))

    def _log_density(self, value: Tensor) -> Tensor:
        """log_prob of a value that has been checked."""
        raise NotImplementedError

    def _checked(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value

    @property
    def _template(self) -> Tensor:
        """Any parameter: dtype and device of draws."""
        return next(self.__dict__[name] for name in self.arg_constraints if name in self.__dict__)

    def _uniform(self, sample_shape: Sequence[int]) -> Tensor:
        """Draws in (0, 1), both ends left out."""
        like = self._template
        drawn = rand(self._extended_shape(sample_shape), dtype=like.dtype, device=like.device)
        return drawn.clamp(finfo(like.dtype).tiny, 1 - finfo(like.dtype).eps)

    def _exponential(self, sample_shape: Sequence[int]) -> Tensor:
        """Draws of rate 1."""
        like = self._template
        return zeros(self._extended_shape(sample_shape), dtype=like.dtype, device=like.device).exponential_()


def where_else(condition: Tensor, value: Tensor, other: float) -> Tensor:
    """`value` where the condition holds; gradients flow from there alone."""
    return value.masked_fill(condition.logical_not(), other)


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    """log B(a, b) = lgamma(a) + lgamma(b) - lgamma(a + b)."""
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


EULER = 0.5772156649015329
NAN, INF = math.nan, math.inf
