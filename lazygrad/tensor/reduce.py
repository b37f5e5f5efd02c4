"""Reductions: dim=None reduces everything; keepdim keeps reduced dimensions with size 1.

Halves are summed in float32 and rounded once at the end. Where torch's gradient goes to one of equal
extremes (max along a dim) the value is gathered at its index; where it is shared (amax, max of everything)
the value is the MAX node itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import DType, bool_, int64, uint8
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Op
from lazygrad.shape import Shape
from lazygrad.tensor.arguments import axes_of, axis_of
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.keywords import public
from lazygrad.tensor.promote import get_default_dtype, is_scalar, to_bool
from lazygrad.tensor.returns import AMinMax, ValuesIndices

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Reduce(TensorBase):
    __slots__ = ()

    # -- sums and products
    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        """The sum; bools and integers sum to int64 unless dtype is given."""
        (node,) = float32_operands("sum", self.node)
        node = build.cast(node, dtype or (node.dtype if node.dtype.is_floating_point else int64))
        return wrap(build.reduce(ops.SUM, node, axes_of(node, dim, "sum"), keepdim))

    def nansum(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        """The sum, NaN counting as 0."""
        return wrap(_without_nan(self.node)).sum(dim, keepdim, dtype=dtype)

    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        """The mean. RuntimeError for integers and bools unless dtype is given."""
        node = _floating(self.node, dtype, "mean")
        return wrap(build.cast(mean(node, axes_of(node, dim, "mean"), keepdim), node.dtype))

    def nanmean(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        """The mean of what isn't NaN."""
        node = _floating(self.node, dtype, "nanmean")
        count = wrap(build.cast(_not_nan(node), node.dtype.compute)).sum(dim, keepdim)
        return wrap(_without_nan(node)).sum(dim, keepdim, dtype=node.dtype.compute).div(count).to(node.dtype)

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        """The product; bools and integers multiply to int64 unless dtype is given."""
        (node,) = float32_operands("prod", self.node)
        node = build.cast(node, dtype or (node.dtype if node.dtype.is_floating_point else int64))
        axes = tuple(range(node.ndim)) if dim is None else _one_axis(node, dim, "prod")
        return wrap(build.reduce(ops.PROD, node, axes, keepdim))

    # -- extremes
    def amax(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        """The largest element; equal ones share the gradient evenly. NaN wins."""
        return wrap(_extreme(ops.MAX, self.node, dim, keepdim, "amax"))

    def amin(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        """The smallest element; equal ones share the gradient evenly. NaN wins."""
        return wrap(_extreme(ops.MIN, self.node, dim, keepdim, "amin"))

    def aminmax(self, *, dim: int | None = None, keepdim: bool = False) -> AMinMax:
        """Both extremes."""
        where = () if dim is None else _one_axis(self.node, dim, "aminmax")
        return AMinMax(self.amin(where, keepdim), self.amax(where, keepdim))

    def max(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """max(): the largest element; max(dim): (values, indices); max(other): elementwise maximum."""
        return _max_or_min(self, ops.MAX, dim, keepdim, other, "max")

    def min(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """min(): the smallest element; min(dim): (values, indices); min(other): elementwise minimum."""
        return _max_or_min(self, ops.MIN, dim, keepdim, other, "min")

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Where the largest element is: the first of equal ones, in the flattened tensor without dim."""
        return wrap(_where_extreme(ops.ARGMAX, self.node, dim, keepdim, "argmax"))

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Where the smallest element is: the first of equal ones, in the flattened tensor without dim."""
        return wrap(_where_extreme(ops.ARGMIN, self.node, dim, keepdim, "argmin"))

    # -- logic and counting
    def all(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether every element is nonzero (uint8 stays uint8, as in torch)."""
        return _logical(self, ops.PROD, dim, keepdim, "all")

    def any(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether some element is nonzero (uint8 stays uint8, as in torch)."""
        return _logical(self, ops.SUM, dim, keepdim, "any")

    def count_nonzero(self, dim: Any = None) -> Tensor:
        """How many elements aren't zero, as int64."""
        return wrap(build.cast(to_bool(self), int64)).sum(dim)

    # -- spread
    def var(
        self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
    ) -> Tensor:
        """The variance: squared distances from the mean over n - correction (1 unless given)."""
        dim, correction = _spread_arguments(dim, unbiased, correction)
        return wrap(_variance(self.node, dim, correction, keepdim, "var")[0])

    def std(
        self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
    ) -> Tensor:
        """The square root of var(); its gradient where it is 0 is 0."""
        dim, correction = _spread_arguments(dim, unbiased, correction)
        return wrap(_deviation(self.node, dim, correction, keepdim, "std")[0])

    def logsumexp(self, dim: Any, keepdim: bool = False) -> Tensor:
        """log(sum(exp(self))), safe from overflow."""
        node = build.cast(self.node, _float_dtype(self.dtype))
        axes = axes_of(node, dim, "logsumexp")
        return wrap(library.logsumexp(node, axes, keepdim))

    # -- norms
    def norm(self, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> Tensor:
        """The p-norm of the elements: p is a number, "fro" (as 2) or +-inf."""
        if isinstance(p, str) and p != "fro":
            raise RuntimeError(at_user_line(f"norm: unknown norm {p!r}; 'nuc' is in linalg.matrix_norm"))
        node = _floating(self.node, dtype, "linalg.vector_norm")
        return wrap(vector_norm(node, 2.0 if p in ("fro", None) else float(p), axes_of(node, dim, "norm"), keepdim))

    def dist(self, other: Tensor, p: float = 2) -> Tensor:
        """The p-norm of self - other."""
        return self.sub(other).norm(p)


# -- Node -> Node -------------------------------------------------------------------------------------
def mean(node: Node, axes: Shape, keepdim: bool) -> Node:
    """The mean in the dtype arithmetic runs in."""
    wide = build.cast(node, node.dtype.compute)
    count = math.prod(node.shape[a] for a in axes)
    total = build.reduce(ops.SUM, wide, axes, keepdim)
    return (
        build.scale(total, 1 / count)
        if count & (count - 1) == 0 and count
        else build.div(total, build.like(total, count))
    )


def root(node: Node) -> Node:
    """sqrt whose gradient at 0 is 0, as torch's norms and std have it."""
    if not node.needs_grad:
        return build.pointwise(ops.SQRT, node)
    zero = build.equal(node, build.like(node, 0))
    safe = build.pointwise(ops.SQRT, build.where(zero, build.like(node, 1), node))
    return build.where(zero, build.like(node, 0), safe)


def vector_norm(node: Node, p: float, axes: Shape, keepdim: bool) -> Node:
    """(sum |x|^p)^(1/p); the count of nonzeros for 0, the extremes for +-inf. RuntimeError for the extremes and
    negative powers of nothing."""
    if (p < 0 or math.isinf(p)) and any(node.shape[a] == 0 for a in axes):
        raise RuntimeError(
            at_user_line(
                f"linalg.vector_norm cannot compute the {p:g} norm of shape {list(node.shape)} over the dimensions "
                f"{list(axes)}: they are empty and the operation does not have an identity"
            )
        )
    wide = build.cast(node, node.dtype.compute)
    if p == 2:
        result = root(build.reduce(ops.SUM, build.mul(wide, wide), axes, keepdim))
    elif p == 0:
        zero = build.equal(wide, build.like(wide, 0))
        counted = build.pointwise(ops.SIGN, build.where(zero, wide, build.like(wide, 1)))  # has a gradient: 0
        result = build.reduce(ops.SUM, counted, axes, keepdim)
    else:
        size = build.pointwise(ops.ABS, wide)
        if math.isinf(p):
            result = _reduced_extreme(ops.MAX if p > 0 else ops.MIN, size, axes, keepdim, "linalg.vector_norm")
        elif p == 1:
            result = build.reduce(ops.SUM, size, axes, keepdim)
        else:
            result = _power_norm(size, p, axes, keepdim)
    return build.cast(result, node.dtype)


def _power_norm(size: Node, p: float, axes: Shape, keepdim: bool) -> Node:
    zero = build.equal(size, build.like(size, 0))
    guarded = build.where(zero, build.like(size, 1), size) if size.needs_grad and p < 2 else size
    powers = build.pointwise(ops.POW, guarded, build.like(size, p))
    if guarded is not size:
        powers = build.where(zero, build.like(size, 0 if p > 0 else math.inf), powers)
    total = build.reduce(ops.SUM, powers, axes, keepdim)
    none = build.equal(total, build.like(total, 0))
    safe = build.where(none, build.like(total, 1), total) if total.needs_grad else total
    result = build.pointwise(ops.POW, safe, build.like(total, 1 / p))
    return build.where(none, build.like(total, 0 if p > 0 else math.inf), result) if total.needs_grad else result


def _dropped(shape: Shape, axes: Shape) -> Shape:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _one_axis(node: Node, dim: Any, name: str) -> Shape:
    axis = axis_of(node, dim, name)
    return (axis,) if node.ndim else ()


def _floating(node: Node, dtype: DType | None, name: str) -> Node:
    node = node if dtype is None else build.cast(node, dtype)
    if not node.dtype.is_floating_point:
        raise RuntimeError(
            at_user_line(
                f"{name}(): could not infer output dtype. Input dtype must be either a floating point "
                "or complex dtype. "
                f"Got: {node.dtype.name}"
            )
        )
    return node


def _float_dtype(dtype: DType) -> DType:
    return dtype if dtype.is_floating_point else get_default_dtype()


def _not_nan(node: Node) -> Node:
    if not node.dtype.is_floating_point:
        return build.const(True, bool_, node.device, node.shape)
    return build.logical_not(build.pointwise(ops.ISNAN, node))


def _without_nan(node: Node) -> Node:
    if not node.dtype.is_floating_point:
        return node
    return build.where(build.pointwise(ops.ISNAN, node), build.like(node, 0), node)


def _check_not_empty(node: Node, axes: Shape, name: str) -> None:
    empty = [a for a in axes if node.shape[a] == 0]
    if empty:
        kind: Any = IndexError if len(axes) == 1 else RuntimeError
        if len(axes) == 1:
            message = f"{name}(): Expected reduction dim {empty[0]} to have non-zero size."
        else:
            message = (
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
                "the reduction dim with the 'dim' argument."
            )
        raise kind(at_user_line(message))


def _reduced_extreme(op: Op, node: Node, axes: Shape, keepdim: bool, name: str) -> Node:
    _check_not_empty(node, axes, name)
    return build.reduce(op, node, axes, keepdim)


def _extreme(op: Op, node: Node, dim: Any, keepdim: bool, name: str) -> Node:
    return _reduced_extreme(op, node, axes_of(node, dim, name), keepdim, name)


def _where_extreme(op: Op, node: Node, dim: int | None, keepdim: bool, name: str) -> Node:
    if node.dtype is bool_:
        node = build.cast(node, uint8)
    if dim is None:
        if not node.numel:
            raise IndexError(
                at_user_line(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            )
        found = build.reduce(op, build.reshape(node, (node.numel,)), (0,), keepdim=False)
        return build.reshape(found, (1,) * node.ndim) if keepdim else found
    axes = _one_axis(node, dim, name)
    if not axes:
        return build.const(0, int64, node.device)
    _check_not_empty(node, axes, name)
    return build.reduce(op, node, axes, keepdim)


def _max_or_min(tensor: Any, op: Op, dim: Any, keepdim: bool, other: Any, name: str) -> Any:
    # a tensor in place of dim is the other operand, as in torch.max(a, b)
    other = dim if isinstance(dim, TensorBase) and other is None else other
    if other is not None:
        return tensor.maximum(other) if op is ops.MAX else tensor.minimum(other)
    node = tensor.node
    if dim is None:
        if not node.numel:
            raise RuntimeError(
                at_user_line(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            )
        return wrap(build.reduce(op, node, tuple(range(node.ndim)), keepdim=False))
    if is_scalar(dim) and not hasattr(dim, "__index__"):
        raise TypeError(at_user_line(f"{name}(): dim must be an integer or a Tensor, got {dim!r}"))
    axes = _one_axis(node, dim, name)
    if not axes:
        return ValuesIndices(wrap(node), wrap(build.const(0, int64, node.device)))
    _check_not_empty(node, axes, name)
    which = ops.ARGMAX if op is ops.MAX else ops.ARGMIN
    index = build.reduce(which, build.cast(node, uint8) if node.dtype is bool_ else node, axes)
    values = build.gather(node, index, axes[0]) if node.needs_grad else build.reduce(op, node, axes)
    if not keepdim:
        shape = _dropped(node.shape, axes)
        values, index = build.reshape(values, shape), build.reshape(index, shape)
    return ValuesIndices(wrap(values), wrap(index))


def _logical(tensor: TensorBase, op: Op, dim: Any, keepdim: bool, name: str) -> Tensor:
    found = to_bool(tensor)
    axes = () if dim == () else axes_of(found, dim, name)  # where other reductions take () for all
    which = ops.MIN if op is ops.PROD else ops.MAX
    if any(found.shape[a] == 0 for a in axes):
        shape = (
            tuple(1 if i in axes else n for i, n in enumerate(found.shape)) if keepdim else _dropped(found.shape, axes)
        )
        result = build.const(op is ops.PROD, bool_, found.device, shape)
    else:
        result = build.reduce(which, found, axes, keepdim)
    return wrap(build.cast(result, uint8) if tensor.dtype is uint8 else result)


def _spread_arguments(dim: Any, unbiased: Any, correction: Any) -> tuple[Any, float]:
    """torch's var(unbiased), var(dim, unbiased, keepdim), var(dim, correction=c)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, correction


def _variance(node: Node, dim: Any, correction: float, keepdim: bool, name: str) -> tuple[Node, Node]:
    """(variance, mean) over the axes."""
    node = _floating(node, None, name)
    axes = axes_of(node, dim, name)
    wide = build.cast(node, node.dtype.compute)
    center = mean(wide, axes, True)
    distance = build.sub(wide, center)
    total = build.reduce(ops.SUM, build.mul(distance, distance), axes, keepdim)
    divisor = max(0.0, math.prod(node.shape[a] for a in axes) - correction)
    result = build.div(total, build.like(total, divisor))
    shape = center.shape if keepdim else _dropped(node.shape, axes)
    return build.cast(result, node.dtype), build.cast(build.reshape(center, shape), node.dtype)


def _deviation(node: Node, dim: Any, correction: float, keepdim: bool, name: str) -> tuple[Node, Node]:
    wide = build.cast(_floating(node, None, name), node.dtype.compute)
    variance, center = _variance(wide, dim, correction, keepdim, name)
    return build.cast(root(variance), node.dtype), build.cast(center, node.dtype)


@public
def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(variance, mean)."""
    dim, correction = _spread_arguments(dim, unbiased, correction)
    variance, center = _variance(input.node, dim, correction, keepdim, "var_mean")
    return wrap(variance), wrap(center)


@public
def std_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean)."""
    dim, correction = _spread_arguments(dim, unbiased, correction)
    deviation, center = _deviation(input.node, dim, correction, keepdim, "std_mean")
    return wrap(deviation), wrap(center)


__all__ = ["Reduce", "mean", "root", "std_mean", "var_mean", "vector_norm"]
