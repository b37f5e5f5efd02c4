"""finfo and iinfo: the numeric limits of dtypes, as torch names them."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.tensor.promote import get_default_dtype


class finfo:
    """Limits of a floating-point dtype (the default one unless given). TypeError for integers."""

    def __init__(self, dtype: DType | None = None) -> None:
        found = dtype or get_default_dtype()
        if not found.is_floating_point:
            raise TypeError(
                at_user_line(
                    f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{found.name}'"
                )
            )
        info = ml_dtypes.finfo(found.numpy)
        self.bits = found.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = 10.0**-info.precision
        self.dtype = found.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype. TypeError for floating point and bool."""

    def __init__(self, dtype: DType) -> None:
        if not dtype.is_integer:
            raise TypeError(
                at_user_line(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{dtype.name}'")
            )
        info = np.iinfo(dtype.numpy)
        self.bits, self.max, self.min, self.dtype = int(info.bits), int(info.max), int(info.min), dtype.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
