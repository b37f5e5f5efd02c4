"""Op by op on NumPy or CuPy: takes a node and the arrays of its sources, returns its array.

The plain path (law 5): fallback, oracle and checker. Views are views; half precisions are computed in
float32 and rounded once per op, which is also what the generated kernels do.
"""

from __future__ import annotations

import importlib
import math
from functools import cache
from typing import Any

import numpy as np

from lazygrad.device import Device
from lazygrad.dtype import DType, bfloat16, int64
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.runtime import gpu


@cache
def library(device_type: str) -> Any:
    """NumPy for "cpu", CuPy for "cuda". RuntimeError, saying what to install, where there is no GPU."""
    if device_type == "cpu":
        return np
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise RuntimeError(f"device 'cuda' needs CuPy: pip install 'lazygrad[cuda]' ({error})") from None
    if not cuda_device_count():
        raise RuntimeError("device 'cuda': no CUDA device was found; use device='cpu'")
    return cupy


@cache
def cuda_device_count() -> int:
    """How many GPUs CuPy sees; 0 without CuPy or driver."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return 0
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


def empty(shape: tuple[int, ...], dtype: DType, device: Device) -> Any:
    if device.type == "cuda":
        return gpu.allocate(shape, dtype.numpy, device)
    return np.empty(shape, dtype.numpy)


def upload(array: np.ndarray[Any, Any], device: Device) -> Any:
    """A host array as a contiguous array of its own on the device."""
    if device.type == "cuda":
        library("cuda")
        return gpu.upload(array, device)
    return np.array(array, order="C", copy=True)


def finish(device: Device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        gpu.stream_of(device).synchronize()


def download(array: Any) -> np.ndarray[Any, Any]:
    """The array on the host."""
    return array if isinstance(array, np.ndarray) else array.get()


def evaluate(node: Node, sources: list[Any]) -> Any:
    """The array of `node`, given those of its sources."""
    op = node.op
    if op is ops.COPY:
        return _transfer(sources[0], node.arg)
    xp = library(node.device.type)
    if op is ops.CONST:
        return xp.asarray(node.arg, dtype=node.dtype.numpy)
    if op is ops.IOTA:
        return xp.arange(node.arg, dtype=int64.numpy)
    assert op.ref is not None, op
    if op.kind is Kind.MOVEMENT or op.kind is Kind.MARKER or op.kind is Kind.INDEXED:
        return op.ref(xp, node.arg, *sources)
    with np.errstate(all="ignore"):
        if op is ops.CAST or op is ops.BITCAST:
            return xp.asarray(op.ref(xp, node.arg, sources[0]))
        wide = [_widen(s, n.dtype) for s, n in zip(sources, node.src, strict=True)]
        if op is ops.DOT:
            return _product(xp, node, sources, wide)
        result = xp.asarray(op.ref(xp, node.arg, *wide))  # NumPy makes scalars of 0-d arrays
    if result.dtype != node.dtype.numpy:
        result = result.astype(node.dtype.numpy)
    return result


def _widen(array: Any, dtype: DType) -> Any:
    return array if dtype.compute is dtype else array.astype(dtype.compute.numpy)


def _product(xp: Any, node: Node, sources: list[Any], wide: list[Any]) -> Any:
    if xp is not np:
        unknown = node.dtype is bfloat16 and node.ndim > 2  # CuPy multiplies no batches of it
        return xp.matmul(*wide).astype(node.dtype.numpy) if unknown else xp.matmul(*sources)
    if math.prod(node.shape) == 0 or node.src[0].shape[-1] == 0:
        return np.zeros(node.shape, node.dtype.numpy)
    result = np.matmul(*wide)
    return result if result.dtype == node.dtype.numpy else result.astype(node.dtype.numpy)


def _transfer(array: Any, device: Device) -> Any:
    host = download(array)
    return upload(host, device)
