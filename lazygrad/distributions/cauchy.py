"""Cauchy: density 1 / (pi scale (1 + z^2)) with z = (x - loc) / scale. It has no mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lazygrad.distributions.location_scale import LocationScale
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import full_like, zeros


class Cauchy(LocationScale):
    """The Cauchy distribution of median `loc`."""

    @property
    def mean(self) -> Tensor:
        return full_like(self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return full_like(self.loc, math.inf)

    def _standard_draw(self, shape: Sequence[int]) -> Tensor:
        return zeros(shape, dtype=self.loc.dtype, device=self.loc.device).cauchy_()

    def log_prob(self, value: Tensor) -> Tensor:
        return self._standardized(value).square().log1p().neg().sub(self.scale.log()).sub(math.log(math.pi))

    def cdf(self, value: Tensor) -> Tensor:
        return self._standardized(value).atan().div(math.pi).add(0.5)

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc.add(value.sub(0.5).mul(math.pi).tan().mul(self.scale))

    def entropy(self) -> Tensor:
        return self.scale.log().add(math.log(4 * math.pi))
