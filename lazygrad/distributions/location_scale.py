"""Distributions of a location and a scale: their parameters have one shape, and moving and stretching a standard
draw gives theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import are_numbers, broadcast_all
from lazygrad.tensor import Tensor

L = TypeVar("L", bound="LocationScale")


class LocationScale(Distribution):
    """Base class: `loc` any real number, `scale` positive."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(() if are_numbers(loc, scale) else self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real

    def expand(self: L, batch_shape: Sequence[int]) -> L:
        loc, scale = (t.expand(batch_shape) for t in (self.loc, self.scale))
        return self._new(batch_shape, (), {"loc": loc, "scale": scale})

    def _standard_draw(self, shape: Sequence[int]) -> Tensor:
        """Draws at location 0 and scale 1."""
        raise NotImplementedError

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc.add(self._standard_draw(self._extended_shape(sample_shape)).mul(self.scale))

    def _standardized(self, value: Tensor) -> Tensor:
        """(value - loc) / scale, the value checked first."""
        if self._validate_args:
            self._validate_sample(value)
        return value.sub(self.loc).div(self.scale)
