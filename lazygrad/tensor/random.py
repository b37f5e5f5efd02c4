"""Random numbers: a Generator holds a seed and a counter as tensors, so a replayed plan draws new numbers.

Element i of a draw is Philox-4x32-10 of (seed, counter + i): the same bits on every backend.
"""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU, Device, device
from lazygrad.dtype import DType, float16, float64, int64, uint8
from lazygrad.errors import at_user_line
from lazygrad.ir import attention, build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.runtime.array import upload
from lazygrad.runtime.buffer import Buffer
from lazygrad.shape import Shape
from lazygrad.tensor.core import Cell, flush, known, wrap
from lazygrad.tensor.examples import open_vmaps

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


DEFAULT_SEED = 67280421310721  # torch's


def _number(value: int, where: Device) -> Node:
    array = upload(np.asarray(value & (2**64 - 1), np.uint64).view(np.int64), where)
    return build.buffer(Buffer(array, int64, (), where), int64, (), where)


class Generator:
    """torch.Generator: a stream of random numbers on one device."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = _device(device)
        self._seed_value = DEFAULT_SEED
        self._seed = Cell(_number(self._seed_value, self.device))
        self._counter = Cell(_number(0, self.device))

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to `seed`. Returns self."""
        self._seed_value = int(seed)
        self._seed = Cell(_number(self._seed_value, self.device))
        self._counter = Cell(_number(0, self.device))
        return self

    def seed(self) -> int:
        """Start a stream nobody can predict; returns its seed."""
        return self.manual_seed(fresh_seed())._seed_value

    def initial_seed(self) -> int:
        return self._seed_value

    def draw(self, count: int) -> tuple[Node, Node]:
        """(seed, first counter) of `count` fresh counters, which are used up by this call."""
        before = counter = self._counter.read()
        for examples in reversed(open_vmaps()):
            if examples.randomness == "error":
                raise RuntimeError(
                    at_user_line(
                        "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                        "'different' randomness flags on vmap or perform the randomness operation out of vmap"
                    )
                )
            if examples.randomness == "different":
                counter = build.add(counter, build.scale(build.copy(examples.index, self.device), count))
                count *= examples.size
        self._counter.write(build.shift(before, count))
        return self._seed.read(), counter

    def clone_state(self) -> Generator:
        """A generator of its own at the same place of the same stream."""
        twin = Generator(self.device)
        twin.set_state(self.get_state())
        return twin

    def get_state(self) -> Tensor:
        """uint8 tensor of 16 bytes: seed and counter."""
        flush([self._counter.node])
        counter = known(self._counter.node)
        assert counter is not None
        words = np.array([self._seed_value & (2**64 - 1), int(counter.read())], np.uint64)
        return wrap(build.buffer(Buffer(words.view(np.uint8), uint8, (16,), CPU), uint8, (16,), CPU))

    def set_state(self, state: Tensor) -> Generator:
        """Continue where get_state() was called. Returns self."""
        seed, counter = np.ascontiguousarray(state.numpy()).view(np.uint64)
        self.manual_seed(int(seed))
        self._counter = Cell(_number(int(counter), self.device))
        return self


def _device(spec: Any) -> Device:
    return device(spec)


_generators: dict[Device, Generator] = {}
_seeds = dict.fromkeys(("cpu", "cuda"), DEFAULT_SEED)  # what generators that don't exist yet will start from


def default_generator(where: Device = CPU) -> Generator:
    """The generator that functions without generator= draw from, one a device."""
    if where not in _generators:
        _generators[where] = Generator(where).manual_seed(_seeds[where.type])
    return _generators[where]


def manual_seed(seed: int) -> Generator:
    """Seed the generators of all devices; returns the CPU's."""
    for device_type in _seeds:
        seed_devices(device_type, seed)
    return default_generator(CPU)


def seed_devices(device_type: str, seed: int) -> None:
    """Seed the generators of all devices of one type."""
    _seeds[device_type] = int(seed)
    for where, generator in _generators.items():
        if where.type == device_type:
            generator.manual_seed(seed)


def fresh_seed() -> int:
    """A seed that nobody can predict."""
    return secrets.randbits(63)


def seed() -> int:
    """Seed the generators of all devices unpredictably; returns the seed."""
    number = fresh_seed()
    manual_seed(number)
    return number


def initial_seed() -> int:
    """The seed that the CPU's stream started from."""
    return default_generator(CPU).initial_seed()


def get_rng_state() -> Tensor:
    """The CPU generator's state."""
    return default_generator(CPU).get_state()


def set_rng_state(state: Tensor) -> None:
    default_generator(CPU).set_state(state)


def counters(shape: Shape, generator: Generator, draws: int = 1) -> tuple[Node, list[Node]]:
    """(seed, `draws` nodes of fresh int64 counters of this shape)."""
    n = math.prod(shape)
    seed, first = generator.draw(n * draws)
    linear = build.reshape(build.iota(n, generator.device), shape)
    return seed, [build.add(linear, build.shift(first, n * i) if i else first) for i in range(draws)]


def uniform(shape: Shape, dtype: DType, generator: Generator) -> Node:
    """[0, 1): 24 random bits, 53 for float64. NotImplementedError for dtypes that aren't floating point."""
    if not dtype.is_floating_point:
        raise NotImplementedError(at_user_line(f"random numbers are not implemented for '{dtype.name}'; see randint()"))
    if dtype is float64:
        seed, (high, low) = counters(shape, generator, 2)
        wide = [build.cast(_top_bits(build.philox(seed, c), bits), float64) for c, bits in ((high, 27), (low, 26))]
        return build.scale(build.add(build.scale(wide[0], 2.0**26), wide[1]), 2.0**-53)
    seed, (counter,) = counters(shape, generator)
    u = attention.uniform(seed, counter)
    if dtype.itemsize < 4:  # rounding to a half could reach 1: keep the bits that it can hold
        bits = 11 if dtype is float16 else 8
        steps = build.pointwise(ops.FLOOR, build.scale(u, 2.0**bits))
        u = build.scale(steps, 2.0**-bits)
    return build.cast(u, dtype)


def _top_bits(word: Node, bits: int) -> Node:
    shifted = build.pointwise(ops.SHR, word, build.like(word, 32 - bits))
    return build.pointwise(ops.AND, shifted, build.like(word, (1 << bits) - 1))


def normal(shape: Shape, dtype: DType, generator: Generator) -> Node:
    """Standard normal by Box and Muller (1958): sqrt(-2 log u) cos(2 pi v)."""
    wide = dtype.compute
    u, v = uniform(shape, wide, generator), uniform(shape, wide, generator)
    radius = build.pointwise(ops.SQRT, build.scale(build.pointwise(ops.LOG, build.sub(build.like(u, 1), u)), -2))
    return build.cast(build.mul(radius, build.pointwise(ops.COS, build.scale(v, 2 * math.pi))), dtype)
