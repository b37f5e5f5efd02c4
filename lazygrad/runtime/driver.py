"""The CUDA driver, as far as launching needs it: takes machine code, returns functions to launch.

Through ctypes, because a prepared argument list can then be launched again for a few microseconds, and
tensor maps (Hopper's descriptors for bulk copies) can be passed by value. Memory and streams are CuPy's.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

from lazygrad.codegen.kernel import TensorMap

MAX_DYNAMIC_SHARED_SIZE_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
TENSOR_MAP_BYTES = 128
L2_PROMOTION_128B = 2
# Triton counts element types one further than CUDA from float64 on (it has no "float32 flushed to zero")
ELEMENT_TYPES = {8: 10, 9: 8, 10: 9}


@lru_cache(maxsize=1)
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")


def _check(code: int, what: str) -> None:
    if code:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(code, ctypes.byref(text))
        raise RuntimeError(f"{what}: CUDA error {code} ({(text.value or b'unknown').decode()})")


class Function:
    """A kernel on the current device."""

    def __init__(self, code: bytes, entry: str, shared: int, num_warps: int) -> None:
        self._module, self._handle = ctypes.c_void_p(), ctypes.c_void_p()
        self.entry, self.shared, self.threads = entry, shared, num_warps * 32
        _check(_driver().cuModuleLoadData(ctypes.byref(self._module), code), f"loading {entry}")
        _check(
            _driver().cuModuleGetFunction(ctypes.byref(self._handle), self._module, entry.encode()), f"finding {entry}"
        )
        if shared > 48 * 1024:
            _check(
                _driver().cuFuncSetAttribute(self._handle, MAX_DYNAMIC_SHARED_SIZE_BYTES, shared),
                f"giving {entry} {shared} bytes of shared memory",
            )

    def launch(self, grid: tuple[int, int, int], arguments: Any, stream: int) -> None:
        code = _driver().cuLaunchKernel(
            self._handle, *grid, self.threads, 1, 1, self.shared, ctypes.c_void_p(stream), arguments, None
        )
        _check(code, f"launching {self.entry} on grid {grid}")


class Arguments:
    """The parameter list of one launch, kept alive together: addresses and what tensor maps expand to."""

    def __init__(self, holders: list[Any], count: int) -> None:
        # Triton's scratch pointers come last; kernels without scratch ignore them
        self.holders = [*holders, *(ctypes.c_uint64(0) for _ in range(count - len(holders)))]
        self.pointers = (ctypes.c_void_p * len(self.holders))(*[ctypes.addressof(h) for h in self.holders])


def address_argument(address: int) -> list[Any]:
    return [ctypes.c_uint64(address)]


def tensor_map_arguments(parameter: TensorMap, meta: dict[str, Any], address: int) -> list[Any]:
    """A tensor map as Triton's kernels take it: the 128-byte CUtensorMap, the shape, the strides. `meta` is what
    the compiler chose: the box that one copy brings in, and its swizzle."""
    size = int(meta["elem_size"])
    raw = (ctypes.c_byte * (TENSOR_MAP_BYTES + 64))()
    aligned = (ctypes.c_byte * TENSOR_MAP_BYTES).from_buffer(raw, -ctypes.addressof(raw) % 64)
    rank = len(parameter.shape)
    dims = (ctypes.c_uint64 * rank)(*reversed(parameter.shape))
    pitches = (ctypes.c_uint64 * max(rank - 1, 1))(*[s * size for s in reversed(parameter.strides[:-1])])
    box = (ctypes.c_uint32 * rank)(*reversed(meta["block_size"]))
    steps = (ctypes.c_uint32 * rank)(*[1] * rank)
    kind = int(meta["elem_type"])
    code = _driver().cuTensorMapEncodeTiled(
        aligned, ELEMENT_TYPES.get(kind, kind), rank, ctypes.c_void_p(address + parameter.offset * size),
        dims, pitches, box, steps, 0, int(meta["swizzle"]), L2_PROMOTION_128B, 0,
    )  # fmt: skip
    _check(code, f"describing {parameter.name} for bulk copies")
    shape = [ctypes.c_uint32(n) for n in parameter.shape]
    strides = [ctypes.c_uint64(n) for n in parameter.strides]
    return [aligned, *shape, *strides]
