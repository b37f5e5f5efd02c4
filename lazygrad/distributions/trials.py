"""Counts of successes and failures: Binomial, NegativeBinomial, Multinomial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.bernoulli import BinaryChoice
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.gamma_draws import standard_gamma
from lazygrad.distributions.utils import broadcast_all, exactly_one, log_sigmoid
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import tensor, zeros
from lazygrad.tensor.grad_mode import no_grad
from lazygrad.tensor.others import binomial
from lazygrad.tensor.sampling import poisson
from lazygrad.tensor.sequences import arange


class CountedTrials(BinaryChoice):
    """Base of distributions with a number of trials, `total_count`, beside `probs` or `logits`, of one shape."""

    total_count: Tensor

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        exactly_one(probs, logits)
        count, given = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = count.type_as(given)
        super().__init__(**{"logits" if probs is None else "probs": given}, validate_args=validate_args)
        self._batch_shape = given.shape

    def expand(self, batch_shape: Sequence[int]) -> Any:
        made = super().expand(batch_shape)
        made.total_count = self.total_count.expand(batch_shape)
        return made


class Binomial(CountedTrials):
    """How many of `total_count` trials succeed."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(total_count, probs, logits, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log C(n, k) + k logits - n log(1 + e^logits)."""
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        choices = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return choices + value * self.logits + n * log_sigmoid(-self.logits)

    def entropy(self) -> Tensor:
        """By the sum over all counts. NotImplementedError where total_count differs within the batch."""
        return -(self._log_probs().exp() * self._log_probs()).sum(0)

    def _log_probs(self) -> Tensor:
        return self._unchecked().log_prob(self.enumerate_support(False))

    def _unchecked(self) -> Binomial:
        return Binomial(self.total_count, **{self._given: self._param}, validate_args=False)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise NotImplementedError(at_user_line("Inhomogeneous total count not supported by `enumerate_support`."))
        lead = (1,) * len(self._batch_shape)
        values = arange(1 + most, dtype=self._param.dtype, device=self._param.device).reshape((-1, *lead))
        return values.expand((-1, *self._batch_shape)) if expand else values


class NegativeBinomial(CountedTrials):
    """How many trials succeed before `total_count` of them fail."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A Poisson draw whose rate is a gamma draw."""
        with no_grad():
            rate = standard_gamma(self.total_count.expand(self._extended_shape(sample_shape))) * self.logits.exp()
            return poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        choices = (n + value).lgamma() - (value + 1).lgamma() - n.lgamma()
        choices = choices.masked_fill((n + value).eq(0), 0.0)
        return choices + n * log_sigmoid(-self.logits) + value * log_sigmoid(self.logits)


class Multinomial(Distribution):
    """How often each category appears in `total_count` draws of Categorical(probs, logits)."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError(at_user_line("inhomogeneous total_count is not supported"))
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Multinomial:
        parameters = {"total_count": self.total_count, "_categorical": self._categorical.expand(batch_shape)}
        return self._new(batch_shape, self._event_shape, parameters)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.multinomial(self.total_count)

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
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        with no_grad():
            places = drawn.movedim(0, -1)
            ones = self.probs.new_ones(()).expand(places.shape)
            return zeros(shape, dtype=ones.dtype, device=ones.device).scatter_add(-1, places, ones)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        certain = self.logits.masked_fill(value.eq(0).logical_and(self.logits.eq(-math.inf)), 0.0)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + (value * certain).sum(-1)

    def entropy(self) -> Tensor:
        """n H(categorical) - log n! + sum over categories of the mean of log k!, k binomial."""
        n = tensor(float(self.total_count), dtype=self.probs.dtype, device=self.probs.device)
        binomials = Binomial(n, probs=self.probs, validate_args=False)
        counts = binomials.enumerate_support(expand=False)
        repeats = (binomials.log_prob(counts).exp() * (counts + 1).lgamma()).sum((0, -1))
        return self.total_count * self._categorical.entropy() - (n + 1).lgamma() + repeats
