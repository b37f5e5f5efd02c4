"""Functions that bring several tensors to one shape or one number of dimensions, as views."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.movement import reshaped
from lazygrad.tensor.size import Size

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Every tensor expanded to the shape that all of them broadcast to."""
    listed = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*(t.shape for t in listed))
    return tuple(t.expand(shape) for t in listed)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape these shapes broadcast to. RuntimeError where they don't."""
    found: list[int] = []
    for shape in shapes:
        sizes = [int(shape)] if hasattr(shape, "__index__") else [int(n) for n in shape]
        found = [1] * (len(sizes) - len(found)) + found
        for i, size in enumerate(sizes, len(found) - len(sizes)):
            if size == 1 or found[i] == size:
                continue
            if found[i] != 1:
                raise RuntimeError(
                    at_user_line(
                        "Shape mismatch: objects cannot be broadcast to a single shape: " + ", ".join(map(str, shapes))
                    )
                )
            found[i] = size
    return Size(found)


def atleast_nd(count: int) -> Callable[..., Any]:
    """The function atleast_{count}d."""

    def widened(tensor: Any) -> Tensor:
        check_tensor(tensor, f"atleast_{count}d", "input")
        shape = tuple(tensor.node.shape)
        if len(shape) >= count:
            return tensor
        if count == 3:
            shape = (1, shape[0], 1) if len(shape) == 1 else (*shape, 1) if len(shape) == 2 else (1, 1, 1)
        else:
            shape = (1,) * (count - len(shape)) + shape
        return reshaped(tensor, shape)

    def atleast(*tensors: Any) -> Any:
        listed = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        found = tuple(widened(t) for t in listed)
        return found[0] if len(tensors) == 1 and listed is tensors else found

    atleast.__name__ = f"atleast_{count}d"
    atleast.__doc__ = f"With dimensions of size 1 added, up to {count} dimensions."
    return atleast


atleast_1d, atleast_2d, atleast_3d = (atleast_nd(n) for n in (1, 2, 3))

__all__ = ["atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes", "broadcast_tensors"]
