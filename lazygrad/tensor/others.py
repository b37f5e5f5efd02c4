"""Functions about tensors that are no tensor's methods: made from memory or numbers, asked for their kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.dtype import DType, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.tensor import random
from lazygrad.tensor.arguments import check_tensor, integers
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import full, tensor
from lazygrad.tensor.keywords import factory
from lazygrad.tensor.promote import get_default_dtype, node_of
from lazygrad.tensor.sequences import arange
from lazygrad.tensor.values import largest

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def real(input: Tensor) -> Tensor:
    """The tensor itself: every number is real."""
    check_tensor(input, "real", "input")
    return input.real


def imag(input: Tensor) -> Tensor:
    """RuntimeError, as torch raises it for real tensors."""
    check_tensor(input, "imag", "input")
    return input.imag


@factory
def scalar_tensor(s: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor of a number, in the default dtype unless given."""
    return tensor(s, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """The bytes of a Python buffer as a 1-D tensor: a copy. ValueError where there are none or they don't make whole
    numbers."""
    try:
        if not memoryview(buffer).nbytes or not count:
            raise ValueError("both buffer length and count must not be 0")
        array = np.frombuffer(buffer, dtype.numpy, count, offset)
    except ValueError as error:
        raise ValueError(at_user_line(f"frombuffer(): {error}")) from None
    return tensor(array.copy(), dtype=dtype, requires_grad=requires_grad)


@factory
def range(
    start: float = 0, end: Any = None, step: float = 1, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """start, start + step, ... up to and with end, in the default dtype: torch's old function. Use arange."""
    start, end = (0, start) if end is None else (start, end)
    count = math.floor((end - start) / step) + 1
    return arange(count, device=device).mul(step).add(start).to(dtype or get_default_dtype())


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor a dimension, of places counted through `shape` in row-major order."""
    check_tensor(indices, "unravel_index", "indices")
    sizes = integers((shape,), "unravel_index()") if not hasattr(shape, "__index__") else (int(shape),)
    if not indices.dtype.is_integer:
        raise TypeError(at_user_line(f"expected 'indices' to be integer dtype, but got {indices.dtype.name}"))
    if any(n < 0 for n in sizes):
        raise ValueError(at_user_line(f"'shape' cannot have negative values, but got {sizes}"))
    found, rest = [], indices
    for size in reversed(sizes):
        found.append(rest.remainder(max(size, 1)))
        rest = rest.div(max(size, 1), rounding_mode="floor")
    return tuple(reversed(found))


def binomial(count: Tensor, prob: Tensor, generator: random.Generator | None = None) -> Tensor:
    """How many of `count` trials succeed, each with probability `prob`. Computes the largest count now."""
    check_tensor(count, "binomial", "count")
    most = int(largest(count, "binomial")) if count.numel() else 0
    trials = count.unsqueeze(-1).gt(arange(most, device=count.device))
    source = generator or random.default_generator(count.device)
    drawn = wrap(random.uniform(trials.node.shape, count.dtype, source))
    wanted = wrap(build.expand(node_of(prob, count.dtype, count.device), count.node.shape))
    return drawn.lt(wanted.unsqueeze(-1)).logical_and(trials).sum(-1).to(count.dtype)


def typename(obj: Any) -> str:
    """A tensor's old type name ("torch.FloatTensor"), another object's class."""
    if isinstance(obj, TensorBase):
        return str(obj.type())
    module = type(obj).__module__
    return type(obj).__qualname__ if module == "builtins" else f"{module}.{type(obj).__qualname__}"


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The indices of the first `size` elements that aren't zero, filled up with fill_value: int64 (size, input.ndim).

    Each such element writes its place at its rank among them; what ranks too high writes behind the end.
    RuntimeError for a negative size.
    """
    check_tensor(input, "nonzero_static", "input")
    if size < 0:
        raise RuntimeError(at_user_line(f"nonzero_static: 'size' must be an non-negative integer, got {size}"))
    there = input.flatten().ne(0)
    rank = there.cumsum(0).sub(1)
    places = arange(there.numel(), device=input.device)
    found = full((size + 1,), -1, dtype=int64, device=input.device)
    found = found.scatter(0, rank.where(there.logical_and(rank.lt(size)), size), places)[:size, None]
    coordinates = [c.where(found.ge(0), fill_value) for c in unravel_index(found, tuple(input.shape))]
    return wrap(build.concat([c.node for c in coordinates], 1)) if coordinates else found[:, :0]


__all__ = [
    "binomial",
    "frombuffer",
    "imag",
    "nonzero_static",
    "range",
    "real",
    "scalar_tensor",
    "typename",
    "unravel_index",
]
