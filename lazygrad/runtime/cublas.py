"""Matrix products by cuBLAS: takes a MatmulSpec and addresses, runs the product on the current stream."""

from __future__ import annotations

import importlib
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from lazygrad.codegen.matmul import MatmulSpec, MatrixOperand
from lazygrad.dtype import DType, bfloat16, float16, float32, float64

CUDA_TYPES = {float16: 2, float32: 0, float64: 1, bfloat16: 14}
COMPUTE_TYPES = {float16: 68, bfloat16: 68, float32: 68, float64: 70}  # CUBLAS_COMPUTE_32F, _64F
DEFAULT_ALGORITHM = -1


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Any]:
    return importlib.import_module("cupy_backends.cuda.libs.cublas"), importlib.import_module("cupy")


def refusal(spec: MatmulSpec) -> str | None:
    """Why cuBLAS can't run this product, or None."""
    dtype = spec.a.pointer.dtype
    if dtype not in CUDA_TYPES:
        return f"cuBLAS has no product of {dtype.name}"
    for operand, rows, columns in ((spec.a, spec.m, spec.k), (spec.b, spec.k, spec.n)):
        if _leading(operand, rows, columns) is None:
            return f"{operand.pointer.name} is contiguous along neither rows nor columns"
        if len(spec.batch) > 1 and _batch_stride(spec, operand) is None:
            return f"{operand.pointer.name} does not step evenly over the batch"
    return None


def _leading(operand: MatrixOperand, rows: int, columns: int) -> tuple[bool, int] | None:
    """(is it transposed, leading dimension) for a row-major reading; None where neither stride is 1."""
    if (operand.column_stride == 1 or columns == 1) and operand.row_stride >= (columns if rows > 1 else 0):
        return False, max(operand.row_stride, columns, 1)
    if (operand.row_stride == 1 or rows == 1) and operand.column_stride >= (rows if columns > 1 else 0):
        return True, max(operand.column_stride, rows, 1)
    return None


def _batch_stride(spec: MatmulSpec, operand: MatrixOperand) -> int | None:
    """The one step between consecutive matrices of the batch, where there is one."""
    step: int | None = None
    inner = 1
    for size, stride in zip(reversed(spec.batch), reversed(operand.batch_strides), strict=True):
        if size == 1:
            continue
        if step is None:
            step = stride
        elif stride != step * inner:
            return None
        inner *= size
    return 0 if step is None else step


class Product:
    """A product ready to run again and again on the same addresses."""

    def __init__(self, spec: MatmulSpec) -> None:
        cublas, self.cupy = _library()
        self.cublas = cublas
        dtype: DType = spec.a.pointer.dtype
        scalar = np.float64 if dtype is float64 else np.float32
        self.one, self.zero = np.ones((), scalar), np.zeros((), scalar)
        a, b = _leading(spec.a, spec.m, spec.k), _leading(spec.b, spec.k, spec.n)
        assert a is not None and b is not None
        self.batch = prod(spec.batch)
        self.spec, self.kind, self.compute = spec, CUDA_TYPES[dtype], COMPUTE_TYPES[dtype]
        # cuBLAS counts columns first: what it is told is the transpose of the product, b before a
        self.transpose_b, self.lead_b = int(b[0]), b[1]
        self.transpose_a, self.lead_a = int(a[0]), a[1]
        self.stride_a = _batch_stride(spec, spec.a) or 0
        self.stride_b = _batch_stride(spec, spec.b) or 0

    def __call__(self, a: int, b: int, out: int, stream: int) -> None:
        spec, size = self.spec, self.spec.a.pointer.dtype.itemsize
        a, b = a + spec.a.offset * size, b + spec.b.offset * size
        handle = self.cupy.cuda.device.get_cublas_handle()
        self.cublas.setStream(handle, stream)
        shape = (self.transpose_b, self.transpose_a, spec.n, spec.m, spec.k, self.one.ctypes.data)
        if self.batch == 1:
            self.cublas.gemmEx(
                handle, *shape, b, self.kind, self.lead_b, a, self.kind, self.lead_a,
                self.zero.ctypes.data, out, self.kind, spec.n, self.compute, DEFAULT_ALGORITHM,
            )  # fmt: skip
        else:
            self.cublas.gemmStridedBatchedEx(
                handle, *shape, b, self.kind, self.lead_b, self.stride_b, a, self.kind, self.lead_a, self.stride_a,
                self.zero.ctypes.data, out, self.kind, spec.n, spec.m * spec.n, self.batch,
                self.compute, DEFAULT_ALGORITHM,
            )  # fmt: skip


__all__ = ["Product", "refusal"]
