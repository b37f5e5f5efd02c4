"""Out of lazygrad: numbers, lists, NumPy arrays, DLPack, text, copies and pickles."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU, Device
from lazygrad.dtype import DType
from lazygrad.dtype import from_numpy as dtype_of_numpy
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.runtime.array import download
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.values import known
from lazygrad.tensor.core import Cell, TensorBase, wrap
from lazygrad.tensor.creation import as_tensor, from_array, tensor
from lazygrad.tensor.dlpack import export, from_dlpack
from lazygrad.tensor.printing import set_printoptions, text_of
from lazygrad.tensor.window import Window

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Interop(TensorBase):
    __slots__ = ()

    def item(self) -> Any:
        """The one element as a Python number. RuntimeError for more or fewer elements."""
        if self.node.numel != 1:
            raise RuntimeError(at_user_line(f"a Tensor with {self.node.numel} elements cannot be converted to Scalar"))
        value = self._host().reshape(-1)[0]
        return float(value) if self.dtype.is_floating_point else value.item()

    def is_nonzero(self) -> bool:
        """Whether the one element isn't zero. RuntimeError for more or fewer elements."""
        if self.node.numel != 1:
            what = "no values" if not self.node.numel else "more than one value"
            raise RuntimeError(at_user_line(f"Boolean value of Tensor with {what} is ambiguous"))
        return bool(self.item())

    def _host(self) -> np.ndarray[Any, Any]:
        return download(self._buffer().read())

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """As a NumPy array. RuntimeError where gradients are recorded; TypeError for tensors on a GPU: use .cpu()
        first (or force=True).

        The array is the tensor's memory on the CPU (a view's is a copy): what is written to it, this tensor and
        whatever is computed from it later see. A later in-place update gives the tensor other memory, and the
        array keeps what it held.
        """
        if not force:
            if self.requires_grad:
                raise RuntimeError(
                    at_user_line(
                        "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
                    )
                )
            if self.device.type != "cpu":
                raise TypeError(
                    at_user_line(
                        f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() "
                        "to copy the tensor to host memory first."
                    )
                )
        return download(self._shared_buffer().read())

    def _shared_buffer(self) -> Buffer:
        """The memory of the (computed) value, which somebody outside holds from now on."""
        buffer = self._buffer()
        buffer.exported = True
        if not self._path and known(self._cell.node) is None:  # a constant has none of its own until now
            self._cell.hold(build.buffer(buffer, buffer.dtype, buffer.shape, buffer.device))
        return buffer

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        array = self._host()
        return array.astype(np.float64).tolist() if self.dtype.is_floating_point else array.tolist()

    __array_priority__ = 1000  # NumPy's arrays and numbers leave operators to the tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """ValueError for copy=False where the dtype asks for one."""
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """NumPy's functions of a tensor return tensors."""
        return wrap(from_array(np.asarray(array), CPU, dtype_of_numpy(array.dtype)))

    def __dlpack__(self, *, stream: Any = None, **kwargs: Any) -> Any:
        """The memory of the (computed) value for another library. BufferError where gradients are recorded."""
        if self.requires_grad:
            raise BufferError(at_user_line("Can't export tensors that require gradient, use tensor.detach()"))
        return export(self._shared_buffer().read(), stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.device.index) if self.device.type == "cuda" else (1, 0)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return text_of(self)

    def __copy__(self) -> Any:
        """Another tensor on the same memory: a leaf of its own where gradients flow."""
        twin: Any = type(self).__new__(type(self))
        twin._adopt(Window(self), ())
        return twin.requires_grad_(self.node.needs_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A leaf of its own with the same value. RuntimeError for a tensor that has a gradient history."""
        if not self.is_leaf:
            raise RuntimeError(
                at_user_line(
                    "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                    "moment.  If you were attempting to deepcopy a module, this may be because of a "
                    "torch.nn.utils.weight_norm usage"
                )
            )
        cell = memo.get(id(self._cell))
        if cell is None:  # views of one tensor stay views of one
            cell = memo[id(self._cell)] = Cell(build.detach(self._cell.read()))
        twin: Any = type(self).__new__(type(self))
        twin._adopt(cell, self._path)
        memo[id(self)] = twin
        twin.__dict__.update(deepcopy(self.__dict__, memo))
        if self.requires_grad and not twin.requires_grad:
            twin.requires_grad_()
        if self._grad is not None:
            twin._grad = self._grad.detach().clone()
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _unpickled, (type(self), self._host(), self.dtype, str(self.device), self.requires_grad)


def _unpickled(cls: Any, array: np.ndarray[Any, Any], dtype: DType, device: str, requires_grad: bool) -> Any:
    where = CPU if device == "cpu" else Device("cuda", int(device.split(":")[1]))
    made = cls.__new__(cls)
    TensorBase.__init__(made, from_array(array, where, dtype))
    return made.requires_grad_() if requires_grad else made


def asarray(
    obj: Any, *, dtype: DType | None = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`obj` as a tensor: itself where it is one of that dtype and device, else of its values. A copy with copy=True;
    with copy=False on the memory of obj, which has DLPack, or ValueError."""
    if copy is False:
        if not hasattr(obj, "__dlpack__"):
            raise ValueError(at_user_line(f"asarray(copy=False): can't alias a {type(obj).__name__} into a tensor"))
        shared = obj if isinstance(obj, TensorBase) else from_dlpack(obj)
        found = as_tensor(shared, dtype, device)
        if found is not shared:
            raise ValueError(at_user_line("asarray(copy=False): another dtype or device takes a copy"))
    else:
        found = (tensor if copy else as_tensor)(obj, dtype=dtype, device=device)
    return found.requires_grad_() if requires_grad else found


def is_tensor(obj: Any) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, TensorBase)


__all__ = ["Interop", "asarray", "is_tensor", "set_printoptions"]
