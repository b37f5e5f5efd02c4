"""MixtureSameFamily: one of several distributions of a kind, chosen by a categorical draw."""

from __future__ import annotations

from collections.abc import Sequence

from lazygrad.distributions import constraints
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.distribution import Distribution
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.grad_mode import no_grad


class MixtureSameFamily(Distribution):
    """The last batch dimension of `component_distribution` is what `mixture_distribution` chooses from."""

    arg_constraints = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self._check(mixture_distribution, component_distribution)
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        super().__init__(component_distribution.batch_shape[:-1], component_distribution.event_shape, validate_args)

    @staticmethod
    def _check(mixture: Categorical, component: Distribution) -> None:
        if not isinstance(mixture, Categorical):
            raise ValueError(at_user_line("The Mixture distribution needs to be an instance of Categorical"))
        if not isinstance(component, Distribution):
            raise ValueError(at_user_line("The Component distribution need to be an instance of Distribution"))
        pairs = zip(reversed(mixture.batch_shape), reversed(component.batch_shape[:-1]), strict=False)
        count = mixture.param_shape[-1]
        if any(1 not in pair and pair[0] != pair[1] for pair in pairs) or count != component.batch_shape[-1]:
            raise ValueError(
                at_user_line(
                    f"mixture of batch shape {tuple(mixture.batch_shape)} and {count} choices does not fit components "
                    f"of batch shape {tuple(component.batch_shape)}"
                )
            )

    def expand(self, batch_shape: Sequence[int]) -> MixtureSameFamily:
        component = self.component_distribution.expand((*batch_shape, self.component_distribution.batch_shape[-1]))
        mixture = self.mixture_distribution.expand(batch_shape)
        parameters = {"_mixture_distribution": mixture, "_component_distribution": component}
        return self._new(batch_shape, self._event_shape, parameters)

    @property
    def mixture_distribution(self) -> Categorical:
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        return self._component_distribution

    @property
    def support(self) -> constraints.Constraint:
        return self.component_distribution.support

    @property
    def _probs(self) -> Tensor:
        """How likely each component is, with dimensions of size 1 for the event's."""
        return self._under_events(self.mixture_distribution.probs)

    def _under_events(self, choices: Tensor) -> Tensor:
        return choices.reshape((*choices.shape, *(1 for _ in self._event_shape)))

    def _mixed(self, values: Tensor) -> Tensor:
        """The mean over components."""
        return (self._probs * values).sum(-1 - len(self._event_shape))

    @property
    def mean(self) -> Tensor:
        return self._mixed(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances and the variance of the means."""
        part = self.component_distribution
        center = self.mean.unsqueeze(-1 - len(self._event_shape))
        return self._mixed(part.variance) + self._mixed((part.mean - center).square())

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            dim = len(sample_shape) + len(self._batch_shape)
            drawn = self.component_distribution.sample(sample_shape)
            chosen = self._under_events(self.mixture_distribution.sample(sample_shape).unsqueeze(-1))
            shape = (*sample_shape, *self._batch_shape, 1, *self._event_shape)
            return drawn.gather(dim, chosen.expand(shape)).squeeze(dim)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        each = self.component_distribution.log_prob(self._for_each(value))
        return (each + self.mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def cdf(self, value: Tensor) -> Tensor:
        return (self.component_distribution.cdf(self._for_each(value)) * self.mixture_distribution.probs).sum(-1)

    def _for_each(self, value: Tensor) -> Tensor:
        return value.unsqueeze(-1 - len(self._event_shape))

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution!r},\n  {self.component_distribution!r})"
