"""torch.cuda's questions about GPUs, answered through CuPy. Importing this touches no driver.

lazygrad sends all of a device's work to one stream of its own, so streams are not offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lazygrad.cuda import amp
from lazygrad.device import Device
from lazygrad.device import device as parse_device
from lazygrad.errors import OutOfMemoryError, at_user_line
from lazygrad.runtime import array, gpu
from lazygrad.tensor import Tensor, random
from lazygrad.tensor.core import flush


# -- which devices there are ---------------------------------------------------------------------------
def is_available() -> bool:
    """Whether there is a GPU that lazygrad can use."""
    return array.cuda_device_count() > 0


def device_count() -> int:
    return array.cuda_device_count()


def init() -> None:
    """Nothing: the driver is initialized by the first computation."""


def is_initialized() -> bool:
    return is_available()


def current_device() -> int:
    """The index of the device that "cuda" means: always the first."""
    array.library("cuda")
    return 0


def set_device(device: Any) -> None:
    """What "cuda" means: the first device, and NotImplementedError for another. Name "cuda:1" where it is meant."""
    chosen = _cuda(device)
    if chosen.index != 0:
        raise NotImplementedError(
            at_user_line(f"set_device({chosen}): 'cuda' always means 'cuda:0'; name the device where tensors are made")
        )


def _cuda(device: Any) -> Device:
    found = parse_device("cuda" if device is None else device)
    if found.type != "cuda":
        raise ValueError(at_user_line(f"Expected a cuda device, but got: {found}"))
    return found


# -- about one device ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class DeviceProperties:
    """torch's get_device_properties: what a GPU is."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: Any = None) -> DeviceProperties:
    place = _cuda(device)
    found = array.library("cuda").cuda.runtime.getDeviceProperties(place.index)
    return DeviceProperties(
        gpu.device_name(place), found["major"], found["minor"], found["totalGlobalMem"], found["multiProcessorCount"]
    )


def get_device_name(device: Any = None) -> str:
    array.library("cuda")
    return gpu.device_name(_cuda(device))


def get_device_capability(device: Any = None) -> tuple[int, int]:
    array.library("cuda")
    return divmod(gpu.target_of(_cuda(device)).arch, 10)


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes with bfloat16: from Ampere on."""
    return is_available() and get_device_capability()[0] >= 8


def synchronize(device: Any = None) -> None:
    """Compute every pending in-place update and wait until the device is done."""
    flush([])
    array.library("cuda")
    gpu.stream_of(_cuda(device)).synchronize()


# -- memory ----------------------------------------------------------------------------------------------
def memory_allocated(device: Any = None) -> int:
    """Bytes in use from CuPy's pool; 0 without a GPU."""
    return int(array.library("cuda").get_default_memory_pool().used_bytes()) if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """Bytes the pool holds: an upper bound of what was in use."""
    return memory_reserved(device)


def memory_reserved(device: Any = None) -> int:
    """Bytes the pool holds, in use or not; 0 without a GPU."""
    return int(array.library("cuda").get_default_memory_pool().total_bytes()) if is_available() else 0


max_memory_reserved = memory_reserved


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let max_memory_allocated() start anew: gives back what nothing uses."""
    empty_cache()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the device."""
    library = array.library("cuda")
    with library.cuda.Device(_cuda(device).index):
        free, total = library.cuda.runtime.memGetInfo()
    return int(free), int(total)


def empty_cache() -> None:
    """Give memory that nothing uses back to the device."""
    if is_available():
        array.library("cuda").get_default_memory_pool().free_all_blocks()


def ipc_collect() -> None:
    """Nothing: no memory is shared with other processes."""


# -- random numbers -----------------------------------------------------------------------------------
def manual_seed(seed: int) -> None:
    """Seed the generators of the GPUs; those of the CPU stay."""
    random.seed_devices("cuda", seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Seed the generators of the GPUs unpredictably."""
    random.seed_devices("cuda", random.fresh_seed())


seed_all = seed


def initial_seed() -> int:
    return random.default_generator(_cuda(None)).initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a GPU's generator."""
    return random.default_generator(_cuda(device)).get_state()


def get_rng_state_all() -> list[Tensor]:
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    random.default_generator(_cuda(device)).set_state(new_state)


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
