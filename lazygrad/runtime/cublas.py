"""Matrix products by cuBLAS: takes a MatmulSpec and addresses, runs the product on the current stream."""

from __future__ import annotations

import ctypes
import importlib
from functools import cache, lru_cache
from math import prod
from typing import Any

from lazygrad.codegen.matmul import MatmulSpec, MatrixOperand
from lazygrad.dtype import DType, bfloat16, float16, float32, float64

CUDA_TYPES = {float16: 2, float32: 0, float64: 1, bfloat16: 14}
COMPUTE_TYPES = {float16: 68, bfloat16: 68, float32: 68, float64: 70}  # CUBLAS_COMPUTE_32F, _64F
DEFAULT_ALGORITHM = -1
WORKSPACE_BYTES = 64 << 20  # ours, so that captured graphs never share memory that cuBLAS would manage


@lru_cache(maxsize=1)
def _library() -> Any:
    """cuBLAS, loaded the way CuPy finds it; called directly, since CuPy's wrapper refuses to be captured."""
    importlib.import_module("cupy_backends.cuda.libs").cublas  # noqa: B018 - loads it
    for name in ("libcublas.so.13", "libcublas.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RuntimeError("cuBLAS was not found beside CuPy")


def _check(code: int, what: str) -> None:
    if code:
        raise RuntimeError(f"{what}: cuBLAS status {code}")


@cache
def _handle(device: int, stream: int) -> Any:
    handle = ctypes.c_void_p()
    _check(_library().cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")
    _check(_library().cublasSetStream_v2(handle, ctypes.c_void_p(stream)), "cublasSetStream")
    workspace = importlib.import_module("cupy").empty(WORKSPACE_BYTES, "uint8")
    _workspaces.append(workspace)
    address, size = ctypes.c_void_p(workspace.data.ptr), ctypes.c_size_t(WORKSPACE_BYTES)
    _check(_library().cublasSetWorkspace_v2(handle, address, size), "cublasSetWorkspace")
    return handle


_workspaces: list[Any] = []


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
    """A product ready to run again and again."""

    def __init__(self, spec: MatmulSpec) -> None:
        dtype: DType = spec.a.pointer.dtype
        scalar = ctypes.c_double if dtype is float64 else ctypes.c_float
        self.one, self.zero = scalar(1), scalar(0)
        a, b = _leading(spec.a, spec.m, spec.k), _leading(spec.b, spec.k, spec.n)
        assert a is not None and b is not None
        self.batch = prod(spec.batch)
        self.spec, self.kind, self.compute = spec, CUDA_TYPES[dtype], COMPUTE_TYPES[dtype]
        # cuBLAS counts columns first: what it is told is the transpose of the product, b before a
        self.transpose_a, self.lead_a = a
        self.transpose_b, self.lead_b = b
        self.stride_a = _batch_stride(spec, spec.a) or 0
        self.stride_b = _batch_stride(spec, spec.b) or 0

    def __call__(self, a: int, b: int, out: int, device: int, stream: int) -> None:
        spec, size, pointer, long = self.spec, self.spec.a.pointer.dtype.itemsize, ctypes.c_void_p, ctypes.c_longlong
        a, b = a + spec.a.offset * size, b + spec.b.offset * size
        handle = _handle(device, stream)
        head = (handle, int(self.transpose_b), int(self.transpose_a), spec.n, spec.m, spec.k, ctypes.byref(self.one))
        tail = (self.compute, DEFAULT_ALGORITHM)
        if self.batch == 1:
            code = _library().cublasGemmEx(
                *head, pointer(b), self.kind, self.lead_b, pointer(a), self.kind, self.lead_a,
                ctypes.byref(self.zero), pointer(out), self.kind, spec.n, *tail,
            )  # fmt: skip
        else:
            code = _library().cublasGemmStridedBatchedEx(
                *head, pointer(b), self.kind, self.lead_b, long(self.stride_b),
                pointer(a), self.kind, self.lead_a, long(self.stride_a),
                ctypes.byref(self.zero), pointer(out), self.kind, spec.n, long(spec.m * spec.n), self.batch, *tail,
            )  # fmt: skip
        _check(code, f"product of {spec.m} x {spec.k} and {spec.k} x {spec.n}")


__all__ = ["Product", "refusal"]
