"""x[...] and x[...] = v: ints, slices, None, ellipsis (views), bool masks and integer tensors (copies).

An index is read left to right in two halves: what moves elements (a view) and what picks them by value.
Picking along several dimensions flattens them into one and becomes a single GATHER or SCATTER.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU
from lazygrad.dtype import bool_, int64, uint8
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import Shape, broadcast
from lazygrad.tensor.arguments import integer
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import tensor
from lazygrad.tensor.layout import embed, inverse, wrapped_index
from lazygrad.tensor.promote import is_scalar, node_of
from lazygrad.tensor.values import nonzero_nodes

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


@dataclass
class _Basic:
    """The view half of an index: bounds and the shape they leave, one entry for each result dimension."""

    bounds: list[tuple[int, int, int]] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    dims: list[int] = field(default_factory=list)  # of each result dimension its source; ~d: a new one before d
    chosen: list[tuple[int, Any]] = field(default_factory=list)  # (result dimension, index tensor) in order
    single: list[tuple[int, Node]] = field(default_factory=list)  # (source dimension, 0-d index)

    def take(self, dim: int, bounds: tuple[int, int, int]) -> None:
        """The next result dimension is a slice of a source dimension."""
        start, stop, step = bounds
        self.bounds.append(bounds)
        self.shape.append(max(0, -(-(stop - start) // step)))
        self.dims.append(dim)

    def widen(self, dim: int) -> None:
        """The next result dimension is a new one of size 1, before a source dimension."""
        self.shape.append(1)
        self.dims.append(~dim)


class Indexing(TensorBase):
    __slots__ = ()

    def __getitem__(self, index: Any) -> Tensor:
        view, chosen = _enter(self, index)
        if not chosen:
            return view
        return wrap(read(view.node, chosen))

    def __setitem__(self, index: Any, value: Any) -> None:
        mask = _lone_mask(self, index)
        if mask is not None and _fits_behind(self.node, mask.node, value):
            picked = build.reshape(mask.node, mask.node.shape + (1,) * (self.node.ndim - mask.node.ndim))
            if _is_one(value):
                value = value.reshape(()).to(self.dtype)
            _check_same_dtype(value, self.node)
            node = build.copy(node_of(value, self.dtype, self.device), self.device)
            self._write(build.where(picked, build.expand(node, self.node.shape), self.node))
            return
        view, chosen = _enter(self, index)
        if chosen and _is_one(value) and _all_masks(index):
            value = value.to(self.dtype)
        if not chosen:
            source = value.node if isinstance(value, TensorBase) else None
            if source is view.node:  # x[i] += v has written through the view already
                return
            view._write(_fitted(value, view.node, view.node.shape))
        else:
            view._write(write(view.node, chosen, value, "set"))

    def __len__(self) -> int:
        if not self.node.ndim:
            raise TypeError(at_user_line("len() of a 0-d tensor"))
        return self.node.shape[0]

    def __iter__(self) -> Any:
        if not self.node.ndim:
            raise TypeError(at_user_line("iteration over a 0-d tensor"))
        return iter(self.unbind(0))

    def __contains__(self, element: Any) -> bool:
        if not is_scalar(element) and not isinstance(element, TensorBase):
            raise RuntimeError(
                at_user_line(
                    f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
                )
            )
        return bool(self.eq(element).any().item())

    def index_put_(self, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
        """Write (or add, with accumulate=True) `values` at a tuple of index tensors. Returns self."""
        view, chosen = _enter(self, tuple(slice(None) if i is None else i for i in indices))
        view._write(write(view.node, chosen, values, "add" if accumulate else "set"))
        return self  # type: ignore[return-value]

    def index_put(self, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
        """As index_put_, on a copy."""
        return self.clone().index_put_(indices, values, accumulate)


# -- reading an index expression ----------------------------------------------------------------------
def _items(index: Any) -> list[Any]:
    """The items of x[index]. A short list of more than numbers is a tuple, as in torch: x[[[0, 1], [2, 0]]]."""
    if isinstance(index, tuple) or (isinstance(index, list) and len(index) < 32 and any(map(_is_item, index))):
        return list(index)
    return [index]


def _is_item(item: Any) -> bool:
    return item is None or item is Ellipsis or isinstance(item, slice) or _is_index_array(item)


def _is_index_array(item: Any) -> bool:
    return isinstance(item, (TensorBase, list, tuple, range, np.ndarray))


def _as_tensor(item: Any, device: Any) -> Any:
    if isinstance(item, TensorBase):
        return item
    if isinstance(item, range):
        item = list(item)
    if isinstance(item, (list, tuple)) and not item:
        return tensor([], dtype=int64, device=device)
    return tensor(item, device=device)


def _consumed(item: Any) -> int:
    """How many dimensions of the source an item of an index stands for."""
    if item is None or item is Ellipsis or isinstance(item, (bool, np.bool_)):
        return 0
    if isinstance(item, TensorBase) and item.dtype in (bool_, uint8):
        return item.ndim
    return 1


def _enter(source: Any, index: Any) -> tuple[Any, list[tuple[int, Node]]]:
    """(the view that the basic half makes, [(its dimension, int64 index node)])."""
    shape = source.node.shape
    items = [_as_tensor(i, source.device) if _is_index_array(i) else i for i in _items(index)]
    taken = sum(_consumed(i) for i in items)
    if taken > len(shape):
        raise IndexError(at_user_line(f"too many indices for tensor of dimension {len(shape)}"))
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    plan = _Basic()
    dim, rest, met = 0, len(shape) - taken, False
    for position, item in enumerate(items):
        if item is Ellipsis:  # the first stands for all that is left, as in torch
            if met and rest and any(_consumed(i) for i in items[position:]):
                raise IndexError(at_user_line("two ellipses ('...') leave no dimension for what follows them"))
            for _ in range(0 if met else rest):
                plan.take(dim, (0, shape[dim], 1))
                dim += 1
            met = True
        elif item is None:
            plan.widen(dim)
        elif isinstance(item, (bool, np.bool_)):
            plan.chosen.append((len(plan.shape), tensor([0] if item else [], dtype=int64, device=source.device)))
            plan.widen(dim)
        elif isinstance(item, slice):
            plan.take(dim, _slice_bounds(item, shape[dim]))
            dim += 1
        elif isinstance(item, TensorBase):
            dim += _tensor_item(plan, item, shape, dim)
        else:
            plan.bounds.append(_single_bounds(item, shape, dim))
            dim += 1
    return _view(source, plan), [(d, wrapped) for d, wrapped in _index_nodes(source, plan)]


def _tensor_item(plan: _Basic, item: Any, shape: Shape, dim: int) -> int:
    """Note an index tensor; returns how many source dimensions it stands for."""
    if item.dtype.is_floating_point:
        raise IndexError(at_user_line("tensors used as indices must be long, int, byte or bool tensors"))
    if item.dtype in (bool_, uint8):
        for i, size in enumerate(item.shape):
            if size != shape[dim + i]:
                raise IndexError(
                    at_user_line(
                        f"The shape of the mask {list(item.shape)} at index {i} does not match the "
                        "shape of the indexed "
                        f"tensor {list(shape)} at index {dim + i}"
                    )
                )
        if not item.ndim:  # True adds a dimension of size 1, False an empty one
            plan.chosen.append((len(plan.shape), wrap(nonzero_nodes(item.reshape(1), "an index of bools")[0])))
            plan.widen(dim)
            return 0
        for i, found in enumerate(nonzero_nodes(item, "an index of bools")):
            plan.chosen.append((len(plan.shape), wrap(found)))
            plan.take(dim + i, (0, shape[dim + i], 1))
        return item.ndim
    if not item.ndim:
        if not shape[dim]:
            raise IndexError(at_user_line(f"index is out of bounds for dimension {dim} with size 0"))
        plan.single.append((dim, item.node))
        plan.bounds.append((0, 1, 1))
        return 1
    plan.chosen.append((len(plan.shape), item))
    plan.take(dim, (0, shape[dim], 1))
    return 1


def _slice_bounds(item: slice, size: int) -> tuple[int, int, int]:
    step = 1 if item.step is None else integer(item.step, "slice step")
    if step <= 0:
        raise ValueError(at_user_line("step must be greater than zero"))
    start, stop = (None if b is None else integer(b, "slice bound") for b in (item.start, item.stop))
    start, stop, step = slice(start, stop, step).indices(size)
    return start, max(start, stop), step


def _single_bounds(item: Any, shape: Shape, dim: int) -> tuple[int, int, int]:
    if not hasattr(item, "__index__"):
        raise (TypeError if isinstance(item, str) else IndexError)(
            at_user_line(
                f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                f"(got {type(item).__name__})"
            )
        )
    place, size = int(item.__index__()), shape[dim]
    if not -size <= place < size:
        raise IndexError(at_user_line(f"index {place} is out of bounds for dimension {dim} with size {size}"))
    return place % size, place % size + 1, 1


def _view(source: Any, plan: _Basic) -> Any:
    """The view of the basic half, through dynamic picks of single places first."""
    view = source
    for dim, place in plan.single:
        view = picked_view(view, dim, place)
    bounds, shape, dims = tuple(plan.bounds), tuple(plan.shape), tuple(plan.dims)
    cut = tuple(-(-(stop - start) // step) for start, stop, step in bounds)

    def enter(node: Node) -> Node:
        return build.reshape(build.slice_(node, bounds), shape)

    def leave(base: Node, value: Node) -> Node:
        return embed(base, build.reshape(value, cut), bounds)

    return view._viewed(enter, leave, lambda base: base.indexed(bounds, dims))


def picked_view(source: TensorBase, dim: int, place: Node) -> Any:
    """A view of the slice at a place known on the device only, kept as a dimension of size 1."""
    size = source.node.shape[dim]

    def spread(node: Node) -> Node:
        index = wrapped_index(place, size)
        return build.expand(index, tuple(1 if i == dim else n for i, n in enumerate(node.shape)))

    return source._viewed(
        lambda node: build.gather(node, spread(node), dim),
        lambda base, value: build.scatter(base, spread(base), value, dim, "set"),
        lambda base: None,  # the offset is known on the device only
    )


def _index_nodes(source: Any, plan: _Basic) -> list[tuple[int, Node]]:
    found = []
    for dim, item in plan.chosen:
        node = item.node
        if node.device != source.device:
            node = build.copy(node, source.device)
        found.append((dim, wrapped_index(node, plan.shape[dim])))
    return found


# -- picking by value ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Flat:
    """Several indexed dimensions as one: `node` with the line to pick from at `axis`, int64 index (n,)."""

    order: Shape  # the permutation that put the indexed dimensions together
    shape: Shape  # the permuted shape
    axis: int
    node: Node
    index: Node
    picks: Shape  # the broadcast shape of the indices


def _flat(node: Node, chosen: list[tuple[int, Node]]) -> _Flat:
    dims = [d for d, _ in chosen]
    picks = _index_shape([n for _, n in chosen])
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    rest = [i for i in range(node.ndim) if i not in dims]
    order = tuple(range(node.ndim)) if adjacent else tuple(dims + rest)
    axis = dims[0] if adjacent else 0
    moved = build.permute(node, order)
    sizes = [node.shape[d] for d in dims]
    joined = build.reshape(moved, (*moved.shape[:axis], math.prod(sizes), *moved.shape[axis + len(dims) :]))
    linear = None
    for size, (_, index) in zip(sizes, chosen, strict=True):
        linear = index if linear is None else build.add(build.scale(linear, size), index)
    assert linear is not None
    if len(chosen) > 1 and node.device.type == "cpu":
        linear = _kept_out_of_range(linear, sizes, [index for _, index in chosen])
    flat_index = build.reshape(build.expand(linear, picks), (math.prod(picks),))
    if not joined.shape[axis] and flat_index.numel:
        raise IndexError(at_user_line(f"index is out of bounds for dimension with size 0: shape {list(node.shape)}"))
    return _Flat(order, moved.shape, axis, joined, flat_index, picks)


def _kept_out_of_range(linear: Node, sizes: list[int], indices: list[Node]) -> Node:
    """What is out of range of its own dimension stays out of range of all as one, so that reading it raises. On a
    GPU, where nothing raises, nothing is looked at."""
    outside = [
        build.pointwise(ops.OR, build.less(index, build.like(index, 0)), build.less(build.like(index, n - 1), index))
        for n, index in zip(sizes, indices, strict=True)
    ]
    anywhere = reduce(lambda a, b: build.pointwise(ops.OR, a, b), outside)
    return build.where(anywhere, build.like(linear, math.prod(sizes)), linear)


def _index_shape(nodes: list[Node]) -> Shape:
    try:
        return broadcast(*(n.shape for n in nodes))
    except ValueError:
        shapes = ", ".join(str(list(n.shape)) for n in nodes)
        raise IndexError(
            at_user_line(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}")
        ) from None


def along(index: Node, axis: int, shape: Shape) -> Node:
    """A 1-D index spread over `shape`, whose size at `axis` is the index's own."""
    lead = tuple(index.shape[0] if i == axis else 1 for i in range(len(shape)))
    return build.expand(
        build.reshape(index, lead), tuple(index.shape[0] if i == axis else n for i, n in enumerate(shape))
    )


def take_rows(node: Node, index: Node, axis: int) -> Node:
    """The slices of `node` at a 1-D index along `axis`: one GATHER whose index is expanded, not stored."""
    return build.gather(node, along(index, axis, node.shape), axis)


def _one_per_row(node: Node, chosen: list[tuple[int, Node]]) -> Node | None:
    """x[arange(n), index]: a pick from each row, which needs no flattening."""
    if len(chosen) != 2 or [d for d, _ in chosen] != [0, 1]:
        return None
    rows, columns = chosen[0][1], chosen[1][1]
    if rows.op is not ops.IOTA or rows.shape != columns.shape or rows.shape[0] != node.shape[0]:
        return None
    rest = node.shape[2:]
    index = build.expand(build.reshape(columns, (columns.shape[0], 1) + (1,) * len(rest)), (columns.shape[0], 1, *rest))
    return build.reshape(build.gather(node, index, 1), (columns.shape[0], *rest))


def read(node: Node, chosen: list[tuple[int, Node]]) -> Node:
    """node[..., i0, i1, ...] for int64 index nodes at dimensions of `node`."""
    row = _one_per_row(node, chosen)
    if row is not None:
        return row
    flat = _flat(node, chosen)
    picked = take_rows(flat.node, flat.index, flat.axis)
    lead, tail = picked.shape[: flat.axis], picked.shape[flat.axis + 1 :]
    return build.reshape(picked, (*lead, *flat.picks, *tail))


def write(node: Node, chosen: list[tuple[int, Node]], value: Any, mode: str) -> Node:
    """`node` with `value` put ("set") or added ("add") where read() would read."""
    _check_same_dtype(value, node)
    flat = _flat(node, chosen)
    lead, tail = flat.node.shape[: flat.axis], flat.node.shape[flat.axis + 1 :]
    source = _fitted(value, node, (*lead, *flat.picks, *tail))
    source = build.reshape(source, (*lead, flat.index.shape[0], *tail))
    index = along(flat.index, flat.axis, flat.node.shape)
    written = build.scatter(flat.node, index, source, flat.axis, mode) if index.numel else flat.node
    return build.permute(build.reshape(written, flat.shape), inverse(flat.order))


def _check_same_dtype(value: Any, target: Node) -> None:
    if isinstance(value, TensorBase) and value.dtype is not target.dtype:
        raise RuntimeError(
            at_user_line(
                f"Index put requires the source and destination dtypes match, got {target.dtype.name} "
                "for the destination "
                f"and {value.dtype.name} for the source."
            )
        )


def _fitted(value: Any, target: Node, shape: Shape) -> Node:
    """A number or tensor (its extra leading 1s dropped) broadcast to `shape`. RuntimeError where it can't."""
    if isinstance(value, (list, tuple, np.ndarray)):
        value = tensor(value, device=target.device)
    node = build.copy(node_of(value, target.dtype, target.device, "index assignment"), target.device)
    while node.ndim > len(shape) and node.shape[0] == 1:
        node = build.reshape(node, node.shape[1:])
    try:
        fits = broadcast(node.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            at_user_line(
                f"shape mismatch: value tensor of shape {list(node.shape)} cannot be broadcast to "
                f"indexing result of shape {list(shape)}"
            )
        )
    return build.expand(node, shape)


def _is_one(value: Any) -> bool:
    """Whether it is a tensor of one element, which x[mask] = value casts as it does a number."""
    return isinstance(value, TensorBase) and value.node.numel == 1


def _all_masks(index: Any) -> bool:
    """Whether nothing is picked by number: then torch fills, and casts what it fills with."""
    return all(_as_tensor(item, CPU).dtype in (bool_, uint8) for item in _items(index) if _is_index_array(item))


def _lone_mask(source: Any, index: Any) -> Any:
    """The mask of x[mask], where it is bool and fits the leading dimensions."""
    items = _items(index)
    if len(items) != 1:
        return None
    mask = items[0]
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        mask = tensor(mask, device=source.device)
    if not isinstance(mask, TensorBase) or mask.dtype is not bool_ or not mask.ndim:
        return None
    return mask if tuple(mask.shape) == source.node.shape[: mask.ndim] else None


def _fits_behind(node: Node, mask: Node, value: Any) -> bool:
    """Whether x[mask] = value is a `where`: the same value at every True, whatever their number."""
    if is_scalar(value) or _is_one(value):
        return True
    if not isinstance(value, TensorBase):
        return False
    rest, given = node.shape[mask.ndim :], value.node.shape
    if len(given) > len(rest):
        return False
    return all(have in (1, want) for have, want in zip(reversed(given), reversed(rest), strict=False))


__all__ = ["Indexing", "along", "read", "take_rows", "write"]
