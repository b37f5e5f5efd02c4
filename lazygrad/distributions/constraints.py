"""Constraints: which values a parameter or a sample may have. `check(value)` says where they hold, as a bool
tensor over the batch: the last `event_dim` dimensions are judged together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad import linalg
from lazygrad.dtype import bool_
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.assembly import cat as concat
from lazygrad.tensor.assembly import stack as pile
from lazygrad.tensor.creation import full
from lazygrad.tensor.limits import finfo


class Constraint:
    """Base class."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__.removeprefix("_") + "()"


class _Dependent(Constraint):
    """What a value may be follows from other values, so it is not checked by itself."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of a dependent constraint")


def is_dependent(constraint: Any) -> bool:
    return isinstance(constraint, _Dependent)


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return value.eq(0).logical_or(value.eq(1))


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.eq(0).logical_or(value.eq(1)).all(-1).logical_and(value.sum(-1).eq(1))


class integer_interval(Constraint):
    """Whole numbers from lower_bound to upper_bound, both included."""

    is_discrete = True

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value.remainder(1).eq(0).logical_and(value.ge(self.lower_bound)).logical_and(value.le(self.upper_bound))

    def __repr__(self) -> str:
        return f"IntegerInterval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class integer_greater_than_eq(Constraint):
    """Whole numbers from lower_bound on."""

    is_discrete = True

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return value.remainder(1).eq(0).logical_and(value.ge(self.lower_bound))

    def __repr__(self) -> str:
        return f"IntegerGreaterThanEq(lower_bound={self.lower_bound})"


class _Real(Constraint):
    def check(self, value: Tensor) -> Tensor:
        return value.eq(value)  # false for NaN alone


class greater_than(Constraint):
    """Above lower_bound."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return value.gt(self.lower_bound)

    def __repr__(self) -> str:
        return f"GreaterThan(lower_bound={self.lower_bound})"


class greater_than_eq(Constraint):
    """lower_bound or above."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return value.ge(self.lower_bound)

    def __repr__(self) -> str:
        return f"GreaterThanEq(lower_bound={self.lower_bound})"


class less_than(Constraint):
    """Below upper_bound."""

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value.lt(self.upper_bound)

    def __repr__(self) -> str:
        return f"LessThan(upper_bound={self.upper_bound})"


class interval(Constraint):
    """From lower_bound to upper_bound, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value.ge(self.lower_bound).logical_and(value.le(self.upper_bound))

    def __repr__(self) -> str:
        return f"Interval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class half_open_interval(interval):
    """From lower_bound, included, to upper_bound, left out."""

    def check(self, value: Tensor) -> Tensor:
        return value.ge(self.lower_bound).logical_and(value.lt(self.upper_bound))

    def __repr__(self) -> str:
        return f"HalfOpenInterval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class multinomial(Constraint):
    """Counts along the last dimension, of sum upper_bound."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value.ge(0).all(-1).logical_and(value.sum(-1).le(self.upper_bound))

    def __repr__(self) -> str:
        return f"Multinomial(upper_bound={self.upper_bound})"


class _Simplex(Constraint):
    """Not negative, and of sum 1 along the last dimension."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.ge(0).all(-1).logical_and(value.sum(-1).sub(1).abs().lt(1e-6))


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return value.tril().eq(value).all(-1).all(-1)


class _LowerCholesky(_LowerTriangular):
    """Lower triangular matrices with a positive diagonal."""

    def check(self, value: Tensor) -> Tensor:
        return super().check(value).logical_and(value.diagonal(dim1=-2, dim2=-1).gt(0).all(-1))


class _CorrCholesky(_LowerCholesky):
    """Lower triangular, with a positive diagonal and rows of length 1: roots of correlation matrices."""

    def check(self, value: Tensor) -> Tensor:
        tolerance = finfo(value.dtype).eps * value.shape[-1] * 10
        unit = value.square().sum(-1).sub(1).abs().lt(tolerance).all(-1)
        return super().check(value).logical_and(unit)


class _Square(Constraint):
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return full(value.shape[:-2], value.shape[-2] == value.shape[-1], dtype=bool_, device=value.device)


class _Symmetric(_Square):
    def check(self, value: Tensor) -> Tensor:
        square = super().check(value)
        return square if not square.all() else value.isclose(value.mT, atol=1e-6).all(-1).all(-1)


class _PositiveSemidefinite(_Symmetric):
    """Symmetric, with eigenvalues that aren't negative."""

    def check(self, value: Tensor) -> Tensor:
        return super().check(value).logical_and(linalg.eigvalsh(value).ge(0).all(-1))


class _PositiveDefinite(_Symmetric):
    """Symmetric, with positive eigenvalues."""

    def check(self, value: Tensor) -> Tensor:
        return super().check(value).logical_and(linalg.eigvalsh(value).gt(0).all(-1))


class independent(Constraint):
    """Another constraint, with some batch dimensions judged together."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        result = self.base_constraint.check(value)
        if result.dim() < self.reinterpreted_batch_ndims:
            raise ValueError(at_user_line(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}"))
        kept = result.shape[: result.dim() - self.reinterpreted_batch_ndims]
        return result.reshape((*kept, -1)).all(-1)

    def __repr__(self) -> str:
        return f"Independent({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Joined(Constraint):
    """Parts of a value along a dimension, each with a constraint of its own."""

    def __init__(self, constraints: Sequence[Constraint], dim: int) -> None:
        self.cseq = list(constraints)
        self.dim = dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)


class cat(_Joined):
    """Parts of the given lengths (default 1) that lie one after the other along `dim`."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None) -> None:
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def check(self, value: Tensor) -> Tensor:
        parts = value.split(self.lengths, self.dim)
        return concat([c.check(part) for c, part in zip(self.cseq, parts, strict=True)], self.dim)


class stack(_Joined):
    """Parts that are the slices along `dim`."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        super().__init__(cseq, dim)
        inner = max(c.event_dim for c in self.cseq)
        self.event_dim = inner + 1 if dim + inner < 0 else inner

    def check(self, value: Tensor) -> Tensor:
        parts = value.unbind(self.dim)
        return pile([c.check(part) for c, part in zip(self.cseq, parts, strict=True)], self.dim)


dependent = _Dependent()
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = integer_greater_than_eq(0)
positive_integer = integer_greater_than_eq(1)
real = _Real()
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Simplex()
lower_cholesky = _LowerCholesky()
symmetric = _Symmetric()
positive_definite = _PositiveDefinite()
lower_triangular = _LowerTriangular()
corr_cholesky = _CorrCholesky()
square = _Square()
positive_semidefinite = _PositiveSemidefinite()
