"""The base of all distributions: shapes, checked arguments, and what every one can be asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from lazygrad.distributions import constraints
from lazygrad.distributions.constraints import Constraint
from lazygrad.distributions.utils import lazy_property
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.grad_mode import no_grad
from lazygrad.tensor.size import Size
from lazygrad.tensor.values import always

D = TypeVar("D", bound="Distribution")


class Distribution:
    """A batch (`batch_shape`) of distributions whose draws have `event_shape`. See torch.distributions.

    With `validate_args` (the default) parameters and samples are checked against their constraints: that
    computes them at once, as torch does. validate_args=False keeps everything lazy.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict[str, Constraint] = {}
    _validate_args = True

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments where they aren't told."""
        if value not in (True, False):
            raise ValueError(at_user_line(f"validate_args must be True or False, got {value!r}"))
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            derived = name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property)
            if derived or constraints.is_dependent(constraint):
                continue
            value = getattr(self, name)
            with no_grad():
                valid = always(constraint.check(value.detach()))
            if not valid:
                raise ValueError(
                    at_user_line(
                        f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                        f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n"
                        f"{value}"
                    )
                )

    def _new(self: D, batch_shape: Sequence[int], event_shape: Sequence[int], parameters: dict[str, Any]) -> D:
        """One of the same kind with these parameters, unchecked: they come from a checked one."""
        made = object.__new__(type(self))
        made.__dict__.update(parameters)
        Distribution.__init__(made, batch_shape, event_shape, validate_args=False)
        made._validate_args = self._validate_args
        return made

    def expand(self: D, batch_shape: Sequence[int]) -> D:
        """The same distributions under a larger batch shape."""
        raise NotImplementedError

    # -- shapes and moments
    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def support(self) -> Constraint:
        """What draws satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    # -- draws
    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of shape sample_shape + batch_shape + event_shape, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws as a function of the parameters, so that gradients flow to them."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """n draws."""
        return self.sample((n,))

    # -- densities
    def log_prob(self, value: Tensor) -> Tensor:
        """The log of the density or probability of each value."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw not above value."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of cdf."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every value a draw can have, along a new first dimension."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        return self.entropy().exp()

    # -- for subclasses
    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """ValueError for what can't be a draw: of the wrong type or shape, or outside the support."""
        if not isinstance(value, Tensor):
            raise ValueError(at_user_line("The value argument to log_prob must be a Tensor"))
        events = len(self._event_shape)
        if tuple(value.shape[value.dim() - events :]) != tuple(self._event_shape):
            raise ValueError(
                at_user_line(
                    f"The right-most size of value must match event_shape: {tuple(value.shape)} vs "
                    f"{tuple(self._event_shape)}."
                )
            )
        expected = self._extended_shape()
        for size, wanted in zip(reversed(value.shape), reversed(expected), strict=False):
            if 1 not in (size, wanted) and size != wanted:
                raise ValueError(
                    at_user_line(
                        f"Value is not broadcastable with batch_shape+event_shape: {tuple(value.shape)} vs "
                        f"{tuple(expected)}."
                    )
                )
        try:
            support = self.support
        except NotImplementedError:
            return
        with no_grad():
            valid = always(support.check(value.detach()))
        if not valid:
            raise ValueError(
                at_user_line(
                    f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                    f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
                )
            )

    def __repr__(self) -> str:
        names = [n for n in self.arg_constraints if n in self.__dict__]
        shown = []
        for name in names:
            value = self.__dict__[name]
            one = math.prod(value.shape) == 1
            shown.append(f"{name}: {value if one else tuple(value.shape)}")
        return f"{type(self).__name__}({', '.join(shown)})"
