"""Derivatives and integrals of sampled functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_
from lazygrad.errors import at_user_line
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.assembly import cat
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.promote import get_default_dtype, is_scalar

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Calculus(TensorBase):
    __slots__ = ()

    def trapezoid(self, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
        """The integral along `dim` by the trapezoid rule, over the places `x` or in steps of dx."""
        axis = _sampled_axis(self, dim, "trapezoid")
        if not self.node.shape[axis]:
            return self.sum(axis, dtype=self.dtype)
        return _areas(self, x, dx, axis).sum(axis)

    def cumulative_trapezoid(self, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
        """The integrals from the first sample to each later one by the trapezoid rule."""
        axis = _sampled_axis(self, dim, "cumulative_trapezoid")
        return _areas(self, x, dx, axis).cumsum(axis)

    def gradient(self, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> list[Tensor]:
        """The derivative along each of `dim` (all): second-order central differences inside, first-order (or
        second-order, edge_order=2) one-sided ones at the ends.

        `spacing` is a step, one step a dimension, or the coordinates along each dimension (Fornberg 1988 for
        uneven ones). RuntimeError for too few samples.
        """
        dims = range(self.node.ndim) if dim is None else _listed(dim)
        axes = [axis_of(self.node, d, "gradient") for d in dims]
        steps = [spacing] * len(axes) if is_scalar(spacing) else _listed(spacing)
        if edge_order not in (1, 2):
            raise RuntimeError(at_user_line("torch.gradient only supports edge_order=1 and edge_order=2."))
        if len(steps) != len(axes):
            raise RuntimeError(
                at_user_line(f"gradient(): expected spacing for {len(axes)} dimensions, got {len(steps)}")
            )
        for axis in axes:
            if self.node.shape[axis] < edge_order + 1:
                raise RuntimeError(
                    at_user_line("torch.gradient expected each dimension size to be at least edge_order+1")
                )
        return [_derivative(self, step, axis, edge_order) for step, axis in zip(steps, axes, strict=True)]


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _sampled_axis(y: TensorBase, dim: int, name: str) -> int:
    """RuntimeError for bools, IndexError for a dimension that isn't there."""
    if y.dtype is bool_:
        raise RuntimeError(at_user_line(f"{name}: received a bool input for `y`, but bool is not supported"))
    axis = axis_of(y.node, dim, name)
    if not y.node.ndim:
        raise IndexError(at_user_line(f"{name}: Dimension specified as {dim} but tensor has no dimensions"))
    return axis


def _along(vector: Tensor, axis: int, ndim: int) -> Tensor:
    return vector.reshape([-1 if i == axis else 1 for i in range(ndim)])


def _areas(y: TensorBase, x: Tensor | None, dx: float, axis: int) -> Tensor:
    """The area between each two neighbours."""
    size, samples = y.node.shape[axis], _as_tensor(y)
    samples = samples if y.dtype.is_floating_point else samples.to(get_default_dtype())
    before, after = max(size - 1, 0), min(size, 1)
    pairs = samples.narrow(axis, after, before).add(samples.narrow(axis, 0, before))
    if x is None:
        return pairs.mul(dx / 2)
    steps = _along(x.diff(), axis, y.node.ndim) if x.ndim == 1 else x.diff(dim=axis - y.node.ndim)
    return pairs.mul(steps).div(2)


def _as_tensor(tensor: TensorBase) -> Tensor:
    return tensor  # type: ignore[return-value]


def _derivative(y: TensorBase, step: Any, axis: int, edge_order: int) -> Tensor:
    samples, size = _as_tensor(y), y.node.shape[axis]
    if not is_scalar(step) and step.ndim:
        if step.shape[0] != size:
            raise RuntimeError(
                at_user_line(f"torch.gradient expected {size} coordinates along dimension {axis}, got {step.shape[0]}")
            )
        gaps = _along(step.diff(), axis, y.node.ndim)
    else:
        gaps = None

    def part(source: Tensor, start: int, stop: int) -> Tensor:
        return source.narrow(axis, start % source.shape[axis], (stop - start))

    def gap(start: int, count: int = 1) -> Any:
        return step if gaps is None else part(gaps, start, start + count)

    def ends(a: int, b: int, c: int, near: Any, far: Any, sign: int) -> Tensor:
        """One-sided difference at sample a with neighbours b, c; near and far are the gaps between them."""
        first, second = part(samples, a, a + 1), part(samples, b, b + 1)
        if edge_order == 1:
            return second.sub(first).div(near).mul(sign)
        third = part(samples, c, c + 1)
        own = first.mul((near * 2 + far) / (near * (near + far)))
        return second.mul((near + far) / (near * far)).sub(own).sub(third.mul(near / (far * (near + far)))).mul(sign)

    last = size - 1
    far_left = gap(1) if edge_order == 2 else None
    far_right = gap(last - 2) if edge_order == 2 else None
    parts = [ends(0, 1, 2, gap(0), far_left, 1)]
    if size > 2:
        before, after = gap(0, size - 2), gap(1, size - 2)
        lower, middle, upper = (part(samples, i, i + size - 2) for i in range(3))
        if gaps is None:
            parts.append(upper.sub(lower).div(step * 2))
        else:
            inner = upper.mul(before / (after * (before + after))).sub(lower.mul(after / (before * (before + after))))
            parts.append(inner.add(middle.mul((after - before) / (before * after))))
    parts.append(ends(last, last - 1, last - 2, gap(last - 1), far_right, -1))
    return cat(parts, axis)


__all__ = ["Calculus"]
