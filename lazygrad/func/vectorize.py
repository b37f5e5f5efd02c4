"""vmap: takes a function of one example, returns the function of a batch of them.

The function runs once, on EXAMPLE nodes that stand for any slice of the batch; ir/batching.py rewrites what it
made. Where its result depends on a value that is asked for on the way, there is nothing to rewrite: an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazygrad.device import CPU
from lazygrad.errors import at_user_line
from lazygrad.func.captured import refusing_writes
from lazygrad.ir import build
from lazygrad.ir.batching import batched, depends, new_level, spread
from lazygrad.ir.node import Node
from lazygrad.tensor import tree
from lazygrad.tensor.assembly import cat
from lazygrad.tensor.core import TensorBase, tensor_class, wrap
from lazygrad.tensor.examples import RANDOMNESS, Examples, standing_for

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Dims = Any  # an int, None, or a tree of them that is a prefix of the values' tree


def vmap(
    func: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """func over the examples along one dimension of each argument, all at once.

    `in_dims` says which dimension counts the examples in each positional argument (None: all examples share
    it, as they do keyword arguments); `out_dims` where that dimension goes in each result. `randomness`: what drawing
    random numbers means: an "error", the "same" draw for all examples, or a "different" one for each.
    `chunk_size`: how many examples are computed together. What func writes in place into its examples is written into
    the batches. ValueError for dimensions that don't fit and results that are no Tensors; RuntimeError for a function
    that asks for the value of one example, draws random numbers where that is an "error", or writes examples into a
    Tensor that all share. See torch.func.vmap.
    """
    if randomness not in RANDOMNESS:
        raise RuntimeError(
            at_user_line(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
        )
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(at_user_line(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})"))
    name = getattr(func, "__name__", repr(func))

    @functools.wraps(func)
    def over_examples(*args: Any, **kwargs: Any) -> Any:
        batch = _batch_of(name, in_dims, args)
        if chunk_size is None or batch.size <= chunk_size:
            return _all_at_once(func, name, batch, args, kwargs, out_dims, randomness)
        parts = []
        for start in range(0, batch.size, chunk_size):
            some = batch.part(start, min(start + chunk_size, batch.size))
            parts.append(_all_at_once(func, name, some, args, kwargs, out_dims, randomness))
        return _joined(parts, out_dims)

    return over_examples


@dataclass(frozen=True)
class _Batch:
    """The leaves of the arguments, the dimension of each that counts the examples, and how many there are."""

    values: list[Any]
    dims: list[int | None]
    size: int

    def part(self, start: int, stop: int) -> _Batch:
        pairs = zip(self.values, self.dims, strict=True)
        values = [v if d is None else v.narrow(d, start, stop - start) for v, d in pairs]
        return _Batch(values, self.dims, stop - start)

    def of_one(self, level: int) -> list[Any]:
        """The leaves of the arguments of one example: whichever."""
        pairs = zip(self.values, self.dims, strict=True)
        return [v if d is None else tensor_class()(build.example(v.node, level, d)) for v, d in pairs]

    def take_back(self, ones: Sequence[Any], level: int) -> None:
        """What the function wrote in place into its examples is written into the batches they are of."""
        for value, dim, one in zip(self.values, self.dims, ones, strict=True):
            if dim is not None and one._cell.version:
                node = one._cell.node
                (whole,) = batched([node], level, self.size)
                value._write(_with_examples_at(dim, spread(node, self.size) if whole is None else whole))


def _batch_of(name: str, in_dims: Dims, args: tuple[Any, ...]) -> _Batch:
    who = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple, list)) or isinstance(in_dims, bool):
        raise ValueError(
            at_user_line(
                f"{who}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of "
                f"inputs, got: {type(in_dims)}."
            )
        )
    if not args:
        raise ValueError(at_user_line(f"{who}: got no inputs; a function of no inputs can't be mapped over examples"))
    listed = tree.spread(tuple(in_dims) if isinstance(in_dims, list) else in_dims, args)
    if listed is None:
        raise ValueError(at_user_line(f"{who}: in_dims is not compatible with the structure of `inputs`"))
    values = tree.leaves(args)
    found = [_axis(who, value, dim) for value, dim in zip(values, listed, strict=True)]
    sizes = [v.node.shape[d] for v, d in zip(values, found, strict=True) if d is not None]
    if not sizes:
        raise ValueError(at_user_line(f"{who}: at least one Tensor must be mapped, but every in_dim is None"))
    if len(set(sizes)) != 1:
        raise ValueError(
            at_user_line(
                "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                f"{sizes} for the mapped dimension"
            )
        )
    return _Batch(values, found, sizes[0])


def _axis(who: str, value: Any, dim: Any) -> int | None:
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(at_user_line(f"{who}: Got in_dim={dim} for an input but in_dim must be an integer or None"))
    if not isinstance(value, TensorBase):
        raise ValueError(
            at_user_line(
                f"{who}: Got in_dim={dim} for an input but the input is of type {type(value)}. Only Tensors can be "
                "mapped over; use None as the respective in_dim"
            )
        )
    ndim = value.ndim
    if not -ndim <= dim < ndim:
        raise ValueError(
            at_user_line(
                f"{who}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {ndim} so "
                f"expected in_dim to satisfy -{ndim} <= in_dim < {ndim}."
            )
        )
    return dim % ndim


def _all_at_once(
    func: Callable[..., Any],
    name: str,
    batch: _Batch,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out_dims: Dims,
    randomness: str,
) -> Any:
    level = new_level()
    index = build.example(build.iota(batch.size, CPU), level, 0)
    writes_outside = (
        f"vmap({name}): the function writes values of one example into a Tensor from outside; all examples share that "
        "Tensor. Make it an argument that is mapped over, or write out of place"
    )
    with refusing_writes(lambda node: depends(node, level), writes_outside):
        ones = batch.of_one(level)
        with standing_for(Examples(randomness, batch.size, index)):
            result = func(*tree.filled(args, ones), **kwargs)
    whole = _gathered(name, result, out_dims, level, batch.size)
    batch.take_back(ones, level)
    return whole


def _gathered(name: str, result: Any, out_dims: Dims, level: int, size: int) -> Any:
    outputs = tree.leaves(result)
    dims = tree.spread(tuple(out_dims) if isinstance(out_dims, list) else out_dims, result)
    if dims is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and not tree.is_branch(result):
        dims = list(out_dims)
    if dims is None or any(d is not None and not isinstance(d, int) for d in dims):
        raise ValueError(
            at_user_line(
                f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of "
                "`outputs`"
            )
        )
    for output, dim in zip(outputs, dims, strict=True):
        if not isinstance(output, TensorBase) and not (dim is None and output is None):
            raise ValueError(
                at_user_line(
                    f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(output)}. Did you mean to "
                    "set out_dims= to None for output?"
                )
            )
    wholes = iter(batched([o.node for o in outputs if o is not None], level, size))
    pairs = zip(outputs, dims, strict=True)
    return tree.filled(result, [o if o is None else _placed(name, o, next(wholes), d, size) for o, d in pairs])


def _placed(name: str, one: TensorBase, whole: Node | None, dim: int | None, size: int) -> Tensor:
    """The result for all examples with their axis at `dim`."""
    if dim is None:
        if whole is not None:
            raise ValueError(
                at_user_line(f"vmap({name}, ...): `{name}` can not return a mapped Tensor when out_dim is None")
            )
        return wrap(one.node)
    node = spread(one.node, size) if whole is None else whole
    if not -node.ndim <= dim < node.ndim:
        raise IndexError(
            at_user_line(
                f"vmap({name}, ...): out_dim={dim} is out of range for a result of {node.ndim} dimensions, that of the "
                "examples included"
            )
        )
    return wrap(_with_examples_at(dim % node.ndim, node))


def _with_examples_at(dim: int, whole: Node) -> Node:
    """The axis of examples moved from the front to `dim`."""
    axes = list(range(1, whole.ndim))
    axes.insert(dim, 0)
    return build.permute(whole, axes)


def _joined(parts: Sequence[Any], out_dims: Dims) -> Any:
    """The results of all chunks behind one another; what all examples share is in each."""
    dims = tree.spread(out_dims, parts[0])
    assert dims is not None
    columns = zip(*(tree.leaves(p) for p in parts), strict=True)
    joined = [column[0] if dim is None else cat(list(column), dim) for column, dim in zip(columns, dims, strict=True)]
    return tree.filled(parts[0], joined)


__all__ = ["vmap"]
