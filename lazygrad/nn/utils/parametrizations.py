"""weight_norm, spectral_norm and orthogonal as parametrizations."""

from __future__ import annotations

from typing import Any

from lazygrad import linalg
from lazygrad.ir import build
from lazygrad.nn import functional as F
from lazygrad.nn.module import Module
from lazygrad.nn.modules.convolution import TransposedConvolution
from lazygrad.nn.utils.parametrize import register_parametrization
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode, wrap
from lazygrad.tensor.creation import randn
from lazygrad.tensor.reduce import vector_norm
from lazygrad.tensor.sequences import eye


# -- weight_norm --------------------------------------------------------------------------------------
def norm_except(v: Tensor, dim: int | None) -> Tensor:
    """The 2-norm over all dimensions but `dim`, kept with size 1; of everything, 0-d, for None."""
    node = v.node
    if dim is None or dim == -1:
        return wrap(vector_norm(node, 2, tuple(range(node.ndim)), keepdim=False))
    return wrap(vector_norm(node, 2, tuple(i for i in range(node.ndim) if i != dim % node.ndim), keepdim=True))


def weight_of(g: Tensor, v: Tensor, dim: int | None) -> Tensor:
    """g * v / |v|."""
    return v * (g / norm_except(v, dim))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_of(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Salimans & Kingma 2016: the tensor as length `original0` times direction `original1`, over all but `dim`."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


# -- spectral_norm ------------------------------------------------------------------------------------
def spectral_dim(module: Module) -> int:
    """The dimension of a layer's weight that its outputs lie along."""
    return 1 if isinstance(module, TransposedConvolution) else 0


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """`dim` as rows, everything else as columns."""
    return weight.movedim(dim, 0).flatten(1)


def power_iteration(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float) -> None:
    """Bring u and v closer to the singular vectors of the largest singular value, in place."""
    with grad_mode(False):
        for _ in range(steps):
            u.copy_(F.normalize(matrix.mv(v), dim=0, eps=eps))
            v.copy_(F.normalize(matrix.t().mv(u), dim=0, eps=eps))


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}])")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got {n_power_iterations}")
        self.dim = dim if dim >= 0 else dim + weight.ndim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            place: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
            for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                self.register_buffer(name, F.normalize(randn(size, **place), dim=0, eps=eps))
            power_iteration(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iteration(matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps)
        sigma = self._u.clone().dot(matrix.mv(self._v.clone()))
        return weight / sigma

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Miyato et al. 2018: the tensor divided by its largest singular value, which power iteration follows."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = spectral_dim(module) if dim is None else dim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


# -- orthogonal ---------------------------------------------------------------------------------------
class _Cayley(Module):
    """(I + A / 2) (I - A / 2)^-1 for the skew-symmetric A made of the original's lower triangle, times a base."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("base", self._orthonormal(weight.detach()))

    @staticmethod
    def _orthonormal(weight: Tensor) -> Tensor:
        """The nearest orthogonal matrix's worth of the weight: Q of its QR, with R's diagonal positive."""
        with grad_mode(False):
            tall = weight if weight.shape[-2] >= weight.shape[-1] else weight.mT
            q, r = linalg.qr(tall, "complete")
            columns = r.shape[-1]
            signs = r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
            q = q.clone()
            q[..., :columns] = q[..., :columns] * signs
        return q

    def forward(self, original: Tensor) -> Tensor:
        wide = original.shape[-2] < original.shape[-1]
        n, k = (original.mT if wide else original).shape[-2:]
        lower = (original.mT if wide else original).tril(-1)
        square = F.pad(lower, (0, n - k))
        half = (square - square.mT) / 2
        one = eye(n, dtype=original.dtype, device=original.device)
        turned = self.base.matmul(linalg.solve(one - half, one + half))[..., :k]
        return turned.mT if wide else turned

    def right_inverse(self, value: Tensor) -> Tensor:
        self.base = self._orthonormal(value.detach())
        return wrap(build.like(value.node, 0))


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """A matrix (or batch of them) kept orthogonal, its rows or columns orthonormal, by the Cayley map.

    A weight that is not orthogonal yet is replaced by its QR factor. Other maps than "cayley", and an original
    without a base (use_trivialization=False), are refused with NotImplementedError.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map not in (None, "cayley") or not use_trivialization:
        raise NotImplementedError("orthogonal: only the Cayley map with a base is supported")
    return register_parametrization(module, name, _Cayley(weight), unsafe=True)
