"""Data types and PyTorch's promotion rules: takes dtypes and Python scalars, returns the dtype of the result.

A `DType` is a plain value; `numpy` is what stores it on the host (bfloat16 through ml_dtypes) and
`triton` how Triton spells it. Promotion follows torch.result_type: a category (bool < integer < float)
is raised only by an operand of higher category, and within one category tensors with dimensions
outrank 0-d tensors, which outrank Python numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from lazygrad.errors import at_user_line


@dataclass(frozen=True, eq=False)
class DType:
    """One element type. Compared by identity: there is a single object for each."""

    name: str
    itemsize: int
    category: int  # 0 bool, 1 integer, 2 floating point: the order in which promotion climbs
    signed: bool
    numpy: Any
    triton: str
    is_floating_point: bool = field(init=False)  # an attribute: every node that is made asks

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_floating_point", self.category == 2)

    @property
    def is_integer(self) -> bool:
        return self.category == 1

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.signed

    @property
    def compute(self) -> DType:
        """The dtype arithmetic runs in: half precisions compute in float32 (torch's opmath type)."""
        return float32 if self in (float16, bfloat16) else self

    def __repr__(self) -> str:
        return f"lazygrad.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (named, (self.name,))


bool_ = DType("bool", 1, 0, False, np.dtype(np.bool_), "tl.int1")
uint8 = DType("uint8", 1, 1, False, np.dtype(np.uint8), "tl.uint8")
int8 = DType("int8", 1, 1, True, np.dtype(np.int8), "tl.int8")
int16 = DType("int16", 2, 1, True, np.dtype(np.int16), "tl.int16")
int32 = DType("int32", 4, 1, True, np.dtype(np.int32), "tl.int32")
int64 = DType("int64", 8, 1, True, np.dtype(np.int64), "tl.int64")
float16 = DType("float16", 2, 2, True, np.dtype(np.float16), "tl.float16")
bfloat16 = DType("bfloat16", 2, 2, True, np.dtype(ml_dtypes.bfloat16), "tl.bfloat16")
float32 = DType("float32", 4, 2, True, np.dtype(np.float32), "tl.float32")
float64 = DType("float64", 8, 2, True, np.dtype(np.float64), "tl.float64")

ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
FLOATS = tuple(d for d in ALL if d.category == 2)
INTEGERS = tuple(d for d in ALL if d.category == 1)

_BY_PYTHON = {bool: bool_, int: int64, float: float64}
_BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY = {d.numpy: d for d in ALL}


def named(name: str) -> DType:
    """The dtype called `name` ("float32", "bool", ...). KeyError for an unknown name."""
    return _BY_NAME[name]


def of(dtype: Any) -> DType | None:
    """A dtype, also given as Python's own bool, int or float, as torch takes them; None stays None. TypeError."""
    found = _BY_PYTHON.get(dtype, dtype) if isinstance(dtype, type) else dtype
    if found is not None and not isinstance(found, DType):
        raise TypeError(at_user_line(f"dtype must be a dtype such as float32, not {dtype!r:.60}"))
    return found


def from_numpy(dtype: Any) -> DType:
    """The DType that a NumPy dtype is stored as. TypeError where lazygrad has none (complex, strings)."""
    found = _BY_NUMPY.get(np.dtype(dtype))
    if found is None:
        raise TypeError(
            at_user_line(f"lazygrad has no dtype for numpy's {np.dtype(dtype)}; supported: {', '.join(_BY_NAME)}")
        )
    return found


def of_scalar(value: bool | int | float, default_float: DType) -> DType:
    """The dtype a Python number has when it becomes a tensor: bool, int64 or the default float."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    return default_float


@cache
def promote(a: DType, b: DType) -> DType:
    """torch.promote_types: the smallest dtype that holds both."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.is_floating_point:
        if {a, b} == {float16, bfloat16}:
            return float32
        return a if a.itemsize > b.itemsize else b
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return a if a.itemsize > b.itemsize else b
