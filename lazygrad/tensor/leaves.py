"""Leaves: which tensors gradients flow to, what has accumulated there, and values without their history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.tensor.core import TensorBase, new_leaf_number, register_leaf
from lazygrad.tensor.window import Window

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Leaves(TensorBase):
    __slots__ = ()

    @property
    def requires_grad(self) -> bool:
        return self.node.needs_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Make this tensor a leaf that gradients flow to, or stop it being one. Returns self.

        RuntimeError for integer and bool tensors, and for turning it off on a tensor that isn't a leaf.
        """
        if requires_grad == self.requires_grad:
            return self  # type: ignore[return-value]
        if not isinstance(requires_grad, bool):
            raise TypeError(
                at_user_line(
                    "requires_grad_(): argument 'requires_grad' (position 1) must be bool, not "
                    f"{type(requires_grad).__name__}"
                )
            )
        cell = self._cell
        if not requires_grad:
            if not self.is_leaf:
                raise RuntimeError(
                    at_user_line("you can only change requires_grad flags of leaf variables; use .detach() instead")
                )
            cell.former_leaf, cell.leaf_number = cell.leaf_number, None
        else:
            if not self.dtype.is_floating_point:
                raise RuntimeError(at_user_line("only Tensors of floating point dtype can require gradients"))
            if self._path:  # a view of a tensor without gradients becomes a leaf of its own
                self._adopt(Window(self), ())
            cell = self._cell
            cell.leaf_number = new_leaf_number() if cell.former_leaf is None else cell.former_leaf
            register_leaf(self)
        self._view = None
        return self  # type: ignore[return-value]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() accumulated here, or None. Assigning replaces it: TypeError for what is no
        Tensor, RuntimeError for one of another shape, dtype or device, and for the tensor itself."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            self._check_grad(value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def _check_grad(self, value: Any) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(
                at_user_line(
                    f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
                )
            )
        if value is self:
            raise RuntimeError(at_user_line("can't assign Variable as its own grad"))
        mine, theirs = self.node, value.node
        for what, own, given in (
            ("dtype", mine.dtype.name, theirs.dtype.name),
            ("device", mine.device, theirs.device),
            ("size", list(mine.shape), list(theirs.shape)),
        ):
            if own != given:
                raise RuntimeError(
                    at_user_line(f"attempting to assign a gradient of {what} '{given}' to a tensor of {what} '{own}'")
                )

    @property
    def data(self) -> Tensor:
        """The same value and memory, without gradient history. Assigning gives this tensor the value and memory of
        another, and leaves its history as it is."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(at_user_line(f"Variable data has to be a tensor, but got {type(value).__name__}"))
        self._take(value)

    def _take(self, value: TensorBase) -> None:
        if value._cell is self._cell and value._path == self._path:
            return
        old, version = self._cell, self._cell.version + 1
        past = None if self.is_leaf else self.node
        if past is not None and past.shape != value.node.shape:
            past = None  # of other elements: nothing that a gradient could be of
        leaf = not self._path
        number, former = (old.leaf_number, old.former_leaf) if leaf else (None, None)
        kept = (self._grad, self._hooks, self._retains)
        self._adopt(Window(value, past), ())
        self._grad, self._hooks, self._retains = kept
        self._cell.version, self._cell.leaf_number, self._cell.former_leaf = version, number, former

    def detach_(self) -> Tensor:
        """Forget the gradient history in place. RuntimeError for a view that has one."""
        if not self.requires_grad:
            return self  # type: ignore[return-value]
        if self._path:
            raise RuntimeError(at_user_line("Can't detach views in-place; use detach() instead"))
        self._cell.leaf_number = None
        self._cell.hold(build.detach(self._cell.node))
        return self  # type: ignore[return-value]


__all__ = ["Leaves"]
