"""What Triton's interpreter lacks: takes its modules, gives them what our kernels call and the hardware does.

It runs kernels program by program on NumPy arrays. Here are the device library's functions, roundings of
bfloat16 as a GPU makes them, and NumPy's own reductions in place of one call an element for the combining
functions of `codegen/spelling.py`. Triton itself is imported by triton.py alone, which hands over its modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazygrad.dtype import bfloat16
from lazygrad.ir import special

DEVICE_LIBRARY: dict[str, Callable[..., Any]] = {
    "expm1": np.expm1, "log10": np.log10, "log1p": np.log1p, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "erfc": special.erfc, "erfinv": special.erfinv, "lgamma": special.gammaln,
    "pow": np.power, "fmod": np.fmod, "atan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign,
    "trunc": np.trunc, "rint": np.rint,
}  # fmt: skip
REDUCTIONS: dict[str, Callable[..., Any]] = {"larger": np.max, "smaller": np.min, "product": np.prod}
SCANS: dict[str, np.ufunc] = {
    "added": np.add, "product": np.multiply, "larger": np.maximum, "smaller": np.minimum,
}  # fmt: skip
CHOICES = ("first_largest", "first_smallest")


def teach(interpreter: Any, language: Any, libdevice: Any) -> None:
    """Changes these modules of Triton's, once in a process."""
    add_device_library(libdevice, interpreter.TensorHandle, language)
    mend_products(interpreter.InterpreterBuilder, interpreter.TensorHandle, language)
    mend_masks(interpreter.InterpreterBuilder, interpreter.TensorHandle)
    mend_comparisons(interpreter.InterpreterBuilder, interpreter.TensorHandle, language)
    mend_roundings(interpreter, language)
    reduce_at_once(interpreter.ReduceOps)
    scan_at_once(interpreter.ScanOps)


def add_device_library(libdevice: Any, handle: Any, language: Any) -> None:
    """The device library's functions, by NumPy."""

    def lift(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*operands: Any) -> Any:
            first = next(o for o in operands if isinstance(o, language.tensor))
            data = [o.handle.data if isinstance(o, language.tensor) else o for o in operands]
            with np.errstate(all="ignore"):
                result = np.asarray(function(*data), dtype=first.handle.data.dtype)
            kind = first.type
            if result.shape != first.handle.data.shape:
                kind = language.block_type(first.type.scalar, list(result.shape))
            return language.core.tensor(handle(result, first.handle.dtype), kind)

        return call

    for name, function in DEVICE_LIBRARY.items():
        setattr(libdevice, name, lift(function))


def mend_products(builder: Any, handle: Any, language: Any) -> None:
    """It multiplies the bit patterns of bfloat16 tiles: give it their values."""
    create_dot = builder.create_dot

    def values(tile: Any) -> Any:
        if tile.dtype.scalar is not language.bfloat16:
            return tile
        return handle((tile.data.astype(np.uint32) << 16).view(np.float32), language.float32)

    builder.create_dot = lambda self, a, b, *rest: create_dot(self, values(a), values(b), *rest)


def mend_masks(builder: Any, handle: Any) -> None:
    """It takes the bits of a mask that is one number, not a block, for a type it doesn't know."""
    load, store = builder.create_masked_load, builder.create_masked_store

    def block(mask: Any) -> Any:
        return handle(np.asarray(mask.data, dtype=np.bool_), mask.dtype)

    def masked_load(self: Any, ptrs: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        return load(self, ptrs, block(mask), *rest, **named)

    def masked_store(self: Any, ptrs: Any, value: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        return store(self, ptrs, value, block(mask), *rest, **named)

    builder.create_masked_load, builder.create_masked_store = masked_load, masked_store


def mend_comparisons(builder: Any, handle: Any, language: Any) -> None:
    """What a comparison gives, it calls by the dtype of what was compared."""
    binary_op = builder.binary_op

    def typed(self: Any, left: Any, right: Any, function: Any) -> Any:
        made = binary_op(self, left, right, function)
        return handle(made.data, language.int1) if made.data.dtype == np.bool_ else made

    builder.binary_op = typed


def mend_roundings(interpreter: Any, language: Any) -> None:
    """It truncates where the hardware rounds to bfloat16, and loses bfloat16's subnormal numbers."""
    convert = interpreter._convert_float

    def rounded(data: Any, source: Any, result: Any, rounding: Any) -> Any:
        if source == language.bfloat16 and result == language.float32:
            return np.asarray(data).view(np.uint16).astype(np.uint32) << 16
        if source == language.float32 and result == language.bfloat16:
            return np.asarray(data).view(np.float32).astype(bfloat16.numpy).view(np.uint16)
        return convert(data, source, result, rounding)

    interpreter._convert_float = rounded


def reduce_at_once(reduce_ops: Any) -> None:
    """Our combining functions by one call of NumPy's for a block."""
    generic = reduce_ops.generic_reduce

    def reduce(self: Any, input: Any) -> Any:
        name = getattr(self.combine_fn.fn, "__name__", "")
        if self.axis is None or (name not in REDUCTIONS and name not in CHOICES):
            return generic(self, input)
        data = input[0].handle.data
        if name in REDUCTIONS:
            with np.errstate(all="ignore"):
                made = REDUCTIONS[name](data, axis=self.axis, keepdims=self.keep_dims).astype(data.dtype)
            return [self.to_tensor(made, input[0].dtype)]
        at = first_extreme(data, input[1].handle.data, self.axis, largest=name == "first_largest")
        pair = []
        for operand in input:
            values = np.take_along_axis(operand.handle.data, at, self.axis)
            pair.append(self.to_tensor(values if self.keep_dims else values.squeeze(self.axis), operand.dtype))
        return pair

    reduce_ops.generic_reduce = reduce


def first_extreme(data: Any, index: Any, axis: int, largest: bool) -> Any:
    """Where along `axis` the extreme stands: NaN is extreme, and of equals the lowest index counts."""
    best = (np.max if largest else np.min)(data, axis=axis, keepdims=True)
    hit = (data == best) | ((data != data) & (best != best))
    lowest = np.where(hit, index, np.iinfo(index.dtype).max)
    return np.expand_dims(np.argmin(lowest, axis=axis), axis)


def scan_at_once(scan_ops: Any) -> None:
    """The same for scans."""
    generic = scan_ops.generic_scan

    def scan(self: Any, input: Any) -> Any:
        name = getattr(self.combine_fn.fn, "__name__", "")
        if name not in SCANS:
            return generic(self, input)
        data = input[0].handle.data
        with np.errstate(all="ignore"):
            made = SCANS[name].accumulate(data, axis=self.axis, dtype=data.dtype)
        return [self.to_tensor(made, input[0].dtype)]

    scan_ops.generic_scan = scan
