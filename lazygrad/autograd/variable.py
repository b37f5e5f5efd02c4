"""Variable, the name that tensors with gradients once had. Programs that use it still run."""

from __future__ import annotations

import warnings

from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import empty


class _AnyTensor(type):
    """isinstance(x, Variable) holds for every tensor."""

    def __instancecheck__(cls, other: object) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_AnyTensor):
    """Variable(data, requires_grad) is data detached, sharing its memory: a tensor. TypeError for anything else."""

    def __new__(  # type: ignore[misc]  # a Variable is a Tensor
        cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool = False
    ) -> Tensor:
        if volatile:
            warnings.warn("volatile was removed: use `with torch.no_grad():` instead", stacklevel=2)
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(at_user_line(f"Variable data has to be a tensor, but got {type(data).__name__}"))
        return data.detach().requires_grad_(requires_grad)
