"""Transforms of whole vectors and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad import linalg
from lazygrad.distributions import constraints
from lazygrad.distributions.transform import Shape, Transform
from lazygrad.distributions.utils import log_sigmoid, softplus
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.assembly import cat, stack
from lazygrad.tensor.sequences import arange


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last dimension. Not bijective, so it has no Jacobian; the inverse is log y."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(Transform):
    """n numbers to n + 1 probabilities: each takes the share sigmoid(x_i - log(n - i)) of what those before left."""

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.simplex

    @staticmethod
    def _logits(x: Tensor) -> Tensor:
        n = x.shape[-1]
        return x - arange(n, 0, -1, dtype=x.dtype, device=x.device).log()

    def _call(self, x: Tensor) -> Tensor:
        share = self._logits(x).sigmoid()
        one = share.new_ones((*share.shape[:-1], 1))
        left = cat([one, (1 - share).cumprod(-1)], -1)
        return cat([share, one], -1) * left

    def _inverse(self, y: Tensor) -> Tensor:
        n = y.shape[-1] - 1
        part = y.narrow(-1, 0, n)
        left = (1 - part.cumsum(-1)).clamp(min=1e-38)
        return part.log() - left.log() + arange(n, 0, -1, dtype=y.dtype, device=y.device).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        n = x.shape[-1]
        return (log_sigmoid(self._logits(x)) + log_sigmoid(-self._logits(x))).sum(-1) + _remaining(y, n).log().sum(-1)

    def forward_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] - 1)


def _remaining(y: Tensor, n: int) -> Tensor:
    """What is left of the stick before each of the n breaks."""
    return 1 - y.narrow(-1, 0, n).cumsum(-1) + y.narrow(-1, 0, n)


class LowerCholeskyTransform(Transform):
    """A square matrix to a lower triangular one with the exponentials of its diagonal."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """A square matrix to a positive definite one, through its lower triangular root."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        root = LowerCholeskyTransform()(x)
        return root @ root.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the n x n root of a correlation matrix: tanh of each is a partial correlation."""

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.corr_cholesky

    def _call(self, x: Tensor) -> Tensor:
        n = _side(x.shape[-1])
        partial = _lower(x.tanh(), n)
        left = (1 - partial.square()).sqrt().cumprod(-1)
        before = cat([left.new_ones((*left.shape[:-1], 1)), left.narrow(-1, 0, n - 1)], -1)
        return (partial + _unit(partial, n)) * before

    def _inverse(self, y: Tensor) -> Tensor:
        n = y.shape[-1]
        spent = y.square().cumsum(-1)
        before = cat([y.new_zeros((*y.shape[:-1], 1)), spent.narrow(-1, 0, n - 1)], -1)
        rows, columns = _below(n, y)
        return (y[..., rows, columns] / (1 - before[..., rows, columns]).sqrt()).atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        n = y.shape[-1]
        spent = y.square().cumsum(-1)
        rows, columns = _below(n, y)
        inner = columns.gt(0)
        left = 1 - spent[..., rows, (columns - 1).clamp(min=0)]
        stretch = (0.5 * left.log()).masked_fill(inner.logical_not(), 0.0).sum(-1)
        return stretch - 2 * (x + softplus(-2 * x) - 0.6931471805599453).sum(-1)

    def forward_shape(self, shape: Shape) -> Shape:
        n = _side(shape[-1])
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Shape) -> Shape:
        if shape[-2] != shape[-1]:
            raise ValueError(at_user_line("Input is not square"))
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


def _side(count: int) -> int:
    """n of n (n - 1) / 2 = count. ValueError for a count that no triangle has."""
    n = round((0.25 + 2 * count) ** 0.5 + 0.5)
    if n * (n - 1) // 2 != count:
        raise ValueError(at_user_line("Input is not a flattened lower-diagonal number"))
    return n


def _below(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the elements below the diagonal, row by row."""
    places = [(i, j) for i in range(n) for j in range(i)]
    made = like.new_tensor(places).long().reshape(len(places), 2)
    return made[:, 0], made[:, 1]


def _lower(values: Tensor, n: int) -> Tensor:
    """The values below the diagonal of a matrix of zeros."""
    rows, columns = _below(n, values)
    flat = values.new_zeros((*values.shape[:-1], n * n))
    return flat.index_add(-1, rows * n + columns, values).reshape((*values.shape[:-1], n, n))


def _unit(like: Tensor, n: int) -> Tensor:
    return like.new_ones((n,)).diag_embed()


class _Parts(Transform):
    """Several transforms, each of its part of a value along a dimension."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int) -> None:
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq]
        self.dim = dim
        self.bijective = all(t.bijective for t in self.transforms)

    def _split(self, value: Tensor) -> Sequence[Tensor]:
        raise NotImplementedError

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError

    def _call(self, x: Tensor) -> Tensor:
        return self._join([t(part) for t, part in zip(self.transforms, self._split(x), strict=True)])

    def _inverse(self, y: Tensor) -> Tensor:
        return self._join([t.inv(part) for t, part in zip(self.transforms, self._split(y), strict=True)])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        parts = zip(self.transforms, self._split(x), self._split(y), strict=True)
        return self._join([t.log_abs_det_jacobian(a, b) for t, a, b in parts])

    def _options(self) -> dict[str, Any]:
        return {"transforms": self.transforms, "dim": self.dim}


class CatTransform(_Parts):
    """Transforms of parts of the given lengths (default 1) along `dim`."""

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0
    ) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        self.domain = constraints.cat([t.domain for t in self.transforms], dim, self.lengths)
        self.codomain = constraints.cat([t.codomain for t in self.transforms], dim, self.lengths)

    def _split(self, value: Tensor) -> Sequence[Tensor]:
        return value.split(self.lengths, self.dim)

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        return cat(list(parts), self.dim)


class StackTransform(_Parts):
    """Transforms of the slices along `dim`."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)
        self.domain = constraints.stack([t.domain for t in self.transforms], dim)
        self.codomain = constraints.stack([t.codomain for t in self.transforms], dim)

    def _split(self, value: Tensor) -> Sequence[Tensor]:
        return value.unbind(self.dim)

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        return stack(list(parts), self.dim)
