"""Laplace: density exp(-|z|) / (2 scale) with z = (x - loc) / scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lazygrad.distributions.location_scale import LocationScale
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import rand


class Laplace(LocationScale):
    """The Laplace distribution around `loc`."""

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square().mul(2)

    @property
    def stddev(self) -> Tensor:
        return self.scale.mul(math.sqrt(2))

    def _standard_draw(self, shape: Sequence[int]) -> Tensor:
        """By inversion of a uniform draw from (-1, 1)."""
        u = rand(shape, dtype=self.loc.dtype, device=self.loc.device).mul(2).sub(1).clamp(min=-1 + 2.0**-24)
        return u.sign().mul(u.abs().neg().log1p()).neg()

    def log_prob(self, value: Tensor) -> Tensor:
        return self._standardized(value).abs().neg().sub(self.scale.mul(2).log())

    def cdf(self, value: Tensor) -> Tensor:
        z = self._standardized(value)
        return z.sign().mul(z.abs().neg().expm1()).mul(-0.5).add(0.5)

    def icdf(self, value: Tensor) -> Tensor:
        term = value.sub(0.5)
        return self.loc.sub(self.scale.mul(term.sign()).mul(term.abs().mul(-2).log1p()))

    def entropy(self) -> Tensor:
        return self.scale.mul(2).log().add(1)
