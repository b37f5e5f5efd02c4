"""GPUs as CuPy sees them: which target they are, the stream everything runs on, memory, host copies."""

from __future__ import annotations

import importlib
from collections import deque
from functools import cache, lru_cache
from typing import Any

import numpy as np

from lazygrad.device import Device, Target
from lazygrad.errors import OutOfMemoryError, show_line
from lazygrad.runtime.buffer import live_buffers
from lazygrad.shape import Shape


@lru_cache(maxsize=1)
def cupy() -> Any:
    return importlib.import_module("cupy")


@cache
def target_of(device: Device) -> Target:
    """What kernels for this device are generated for."""
    properties = cupy().cuda.runtime.getDeviceProperties(device.index)
    return Target(
        "triton",
        arch=properties["major"] * 10 + properties["minor"],
        multiprocessors=properties["multiProcessorCount"],
        shared_memory=properties["sharedMemPerBlockOptin"],
    )


@cache
def stream_of(device: Device) -> Any:
    """The stream that all of lazygrad's work on this device goes to, made CuPy's current one."""
    with cupy().cuda.Device(device.index):
        stream = cupy().cuda.Stream(non_blocking=False)
    stream.use()
    return stream


def allocate(shape: Shape, dtype: Any, device: Device) -> Any:
    """Uninitialized memory. OutOfMemoryError lists the largest live buffers and the lines that made them."""
    with cupy().cuda.Device(device.index):
        stream_of(device)
        try:
            return cupy().empty(shape, dtype)
        except cupy().cuda.memory.OutOfMemoryError as error:
            cupy().get_default_memory_pool().free_all_blocks()
            try:
                return cupy().empty(shape, dtype)
            except cupy().cuda.memory.OutOfMemoryError:
                raise OutOfMemoryError(out_of_memory_message(str(error), device)) from None


_arenas: dict[Device, Any] = {}


def arena_block(size: int, device: Device) -> Any:
    """The block for temporaries that all plans of a device share: they run one after the other on one stream. A
    plan that needs more gets a larger one, which the others move to at their next run."""
    block = _arenas.get(device)
    if block is None or block.size < size:
        _arenas.pop(device, None)
        block = _arenas[device] = allocate((size,), "uint8", device)
    return block


def out_of_memory_message(reason: str, device: Device) -> str:
    rows = [b for b in live_buffers() if b.device == device][:10]
    lines = [f"  {b.nbytes / 2**20:10.1f} MiB  {b.dtype.name}{list(b.shape)}  {show_line(b.where)}" for b in rows]
    return f"{device}: {reason}\nthe largest live buffers, and the lines that made them:\n" + "\n".join(lines)


_in_flight: deque[tuple[Any, Any]] = deque()


def upload(array: np.ndarray[Any, Any], device: Device) -> Any:
    """A host array on the device, copied through pinned memory without waiting for the device."""
    library = cupy()
    made = allocate(array.shape, array.dtype, device)
    if not array.nbytes:
        return made
    with library.cuda.Device(device.index):
        pinned = library.cuda.alloc_pinned_memory(array.nbytes)
        staged = np.frombuffer(pinned, np.uint8, array.nbytes)
        staged[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        stream = stream_of(device)
        made.data.copy_from_host_async(staged.ctypes.data, array.nbytes, stream)
        done = stream.record()
    _in_flight.append((done, pinned))  # pinned memory stays until the copy out of it is done
    while _in_flight and _in_flight[0][0].done:
        _in_flight.popleft()
    return made


def copy_into(target: Any, source: Any, device: Device) -> None:
    """Device to device, on the stream."""
    target.data.copy_from_device_async(source.data, source.nbytes, stream_of(device))


def device_name(device: Device) -> str:
    return str(cupy().cuda.runtime.getDeviceProperties(device.index)["name"].decode())


def upload_beside(array: np.ndarray[Any, Any]) -> Any:
    """A host array on the current device, through a stream of its own: also while another is being captured. What
    is in flight on that one may still write to memory that was given back, so it must be through before."""
    library = cupy()
    main = stream_of(Device("cuda", library.cuda.Device().id))
    if not main.is_capturing():  # else it was idle when the capture began
        main.synchronize()
    made = library.empty(array.shape, array.dtype)
    stream = library.cuda.Stream(non_blocking=True)
    made.data.copy_from_host_async(array.ctypes.data, array.nbytes, stream)
    stream.synchronize()
    return made
