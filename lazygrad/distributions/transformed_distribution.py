"""TransformedDistribution: draws of a distribution, passed through transforms; and LogisticNormal, one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.independent import Independent, sum_rightmost
from lazygrad.distributions.normal import Normal
from lazygrad.distributions.transform import ComposeTransform, Transform
from lazygrad.distributions.transforms_of_events import StickBreakingTransform
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.grad_mode import no_grad


class TransformedDistribution(Distribution):
    """The distribution of transforms applied in order to a draw x of `base_distribution`:
    log p(y) = log p(x) - log |det dy/dx|."""

    arg_constraints = {}

    def __init__(self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None) -> None:
        self.transforms: list[Transform] = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(
                at_user_line(f"transforms must be a Transform or list of Transforms, but was {transforms}")
            )
        whole = ComposeTransform(self.transforms)
        base_shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        if len(base_shape) < whole.domain.event_dim:
            raise ValueError(
                at_user_line(
                    f"base_distribution needs to have shape with size at least {whole.domain.event_dim}, but got "
                    f"{base_shape}."
                )
            )
        shape = whole.forward_shape(base_shape)
        wide = tuple(whole.inverse_shape(shape))
        own_dims = len(base_distribution.event_shape)
        if wide != base_shape:
            base_distribution = base_distribution.expand(wide[: len(wide) - own_dims])
        more = whole.domain.event_dim - own_dims
        self.base_dist = Independent(base_distribution, more) if more > 0 else base_distribution
        events = max(whole.codomain.event_dim, own_dims + whole.codomain.event_dim - whole.domain.event_dim)
        cut = len(shape) - events
        super().__init__(shape[:cut], shape[cut:], validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    def expand(self, batch_shape: Sequence[int]) -> TransformedDistribution:
        shape = (*batch_shape, *self._event_shape)
        wide = ComposeTransform(self.transforms).inverse_shape(shape)
        base = self.base_dist.expand(wide[: len(wide) - len(self.base_dist.event_shape)])
        return self._new(batch_shape, self._event_shape, {"base_dist": base, "transforms": self.transforms})

    @property
    def support(self) -> constraints.Constraint:
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self._event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        events = len(self._event_shape)
        total: Any = 0.0
        y = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            events += transform.domain.event_dim - transform.codomain.event_dim
            total = total - sum_rightmost(transform.log_abs_det_jacobian(x, y), events - transform.domain.event_dim)
            y = x
        own = self.base_dist.log_prob(y)
        result: Tensor = total + sum_rightmost(own, events - len(self.base_dist.event_shape))
        return result

    def _from_top(self, probability: Tensor) -> Tensor:
        """The probability counted from the other end where the transforms fall."""
        sign: Any = ComposeTransform(self.transforms).sign
        return probability if isinstance(sign, int) and sign == 1 else sign * (probability - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._from_top(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._from_top(value)))


class LogisticNormal(TransformedDistribution):
    """n + 1 probabilities made of n normal draws by breaking a stick."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args)

    @property
    def _normal(self) -> Any:
        return self.base_dist.base_dist if isinstance(self.base_dist, Independent) else self.base_dist

    @property
    def loc(self) -> Tensor:
        return self._normal.loc

    @property
    def scale(self) -> Tensor:
        return self._normal.scale
