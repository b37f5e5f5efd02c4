"""Gumbel: the limit law of maxima; density exp(-z - exp(-z)) / scale with z = (x - loc) / scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lazygrad.distributions.location_scale import LocationScale
from lazygrad.distributions.scalar import EULER
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import zeros


class Gumbel(LocationScale):
    """The Gumbel distribution of mode `loc`."""

    @property
    def mean(self) -> Tensor:
        return self.loc.add(self.scale.mul(EULER))

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square().mul(math.pi**2 / 6)

    @property
    def stddev(self) -> Tensor:
        return self.scale.mul(math.pi / math.sqrt(6))

    def _standard_draw(self, shape: Sequence[int]) -> Tensor:
        """Minus the log of an exponential draw."""
        return zeros(shape, dtype=self.loc.dtype, device=self.loc.device).exponential_().log().neg()

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._standardized(value)
        return z.add(z.neg().exp()).neg().sub(self.scale.log())

    def cdf(self, value: Tensor) -> Tensor:
        return self._standardized(value).neg().exp().neg().exp()

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc.sub(self.scale.mul(value.log().neg().log()))

    def entropy(self) -> Tensor:
        return self.scale.log().add(1 + EULER)
