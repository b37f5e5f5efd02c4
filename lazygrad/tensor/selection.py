"""Picking and placing along one dimension: gather, scatter, index_*, masked_*, take, nonzero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import DType, bool_, int32, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import Shape, broadcast
from lazygrad.tensor.arguments import axis_of, check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.indexing import along, take_rows
from lazygrad.tensor.layout import embed, positions, wrapped_index
from lazygrad.tensor.promote import is_scalar, node_of
from lazygrad.tensor.values import computed, nonzero_nodes

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

COMBINE = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "mean": "add", "amax": "max", "amin": "min"}


class Selection(TensorBase):
    __slots__ = ()

    # -- gather and scatter
    def gather(self, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
        """out[..., i, ...] = self[..., index[..., i, ...], ...] along `dim`."""
        axis = axis_of(self.node, dim, "gather")
        places = _index_of(index, "gather")
        if not self.node.ndim or not places.ndim:
            picked = build.gather(_lined(self.node), _lined(places), 0)
            return wrap(build.reshape(picked, places.shape))
        _check_same_ndim("gather", places, self.node)
        return wrap(build.gather(self.node, places, axis))

    def take_along_dim(self, indices: Tensor, dim: int | None = None) -> Tensor:
        """As gather, the other dimensions broadcast; over the flattened tensor without dim."""
        places = _index_of(indices, "take_along_dim")
        if dim is None:
            return wrap(build.gather(_lined(self.node, flat=True), _lined(places, flat=True), 0))
        axis = axis_of(self.node, dim, "take_along_dim")
        _check_same_ndim("take_along_dim", places, self.node)
        others = broadcast(_without(self.node.shape, axis), _without(places.shape, axis))
        data = build.expand(self.node, (*others[:axis], self.node.shape[axis], *others[axis:]))
        places = build.expand(places, (*others[:axis], places.shape[axis], *others[axis:]))
        return wrap(build.gather(data, wrapped_index(places, data.shape[axis]), axis))

    def scatter(
        self, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
    ) -> Tensor:
        """self with src (a tensor or number) put at `index` along `dim`; reduce "add" or "multiply" combine."""
        given = value if src is None else src
        mode = "set"
        if reduce is not None:
            if reduce not in ("add", "multiply"):
                raise RuntimeError(at_user_line(f"reduce argument must be either add or multiply, got {reduce}"))
            mode = COMBINE[reduce]
        return wrap(_scattered(self.node, dim, index, given, mode, "scatter"))

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """self with src added at `index` along `dim`; equal indices add up."""
        check_tensor(src, "scatter_add", "src")
        return wrap(_scattered(self.node, dim, index, src, "add", "scatter_add"))

    def scatter_reduce(self, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
        """self with src combined at `index` along `dim`: reduce is sum, prod, mean, amax or amin."""
        reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
        if reduce not in ("sum", "prod", "mean", "amax", "amin"):
            raise RuntimeError(
                at_user_line(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
            )
        return wrap(_combined(self.node, dim, index, src, reduce, include_self, "scatter_reduce"))

    # -- whole slices at an index along one dimension
    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The slices at a 1-D `index` along `dim`."""
        axis = axis_of(self.node, dim, "index_select")
        places = _vector(index, "index_select")
        if not self.node.ndim:
            return wrap(build.reshape(take_rows(_lined(self.node), places, 0), ()))
        return wrap(take_rows(self.node, places, axis))

    def index_add(self, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        """self with alpha * source added at the slices `index` of `dim`."""
        node = _slices("index_add", self.node, dim, index, source, "add", alpha)
        return wrap(node)

    def index_copy(self, dim: int, index: Tensor, source: Tensor) -> Tensor:
        """self with the slices `index` of `dim` replaced by those of source."""
        return wrap(_slices("index_copy", self.node, dim, index, source, "set"))

    def index_reduce(
        self, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
    ) -> Tensor:
        """self with the slices of source combined at `index`: reduce is prod, mean, amax or amin."""
        if reduce not in ("prod", "mean", "amax", "amin"):
            raise RuntimeError(
                at_user_line(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
            )
        axis = axis_of(self.node, dim, "index_reduce")
        full = wrap(along(_vector(index, "index_reduce"), axis, source.node.shape))
        return wrap(_combined(self.node, dim, full, source, reduce, include_self, "index_reduce"))

    def index_fill(self, dim: int, index: Tensor, value: Any) -> Tensor:
        """self with the slices `index` of `dim` filled with a number or 0-d tensor."""
        axis = axis_of(self.node, dim, "index_fill")
        if not is_scalar(value) and value.ndim:
            raise RuntimeError(
                at_user_line(
                    "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                    f"{value.ndim} dimension(s)."
                )
            )
        node = _lined(self.node)
        places = wrapped_index(_vector(index, "index_fill"), node.shape[axis])
        spread = along(places, axis, node.shape)
        filled = build.expand(node_of(value, node.dtype, node.device), spread.shape)
        return wrap(build.reshape(build.scatter(node, spread, filled, axis, "set"), self.node.shape))

    # -- masks
    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where mask holds, as one dimension. Computes the mask now."""
        _check_mask(mask, "masked_select")
        shape = broadcast(self.node.shape, mask.node.shape)
        where = wrap(build.reshape(build.expand(mask.node, shape), (math.prod(shape),)))
        data = build.reshape(build.expand(self.node, shape), (math.prod(shape),))
        return wrap(build.gather(data, nonzero_nodes(where, "masked_select")[0], 0))

    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """The n-th True of mask replaced by the n-th element of source."""
        _check_mask(mask, "masked_scatter")
        if source.dtype is not self.dtype:
            raise RuntimeError(
                at_user_line(
                    "masked_scatter: expected self and source to have same dtypes but got "
                    f"{self.dtype.name} and {source.dtype.name}"
                )
            )
        shape = broadcast(self.node.shape, mask.node.shape)
        base, where = build.expand(self.node, shape), build.expand(mask.node, shape)
        if not source.node.numel or not base.numel:
            return wrap(base)
        flat = build.reshape(build.cast(where, int64), (base.numel,))
        order = build.shift(build.scan(ops.CUMSUM, flat, 0), -1)
        last = source.node.numel - 1
        order = build.pointwise(
            ops.MAXIMUM, build.like(order, 0), build.pointwise(ops.MINIMUM, order, build.like(order, last))
        )
        picked = build.gather(_lined(source.node, flat=True), order, 0)
        return wrap(build.where(where, build.reshape(picked, shape), base))

    # -- by position in the flattened tensor, and where values aren't zero
    def take(self, index: Tensor) -> Tensor:
        """Elements at positions of the flattened tensor, in the shape of `index`."""
        places = build.reshape(wrapped_index(_index_of(index, "take"), self.node.numel), (index.node.numel,))
        return wrap(build.reshape(build.gather(_lined(self.node, flat=True), places, 0), index.node.shape))

    def put(self, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
        """self with source put (or added) at positions of the flattened tensor."""
        places = build.reshape(wrapped_index(_index_of(index, "put"), self.node.numel), (index.node.numel,))
        check_tensor(source, "put", "source")
        if source.node.numel != index.node.numel:
            raise IndexError(
                at_user_line(
                    "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
                    f"{source.node.numel}, index.numel() = {index.node.numel}"
                )
            )
        flat, values = _lined(self.node, flat=True), _lined(source.node, flat=True)
        written = build.scatter(flat, places, values, 0, "add" if accumulate else "set")
        return wrap(build.reshape(written, self.node.shape))

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """Where the tensor isn't zero: rows of coordinates, or one vector a dimension. Computes it now."""
        if as_tuple:
            return tuple(wrap(n) for n in nonzero_nodes(self if self.node.ndim else self.reshape(1)))
        if not self.node.ndim:
            count = int(computed(self, "nonzero") != 0)
            return wrap(build.const(0, int64, self.device, (count, 0)))
        found = [build.reshape(n, (n.shape[0], 1)) for n in nonzero_nodes(self)]
        return wrap(build.concat(found, 1))

    def argwhere(self) -> Tensor:
        """As nonzero()."""
        return self.nonzero()

    def select_scatter(self, src: Tensor, dim: int, index: int) -> Tensor:
        """A copy of self with src at select(dim, index)."""
        copy = self.clone()
        copy.select(dim, index).copy_(src)
        return copy

    def slice_scatter(
        self, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
    ) -> Tensor:
        """A copy of self with src at start:end:step of `dim`."""
        axis = axis_of(self.node, dim, "slice_scatter")
        bounds = [(0, n, 1) for n in self.node.shape]
        bounds[axis] = slice(start, end, step).indices(self.node.shape[axis])
        return wrap(embed(self.node, build.cast(src.node, self.dtype), bounds))

    def diagonal_scatter(self, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """A copy of self with src on a diagonal."""
        copy = self.clone()
        copy.diagonal(offset, dim1, dim2).copy_(src)
        return copy


# -- helpers ------------------------------------------------------------------------------------------
def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def _lined(node: Node, flat: bool = False) -> Node:
    """A 0-d node (any node, with flat=True) as one dimension."""
    return build.reshape(node, (node.numel,)) if flat or not node.ndim else node


def _index_of(index: Any, name: str) -> Node:
    check_tensor(index, name, "index")
    if index.dtype not in (int64, int32):
        raise RuntimeError(at_user_line(f"{name}(): Expected dtype int32/int64 for index but got {index.dtype.name}"))
    return build.cast(index.node, int64)


def _vector(index: Any, name: str) -> Node:
    node = _index_of(index, name)
    if node.ndim > 1:
        raise IndexError(at_user_line(f"{name}(): Index is supposed to be a vector, but got dim {node.ndim}"))
    return _lined(node)


def _check_same_ndim(name: str, index: Node, data: Node) -> None:
    if index.ndim != data.ndim:
        raise RuntimeError(
            at_user_line(
                f"{name}(): Index tensor must have the same number of dimensions as input tensor: "
                f"{list(index.shape)} and {list(data.shape)}"
            )
        )


def _check_mask(mask: Any, name: str) -> None:
    check_tensor(mask, name, "mask")
    if mask.dtype is not bool_:
        raise RuntimeError(at_user_line(f"{name}: expected BoolTensor for mask, got {mask.dtype.name}"))


def _scattered(base: Node, dim: int, index: Any, src: Any, mode: str, name: str) -> Node:
    axis = axis_of(base, dim, name)
    places = _lined(_index_of(index, name))
    shape, base = base.shape, _lined(base)
    _check_same_ndim(name, places, base)
    if is_scalar(src):
        values = build.const(src, base.dtype, base.device, places.shape)
    else:
        check_tensor(src, name, "src")
        values = _lined(src.node)
        if values.dtype is not base.dtype:
            raise RuntimeError(at_user_line(f"{name}(): Expected self.dtype to be equal to src.dtype"))
        _check_same_ndim(name, places, values)
    for i, n in enumerate(places.shape):
        if (i != axis and n > base.shape[i]) or n > values.shape[i]:
            raise RuntimeError(
                at_user_line(
                    f"{name}(): Expected index {list(places.shape)} to be no larger than self "
                    f"{list(base.shape)} apart from "
                    f"dimension {axis} and to be no larger size than src {list(values.shape)}"
                )
            )
    if not places.numel:
        return build.reshape(base, shape)
    values = build.slice_(values, [(0, n, 1) for n in places.shape])
    bounds = [(0, base.shape[i] if i == axis else n, 1) for i, n in enumerate(places.shape)]
    written = build.scatter(build.slice_(base, bounds), places, values, axis, mode)
    return build.reshape(embed(base, written, bounds), shape)


IDENTITY = {"sum": 0, "mean": 0, "prod": 1}


def _combined(base: Node, dim: int, index: Any, src: Any, reduce: str, include_self: bool, name: str) -> Node:
    start = base
    if not include_self:
        if reduce in IDENTITY:
            identity: Any = IDENTITY[reduce]
        else:
            identity = extreme_of(base.dtype, lowest=reduce == "amax")
        start = _scattered(base, dim, index, identity, "set", name)
    result = _scattered(start, dim, index, src, COMBINE[reduce], name)
    if reduce != "mean":
        return result
    ones = wrap(build.like(build.detach(src.node), 1))
    first = build.like(build.detach(base), 1 if include_self else 0)
    count = _scattered(first, dim, index, ones, "add", name)
    count = build.pointwise(ops.MAXIMUM, count, build.like(count, 1))
    if base.dtype.is_floating_point:
        return build.div(result, count)
    return build.pointwise(ops.FLOORDIV, result, count)


def extreme_of(dtype: DType, lowest: bool) -> float:
    """The least (or greatest) value of a dtype: infinite for floating point."""
    if dtype.is_floating_point:
        return -math.inf if lowest else math.inf
    if dtype is bool_:
        return int(not lowest)
    bits = dtype.itemsize * 8
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if dtype.signed else (0, (1 << bits) - 1)
    return low if lowest else high


def _slices(name: str, base: Node, dim: int, index: Any, source: Any, mode: str, alpha: float = 1) -> Node:
    """Whole slices of `source` put or added at `index`."""
    check_tensor(source, name, "source")
    axis = axis_of(base, dim, name)
    places = _vector(index, name)
    values, shape = source.node, base.shape
    if values.dtype is not base.dtype:
        raise RuntimeError(
            at_user_line(
                f"{name}(): self and source expected to have the same dtype, but got (self) "
                f"{base.dtype.name} and (source) {values.dtype.name}"
            )
        )
    base, values = _lined(base), _lined(values)
    expected = (*base.shape[:axis], places.shape[0], *base.shape[axis + 1 :])
    if values.shape != expected:
        counts_differ = values.ndim == base.ndim and values.shape[axis] != places.shape[0]
        raise (IndexError if name == "index_copy" and counts_differ else RuntimeError)(
            at_user_line(
                f"{name}(): Number of indices ({places.shape[0]}) and shape of source {list(values.shape)} do not fit "
                f"self {list(base.shape)} along dimension {axis}"
            )
        )
    if not values.numel:
        return build.reshape(base, shape)
    if alpha != 1:
        values = build.scale(values, alpha)
    return build.reshape(build.scatter(base, along(places, axis, base.shape), values, axis, mode), shape)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes): 1 at the class, 0 elsewhere and where there is no such class. Without num_classes the
    largest class is computed now."""
    check_tensor(tensor, "one_hot", "tensor")
    if tensor.dtype is not int64:
        raise RuntimeError(
            at_user_line(f"one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype.name}")
        )
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError(at_user_line("Can not infer total number of classes from empty tensor."))
        num_classes = int(computed(tensor.max(), "one_hot")) + 1
    node = build.reshape(tensor.node, (*tensor.node.shape, 1))
    classes = positions(node, node.ndim - 1, (*tensor.node.shape, num_classes))
    return wrap(build.cast(build.equal(node, classes), int64))


__all__ = ["Selection", "extreme_of", "one_hot"]
