"""Arguments as torch takes them: f(2, 3), f((2, 3)), f([2, 3]); anything with __index__ is an integer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir.node import Node
from lazygrad.shape import Shape, normalize_axes, normalize_axis


def integer(value: Any, name: str) -> int:
    """A Python int. TypeError for what isn't a whole number."""
    try:
        return int(value.__index__())
    except (AttributeError, TypeError):
        raise TypeError(at_user_line(f"{name}: expected an integer, got {value!r:.80}")) from None


def integers(values: Any, name: str) -> Shape:
    """The ints of f(2, 3) or f((2, 3)), where `values` is what *args caught."""
    listed = values
    if len(values) == 1 and (not hasattr(values[0], "__index__") or getattr(values[0], "ndim", 0) == 1):
        listed = values[0]
    try:
        return tuple(integer(v, name) for v in listed)
    except TypeError:
        raise TypeError(at_user_line(f"{name}: expected integers, got {values!r:.80}")) from None


def _dimension(value: Any, name: str) -> int:
    """An int that may be negative. TypeError for bools, which torch takes for keepdim in the wrong place."""
    if isinstance(value, bool):
        raise TypeError(at_user_line(f"{name}(): argument 'dim' must be int, not bool"))
    return integer(value, f"{name}(): dim")


def axis_of(node: Node, dim: Any, name: str, extra: int = 0) -> int:
    """A non-negative axis of `node` (of a tensor with `extra` more dimensions). IndexError out of range, TypeError for
    what isn't an int."""
    return normalize_axis(_dimension(dim, name), node.ndim + extra)


def axes_of(node: Node, dims: Any, name: str) -> Shape:
    """Sorted axes; None and () mean all. IndexError out of range, RuntimeError for a repeated one."""
    if dims is None:
        return tuple(range(node.ndim))
    listed = [dims] if hasattr(dims, "__index__") and not isinstance(dims, (list, tuple)) else list(dims)
    return normalize_axes([_dimension(d, name) for d in listed], node.ndim)


def ordered_axes(node: Node, dims: Sequence[Any], name: str) -> Shape:
    """Axes in the order given. RuntimeError for a repeated one."""
    found = tuple(axis_of(node, d, name) for d in dims)
    normalize_axes(found, node.ndim)
    return found


def check_tensor(value: Any, name: str, argument: str) -> None:
    """TypeError unless `value` is a Tensor."""
    if not isinstance(getattr(value, "node", None), Node):
        raise TypeError(at_user_line(f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}"))
