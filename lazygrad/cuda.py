"""torch.cuda's questions about GPUs, answered through CuPy. Importing this touches no driver."""

from __future__ import annotations

from typing import Any

from lazygrad.device import device as parse_device
from lazygrad.runtime import array, gpu
from lazygrad.tensor import random
from lazygrad.tensor.core import flush


def is_available() -> bool:
    """Whether there is a GPU that lazygrad can use."""
    return array.cuda_device_count() > 0


def device_count() -> int:
    return array.cuda_device_count()


def current_device() -> int:
    return int(array.library("cuda").cuda.Device().id)


def synchronize(device: Any = None) -> None:
    """Compute every pending in-place update and wait until the device is done."""
    flush([])
    gpu.stream_of(parse_device("cuda" if device is None else device)).synchronize()


def get_device_name(device: Any = None) -> str:
    return gpu.device_name(parse_device("cuda" if device is None else device))


def get_device_capability(device: Any = None) -> tuple[int, int]:
    return divmod(gpu.target_of(parse_device("cuda" if device is None else device)).arch, 10)


def memory_allocated(device: Any = None) -> int:
    """Bytes in use from CuPy's pool."""
    return int(array.library("cuda").get_default_memory_pool().used_bytes())


def max_memory_allocated(device: Any = None) -> int:
    """Bytes the pool holds: an upper bound of what was in use."""
    return int(array.library("cuda").get_default_memory_pool().total_bytes())


def empty_cache() -> None:
    """Give memory that nothing uses back to the device."""
    if is_available():
        array.library("cuda").get_default_memory_pool().free_all_blocks()


def manual_seed(seed: int) -> None:
    random.manual_seed(seed)


manual_seed_all = manual_seed
