"""Forward-mode differentiation: tensors that carry a tangent, whose derivative along it is asked of what follows.

A dual tensor is its primal behind a leaf that only this level knows. Nothing else happens as a program goes on; the
tangent of a result is pushed through its graph when it is unpacked (see func/recording.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lazygrad.errors import at_user_line
from lazygrad.func.recording import push
from lazygrad.ir import build
from lazygrad.ir.grad import without_leaves
from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, is_grad_enabled, new_leaf, tensor_class, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

_levels: list[dict[Node, Node]] = []  # of the level that is open, if any: the tangent of each dual's leaf


class UnpackedDualTensor(NamedTuple):
    """A value, and its derivative along the tangents of the level: None where it has none."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Open a level. RuntimeError inside another: they don't nest."""
    if _levels:
        raise RuntimeError(at_user_line("Nested forward mode AD is not supported at the moment; use func.jvp()"))
    _levels.append({})
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: its duals carry no tangent any more. RuntimeError where none is open."""
    if not _levels:
        raise RuntimeError(at_user_line("Trying to exit a forward AD level but no level is open"))
    _levels.pop()


@contextmanager
def dual_level() -> Iterator[int]:
    """A block in which make_dual() and unpack_dual() work."""
    level = enter_dual_level()
    try:
        yield level
    finally:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """`tensor` with a tangent of its shape. It requires grad, so that what is computed from it is recorded.

    RuntimeError outside of a level, under no_grad(), and for another shape; ValueError for integers.
    """
    if not _levels:
        raise RuntimeError(
            at_user_line(
                "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() "
                "first."
            )
        )
    _check_recording("make_dual")
    for given, what in ((tensor, "primal"), (tangent, "tangent")):
        if not given.is_floating_point():
            raise ValueError(at_user_line(f"Expected {what} to be floating point or complex, but got: {given.dtype!r}"))
    if tensor.node.shape != tangent.node.shape:
        raise RuntimeError(
            at_user_line(
                f"Expected tangent of the primal's size {list(tensor.node.shape)}, got {list(tangent.node.shape)}"
            )
        )
    leaf = new_leaf(tensor.node)
    _levels[-1][leaf] = build.cast(tangent.node, leaf.dtype)
    return tensor_class()(leaf)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(value, derivative along the level's tangents). RuntimeError under no_grad()."""
    if not isinstance(tensor, TensorBase):
        raise TypeError(at_user_line(f"unpack_dual(): expected a Tensor, got {type(tensor).__name__}"))
    if not _levels:
        return UnpackedDualTensor(tensor, None)
    _check_recording("unpack_dual")
    leaves = list(_levels[-1])
    (moved,) = push([tensor.node], leaves, list(_levels[-1].values()))
    if moved is None:
        return UnpackedDualTensor(tensor, None)
    primal, tangent = without_leaves([tensor.node, moved], leaves)
    return UnpackedDualTensor(wrap(primal), wrap(tangent))


def _check_recording(name: str) -> None:
    if not is_grad_enabled():
        raise RuntimeError(
            at_user_line(f"{name}(): tangents follow what is recorded, and nothing is under no_grad(); use func.jvp()")
        )


__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]
