"""OneHotCategorical: a categorical draw as a vector that is 1 at its place and 0 elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from lazygrad.distributions import constraints
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.distribution import Distribution
from lazygrad.dtype import int64
from lazygrad.tensor import Tensor
from lazygrad.tensor.sequences import arange, eye


class OneHotCategorical(Distribution):
    """One-hot vectors with the probabilities in the last dimension of `probs`, or of the softmax of `logits`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> OneHotCategorical:
        return self._new(batch_shape, self._event_shape, {"_categorical": self._categorical.expand(batch_shape)})

    @property
    def support(self) -> constraints.Constraint:
        return constraints.one_hot

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def param_shape(self) -> object:
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._one_hot(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        return self.probs.mul(self.probs.rsub(1))

    def _one_hot(self, place: Tensor) -> Tensor:
        numbers = arange(self._event_shape[0], dtype=int64, device=place.device)
        return place.unsqueeze(-1).eq(numbers).to(self.probs.dtype)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self._event_shape[0]
        lead = (1,) * len(self._batch_shape)
        values = eye(n, dtype=self.probs.dtype, device=self.probs.device).reshape((n, *lead, n))
        return values.expand((n, *self._batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot draws whose gradient is that of the probabilities.

    Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons" (2013).
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.sample(sample_shape).add(self.probs.sub(self.probs.detach()))
