"""Dtypes of results: operators over every pair of dtypes, Python's numbers, NumPy's arrays, and .to() in all forms."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import ALL

BOTH = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])

OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "<": operator.lt, "==": operator.eq, "&": operator.and_,
    "**": operator.pow,
}  # fmt: skip
IN_PLACE = {"+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv, "**=": operator.ipow, "|=": operator.ior}
NUMBERS = (True, 2, 1.5)


def outcome(function: Any, *operands: Any) -> str:
    """The dtype of the result, or the kind of error."""
    try:
        return str(function(*operands).dtype).split(".")[1]
    except (RuntimeError, TypeError) as error:
        return "TypeError" if type(error) is TypeError else "RuntimeError"


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    for left in ALL:
        for shape in ((2,), ()):
            for right in ALL:
                pairs = [(T.ones(2, dtype=getattr(T, left)), T.ones(shape, dtype=getattr(T, right))) for T in (torch, lg)]
                want, got = (outcome(OPERATORS[name], *pair) for pair in pairs)
                assert got == want, f"{left}[2] {name} {right}{list(shape)}"
        for number in NUMBERS:
            for flipped in (False, True):
                pairs = [(T.ones(2, dtype=getattr(T, left)), number)[:: -1 if flipped else 1] for T in (torch, lg)]
                want, got = (outcome(OPERATORS[name], *pair) for pair in pairs)
                assert got == want, f"{left} {name} {number} {flipped=}"


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    for left in ALL:
        for right in (*ALL, *NUMBERS):
            found = []
            for T in (torch, lg):
                other = T.ones(2, dtype=getattr(T, right)) if isinstance(right, str) else right
                found.append(outcome(IN_PLACE[name], T.ones(2, dtype=getattr(T, left)), other))
            assert found[1] == found[0], f"{left} {name} {right}"


CONVERSIONS = [
    "x.to(T.float64)", "x.to('cpu')", "x.to('cpu', T.float16)", "x.to(T.device('cpu'), dtype=T.int32)", "x.to(dtype=T.int64)", "x.to(device='cpu')",
    "x.to(T.ones(1, dtype=T.int32))", "x.to(T.float64, non_blocking=True)", "x.to(T.float64, True, True)", "x.to(float)", "x.to(dtype=int)",
    "x.type(T.int64)", "x.type('torch.DoubleTensor')", "x.type_as(T.ones(1).half())", "T.zeros(2, dtype=float)", "T.ones(2, dtype=bool)",
    "T.tensor([1, 2], dtype=float)", "T.full((2,), 1.5, dtype=int)", "T.arange(3, dtype=float)", "T.as_tensor([1, 2], dtype=float)", "T.zeros_like(x, dtype=int)",
    "x.new_zeros(2, dtype=float)", "x.to(foo=1)", "x.type('foo')", "x.type(int)", "T.set_default_dtype('float64')", "T.set_default_dtype(T.int32)",
]  # fmt: skip


@pytest.mark.parametrize("expression", CONVERSIONS)
def test_conversions(expression: str) -> None:
    found = []
    for T in (torch, lg):
        try:
            value = eval(expression, {"T": T, "x": T.tensor([1.0, 2.7])})
            found.append((str(value.dtype).split(".")[1], value.tolist()))
        except Exception as error:
            found.append((type(error).__name__, None))
    assert found[1] == found[0]


WITH_ARRAYS = [
    "a == x", "x == a", "x + a", "a / x", "x / a", "x ** a", "x * np.float32(2)", "np.float64(2) * x", "np.float64(2) - x",
    "x + np.array(2.0)", "np.sin(x)", "np.add(a, x)", "np.maximum(x, 0)", "np.concatenate([x, a])", "np.allclose(x, a)", "np.array([x[0], x[1]])",
    "np.arange(5)[T.tensor([1, 2])]", "np.asarray(x)", "x.__array__(np.float64)", "float(np.float64(x[0]))",
]  # fmt: skip


@pytest.mark.parametrize("expression", WITH_ARRAYS)
def test_with_numpy(expression: str) -> None:
    found = []
    for T in (torch, lg):
        value = eval(expression, {"T": T, "np": np, "x": T.tensor([1.0, 2.0]), "a": np.array([1.0, 3.0])})
        kind = type(value).__name__
        found.append((kind, str(getattr(value, "dtype", "")).split(".")[-1], np.asarray(value).tolist()))
    assert found[1] == found[0]


@BOTH
def test_limits(T: Any) -> None:
    assert T.finfo(T.float16).resolution == 0.001 and T.finfo(T.bfloat16).resolution == 0.01 and T.finfo().dtype == "float32"
    assert repr(T.finfo(T.float32)) == (
        "finfo(resolution=1e-06, min=-3.40282e+38, max=3.40282e+38, eps=1.19209e-07, smallest_normal=1.17549e-38, tiny=1.17549e-38, "
        "dtype=float32)"
    )


@BOTH
def test_inference_mode_is_known(T: Any) -> None:
    assert not T.is_inference_mode_enabled()
    with T.inference_mode():
        assert T.is_inference_mode_enabled() and not T.is_grad_enabled()
        with T.inference_mode(False):
            assert not T.is_inference_mode_enabled() and T.is_grad_enabled()

    @T.inference_mode()
    def inside() -> bool:
        return T.is_inference_mode_enabled()

    assert inside() and not T.is_inference_mode_enabled()
