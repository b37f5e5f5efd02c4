"""Random order on the host: takes a generator of lazygrad's, returns numbers that follow from its state."""

from __future__ import annotations

import numpy as np

from lazygrad.dtype import int64
from lazygrad.ir import build
from lazygrad.tensor.core import wrap
from lazygrad.tensor.random import Generator, default_generator


def fresh_seed(generator: Generator | None = None) -> int:
    """A seed drawn from the generator, which moves on."""
    seed, counter = (generator or default_generator()).draw(1)
    return int(wrap(build.cast(build.philox(seed, counter), int64)).item()) & 0xFFFFFFFF


def host_generator(generator: Generator | None = None) -> np.random.Generator:
    return np.random.default_rng(fresh_seed(generator))


def permutation(n: int, generator: Generator | None = None) -> list[int]:
    """0 ... n-1 in random order."""
    order: list[int] = host_generator(generator).permutation(n).tolist()
    return order
