"""What is known about a tensor without computing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazygrad import memory_layout
from lazygrad.errors import at_user_line
from lazygrad.tensor.arguments import axis_of
from lazygrad.tensor.core import TensorBase, protected, wrap
from lazygrad.tensor.strides import row_major

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Properties(TensorBase):
    __slots__ = ()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.node.shape[axis_of(self.node, dim, "size")]

    def dim(self) -> int:
        return self.node.ndim

    ndimension = dim

    def numel(self) -> int:
        return self.node.numel

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """How many elements lie between neighbours along each dimension, or along one.

        A view lies where its base's elements do. A computed result lies row-major, also where torch would follow
        the strides of its operands.
        """
        strides = (self._lies() or row_major(self.node.shape)).strides
        return strides if dim is None else strides[axis_of(self.node, dim, "stride")]

    def storage_offset(self) -> int:
        """Where a view's first element lies in its base. RuntimeError where only the device knows."""
        lies = self._lies()
        if lies is None:
            raise RuntimeError(
                at_user_line("storage_offset(): this view was taken at an index that hasn't been computed")
            )
        return lies.offset

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether elements lie without gaps in the order of a memory_format, row-major unless given: see stride()."""
        memory_layout.check_memory_format(memory_format, "is_contiguous")
        order = memory_layout.order_of_dims(memory_format, self.node.ndim)
        lies = self._lies() or row_major(self.node.shape)
        return order is not None and lies.permuted(order).is_contiguous

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """Itself where it is_contiguous(), else a row-major copy."""
        memory_layout.check_memory_format(memory_format, "contiguous")
        if self.is_contiguous():
            return self  # type: ignore[return-value]
        made = wrap(self.node)
        made._cell.row_major = True
        return made

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    def element_size(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.node.nbytes

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    is_cpu = property(lambda self: self.device.type == "cpu")
    is_pinned = is_shared = is_distributed = lambda self: False
    is_xpu = is_mps = is_meta = is_sparse = is_quantized = is_mkldnn = property(lambda self: False)

    @property
    def layout(self) -> memory_layout.layout:
        return memory_layout.strided

    def get_device(self) -> int:
        """The index of the GPU; -1 on the CPU."""
        return self.device.index if self.device.type == "cuda" else -1

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return False

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        return False

    def is_same_size(self, other: Tensor) -> bool:
        return self.shape == other.shape

    def is_set_to(self, other: Tensor) -> bool:
        """Whether both are the same view of the same memory."""
        return self._cell is other._cell and self.node is other.node

    @property
    def real(self) -> Tensor:
        """Itself: lazygrad has no complex numbers."""
        return self  # type: ignore[return-value]

    @property
    def output_nr(self) -> int:
        return 0

    @property
    def _version(self) -> int:
        return self._cell.version

    def data_ptr(self) -> int:
        """The address of the (computed) value's memory."""
        array = self._buffer().read()
        return int(array.ctypes.data if hasattr(array, "ctypes") else array.data.ptr)

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy of its own; gradients flow through."""
        memory_layout.check_memory_format(memory_format, "clone")
        return wrap(protected(self.node))
