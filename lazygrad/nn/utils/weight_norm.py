"""The older weight_norm and spectral_norm: the weight is computed by a hook before each forward()."""

from __future__ import annotations

from typing import Any

from lazygrad.nn import functional as F
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Parameter
from lazygrad.nn.utils.parametrizations import as_matrix, norm_except, spectral_dim, weight_of
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode
from lazygrad.tensor.creation import randn


class _Reweighting:
    """A forward pre-hook that sets module.<name>, which is no parameter any more."""

    name: str

    def compute(self, module: Module) -> Tensor:
        raise NotImplementedError

    def __call__(self, module: Module, inputs: Any) -> None:
        object.__setattr__(module, self.name, self.compute(module))

    def attach(self, module: Module, weight: Tensor) -> None:
        object.__setattr__(module, self.name, weight)
        module.register_forward_pre_hook(self)


def _detached_hook(module: Module, name: str, kind: type[_Reweighting]) -> Any:
    """Take the hook off the module and return it. ValueError where there is none."""
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            del module._forward_pre_hooks[number]
            return hook
    raise ValueError(f"{kind.__name__} of '{name}' not found in {module}")


def _parameter(module: Module, name: str, kind: type[_Reweighting]) -> Parameter:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, kind) and hook.name == name:
            raise RuntimeError(f"Cannot register two {kind.__name__} hooks on the same parameter {name}")
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"'{type(module).__name__}' has no parameter '{name}'")
    return weight


class WeightNorm(_Reweighting):
    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def compute(self, module: Module) -> Tensor:
        return weight_of(getattr(module, self.name + "_g"), getattr(module, self.name + "_v"), self.dim)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Salimans & Kingma 2016: the weight as `<name>_g` times the direction of `<name>_v`. Returns the module.

    parametrizations.weight_norm does the same without a hook.
    """
    weight = _parameter(module, name, WeightNorm)
    delattr(module, name)
    with grad_mode(False):
        length = norm_except(weight, dim)
    module.register_parameter(name + "_g", Parameter(length))
    module.register_parameter(name + "_v", Parameter(weight))
    hook = WeightNorm(name, dim)
    hook.attach(module, hook.compute(module))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """The weight as one parameter again."""
    hook = _detached_hook(module, name, WeightNorm)
    with grad_mode(False):
        weight = hook.compute(module)
    object.__delattr__(module, name)
    delattr(module, name + "_g")
    delattr(module, name + "_v")
    module.register_parameter(name, Parameter(weight))
    return module


class SpectralNorm(_Reweighting):
    def __init__(self, name: str, n_power_iterations: int, eps: float, dim: int) -> None:
        self.name, self.n_power_iterations, self.eps, self.dim = name, n_power_iterations, eps, dim

    def compute(self, module: Module, iterate: bool = True) -> Tensor:
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if module.training and iterate:
            detached = matrix.detach()
            with grad_mode(False):
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(detached.t().mv(u), dim=0, eps=self.eps))
                    u.copy_(F.normalize(detached.mv(v), dim=0, eps=self.eps))
        return weight / u.clone().dot(matrix.mv(v.clone()))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Miyato et al. 2018: the weight as `<name>_orig` over its largest singular value. Returns the module.

    parametrizations.spectral_norm does the same without a hook.
    """
    if n_power_iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
    weight = _parameter(module, name, SpectralNorm)
    dim = spectral_dim(module) if dim is None else dim
    matrix = as_matrix(weight.detach(), dim)
    u, v = (F.normalize(randn(n, dtype=weight.dtype, device=weight.device), dim=0, eps=eps) for n in matrix.shape)
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    SpectralNorm(name, n_power_iterations, eps, dim).attach(module, weight.detach())
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """The weight as one parameter again."""
    hook = _detached_hook(module, name, SpectralNorm)
    with grad_mode(False):
        weight = hook.compute(module, iterate=False)
    object.__delattr__(module, name)
    for suffix in ("_u", "_v", "_orig"):
        delattr(module, name + suffix)
    module.register_parameter(name, Parameter(weight))
    return module
