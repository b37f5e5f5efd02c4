"""Views: the same elements under another shape. A write through a view is seen by its base, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.shape import Shape, resolve_reshape
from lazygrad.tensor.arguments import axes_of, axis_of, integer, integers, ordered_axes
from lazygrad.tensor.bits import same_bytes
from lazygrad.tensor.core import TensorBase, grad_mode, one_of_many, wrap
from lazygrad.tensor.layout import embed, inverse, whole
from lazygrad.tensor.strides import Strided, row_major
from lazygrad.tensor.values import computed

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


Lies = Callable[[Strided], "Strided | None"]


def reshaped(tensor: TensorBase, shape: Shape, lies: Lies | None = None) -> Tensor:
    """A view of another shape, the same row-major order."""
    return tensor._viewed(
        lambda node: build.reshape(node, shape),
        lambda base, v: build.reshape(v, base.shape),
        lies or (lambda base: base.reshaped(shape)),
    )


def permuted(tensor: TensorBase, axes: Shape) -> Tensor:
    """A view with its dimensions in another order."""
    return tensor._viewed(
        lambda node: build.permute(node, axes),
        lambda base, v: build.permute(v, inverse(axes)),
        lambda base: base.permuted(axes),
    )


def sliced(tensor: TensorBase, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """A view of start:stop:step along `axis`."""
    bounds = whole(tensor.node.shape)
    bounds[axis] = (start, stop, step)
    return tensor._viewed(
        lambda node: build.slice_(node, bounds),
        lambda base, v: embed(base, v, bounds),
        lambda base: base.sliced(bounds),
    )


def _is_cut_by_copying(tensor: TensorBase, shape: Shape) -> bool:
    """Whether strides can't say this shape, so that torch would copy."""
    if not tensor._path:
        return False
    lies = tensor._lies()
    return lies is not None and lies.reshaped(shape) is None


def _shared_or_copied(tensor: TensorBase, shape: Shape) -> Tensor:
    """reshape(): a view where torch's is one, else a copy."""
    if not _is_cut_by_copying(tensor, shape):
        return reshaped(tensor, shape)
    copy = wrap(build.reshape(tensor.node, shape))
    copy._cell.row_major = True
    return copy


def _shared(tensor: TensorBase, shape: Shape) -> Tensor:
    """view(): RuntimeError where torch is sure to have no such view. Of a computed result torch may have chosen
    strides for which it has one; what is written to such a view is seen here too."""
    if tensor._cell.row_major and _is_cut_by_copying(tensor, shape):
        raise RuntimeError(
            at_user_line(
                f"view size {list(shape)} is not compatible with input tensor's size {list(tensor.node.shape)} and "
                "stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
            )
        )
    return reshaped(tensor, shape)


class Movement(TensorBase):
    __slots__ = ()

    # -- another shape, the same row-major order
    def reshape(self, *shape: Any) -> Tensor:
        """The same elements under another shape; one size may be -1. RuntimeError where sizes don't agree.

        A view where strides can say that shape (see stride()), else a copy.
        """
        return _shared_or_copied(self, resolve_reshape(self.node.shape, integers(shape, "reshape()")))

    def view(self, *size: Any, dtype: DType | None = None) -> Tensor:
        """As reshape, never a copy: RuntimeError where strides don't allow it (a transposed tensor joined up).

        view(dtype) reads the same bytes as another dtype.
        """
        given = size[0] if len(size) == 1 and isinstance(size[0], DType) else dtype
        if given is not None:
            return _view_as_dtype(self, given)
        return _shared(self, resolve_reshape(self.node.shape, integers(size, "view()")))

    def view_as(self, other: Tensor) -> Tensor:
        """self.view(other.size())."""
        return self.view(other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """self.reshape(other.size())."""
        return self.reshape(other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Dimensions start_dim..end_dim as one. RuntimeError where start comes after end."""
        shape = self.node.shape
        start = axis_of(self.node, start_dim, "flatten")
        end = axis_of(self.node, end_dim, "flatten")
        if start > end:
            raise RuntimeError(at_user_line("flatten() has invalid args: start_dim cannot come after end_dim"))
        if not shape:
            return reshaped(self, (1,))
        if start == end:
            return self  # type: ignore[return-value]
        return _shared_or_copied(self, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))

    def ravel(self) -> Tensor:
        """As one dimension."""
        return _shared_or_copied(self, (self.node.numel,))

    def unflatten(self, dim: int, sizes: Any) -> Tensor:
        """One dimension as several; one of `sizes` may be -1."""
        shape = self.node.shape
        axis = axis_of(self.node, dim, "unflatten")
        wanted = integers((sizes,), "unflatten()")
        if not wanted:
            raise RuntimeError(at_user_line("unflatten: sizes must be non-empty"))
        rest = math.prod(n for n in wanted if n != -1)
        fits = shape[axis] % rest == 0 if -1 in wanted and rest else rest == shape[axis]
        if not fits or wanted.count(-1) > 1:
            raise RuntimeError(
                at_user_line(
                    f"unflatten: Provided sizes {list(wanted)} don't multiply up to the size of dim {axis} "
                    f"({shape[axis]}) in the input tensor"
                )
            )
        filled = tuple(shape[axis] // rest if n == -1 else n for n in wanted)
        return reshaped(self, (*shape[:axis], *filled, *shape[axis + 1 :]))

    def squeeze(self, dim: Any = None) -> Tensor:
        """Without dimensions of size 1: all, or those among `dim`."""
        shape = self.node.shape
        asked = range(len(shape)) if dim is None else () if _is_empty(dim) else axes_of(self.node, dim, "squeeze")
        axes = [i for i in asked if shape[i : i + 1] == (1,)]
        kept = tuple(n for i, n in enumerate(shape) if i not in axes)
        return reshaped(self, kept, lambda base: base.without(axes))

    def unsqueeze(self, dim: int) -> Tensor:
        """With a new dimension of size 1 at `dim`."""
        axis = axis_of(self.node, dim, "unsqueeze", extra=1)
        shape = self.node.shape
        return reshaped(self, (*shape[:axis], 1, *shape[axis:]), lambda base: base.with_one(axis))

    # -- another order of dimensions
    def permute(self, *dims: Any) -> Tensor:
        """Dimensions in the order given. RuntimeError where their number differs."""
        listed = integers(dims, "permute()")
        if len(listed) != self.node.ndim:
            raise RuntimeError(
                at_user_line(
                    "permute: number of dimensions in the tensor input does not match the length of the "
                    f"desired ordering of dimensions i.e. input.dim() = {self.node.ndim} is not equal to "
                    f"len(dims) = {len(listed)}"
                )
            )
        return permuted(self, ordered_axes(self.node, listed, "permute"))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions swapped."""
        a, b = axis_of(self.node, dim0, "transpose"), axis_of(self.node, dim1, "transpose")
        axes = list(range(self.node.ndim))
        if axes:
            axes[a], axes[b] = axes[b], axes[a]
        return permuted(self, tuple(axes))

    swapaxes = transpose
    swapdims = transpose

    def t(self) -> Tensor:
        """The transpose of a matrix; a vector or scalar as it is. RuntimeError above 2 dimensions."""
        if self.node.ndim > 2:
            raise RuntimeError(
                at_user_line(f"t() expects a tensor with <= 2 dimensions, but self is {self.node.ndim}D")
            )
        return permuted(self, tuple(reversed(range(self.node.ndim))))

    @property
    def T(self) -> Tensor:
        """All dimensions reversed."""
        return permuted(self, tuple(reversed(range(self.node.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions swapped. RuntimeError below 2 dimensions."""
        if self.node.ndim < 2:
            raise RuntimeError(
                at_user_line(
                    f"tensor.mT is only supported on matrices or batches of matrices. Got {self.node.ndim}-D tensor."
                )
            )
        return self.transpose(-2, -1)

    H = mT
    mH = mT

    def adjoint(self) -> Tensor:
        """The last two dimensions swapped: lazygrad has no complex numbers."""
        return self.mT

    def movedim(self, source: Any, destination: Any) -> Tensor:
        """Dimensions `source` put at `destination`, the others in order."""
        sources = [source] if hasattr(source, "__index__") else list(source)
        targets = [destination] if hasattr(destination, "__index__") else list(destination)
        if len(sources) != len(targets):
            raise RuntimeError(
                at_user_line(
                    f"movedim: Invalid source or destination dims: source ({sources} dims) should contain the same "
                    f"number of dims as destination ({targets} dims)"
                )
            )
        from_ = ordered_axes(self.node, sources, "movedim")
        to = ordered_axes(self.node, targets, "movedim")
        placed = dict(zip(to, from_, strict=True))
        rest = iter(i for i in range(self.node.ndim) if i not in from_)
        return permuted(self, tuple(placed[i] if i in placed else next(rest) for i in range(self.node.ndim)))

    moveaxis = movedim

    # -- the same element in many places
    def expand(self, *size: Any) -> Tensor:
        """Dimensions of size 1 (and new leading ones) enlarged without a copy; -1 keeps a size."""
        listed = integers(size, "expand()")
        shape = self.node.shape
        lead = len(listed) - len(shape)
        if lead < 0:
            raise RuntimeError(
                at_user_line(
                    f"expand({list(shape)}, size={list(listed)}): the number of sizes provided ({len(listed)}) must be "
                    f"greater or equal to the number of dimensions in the tensor ({len(shape)})"
                )
            )
        target = []
        for i, asked in enumerate(listed):
            have = shape[i - lead] if i >= lead else None
            if asked == -1 and have is None:
                raise RuntimeError(
                    at_user_line(
                        "expand: The expanded size of the tensor (-1) isn't allowed in a leading, "
                        f"non-existing dimension {i}"
                    )
                )
            if have is not None and asked != -1 and have not in (1, asked):
                raise RuntimeError(
                    at_user_line(
                        f"The expanded size of the tensor ({asked}) must match the existing size ({have}) at "
                        f"non-singleton dimension {i}.  Target sizes: {list(listed)}.  Tensor sizes: {list(shape)}"
                    )
                )
            target.append(have if asked == -1 and have is not None else asked)
        wanted = tuple(target)
        if math.prod(wanted) == math.prod(shape):
            return reshaped(self, wanted, lambda base: base.expanded(wanted))
        return self._viewed(lambda node: build.expand(node, wanted), None, lambda base: base.expanded(wanted))

    def expand_as(self, other: Tensor) -> Tensor:
        """self.expand(other.size())."""
        return self.expand(other.shape)

    def broadcast_to(self, size: Any) -> Tensor:
        """As expand."""
        return self.expand(size)

    # -- parts
    def select(self, dim: int, index: int) -> Tensor:
        """The slice at `index` of `dim`, without that dimension. IndexError out of range."""
        if not self.node.ndim:
            raise IndexError(at_user_line("select() cannot be applied to a 0-dim tensor."))
        axis = axis_of(self.node, dim, "select")
        size, place = self.node.shape[axis], integer(index, "select()")
        if not -size <= place < size:
            raise IndexError(
                at_user_line(
                    f"select(): index {place} out of range for tensor of size {list(self.node.shape)} "
                    f"at dimension {axis}"
                )
            )
        place %= size
        part = sliced(self, axis, place, place + 1)
        rest = tuple(n for i, n in enumerate(self.node.shape) if i != axis)
        return reshaped(part, rest, lambda base: base.without((axis,)))

    def narrow(self, dim: int, start: Any, length: int) -> Tensor:
        """`length` elements of `dim` from `start`. RuntimeError where they don't lie inside."""
        if not self.node.ndim:
            raise RuntimeError(at_user_line("narrow() cannot be applied to a 0-dim tensor."))
        axis = axis_of(self.node, dim, "narrow")
        size, first, count = self.node.shape[axis], integer(start, "narrow()"), integer(length, "narrow()")
        if count < 0:
            raise RuntimeError(at_user_line("narrow(): length must be non-negative."))
        if not -size <= first <= size:
            raise IndexError(
                at_user_line(f"Dimension out of range (expected to be in range of [{-size}, {size}], but got {first})")
            )
        first += size if first < 0 else 0
        if first + count > size:
            raise RuntimeError(at_user_line(f"start ({first}) + length ({count}) exceeds dimension size ({size})."))
        return sliced(self, axis, first, first + count)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """Pieces of `split_size` (the last may be smaller), or of the sizes listed."""
        axis = self._split_axis(dim, "split")
        size = self.node.shape[axis]
        if not hasattr(split_size, "__index__"):
            lengths = list(integers((split_size,), "split()"))
            if sum(lengths) != size or any(n < 0 for n in lengths):
                raise RuntimeError(
                    at_user_line(
                        "split_with_sizes expects split_sizes to sum exactly to "
                        f"{size} (input tensor's size at dimension {axis}), but got split_sizes={lengths}"
                    )
                )
            return self._many(self._pieces(axis, lengths))
        step = integer(split_size, "split()")
        if step < 0 or (step == 0 and size):
            raise RuntimeError(at_user_line(f"split expects split_size be non-negative, but got split_size={step}"))
        if size == 0:
            return self._many([sliced(self, axis, 0, 0)])
        return self._many(self._pieces(axis, [min(step, size - start) for start in range(0, size, step)]))

    split_with_sizes = split

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most `chunks` pieces of equal size, the last may be smaller."""
        axis = self._split_axis(dim, "chunk")
        if chunks <= 0:
            raise RuntimeError(at_user_line(f"chunk expects `chunks` to be greater than 0, got: {chunks}"))
        size = self.node.shape[axis]
        if size == 0:
            return self._many(self._pieces(axis, [0] * chunks))
        step = -(-size // chunks)
        return self._many(self._pieces(axis, [min(step, size - start) for start in range(0, size, step)]))

    def tensor_split(self, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """Exactly that many pieces whose sizes differ by at most 1, or pieces cut before the given indices. A tensor of
        indices is computed now."""
        if isinstance(indices_or_sections, TensorBase):
            indices_or_sections = computed(indices_or_sections, "tensor_split").tolist()
        axis = self._split_axis(dim, "tensor_split")
        size = self.node.shape[axis]
        if getattr(indices_or_sections, "ndim", 0) or not hasattr(indices_or_sections, "__index__"):
            cuts = [0, *integers((indices_or_sections,), "tensor_split()"), size]
            places = [max(0, min(size, c + size if c < 0 else c)) for c in cuts]
            return tuple(sliced(self, axis, start, max(start, stop)) for start, stop in pairwise(places))
        sections = integer(indices_or_sections, "tensor_split()")
        if sections <= 0:
            raise RuntimeError(at_user_line(f"number of sections must be larger than 0, got {sections}"))
        each, longer = divmod(size, sections)
        return self._pieces(axis, [each + (i < longer) for i in range(sections)])

    def hsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along dimension 1 (0 for vectors), into equal parts where a number is given."""
        return self._cut("hsplit", min(1, self.node.ndim - 1), 1, indices_or_sections)

    def vsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along dimension 0, into equal parts where a number is given."""
        return self._cut("vsplit", 0, 2, indices_or_sections)

    def dsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along dimension 2, into equal parts where a number is given."""
        return self._cut("dsplit", 2, 3, indices_or_sections)

    def _cut(self, name: str, axis: int, ndim: int, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if self.node.ndim < ndim:
            raise RuntimeError(
                at_user_line(f"{name} requires a tensor with at least {ndim} dimension, but got {self.node.ndim}")
            )
        count, size = indices_or_sections, self.node.shape[axis]
        if hasattr(count, "__index__") and not getattr(count, "ndim", 0) and count and size % int(count):
            raise RuntimeError(
                at_user_line(
                    f"{name} attempted to split along dimension {axis}, but the size of the dimension {size} is not "
                    f"divisible by the split_size {int(count)}!"
                )
            )
        return self.tensor_split(count, axis)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """Every slice along `dim`, without that dimension. IndexError for 0-d tensors."""
        if not self.node.ndim:
            raise IndexError(at_user_line(f"unbind: Dimension specified as {dim} but tensor has no dimensions"))
        axis = axis_of(self.node, dim, "unbind")
        return self._many([self.select(axis, i) for i in range(self.node.shape[axis])])

    def _split_axis(self, dim: int, name: str) -> int:
        if not self.node.ndim:
            raise RuntimeError(at_user_line(f"{name} expects at least a 1-dimensional tensor"))
        return axis_of(self.node, dim, name)

    def _pieces(self, axis: int, lengths: list[int]) -> tuple[Tensor, ...]:
        start, found = 0, []
        for length in lengths:
            found.append(sliced(self, axis, start, start + length))
            start += length
        return tuple(found)

    @staticmethod
    def _many(views: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Views that torch makes all at once: see one_of_many."""
        return tuple(one_of_many(view) for view in views)

    # -- in place on the shape alone
    def _become(self: Any, viewed: Callable[[], TensorBase]) -> Tensor:
        """A view of itself from now on; under no_grad() it keeps its history. RuntimeError where it may not be
        written to."""
        self._check_writable(self.node, self.node)
        with grad_mode(True):
            view = viewed()
        if self._cell.leaf_number is not None and not self._path:
            self._take(view)  # still a leaf
        else:
            self._path, self._view = view._path, None
        return self

    def unsqueeze_(self, dim: int) -> Tensor:
        """In-place unsqueeze()."""
        return self._become(lambda: self.unsqueeze(dim))

    def squeeze_(self, dim: Any = None) -> Tensor:
        """In-place squeeze()."""
        return self._become(lambda: self.squeeze(dim))

    def transpose_(self, dim0: int, dim1: int) -> Tensor:
        """In-place transpose()."""
        return self._become(lambda: self.transpose(dim0, dim1))

    swapaxes_ = transpose_
    swapdims_ = transpose_

    def t_(self) -> Tensor:
        """In-place t()."""
        return self._become(lambda: self.t())


def _is_empty(dims: Any) -> bool:
    return isinstance(dims, (tuple, list)) and not dims


def _view_as_dtype(tensor: TensorBase, dtype: DType) -> Tensor:
    """The same bytes as another dtype."""
    old, new = tensor.node.dtype.itemsize, dtype.itemsize

    def lies(base: Strided) -> Strided | None:
        if old == new or not (base.is_contiguous and not base.offset):
            return base if old == new else None
        return row_major((*base.shape[:-1], base.shape[-1] * old // new))

    return tensor._viewed(lambda node: same_bytes(node, dtype), lambda base, value: same_bytes(value, base.dtype), lies)


__all__ = ["Movement", "permuted", "reshaped", "sliced"]
