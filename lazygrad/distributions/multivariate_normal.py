"""MultivariateNormal: a normal vector, known by its covariance, its inverse or a triangular root of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lazygrad import linalg
from lazygrad.distributions import constraints
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.utils import lazy_property
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.broadcasting import broadcast_shapes
from lazygrad.tensor.creation import randn

FORMS = ("covariance_matrix", "precision_matrix", "scale_tril")


def whitened(root: Tensor, difference: Tensor) -> Tensor:
    """root^-1 difference, for every vector in the last dimension. Above its diagonal the root is not read."""
    return linalg.solve(root.tril(), difference.unsqueeze(-1)).squeeze(-1)


def log_det_root(root: Tensor) -> Tensor:
    """The log of a triangular matrix's determinant."""
    return root.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class MultivariateNormal(Distribution):
    """The normal distribution of mean `loc` (..., n) with exactly one of covariance_matrix, precision_matrix
    and scale_tril (..., n, n)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError(at_user_line("loc must be at least one-dimensional."))
        given = {n: m for n, m in zip(FORMS, (covariance_matrix, precision_matrix, scale_tril)) if m is not None}
        if len(given) != 1:
            raise ValueError(
                at_user_line("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                at_user_line(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
            )
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.__dict__[name] = matrix.expand((*batch, *matrix.shape[-2:]))
        self.loc = loc.expand((*batch, loc.shape[-1]))
        super().__init__(batch, loc.shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> MultivariateNormal:
        n = self._event_shape[0]
        parameters = {m: self.__dict__[m].expand((*batch_shape, n, n)) for m in FORMS if m in self.__dict__}
        return self._new(batch_shape, (n,), {"loc": self.loc.expand((*batch_shape, n)), **parameters})

    @lazy_property
    def scale_tril(self) -> Tensor:
        return linalg.cholesky(self.covariance_matrix)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        if "precision_matrix" in self.__dict__:
            return linalg.inv(self.precision_matrix)
        return self.scale_tril.matmul(self.scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return linalg.inv(self.covariance_matrix)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real_vector

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale_tril.square().sum(-1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        eps = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc.add(self.scale_tril.matmul(eps.unsqueeze(-1)).squeeze(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        difference = value.sub(self.loc)
        root = self.scale_tril.expand((*difference.shape[:-1], *self.scale_tril.shape[-2:]))
        distance = whitened(root, difference).square().sum(-1)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return distance.add(constant).div(-2).sub(log_det_root(self.scale_tril))

    def entropy(self) -> Tensor:
        return log_det_root(self.scale_tril).add(self._event_shape[0] * (1 + math.log(2 * math.pi)) / 2)
