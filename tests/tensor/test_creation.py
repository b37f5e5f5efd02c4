"""Creation, conversion, printing and random draws against torch."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import ALL, bad, case, check, check_error, within

SAME_AS_DEFAULT = {"device": "cpu", "requires_grad": False, "pin_memory": False}


def hints(T):
    """What factories take and what changes nothing."""
    return {**SAME_AS_DEFAULT, "layout": T.strided}


LISTS = {
    "scalars": lambda T: [T.tensor(1.0), T.tensor(2)],
    "single": lambda T: [[T.tensor([1.0])]],
    "int tensors": lambda T: [T.tensor(1), T.tensor(2)],
    "half and int": lambda T: [T.tensor(2.5, dtype=T.float16), 1],
    "half and float": lambda T: [T.tensor(2.5, dtype=T.float16), 1.5],
    "double": lambda T: [T.tensor(2.5, dtype=T.float64)],
    "bools": lambda T: [T.tensor(True), False],
    "arrays": lambda T: [np.array([1.0, 2.0]), np.array([3.0, 4.0], dtype=np.float32)],
    "array and list": lambda T: [np.zeros(2, np.float16), [1, 2]],
    "int8 array": lambda T: [np.array([1, 2], dtype=np.int8)],
    "numpy numbers": lambda T: [np.float32(1), 1],
    "numpy doubles": lambda T: [1.5, np.float64(1)],
    "numpy ints": lambda T: [np.int32(1), 2],
    "numpy int32": lambda T: [np.int32(1)],
    "range": lambda T: range(3),
    "ranges": lambda T: [range(2), (3, 4)],
    "mixed": lambda T: [True, 2, 3.5],
    "empty": lambda T: [[], []],
    "large": lambda T: [2**40],
}

CASES = [
    *(case(f"list-{name}", lambda T, make=make: (T.tensor(make(T)), T.as_tensor(make(T)), T.asarray(make(T))), gradient=False) for name, make in LISTS.items()),
    case("hints", lambda T: (T.zeros(2, **hints(T)), T.ones((2, 3), **hints(T)), T.full((2,), 3, **hints(T)), T.arange(3, **hints(T)), T.linspace(0, 1, 3, **hints(T)), T.logspace(0, 1, 3, **hints(T)), T.eye(2, **hints(T)), T.tensor([1], pin_memory=False), T.empty(0, memory_format=T.contiguous_format, **hints(T)), T.hann_window(4, layout=T.strided, pin_memory=False)), gradient=False),
    case("hints-random", lambda T: (T.rand(2, **hints(T)), T.randn((2,), **hints(T)), T.randint(3, (2,), **hints(T)), T.randperm(3, **hints(T)), T.normal(0.0, 1.0, (2,), **hints(T))), gradient=False, values=False),
    case("hints-like", lambda T, x: (T.zeros_like(x, memory_format=T.preserve_format, **hints(T)), T.ones_like(x, memory_format=T.contiguous_format), T.full_like(x, 2, **hints(T)), x.new_zeros(2, **hints(T)), x.new_ones((1,), **hints(T)), x.new_full((2,), 3, **hints(T)), x.new_tensor([1], pin_memory=False)), (2, 3), dtypes=ALL, gradient=False),
    case("channels_last", lambda T, x: (x.to(memory_format=T.channels_last), x.contiguous(memory_format=T.channels_last), x.clone(memory_format=T.channels_last), T.zeros_like(x, memory_format=T.channels_last), x.double(memory_format=T.preserve_format)), (2, 3, 4, 5), gradient=False),
    case("arange-forms", lambda T: (T.arange(end=3), T.arange(start=1, end=4), T.arange(2.5, dtype=T.int64), T.arange(0.5, 3.7, dtype=T.int32), T.arange(T.tensor(3)), T.arange(1, 2, T.tensor(0.5)), T.arange(np.int64(3))), gradient=False),
    case("strided", lambda T: (T.empty_strided((2, 3), (1, 2)).zero_(), T.empty_strided((2, 3), (1, 2)).stride(), T.empty_permuted((2, 3, 4), (2, 0, 1)).stride(), T.ones(1).new_empty_strided((2, 2), (1, 2), dtype=T.int32).fill_(3), T.empty_strided((0, 2), (2, 1)).shape[1], T.empty_strided((), ()).fill_(1)), gradient=False),
    case("asarray", lambda T, x: (T.asarray(x), T.asarray(x, dtype=T.float64), T.asarray(x, copy=True), T.asarray(x, copy=False), T.asarray(np.arange(3), copy=False), T.asarray(3.5), T.asarray([1.0], requires_grad=True).requires_grad, T.asarray(x.clone().requires_grad_()).requires_grad), (2,), gradient=False, host=True),
    case("certain draws", lambda T: (T.bernoulli(T.ones(3)), T.bernoulli(T.zeros(3), p=1.0), T.zeros(3).bernoulli_(T.ones(3)), T.normal(T.ones(2), T.zeros(2)), T.normal(2.0, T.zeros(3)), T.normal(T.ones(2), 0.0), T.poisson(T.zeros(3)), T.binomial(T.tensor([3.0]), T.tensor([1.0])), T.multinomial(T.tensor([[0.0, 1.0], [1.0, 0.0]]), 3, replacement=True), T.multinomial(T.tensor([0.0, 1.0]), 1), T.randint(high=1, size=(2,)), T.randint(4, 5, (2,)), T.zeros(2).uniform_(3, 3), T.zeros(2).random_(4, 5), T.randperm(4).sort()[0]), gradient=False),
    case("drawn from a generator", lambda T: [f(T.Generator().manual_seed(3)) for f in (
        lambda g: T.rand(2, generator=g), lambda g: T.randn(2, generator=g), lambda g: T.randint(5, (2,), generator=g), lambda g: T.randperm(4, generator=g), lambda g: T.normal(0.0, 1.0, (2,), generator=g), lambda g: T.normal(T.zeros(2), 1.0, generator=g),
        lambda g: T.bernoulli(T.full((2,), 0.5), generator=g), lambda g: T.poisson(T.ones(2), generator=g), lambda g: T.multinomial(T.ones(3), 2, generator=g), lambda g: T.binomial(T.ones(2), T.full((2,), 0.5), generator=g), lambda g: T.zeros(2).exponential_(generator=g),
        lambda g: T.zeros(2).normal_(generator=g), lambda g: T.zeros(2).uniform_(generator=g), lambda g: T.zeros(2).random_(generator=g), lambda g: T.zeros(2).cauchy_(generator=g), lambda g: T.zeros(2).geometric_(0.5, generator=g), lambda g: T.zeros(2).log_normal_(generator=g), lambda g: T.zeros(2).bernoulli_(0.5, generator=g), lambda g: T.rand(1, generator=g.set_state(g.get_state())),
    )], gradient=False, values=False, host=True),
    case("zeros", lambda T: (T.zeros(2, 3), T.zeros((2,)), T.zeros([]), T.zeros(2, dtype=T.int64), T.ones(()), T.empty(0).sum()), gradient=False),
    case("full", lambda T: (T.full((2, 3), 1.5), T.full((2,), 3), T.full((), True), T.full([2], 1, dtype=T.float16)), gradient=False),
    case("arange", lambda T: (T.arange(5), T.arange(1, 5), T.arange(1, 2.5, 0.5), T.arange(5, 0, -2), T.arange(0), T.arange(3.0), T.arange(2, dtype=T.float32)), gradient=False),
    case("linspace", lambda T: (T.linspace(0, 1, 5), T.linspace(-3, 7, 11), T.linspace(2, 2, 1), T.linspace(0, 10, 4, dtype=T.int64), T.linspace(1, 0, 0)), gradient=False),
    case("logspace", lambda T: (T.logspace(0, 2, 5), T.logspace(0, 4, 5, base=2)), gradient=False),
    case("eye", lambda T: (T.eye(3), T.eye(2, 3), T.eye(3, 2, dtype=T.int64), T.eye(0)), gradient=False),
    case("indices", lambda T: (T.tril_indices(3, 4), T.triu_indices(3, 4, 1), T.tril_indices(2, 2, -1)), gradient=False),
    case("vander", lambda T, x: (T.vander(x), T.vander(x, 3, True)), (4,), gradient=False),
    case("windows", lambda T: (T.hann_window(7), T.hamming_window(6, periodic=False)), gradient=False),
    case("tensor", lambda T: (T.tensor(3), T.tensor(2.5), T.tensor(True), T.tensor([[1, 2], [3, 4]]), T.tensor([1, 2.5]), T.tensor([]), T.tensor([True, False])), gradient=False),
    case("tensor-numpy", lambda T: (T.tensor(np.ones(2)), T.tensor(np.float32(2)), T.tensor(np.arange(3, dtype=np.int32)), T.tensor([np.float64(1)])), gradient=False),
    case("as_tensor", lambda T: (T.as_tensor([1, 2]), T.as_tensor(np.ones(2)), T.from_numpy(np.arange(3)), T.asarray([1.5])), gradient=False),
    case("like", lambda T, x: (T.zeros_like(x), T.ones_like(x), T.full_like(x, 2), T.empty_like(x).zero_(), T.zeros_like(x, dtype=T.int32)), (2, 3), dtypes=ALL, gradient=False),
    case("new", lambda T, x: (x.new_zeros(2, 3), x.new_ones((2,)), x.new_full((2,), 5), x.new_tensor([1, 2]), x.new_empty(0)), (2, 3), dtypes=ALL, gradient=False),
    case("casts", lambda T, x: (x.float(), x.double(), x.half(), x.bfloat16(), x.long(), x.int(), x.short(), x.char(), x.byte(), x.bool()), within(0, 3, 2, 3), dtypes=ALL, gradient=False),
    case("to", lambda T, x: (x.to(T.float64), x.to("cpu"), x.to("cpu", T.int64), x.to(T.zeros(1, dtype=T.int32)), x.to(device="cpu", dtype=T.float16), x.type(T.float64), x.type_as(T.ones(1).long())), within(0, 3, 2, 3), host=True),
    case("random", lambda T, x: (T.rand(2, 3), T.randn((2,)), T.randint(5, (2, 3)), T.randint(2, 5, (3,), dtype=T.int32), T.randperm(5), T.rand_like(x), T.randn_like(x), T.randint_like(x, 5), T.normal(0.0, 1.0, (2,)), T.bernoulli(x * 0 + 0.5), T.normal(x, 1.0)), (2, 3), dtypes=("float32", "float64"), values=False, gradient=False),
]  # fmt: skip


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


ERRORS = [
    bad("none", lambda T: T.tensor(None)),
    bad("nones", lambda T: T.tensor([None])),
    bad("dict", lambda T: T.tensor({})),
    bad("too large", lambda T: T.tensor([2**70])),
    bad("asarray-alias", lambda T: T.asarray([1, 2], copy=False)),
    bad("asarray-alias-dtype", lambda T: T.asarray(np.ones(2), dtype=T.float32, copy=False)),
    bad("empty_permuted", lambda T: T.empty_permuted((2, 3), (0, 0))),
    bad("full-word", lambda T: T.full((2,), "a")),
    bad("dtype-word", lambda T: T.zeros(2, dtype="float32")),
    bad("frombuffer-nothing", lambda T: T.frombuffer(bytearray(0), dtype=T.int16)),
    bad("from_numpy-words", lambda T: T.from_numpy(np.array(["a"]))),
    bad("normal-std", lambda T: T.normal(0.0, -1.0, (2,))),
    bad("bernoulli_-p", lambda T, x: x.bernoulli_(-1.0), (2,)),
    bad("poisson-rate", lambda T: T.poisson(T.tensor([-1.0]))),
    bad("rand-int", lambda T: T.rand(2, dtype=T.int64)),
    bad("randn-int", lambda T: T.randn(2, dtype=T.int32)),
    bad("rand_like-int", lambda T: T.rand_like(T.zeros(2, dtype=T.int64))),
    bad("random_-range", lambda T: T.zeros(2, dtype=T.uint8).random_(0, 500)),
    bad("ragged", lambda T: T.tensor([[1, 2], [3]])),
    bad("string", lambda T: T.tensor("a")),
    bad("negative", lambda T: T.zeros(-1)),
    bad("arange-step", lambda T: T.arange(0, 5, 0)),
    bad("arange-sign", lambda T: T.arange(0, 5, -1)),
    bad("linspace", lambda T: T.linspace(0, 1, -1)),
    bad("randint", lambda T: T.randint(5, 5, (2,))),
    bad("device", lambda T: T.zeros(2, device="gpu")),
    bad("from_numpy", lambda T: T.from_numpy([1])),
    bad("multinomial-many", lambda T, x: T.multinomial(x.abs(), 9), (3,)),
    bad("normal_-std", lambda T, x: x.normal_(0, -1), (3,)),
    bad("normal_-int", lambda T, x: x.long().normal_(), (3,)),
    bad("finfo", lambda T: T.finfo(T.int64)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


PRINTED = {
    "ints": lambda T: T.arange(6).reshape(2, 3),
    "floats": lambda T: T.tensor([[1.5, -2.25], [3.0, 100.125]]),
    "whole": lambda T: T.tensor([1.0, 2.0, -30.0]),
    "scientific": lambda T: T.tensor([1e-5, 1.0, 12345.678]),
    "nan": lambda T: T.tensor([1.0, math.nan, math.inf, -math.inf]),
    "nan-fraction": lambda T: T.tensor([1.5, math.nan, -math.inf]),
    "0d": lambda T: T.tensor(3.14159),
    "0d-int": lambda T: T.tensor(7),
    "bool": lambda T: T.tensor([True, False]),
    "empty": lambda T: T.zeros(0),
    "empty-2d": lambda T: T.zeros(2, 0),
    "double": lambda T: T.tensor([1.5], dtype=T.float64),
    "half": lambda T: T.tensor([1.5, 2.0], dtype=T.float16),
    "int32": lambda T: T.tensor([[1, -200]], dtype=T.int32),
    "3d": lambda T: T.arange(24.0).reshape(2, 3, 4),
    "long": lambda T: T.arange(40),
    "summary": lambda T: T.arange(2000),
    "summary-2d": lambda T: T.arange(3000.0).reshape(50, 60),
    "leaf": lambda T: T.tensor([1.5, 2.5], requires_grad=True),
    "small": lambda T: T.tensor([1e-8, 2e-8]),
    "zeros": lambda T: T.zeros(3),
    "negative": lambda T: T.tensor([-0.5, 0.25]),
    "large": lambda T: T.tensor([1e10, 1.0]),
}


@pytest.mark.parametrize("name", PRINTED)
def test_printing(name):
    assert repr(PRINTED[name](lg)).replace("lazygrad.", "torch.") == repr(PRINTED[name](torch))


def test_promises_of_random_numbers():
    lg.manual_seed(7)
    first = lg.randn(1000)
    lg.manual_seed(7)
    again, other = lg.randn(1000), lg.randn(1000)
    assert lg.equal(first, again) and not lg.equal(first, other)
    state = lg.get_rng_state()
    draw = lg.rand(5)
    lg.set_rng_state(state)
    assert lg.equal(draw, lg.rand(5))
    assert sorted(lg.randperm(50).tolist()) == list(range(50))
    generator = lg.Generator().manual_seed(3)
    assert lg.equal(lg.rand(4, generator=generator), lg.rand(4, generator=lg.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    ("draw", "mean", "deviation"),
    [
        (lambda n: lg.rand(n), 0.5, 1 / math.sqrt(12)),
        (lambda n: lg.randn(n), 0, 1),
        (lambda n: lg.empty(n).uniform_(-1, 3), 1, 4 / math.sqrt(12)),
        (lambda n: lg.empty(n).normal_(2, 3), 2, 3),
        (lambda n: lg.empty(n).exponential_(2), 0.5, 0.5),
        (lambda n: lg.full((n,), 0.3).bernoulli(), 0.3, math.sqrt(0.21)),
        (lambda n: lg.empty(n).bernoulli_(0.8), 0.8, 0.4),
        (lambda n: lg.randint(0, 10, (n,)), 4.5, math.sqrt(99 / 12)),
        (lambda n: lg.empty(n).geometric_(0.25), 4, math.sqrt(12)),
        (lambda n: lg.poisson(lg.full((n,), 4.0)), 4, 2),
        (lambda n: lg.tensor([0.2, 0.0, 0.8]).multinomial(n, replacement=True), 1.6, 0.8),
        (lambda n: lg.tensor([[0.5, 0.5]]).expand(n, 2).multinomial(1), 0.5, 0.5),
    ],
)
def test_distributions(draw, mean, deviation):
    lg.manual_seed(11)
    values = draw(20000).to(lg.float64).numpy().reshape(-1)
    assert values.mean() == pytest.approx(mean, abs=4 * deviation / math.sqrt(20000))
    assert values.std() == pytest.approx(deviation, rel=0.05)


def test_multinomial_without_replacement():
    lg.manual_seed(5)
    drawn = lg.tensor([[0.1, 0.0, 0.6, 0.3]]).expand(200, 4).multinomial(3).numpy()
    assert all(sorted(row) == [0, 2, 3] for row in drawn.tolist())
    assert (drawn[:, 0] == 2).mean() == pytest.approx(0.6, abs=0.12)


def test_copies_and_pickles():
    x = lg.randn(2, 3, requires_grad=True)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin is not x and twin.requires_grad and twin.is_leaf and lg.equal(twin, x)
    with pytest.raises(RuntimeError):
        copy.deepcopy(x * 2)


def test_data_and_detach():
    x = lg.ones(3, requires_grad=True)
    x.data.mul_(3)
    x.data[0] = 7
    assert x.tolist() == [7, 3, 3] and x.requires_grad
    x.data = lg.zeros(2)
    assert x.tolist() == [0, 0] and x.is_leaf and x.requires_grad
    y = x * 2
    y.detach().add_(5)
    assert y.tolist() == [5, 5]


def test_dlpack_shares_memory():
    x = lg.arange(4.0)
    t = torch.from_dlpack(x)
    assert t.tolist() == [0, 1, 2, 3]
    back = lg.from_dlpack(torch.arange(3.0))
    assert back.tolist() == [0, 1, 2]
    assert np.asarray(x).tolist() == [0, 1, 2, 3]


def test_limits_and_defaults():
    for T in ("float32", "float64", "float16", "bfloat16"):
        mine, theirs = lg.finfo(getattr(lg, T)), torch.finfo(getattr(torch, T))
        assert (mine.max, mine.min, mine.eps, mine.tiny, mine.bits) == (
            theirs.max,
            theirs.min,
            theirs.eps,
            theirs.tiny,
            theirs.bits,
        )
    assert lg.iinfo(lg.int8).max == 127 and lg.iinfo(lg.int64).min == -(2**63)
    lg.set_default_dtype(lg.float64)
    try:
        assert lg.zeros(1).dtype is lg.float64 and lg.tensor(1.5).dtype is lg.float64
    finally:
        lg.set_default_dtype(lg.float32)
    with pytest.raises(TypeError):
        lg.set_default_dtype(lg.int64)


def test_sizes_are_tuples():
    x = lg.zeros(2, 3)
    assert (
        x.shape == (2, 3) and x.size() == lg.Size([2, 3]) and x.shape.numel() == 6 and isinstance(x.shape[1:], lg.Size)
    )
    assert lg.FloatTensor([1, 2]).dtype is lg.float32 and lg.LongTensor(2, 3).shape == (2, 3)
    assert isinstance(x, lg.FloatTensor) and x.type() == "torch.FloatTensor"
