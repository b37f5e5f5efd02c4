"""Classes of the user's own that are Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.tensor.core import TensorBase

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

OVERRIDES = ("__torch_function__", "__torch_dispatch__")


class Subclassing(TensorBase):
    """What operations return are plain Tensors, whatever class their operands are of."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in OVERRIDES:
            if name in cls.__dict__:
                raise NotImplementedError(
                    at_user_line(
                        f"{cls.__name__}.{name}: operations are not dispatched to overrides; wrap the tensor in a "
                        "class with methods of its own"
                    )
                )

    def as_subclass(self, cls: type[Any]) -> Any:
        """This tensor, its memory and history, as one of `cls`. TypeError for what is no class of Tensors."""
        if not (isinstance(cls, type) and issubclass(cls, TensorBase)):
            raise TypeError(at_user_line(f"as_subclass(): {cls!r} is no class of Tensors"))
        made = TensorBase.__new__(cls)
        made._adopt(self._cell, self._path)
        return made

    @staticmethod
    def _make_subclass(cls: type[Any], data: Tensor, require_grad: bool = False) -> Any:
        """data.detach() as one of `cls`."""
        return data.detach().as_subclass(cls).requires_grad_(require_grad)


__all__ = ["Subclassing"]
