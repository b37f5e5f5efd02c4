"""Out of lazygrad: numbers, lists, NumPy arrays, text."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazygrad import dtype as dt
from lazygrad.errors import at_user_line
from lazygrad.runtime.array import download
from lazygrad.tensor.core import TensorBase


class Interop(TensorBase):
    __slots__ = ()

    def item(self) -> Any:
        """The one element as a Python number. RuntimeError for more or fewer elements."""
        if self.node.numel != 1:
            raise RuntimeError(at_user_line(f"a Tensor with {self.node.numel} elements cannot be converted to Scalar"))
        value = self._host().reshape(-1)[0]
        return float(value) if self.dtype.is_floating_point else value.item()

    def _host(self) -> np.ndarray[Any, Any]:
        return download(self._buffer().read())

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """As a NumPy array; on the CPU it shares memory where it can. RuntimeError where gradients are recorded.

        TypeError for tensors on a GPU, as in torch: use .cpu() first (or force=True).
        """
        if not force:
            if self.requires_grad:
                raise RuntimeError(at_user_line("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."))
            if self.device.type != "cpu":
                raise TypeError(at_user_line(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first."))
        buffer = self._buffer()
        buffer.exported = True
        return download(buffer.read())

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        array = self._host()
        return array.astype(np.float64).tolist() if self.dtype.is_floating_point else array.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __repr__(self) -> str:
        array = self._host()
        wide = array.astype(np.float32) if self.dtype.itemsize == 2 and self.dtype.is_floating_point else array
        text = np.array2string(wide, precision=4, separator=", ", prefix="tensor(", suppress_small=True)
        notes = [text]
        if self.device.type != "cpu":
            notes.append(f"device='{self.device}'")
        if self.dtype not in (dt.float32, dt.int64, dt.bool_):
            notes.append(f"dtype={self.dtype!r}")
        if self.requires_grad:
            notes.append("requires_grad=True" if self.is_leaf else "grad_fn=<" + self.node.op.name.capitalize() + ">")
        return f"tensor({', '.join(notes)})"
