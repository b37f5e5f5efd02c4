"""Normal: density exp(-z^2 / 2) / (scale sqrt(2 pi)) with z = (x - loc) / scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lazygrad.distributions.location_scale import LocationScale
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import randn


class Normal(LocationScale):
    """The normal distribution of mean `loc` and standard deviation `scale`."""

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def _standard_draw(self, shape: Sequence[int]) -> Tensor:
        return randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._standardized(value)
        return z.square().div(-2).sub(self.scale.log()).sub(math.log(2 * math.pi) / 2)

    def cdf(self, value: Tensor) -> Tensor:
        return self._standardized(value).div(math.sqrt(2)).erf().add(1).div(2)

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc.add(self.scale.mul(value.mul(2).sub(1).erfinv()).mul(math.sqrt(2)))

    def entropy(self) -> Tensor:
        return self.scale.log().add(0.5 + 0.5 * math.log(2 * math.pi))
