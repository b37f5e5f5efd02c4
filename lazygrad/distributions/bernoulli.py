"""Bernoulli: 1 with probability p, else 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import (
    are_numbers,
    broadcast_all,
    exactly_one,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
    softplus,
)
from lazygrad.tensor import Tensor
from lazygrad.tensor.grad_mode import no_grad
from lazygrad.tensor.sequences import arange


class BinaryChoice(Distribution):
    """Base of distributions of repeated trials, each a success with probability `probs`, or of log-odds
    `logits`: one of them is given, the other made from it."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        exactly_one(probs, logits)
        self._given = "logits" if probs is None else "probs"
        given = logits if probs is None else probs
        (self.__dict__[self._given],) = broadcast_all(given)
        super().__init__(() if are_numbers(given) else self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Any:
        parameters: dict[str, Any] = {
            name: self.__dict__[name].expand(batch_shape) for name in ("probs", "logits") if name in self.__dict__
        }
        return self._new(batch_shape, (), {"_given": self._given, **parameters})

    @property
    def _param(self) -> Tensor:
        return self.__dict__[self._given]

    @property
    def param_shape(self) -> Any:
        return self._param.shape

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)


class Bernoulli(BinaryChoice):
    """One trial: 1 for a success, 0 else."""

    has_enumerate_support = True

    @property
    def support(self) -> constraints.Constraint:
        return constraints.boolean

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The likelier value; NaN where both are as likely."""
        return self.probs.ge(0.5).to(self.probs.dtype).masked_fill(self.probs.eq(0.5), float("nan"))

    @property
    def variance(self) -> Tensor:
        return self.probs.mul(self.probs.rsub(1))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self.probs.expand(self._extended_shape(sample_shape)).bernoulli()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value.mul(self.logits).sub(softplus(self.logits))

    def entropy(self) -> Tensor:
        return softplus(self.logits).sub(self.probs.mul(self.logits))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        lead = (1,) * len(self._batch_shape)
        values = arange(2, dtype=self._param.dtype, device=self._param.device).reshape((2, *lead))
        return values.expand((2, *self._batch_shape)) if expand else values


class Geometric(BinaryChoice):
    """How many trials fail before the first success."""

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        return self.probs.reciprocal().sub(1)

    @property
    def mode(self) -> Tensor:
        return self.probs.mul(0)

    @property
    def variance(self) -> Tensor:
        return self.probs.reciprocal().sub(1).div(self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """By inversion: floor(log u / log(1 - p)), u uniform on (0, 1)."""
        with no_grad():
            probs = self.probs.expand(self._extended_shape(sample_shape))
            u = probs.clone().exponential_()  # -log u
            return u.neg().div(probs.neg().log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        certain = self.probs.eq(1).logical_and(value.eq(0))
        failures = value.mul(self.probs.masked_fill(certain, 0).neg().log1p())
        return failures.add(self.probs.log())

    def entropy(self) -> Tensor:
        return softplus(self.logits).sub(self.probs.mul(self.logits)).div(self.probs)
