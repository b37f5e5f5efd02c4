"""torch.random: the generators that functions without generator= draw from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lazygrad.device import CPU, Device
from lazygrad.runtime.array import cuda_device_count
from lazygrad.tensor.random import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from lazygrad.tensor.random import default_generator as generator_of

default_generator = generator_of(CPU)


@contextmanager
def fork_rng(devices: Iterable[int] | None = None, enabled: bool = True) -> Iterator[None]:
    """What is drawn or seeded inside a `with` block leaves the generators as they were: the CPU's and those of
    `devices` (all GPUs unless given)."""
    if not enabled:
        yield
        return
    indices = range(cuda_device_count()) if devices is None else devices
    generators = [default_generator, *(generator_of(Device("cuda", i)) for i in indices)]
    before = [g.get_state() for g in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]
