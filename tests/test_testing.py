"""testing.assert_close passes and fails where torch's does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lazygrad as lg

INF, NAN = math.inf, math.nan
PAIRS = {
    "equal": lambda T: (T.tensor([1.0, 2.0]), T.tensor([1.0, 2.0])),
    "near": lambda T: (T.tensor([1.0, 2.0]), T.tensor([1.0, 2.000001])),
    "far": lambda T: (T.tensor([1.0, 2.0]), T.tensor([1.0, 2.1])),
    "near-double": lambda T: (T.tensor([1.0], dtype=T.float64), T.tensor([1.000001], dtype=T.float64)),
    "near-half": lambda T: (T.tensor([1.0], dtype=T.float16), T.tensor([1.001], dtype=T.float16)),
    "near-bfloat16": lambda T: (T.tensor([1.0], dtype=T.bfloat16), T.tensor([1.01], dtype=T.bfloat16)),
    "far-bfloat16": lambda T: (T.tensor([1.0], dtype=T.bfloat16), T.tensor([1.05], dtype=T.bfloat16)),
    "ints": lambda T: (T.tensor([1, 2]), T.tensor([1, 2])),
    "ints-off": lambda T: (T.tensor([1, 2]), T.tensor([1, 3])),
    "bools": lambda T: (T.tensor([True, False]), T.tensor([True, True])),
    "dtype": lambda T: (T.tensor([1]), T.tensor([1.0])),
    "shape": lambda T: (T.tensor([1.0]), T.tensor(1.0)),
    "empty": lambda T: (T.zeros(0, 3), T.zeros(0, 3)),
    "0-d": lambda T: (T.tensor(1.0), T.tensor(2.0)),
    "nan": lambda T: (T.tensor([NAN]), T.tensor([NAN])),
    "inf": lambda T: (T.tensor([INF, -INF]), T.tensor([INF, -INF])),
    "inf-sign": lambda T: (T.tensor([INF]), T.tensor([-INF])),
    "numbers": lambda T: (1.0, 1.00000001),
    "numbers-off": lambda T: (1.0, 1.001),
    "number-kinds": lambda T: (1, 1.0),
    "nan-number": lambda T: (NAN, NAN),
    "list": lambda T: ([T.ones(2), 1.0], [T.ones(2), 1.0]),
    "list-off": lambda T: ([T.ones(2), 1.0], [T.ones(2), 2.0]),
    "lengths": lambda T: ([1.0], [1.0, 2.0]),
    "tuple-list": lambda T: ((1.0, 2), [1.0, 2]),
    "dict": lambda T: ({"a": T.ones(2)}, {"a": T.ones(2)}),
    "keys": lambda T: ({"a": 1}, {"b": 1}),
    "nested": lambda T: ({"a": [T.ones(2)]}, {"a": [T.zeros(2)]}),
    "arrays": lambda T: (np.ones(2), np.ones(2)),
    "none": lambda T: (None, None),
    "kinds": lambda T: (T.ones(1), "x"),
    "none-tensor": lambda T: (None, T.ones(1)),
    "grad": lambda T: (T.ones(2, requires_grad=True), T.ones(2)),
}
OPTIONS = {
    "default": {},
    "loose": {"rtol": 0.1, "atol": 0.1},
    "exact": {"rtol": 0, "atol": 0},
    "nan": {"equal_nan": True},
    "any-dtype": {"check_dtype": False},
}


def outcome(T, pair, options):
    try:
        T.testing.assert_close(*pair(T), **options)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("pair", PAIRS)
def test_as_torch(pair, options):
    want, got = (outcome(T, PAIRS[pair], OPTIONS[options]) for T in (torch, lg))
    assert type(got) is type(want), f"torch: {want!r}\nlazygrad: {got!r}"
    if got is not None:
        assert "test_testing.py:" in str(got)


def test_the_message_counts_and_locates_what_differs():
    actual, expected = np.zeros((2, 3)), np.zeros((2, 3))
    expected[1, 2], expected[0, 1] = 4.0, 1.0
    messages = [str(outcome(T, lambda T: (T.tensor(actual), T.tensor(expected)), {})) for T in (torch, lg)]
    for line in messages[0].splitlines()[:4]:
        assert line in messages[1]
    assert "(1, 2)" in messages[1]


MESSAGES = {
    "values": (lambda T: (T.ones(2, 2), T.ones(2, 2) * 3), {}),
    "exact": (lambda T: (T.tensor([1.0, 2.0]), T.tensor([1.0, 4.0])), {"rtol": 0, "atol": 0}),
    "whole numbers": (lambda T: (T.tensor([3, 4]), T.tensor([3, 6])), {}),
    "whole numbers apart": (lambda T: (T.tensor([3]), T.tensor([4])), {"rtol": 0.0, "atol": 0.5}),
    "bools": (lambda T: (T.tensor([True]), T.tensor([False])), {}),
    "halves": (lambda T: (T.ones(2).bfloat16(), T.zeros(2).bfloat16()), {}),
    "0-d": (lambda T: (T.tensor(1.0), T.tensor(2.0)), {}),
    "numbers": (lambda T: (1.0, 2.0), {}),
    "whole": (lambda T: (1, 2), {}),
    "bool": (lambda T: (True, False), {}),
    "kinds": (lambda T: (1, 1.0), {}),
    "keys": (lambda T: ({"a": 1}, {"b": 1}), {}),
    "lengths": (lambda T: ([1], [1, 2]), {}),
    "item": (lambda T: ({"a": [T.ones(2)]}, {"a": [T.zeros(2)]}), {}),
    "shape": (lambda T: (T.ones(2), T.ones(3)), {}),
    "tolerance": (lambda T: (1.0, 1.0), {"atol": 1.0}),
    "words": (lambda T: ("a", "b"), {}),
    "none": (lambda T: (None, 1), {}),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_torchs(name):
    pair, options = MESSAGES[name]
    want, got = (str(outcome(T, pair, options)).replace("lazygrad.", "torch.") for T in (torch, lg))
    assert got.rpartition(" (at ")[0] == want


def test_one_tolerance_alone_is_refused():
    for T in (torch, lg):
        with pytest.raises(ValueError):
            T.testing.assert_close(1.0, 1.0, rtol=0.1)


def test_msg():
    for message, shown in (("mine", "mine"), (lambda text: "seen: " + text, "seen: Scalars are not close!")):
        with pytest.raises(AssertionError) as error:
            lg.testing.assert_close(1.0, 2.0, msg=message)
        assert str(error.value).startswith(shown)


def test_make_tensor():
    for dtype in ("float32", "float16", "int64", "uint8", "bool"):
        made = lg.testing.make_tensor((3, 4), dtype=getattr(lg, dtype), device="cpu")
        like = torch.testing.make_tensor((3, 4), dtype=getattr(torch, dtype), device="cpu")
        assert tuple(made.shape) == tuple(like.shape) and made.dtype.name == dtype
    made = lg.testing.make_tensor(2, 50, dtype=lg.int32, device="cpu", low=0, high=2, exclude_zero=True, noncontiguous=True)
    assert made.tolist() == [[1] * 50] * 2
    with pytest.raises(ValueError):
        lg.testing.make_tensor(2, dtype=lg.float32, device="cpu", low=1, high=0)
