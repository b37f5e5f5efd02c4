"""Parameters and buffers: tensors that a module counts as its own, with a shape or before they have one."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from lazygrad.dtype import DType
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import Cell, TensorBase
from lazygrad.tensor.creation import empty


class Parameter(Tensor):
    """A tensor that is a differentiable leaf and, as an attribute of a Module, one of its parameters."""

    def __init__(self, data: Tensor | Node | None = None, requires_grad: bool = True) -> None:
        if data is None:
            data = empty(0)
        node = data.node if isinstance(data, TensorBase) else data
        super().__init__(build.detach(node))
        if requires_grad:
            self.requires_grad_()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(build.detach(self.node), self.requires_grad)
        found: Parameter = memo[id(self)]
        return found


class Buffer(Tensor):
    """A tensor that a Module registers as a buffer when it becomes an attribute."""

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        super().__init__(build.detach((empty(0) if data is None else data).node))
        self.persistent = persistent


def replace_value(tensor: Tensor, node: Node) -> None:
    """Point `tensor` at another value of any dtype, device or shape. It stays the same leaf, with its
    gradient
    and hooks, so that optimizers and other modules that hold it go on with the new value."""
    number, former = tensor._cell.leaf_number, tensor._cell.former_leaf
    kept = (tensor._grad, tensor._hooks, tensor._retains)
    tensor._adopt(Cell(build.detach(node)), ())
    tensor._grad, tensor._hooks, tensor._retains = kept
    tensor._cell.leaf_number = number if node.dtype.is_floating_point else None
    tensor._cell.former_leaf = former


# -- without a shape yet -------------------------------------------------------------------------------
class Uninitialized(Tensor):
    """A tensor that only knows its dtype and device until materialize() gives it a shape."""

    becomes: ClassVar[type[Tensor]]

    @property
    def shape(self) -> NoReturn:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: DType | None = None) -> None:
        """Become an ordinary parameter or buffer of this shape; its values are 0 until they are set."""
        value = empty(shape, device=self.device if device is None else device, dtype=dtype or self.dtype)
        replace_value(self, value.node)
        self.__class__ = self.becomes  # type: ignore[assignment]

    def detach(self) -> Tensor:
        """Itself: there is nothing to share."""
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):  # type: ignore[misc]
    becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: DType | None = None) -> None:
        Parameter.__init__(self, empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        twin = type(self)(self.requires_grad, self.device, self.dtype)
        return memo.setdefault(id(self), twin)


class UninitializedBuffer(Uninitialized, Buffer):
    becomes = Buffer

    def __init__(self, device: Any = None, dtype: DType | None = None, *, persistent: bool = True) -> None:
        Buffer.__init__(self, empty(0, device=device, dtype=dtype), persistent=persistent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        twin = type(self)(self.device, self.dtype, persistent=self.persistent)
        return memo.setdefault(id(self), twin)


def is_lazy(tensor: Any) -> bool:
    """Whether it still waits for its shape."""
    return isinstance(tensor, Uninitialized)
