"""Which transform leads from all real numbers to what satisfies a constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.constraints import Constraint
from lazygrad.distributions.transform import ComposeTransform, IndependentTransform, Transform, identity_transform
from lazygrad.distributions.transforms_of_events import (
    CatTransform,
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SoftmaxTransform,
    StackTransform,
    StickBreakingTransform,
)
from lazygrad.distributions.transforms_of_numbers import AffineTransform, ExpTransform, SigmoidTransform
from lazygrad.errors import at_user_line
from lazygrad.tensor.promote import is_scalar

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """registry(constraint) is a transform; @registry.register(kind of constraint) adds a function that makes one."""

    def __init__(self) -> None:
        self._factories: dict[type[Constraint], Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """For a class of constraints, or that of an object. TypeError for anything else."""
        if factory is None:
            return lambda given: self.register(constraint, given)
        kind = type(constraint) if isinstance(constraint, Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, Constraint):
            raise TypeError(
                at_user_line(
                    f"Expected constraint to be either a Constraint subclass or instance, but got {constraint}"
                )
            )
        self._factories[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        factory = self._factories.get(type(constraint))
        if factory is None:
            raise NotImplementedError(
                at_user_line(f"Cannot transform {type(constraint).__name__} constraints: none is registered")
            )
        return factory(constraint)


biject_to = ConstraintRegistry()  # bijective ones
transform_to = ConstraintRegistry()  # those that suit optimization: not all bijective


def _both(*kinds: Any) -> Callable[[Factory], Factory]:
    def add(factory: Factory) -> Factory:
        for kind in kinds:
            biject_to.register(kind, factory)
            transform_to.register(kind, factory)
        return factory

    return add


@_both(constraints.real)
def _real(constraint: Any) -> Transform:
    return identity_transform


@_both(constraints.greater_than, constraints.greater_than_eq)
def _above(constraint: Any) -> Transform:
    low = constraint.lower_bound
    return (
        ExpTransform() if is_scalar(low) and low == 0 else ComposeTransform([ExpTransform(), AffineTransform(low, 1)])
    )


@_both(constraints.less_than)
def _below(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1)])


@_both(constraints.interval, constraints.half_open_interval)
def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if is_scalar(low) and is_scalar(high) and (low, high) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


@_both(constraints.corr_cholesky)
def _correlations(constraint: Any) -> Transform:
    return CorrCholeskyTransform()


def _through(registry: ConstraintRegistry) -> None:
    """Constraints made of others."""
    registry.register(
        constraints.independent,
        lambda c: IndependentTransform(registry(c.base_constraint), c.reinterpreted_batch_ndims),
    )
    registry.register(constraints.cat, lambda c: CatTransform([registry(p) for p in c.cseq], c.dim, c.lengths))
    registry.register(constraints.stack, lambda c: StackTransform([registry(p) for p in c.cseq], c.dim))


_through(biject_to)
_through(transform_to)
biject_to.register(constraints.simplex, lambda c: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda c: LowerCholeskyTransform())
transform_to.register(constraints.positive_definite, lambda c: PositiveDefiniteTransform())
transform_to.register(constraints.positive_semidefinite, lambda c: PositiveDefiniteTransform())
