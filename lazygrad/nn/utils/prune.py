"""Pruning: parameters held back by masks, `weight_orig` times `weight_mask` before every forward(). torch's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from lazygrad.errors import at_user_line
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Parameter
from lazygrad.nn.utils.convert_parameters import parameters_to_vector
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import ones_like

Amount = int | float


def _count(amount: Amount, size: int) -> int:
    """How many of `size` to prune: that many, or the part of them. ValueError or TypeError for another amount."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(at_user_line(f"Invalid type for amount: {amount}. Must be int or float."))
    if amount < 0 or isinstance(amount, float) and amount > 1:
        raise ValueError(at_user_line(f"amount={amount} should either be a float in [0, 1] or a non-negative integer"))
    if isinstance(amount, int) and amount > size:
        raise ValueError(
            at_user_line(f"amount={amount} should be smaller than the number of parameters to prune={size}")
        )
    return amount if isinstance(amount, int) else round(amount * size)


def _without(mask: Tensor, chosen: Tensor, dim: int | None = None) -> Tensor:
    """The mask with 0 at flat positions, or at whole slices of `dim`."""
    if dim is None:
        return mask.flatten().index_fill(0, chosen, 0.0).reshape(mask.shape)
    return mask.index_fill(dim, chosen, 0.0)


class BasePruningMethod:
    """What finds a mask. A subclass says PRUNING_TYPE ("unstructured", "structured", "global") and compute_mask()."""

    PRUNING_TYPE: ClassVar[str]
    _tensor_name: str

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask for `t`, 0 also where default_mask is."""
        raise NotImplementedError(f"compute_mask is not implemented for {type(self).__name__}")

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned tensor."""
        name = self._tensor_name
        original, mask = getattr(module, f"{name}_orig"), getattr(module, f"{name}_mask")
        pruned: Tensor = original * mask.to(original.dtype)
        return pruned

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t` pruned once, by the importance of its elements: their size, or the scores."""
        scores = t if importance_scores is None else importance_scores
        return t * self.compute_mask(scores, ones_like(t) if default_mask is None else default_mask)

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prune a module's parameter, further where it is pruned already, and do so before each forward()."""
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        before = _hook_of(module, name)
        if before is None:
            original = getattr(module, name)
            module.register_parameter(f"{name}_orig", Parameter(original, original.requires_grad))
            delattr(module, name)
            mask = ones_like(original.detach())
        else:
            number, hook = before
            del module._forward_pre_hooks[number]
            container = hook if isinstance(hook, PruningContainer) else PruningContainer(hook)
            container.add_pruning_method(method)
            method = container
            original, mask = getattr(module, f"{name}_orig"), getattr(module, f"{name}_mask")
        scores = original if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(original.shape):
            raise AssertionError(at_user_line("importance_scores should have the same shape as the parameter"))
        module.register_buffer(f"{name}_mask", method.compute_mask(scores.detach(), mask))
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def remove(self, module: Module) -> None:
        """Make the pruned value the parameter, for good."""
        name = self._tensor_name
        original = getattr(module, f"{name}_orig")
        pruned = Parameter(self.apply_mask(module).detach(), original.requires_grad)
        for old in (name, f"{name}_orig", f"{name}_mask"):
            delattr(module, old)
        setattr(module, name, pruned)


class PruningContainer(BasePruningMethod):
    """Several methods after one another: each prunes what those before it left."""

    PRUNING_TYPE = "container"

    def __init__(self, *methods: BasePruningMethod) -> None:
        self._methods: list[BasePruningMethod] = []
        for method in methods:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """TypeError for what is no method, ValueError for one of another tensor."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(at_user_line(f"{type(method)} is not a BasePruningMethod subclass"))
        if self._methods and method._tensor_name != self._tensor_name:
            raise ValueError(
                at_user_line(f"Can only add methods for tensor {self._tensor_name!r}, got {method._tensor_name!r}")
            )
        self._tensor_name = method._tensor_name
        self._methods.append(method)

    def __len__(self) -> int:
        return len(self._methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The last method's, over the elements, or the channels, that are left."""
        method = self._methods[-1]
        if method.PRUNING_TYPE == "global":
            return method.compute_mask(t, default_mask)
        if method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim  # type: ignore[attr-defined]
            others = tuple(i for i in range(t.ndim) if i != dim)
            kept = (default_mask.sum(others) != 0).nonzero().flatten()
            part = method.compute_mask(t.index_select(dim, kept), default_mask.index_select(dim, kept))
            return default_mask.index_copy(dim, kept, part)
        kept = (default_mask.flatten() == 1).nonzero().flatten()
        part = method.compute_mask(t.flatten()[kept], ones_like(t.flatten()[kept]))
        return default_mask.flatten().index_copy(0, kept, part).reshape(default_mask.shape)


class Identity(BasePruningMethod):
    """Prunes nothing: makes the mask."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Amount(BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Amount) -> None:
        _count(amount, 2**63)
        self.amount = amount


class RandomUnstructured(_Amount):
    """Elements drawn at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.numel())
        return _without(default_mask, t.new_empty(t.numel()).uniform_().topk(count).indices)


class L1Unstructured(_Amount):
    """The elements of the smallest size."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.numel())
        return _without(default_mask, t.abs().flatten().topk(count, largest=False).indices)


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: Amount, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def _chosen(self, scores: Tensor) -> Tensor:
        return scores.topk(_count(self.amount, scores.numel()), largest=False).indices


class RandomStructured(_Structured):
    """Slices of a dimension drawn at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return _without(default_mask, self._chosen(t.new_empty(t.shape[self.dim]).uniform_()), self.dim)


class LnStructured(_Structured):
    """The slices of a dimension that have the smallest n-norm."""

    def __init__(self, amount: Amount, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        others = tuple(i for i in range(t.ndim) if i != self.dim % t.ndim)
        return _without(default_mask, self._chosen(t.norm(p=self.n, dim=others)), self.dim)


class CustomFromMask(BasePruningMethod):
    """What a given mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask * self.mask.to(default_mask.dtype)


# -- functions ----------------------------------------------------------------------------------------
def identity(module: Module, name: str) -> Module:
    """Give a parameter the form of a pruned one, with nothing pruned. Returns the module, as the others do."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Amount) -> Module:
    """Prune elements at random."""
    RandomUnstructured.apply(module, name, amount=amount)
    return module


def l1_unstructured(module: Module, name: str, amount: Amount, importance_scores: Tensor | None = None) -> Module:
    """Prune the smallest elements."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Amount, dim: int) -> Module:
    """Prune slices of `dim` at random."""
    RandomStructured.apply(module, name, amount=amount, dim=dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Amount, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prune the slices of `dim` with the smallest n-norm."""
    LnStructured.apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune where the mask is 0."""
    CustomFromMask.apply(module, name, mask=mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: Callable[..., BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune the elements of several parameters as if they were one vector."""
    pairs = list(parameters)
    given = importance_scores or {}
    originals = [getattr(m, name) for m, name in pairs]
    scores = parameters_to_vector([given.get(pair, t) for pair, t in zip(pairs, originals, strict=True)])
    masks = parameters_to_vector([_mask_of(m, name, t) for (m, name), t in zip(pairs, originals, strict=True)])
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(at_user_line(f'Only "unstructured" PRUNING_TYPE is supported, got {method.PRUNING_TYPE}'))
    method._tensor_name = "temp"
    container = PruningContainer(method)
    final = container.compute_mask(scores.detach(), masks)
    for (module, name), t, mask in zip(pairs, originals, final.split([t.numel() for t in originals]), strict=True):
        custom_from_mask(module, name, mask.reshape(t.shape))


def remove(module: Module, name: str) -> Module:
    """Make a pruned value permanent. ValueError for a parameter that isn't pruned."""
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(
            at_user_line(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
        )
    number, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[number]
    return module


def is_pruned(module: Module) -> bool:
    """Whether anything in the module, or below it, is pruned."""
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook in m._forward_pre_hooks.values())


def _hook_of(module: Module, name: str) -> tuple[int, BasePruningMethod] | None:
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return number, hook
    return None


def _mask_of(module: Module, name: str, tensor: Tensor) -> Tensor:
    mask: Tensor = getattr(module, f"{name}_mask", ones_like(tensor.detach()))
    return mask
