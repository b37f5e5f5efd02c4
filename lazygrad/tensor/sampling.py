"""Random numbers of every kind, drawn lazily on the device that holds the result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.device import Device
from lazygrad.dtype import DType, bool_, float32, float64, int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import Shape
from lazygrad.tensor import random
from lazygrad.tensor.arguments import check_tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import made, placed, shape_of
from lazygrad.tensor.keywords import factory
from lazygrad.tensor.promote import get_default_dtype, is_scalar, node_of
from lazygrad.tensor.random import Generator
from lazygrad.tensor.search import bisect
from lazygrad.tensor.sort import order_of
from lazygrad.tensor.values import largest

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


class Sampling(TensorBase):
    __slots__ = ()

    # -- in place
    def normal_(self, mean: float = 0, std: float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with draws from a normal distribution. Returns self."""
        return self._filled(_normal(self.node.shape, _float(self, "normal_"), _of(self, generator), mean, std))

    def uniform_(self, from_: float = 0, to: float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with draws from [from_, to). Returns self."""
        if from_ > to:
            raise RuntimeError(
                at_user_line(f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}")
            )
        u = random.uniform(self.node.shape, _float(self, "uniform_"), _of(self, generator))
        return self._filled(build.shift(build.scale(u, to - from_), from_))

    def exponential_(self, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with draws from an exponential distribution. Returns self."""
        if lambd <= 0:
            raise RuntimeError(at_user_line(f"exponential_ expects lambda > 0.0, but found lambda={lambd}"))
        dtype = _float(self, "exponential_")
        return self._filled(
            build.cast(build.scale(_exponential(self.node.shape, dtype, _of(self, generator)), 1 / lambd), dtype)
        )

    def bernoulli_(self, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Fill with 1 with probability p (a number or a tensor), else 0. Returns self."""
        if is_scalar(p) and not 0 <= p <= 1:
            raise RuntimeError(at_user_line(f"bernoulli_ expects p to be in [0, 1], but got p={p}"))
        wide = self.dtype if self.dtype is float64 else float32
        probability = build.expand(node_of(p, wide, self.device), self.node.shape)
        drawn = random.uniform(self.node.shape, wide, _of(self, generator))
        return self._filled(build.cast(build.less(drawn, probability), self.dtype))

    def cauchy_(self, median: float = 0, sigma: float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with draws from a Cauchy distribution. Returns self."""
        u = random.uniform(self.node.shape, _float(self, "cauchy_"), _of(self, generator))
        slope = build.pointwise(ops.TAN, build.scale(build.shift(u, -0.5), math.pi))
        return self._filled(build.shift(build.scale(slope, sigma), median))

    def log_normal_(self, mean: float = 1, std: float = 2, *, generator: Generator | None = None) -> Tensor:
        """Fill with exp of draws from a normal distribution. Returns self."""
        drawn = _normal(self.node.shape, _float(self, "log_normal_"), _of(self, generator), mean, std)
        return self._filled(build.pointwise(ops.EXP, drawn))

    def geometric_(self, p: float, *, generator: Generator | None = None) -> Tensor:
        """Fill with how many trials of probability p it takes to succeed. Returns self."""
        if not 0 < p < 1:
            raise RuntimeError(at_user_line(f"geometric_ expects p to be in (0, 1), but got p={p}"))
        waiting = build.scale(_exponential(self.node.shape, float32, _of(self, generator)), -1 / math.log1p(-p))
        return self._filled(build.cast(build.pointwise(ops.CEIL, waiting), self.dtype))

    def random_(self, from_: int = 0, to: int | None = None, *, generator: Generator | None = None) -> Tensor:
        """Fill with whole numbers from [from_, to), or all that the dtype holds. Returns self."""
        most = _largest(self.dtype)
        low, high = (from_, to) if to is not None else (0, from_ if from_ else most + 1)
        if not self.dtype.is_floating_point and high - 1 > most:
            raise RuntimeError(at_user_line(f"random_: to - 1 = {high - 1} is out of bounds for {self.dtype.name}"))
        return self._filled(build.cast(_integers(self.node.shape, low, high, _of(self, generator)), self.dtype))

    def _filled(self, node: Node) -> Tensor:
        return self._write(build.cast(node, self.dtype))

    # -- drawn from this tensor's values
    def bernoulli(self, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
        """1 with the probability that each element says (or p), else 0."""
        if p is not None:
            return self.clone().bernoulli_(p, generator=generator)
        node = self.node
        _float(self, "bernoulli")
        wide = build.cast(build.detach(node), node.dtype.compute)
        drawn = random.uniform(node.shape, wide.dtype, _of(self, generator))
        return wrap(build.cast(build.less(drawn, wide), node.dtype))

    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
        """Indices drawn from the last dimension's weights, which need not sum to 1. Nothing is computed now.

        The first of exponential clocks that run at the rates of the weights: argmax(w / E), E ~ Exp(1).
        """
        node = build.detach(self.node)
        if node.ndim not in (1, 2):
            raise RuntimeError(at_user_line("prob_dist must be 1 or 2 dim"))
        if not node.dtype.is_floating_point:
            raise RuntimeError(
                at_user_line(f"multinomial only supports floating-point dtypes for input, got: {node.dtype.name}")
            )
        if num_samples <= 0:
            raise RuntimeError(at_user_line("cannot sample n_sample <= 0 samples"))
        size = node.shape[-1]
        if not replacement and num_samples > size:
            raise RuntimeError(at_user_line("cannot sample n_sample > prob_dist.size(-1) samples without replacement"))
        weights, source = build.cast(node, node.dtype.compute), _of(self, generator)
        if replacement and num_samples > 1:
            return wrap(_by_inverse(weights, num_samples, source))
        clocks = build.div(weights, _exponential(node.shape, weights.dtype, source))
        axis = node.ndim - 1
        if num_samples == 1:
            return wrap(build.reduce(ops.ARGMAX, clocks, (axis,)))
        order = order_of(clocks, axis, descending=True)
        return wrap(build.slice_(order, [*((0, n, 1) for n in order.shape[:-1]), (0, num_samples, 1)]))


# -- Nodes --------------------------------------------------------------------------------------------
def _of(tensor: TensorBase, generator: Generator | None) -> Generator:
    return generator or random.default_generator(tensor.device)


def _float(tensor: TensorBase, name: str) -> DType:
    if not tensor.dtype.is_floating_point:
        raise NotImplementedError(at_user_line(f"\"{name}\" not implemented for '{tensor.dtype.name}'"))
    return tensor.dtype


def _normal(shape: Shape, dtype: DType, source: Generator, mean: Any, std: Any) -> Node:
    if std < 0:
        raise RuntimeError(at_user_line(f"normal expects std >= 0.0, but found std {std}"))
    node = random.normal(shape, dtype, source)
    node = node if std == 1 else build.scale(node, std)
    return node if mean == 0 else build.shift(node, mean)


def _exponential(shape: Shape, dtype: DType, source: Generator) -> Node:
    """Draws of rate 1, never 0: -log(1 - u), at least the spacing of u."""
    u = random.uniform(shape, dtype.compute, source)
    waiting = build.neg(build.pointwise(ops.LOG, build.sub(build.like(u, 1), u)))
    return build.pointwise(ops.MAXIMUM, waiting, build.like(waiting, 2.0**-25))


def _by_inverse(weights: Node, count: int, source: Generator) -> Node:
    """Independent draws: where u * total falls in the cumulative weights."""
    axis = weights.ndim - 1
    reached = build.scan(ops.CUMSUM, weights, axis)
    total = build.slice_(
        reached, [*((0, n, 1) for n in reached.shape[:-1]), (weights.shape[-1] - 1, weights.shape[-1], 1)]
    )
    u = random.uniform((*weights.shape[:-1], count), weights.dtype, source)
    found = bisect(reached, build.mul(u, total), after=True)
    return build.pointwise(ops.MINIMUM, found, build.like(found, weights.shape[-1] - 1))


def _word(source: Generator, shape: Shape) -> Node:
    """32 random bits as an int64 in [0, 2^32)."""
    seed, (counter,) = random.counters(shape, source)
    word = build.cast(build.philox(seed, counter), int64)
    return build.pointwise(ops.AND, word, build.like(word, 0xFFFFFFFF))


def _integers(shape: Shape, low: int, high: int, source: Generator) -> Node:
    """Uniform int64 in [low, high): 64 bits modulo the range where it is wider than 32 bits."""
    span = high - low
    bits = _word(source, shape)
    if span > 1 << 32:
        top = build.pointwise(ops.AND, _word(source, shape), build.like(bits, 0x7FFFFFFF))
        bits = build.pointwise(ops.OR, build.pointwise(ops.SHL, top, build.like(top, 32)), bits)
    if span < 1 << 63:
        bits = build.pointwise(ops.REMAINDER, bits, build.like(bits, span))
    return build.shift(bits, low) if low else bits


def _largest(dtype: DType) -> int:
    """The greatest whole number that random_() draws for a dtype."""
    if dtype.is_floating_point:
        return 1 << {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}[dtype.name]
    return 1 if dtype is bool_ else (1 << (8 * dtype.itemsize - dtype.signed)) - 1


# -- functions ----------------------------------------------------------------------------------------
@factory
def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Whole numbers from [low, high); randint(high, size) starts at 0. int64 unless dtype is given."""
    if size is None:
        low, high, size = 0, low, high
    if size is None:
        raise TypeError(at_user_line("randint(): missing argument 'size'"))
    bottom, top = int(low.__index__()), int(high.__index__())
    if bottom >= top:
        raise RuntimeError(
            at_user_line(f"random_ expects 'from' to be less than 'to', but got from={bottom} >= to={top}")
        )
    source = generator or random.default_generator(placed(device))
    return made(build.cast(_integers(shape_of((size,)), bottom, top, source), dtype or int64), requires_grad)


@factory
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """0 .. n-1 in random order: the order that sorts random keys."""
    if n < 0:
        raise RuntimeError(at_user_line(f"n must be non-negative, got {n}"))
    source = generator or random.default_generator(placed(device))
    high = build.pointwise(ops.AND, _word(source, (n,)), build.const(0x7FFFFFFF, int64, source.device))
    keys = build.pointwise(ops.OR, build.pointwise(ops.SHL, high, build.like(high, 32)), _word(source, (n,)))
    return made(build.cast(order_of(keys, 0, False), dtype or int64), requires_grad)


@factory
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draws from normal distributions: mean and std are tensors, or numbers with a size."""
    given = [t for t in (mean, std) if isinstance(t, TensorBase)]
    if not given:
        if size is None:
            raise TypeError(at_user_line("normal(): mean and std are numbers, so size must be given"))
        source = generator or random.default_generator(placed(device))
        return made(_normal(shape_of((size,)), dtype or get_default_dtype(), source, mean, std), requires_grad)
    template = given[0] if len(given) == 1 else given[0].mul(given[1])
    source = generator or random.default_generator(template.device)
    drawn = wrap(random.normal(template.node.shape, template.dtype, source))
    return drawn.mul(std).add(mean)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element says, else 0."""
    check_tensor(input, "bernoulli", "input")
    return input.bernoulli(p, generator=generator)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Draws from Poisson distributions with these rates, by inversion: how many of up to `limit` cumulative
    probabilities a uniform draw exceeds. Computes the largest rate now."""
    check_tensor(input, "poisson", "input")
    rate = build.detach(build.cast(input.node, input.dtype.compute))
    top = largest(input, "poisson") if input.numel() else 0.0
    if top < 0:
        raise RuntimeError(at_user_line(f"invalid Poisson rate, expected rate to be non-negative, got {top}"))
    limit = int(top + 12 * math.sqrt(top) + 12)
    k = build.cast(build.iota(limit, input.device), rate.dtype)
    lines = build.reshape(rate, (*rate.shape, 1))
    log_rate = build.pointwise(ops.LOG, build.pointwise(ops.MAXIMUM, lines, build.like(lines, 1e-30)))
    factorial = build.pointwise(ops.LGAMMA, build.shift(k, 1))
    density = build.pointwise(ops.EXP, build.sub(build.sub(build.mul(log_rate, k), lines), factorial))
    reached = build.scan(ops.CUMSUM, density, density.ndim - 1)
    u = random.uniform(rate.shape, rate.dtype, generator or random.default_generator(input.device))
    passed = build.less(reached, build.reshape(u, (*u.shape, 1)))
    count = build.reduce(ops.SUM, build.cast(passed, int64), (reached.ndim - 1,), keepdim=False)
    return wrap(build.cast(count, input.dtype))


def like_device(device: Any, template: TensorBase) -> Device:
    return template.device if device is None else placed(device)


@factory
def rand_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on [0, 1) in the shape of `input`."""
    source = generator or random.default_generator(like_device(device, input))
    return made(random.uniform(input.node.shape, dtype or input.dtype, source), requires_grad)


@factory
def randn_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Standard normal in the shape of `input`."""
    source = generator or random.default_generator(like_device(device, input))
    return made(random.normal(input.node.shape, dtype or input.dtype, source), requires_grad)


@factory
def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Whole numbers from [low, high) in the shape of `input`."""
    bottom, top = (0, low) if high is None else (low, high)
    source = random.default_generator(like_device(device, input))
    return made(build.cast(_integers(input.node.shape, bottom, top, source), dtype or input.dtype), requires_grad)


__all__ = [
    "Sampling",
    "bernoulli",
    "normal",
    "poisson",
    "rand_like",
    "randint",
    "randint_like",
    "randn_like",
    "randperm",
]
