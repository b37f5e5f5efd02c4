"""Runs one case with torch and with lazygrad and compares: values, shapes, dtypes, gradients, second gradients.

A case is a function f(T, *inputs) that works with `T` being either module, and descriptions of its inputs.
`check(case)` runs it on the backend that is chosen: under the fixture `backend`, on every one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "uint8")
REAL = FLOATS + INTEGERS
ALL = (*REAL, "bool")
TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


@dataclass(frozen=True)
class Input:
    """How an input is made: random of a shape in [low, high), or fixed values; dtype None follows the case."""

    shape: tuple[int, ...] = ()
    low: float = -2.0
    high: float = 2.0
    dtype: str | None = None
    values: Any = None
    distinct: bool = False  # a shuffled range: no two elements equal

    def array(self, generator: np.random.Generator, dtype: str) -> np.ndarray:
        dtype = self.dtype or dtype
        if self.values is not None:
            array = np.asarray(self.values)
        elif self.distinct:
            count = int(np.prod(self.shape))
            array = generator.permutation(count).reshape(self.shape) - count // 2
            array = array * (self.high - self.low) / max(count, 1) if dtype in FLOATS else array
        elif dtype in FLOATS:
            array = generator.uniform(self.low, self.high, self.shape)
        elif dtype == "bool":
            array = generator.integers(0, 2, self.shape)
        else:
            low, high = int(np.floor(self.low)), int(np.ceil(self.high))
            low = max(low, 0) if dtype == "uint8" else low
            array = generator.integers(low, max(high, low + 1), self.shape)
        return np.asarray(array)


def ints(*shape: int, below: int, low: int = 0) -> Input:
    """int64 indices."""
    return Input(shape, low, below, "int64")


def mask(*shape: int) -> Input:
    return Input(shape, dtype="bool")


def fixed(values: Any, dtype: str | None = None) -> Input:
    return Input(values=values, dtype=dtype)


def distinct(*shape: int) -> Input:
    return Input(shape, distinct=True)


def within(low: float, high: float, *shape: int) -> Input:
    return Input(shape, low, high)


@dataclass(frozen=True)
class Case:
    name: str
    function: Callable[..., Any]
    inputs: tuple[Input, ...]
    dtypes: tuple[str, ...] = ("float32",)
    gradient: bool = True
    second: bool = True
    tolerance: float = 1.0  # times the dtype's own
    values: bool = True  # False: only shapes and dtypes (random draws)
    strided: bool = True  # also on inputs that are transposed views
    host: bool = False  # about the CPU, or what the two have on it: has no twin on a GPU

    def __str__(self) -> str:
        return self.name


def case(name: str, function: Callable[..., Any], *inputs: Any, **options: Any) -> Case:
    """A shape stands for a random input of that shape."""
    made = tuple(i if isinstance(i, Input) else Input(tuple(i)) for i in inputs)
    return Case(name, function, made, **options)


def over(shapes: Iterable[Any], *cases: Case) -> Iterator[Case]:
    """Every case of one input, once for each of the shapes."""
    for shape in shapes:
        for each in cases:
            shaped = tuple(
                replace(i, shape=tuple(shape)) if i.values is None and i.dtype is None else i for i in each.inputs
            )
            yield replace(each, name=f"{each.name}{list(shape)}".replace(" ", ""), inputs=shaped)


# -- making inputs on both sides -----------------------------------------------------------------------
def _torch(array: np.ndarray, dtype: str, strided: bool) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array)).to(getattr(torch, dtype))
    return tensor.mT.contiguous().mT if strided and tensor.ndim >= 2 else tensor


def _lazy(array: np.ndarray, dtype: str, strided: bool) -> Any:
    tensor = lg.tensor(array).to(getattr(lg, dtype))
    return tensor.mT.clone().mT if strided and tensor.ndim >= 2 else tensor


def _arrays(each: Case, dtype: str) -> list[tuple[np.ndarray, str]]:
    generator = np.random.default_rng(zlib.crc32(each.name.encode()))
    return [(i.array(generator, dtype), i.dtype or dtype) for i in each.inputs]


def _flat(result: Any) -> list[Any]:
    if isinstance(result, (torch.Tensor, lg.Tensor)):
        return [result]
    if isinstance(result, (tuple, list)) and not isinstance(result, (torch.Size, lg.Size)):
        return [leaf for part in result for leaf in _flat(part)]
    return [result]


def to_numpy(tensor: Any) -> np.ndarray:
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach()
        return (tensor.double() if tensor.dtype.is_floating_point else tensor).numpy(force=True)
    array = tensor.detach().cpu().numpy()
    return array.astype(np.float64) if tensor.dtype.is_floating_point else array


def compare(got: Any, want: Any, dtype: str, scale: float = 1.0, what: str = "", values: bool = True) -> None:
    """AssertionError unless shape, dtype and values agree."""
    if not isinstance(want, torch.Tensor):
        assert not isinstance(got, lg.Tensor), f"{what}: a Tensor where torch has {type(want).__name__}"
        plain = tuple(got) if isinstance(got, tuple) else got
        expected = tuple(want) if isinstance(want, tuple) else want
        assert plain == expected or (plain != plain and expected != expected), f"{what}: {got} != {want}"
        return
    assert isinstance(got, lg.Tensor), f"{what}: {type(got).__name__} where torch has a Tensor"
    assert tuple(got.shape) == tuple(want.shape), f"{what}: shape {tuple(got.shape)}, torch {tuple(want.shape)}"
    assert got.dtype.name == str(want.dtype).removeprefix("torch."), f"{what}: dtype {got.dtype}, torch {want.dtype}"
    if not values:
        return
    mine, theirs = to_numpy(got), to_numpy(want)
    if want.dtype.is_floating_point:
        tolerance = TOLERANCE[str(want.dtype).removeprefix("torch.")] * scale
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=what)
    else:
        np.testing.assert_array_equal(mine, theirs, err_msg=what)


# -- the checks ------------------------------------------------------------------------------------------
def check_forward(each: Case, dtype: str, strided: bool = False) -> None:
    """The same value as torch, or an error of the same type where torch has none for this dtype."""
    arrays = _arrays(each, dtype)
    theirs = [_torch(a, d, strided) for a, d in arrays]
    try:
        want = each.function(torch, *theirs)
    except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
        return  # torch has no such op for this dtype: lazygrad may have more
    mine = [_lazy(a, d, strided) for a, d in arrays]
    got = each.function(lg, *mine)
    pairs = list(zip(_flat(got), _flat(want), strict=True))
    for i, (g, w) in enumerate(pairs):
        compare(g, w, dtype, each.tolerance, f"{each.name} {dtype} output {i}", each.values)


def _is_float(tensor: Any) -> bool:
    return isinstance(tensor, (torch.Tensor, lg.Tensor)) and tensor.is_floating_point()


def _weights(outputs: Sequence[Any], seed: int, T: Any) -> Any:
    """A fixed random combination of all floating outputs: a scalar."""
    total = None
    generator = np.random.default_rng(seed)
    for out in outputs:
        weight = generator.uniform(0.5, 1.5, tuple(out.shape))
        weight = torch.tensor(weight, dtype=torch.float64) if T is torch else lg.tensor(weight, dtype=lg.float64)
        part = (out * weight).sum()
        total = part if total is None else total + part
    return total


def _gradients(each: Case, T: Any, inputs: list[Any], second: bool) -> list[Any]:
    wanted = [x.requires_grad_() for x in inputs if _is_float(x)]
    outputs = [o for o in _flat(each.function(T, *inputs)) if _is_float(o)]
    if not wanted or not any(o.requires_grad for o in outputs):
        return []
    first = T.autograd.grad(_weights(outputs, 1, T), wanted, create_graph=second, allow_unused=True)
    found = list(first)
    live = [g for g in first if g is not None and g.requires_grad]
    if second and live:
        found += T.autograd.grad(_weights(live, 2, T), wanted, allow_unused=True)
    return found


def check_gradient(each: Case, second: bool = True) -> None:
    """First (and second) gradients in float64; an unused input and a zero gradient are the same thing here."""
    arrays = _arrays(each, "float64")
    try:
        want = _gradients(each, torch, [_torch(a, d, False) for a, d in arrays], second)
    except RuntimeError as error:
        if "is not implemented" in str(error):  # torch has no such derivative
            return
        raise
    got = _gradients(each, lg, [_lazy(a, d, False) for a, d in arrays], second)
    for i, pair in enumerate(zip_longest(got, want)):
        g, w = (None if p is None else to_numpy(p) for p in pair)
        if g is None and w is None:
            continue
        shape = (w if g is None else g).shape
        g, w = (np.zeros(shape) if p is None else p for p in (g, w))
        assert g.shape == w.shape, f"{each.name}: gradient {i} has shape {g.shape}, torch {w.shape}"
        scale = 1e-8 * each.tolerance
        np.testing.assert_allclose(g, w, rtol=scale, atol=scale, err_msg=f"{each.name}: gradient {i}")


def zip_longest(a: list[Any], b: list[Any]) -> Iterator[tuple[Any, Any]]:
    for i in range(max(len(a), len(b))):
        yield (a[i] if i < len(a) else None, b[i] if i < len(b) else None)


def check(each: Case) -> None:
    """Everything the case says, on whatever backend is chosen."""
    if each.host and lg.get_default_device().type != "cpu":
        pytest.skip("about the CPU")
    for dtype in each.dtypes:
        check_forward(each, dtype)
    if each.strided and each.dtypes and any(len(i.shape) >= 2 for i in each.inputs):
        check_forward(each, each.dtypes[0], strided=True)
    if each.gradient:
        check_gradient(each, each.second)


@dataclass(frozen=True)
class Bad:
    """A call that torch refuses: lazygrad raises the same type, naming the user's line."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Input, ...]

    def __str__(self) -> str:
        return self.name


def bad(name: str, function: Callable[..., Any], *inputs: Any) -> Bad:
    return Bad(name, function, tuple(i if isinstance(i, Input) else Input(tuple(i)) for i in inputs))


def check_error(each: Bad) -> None:
    """The same type of exception as torch's, with the file and line of the user's call."""
    generator = np.random.default_rng(0)
    arrays = [(i.array(generator, "float32"), i.dtype or "float32") for i in each.inputs]
    raised: list[BaseException | None] = []
    for T, make in ((torch, _torch), (lg, _lazy)):
        try:
            each.function(T, *[make(a, d, False) for a, d in arrays])
            raised.append(None)
        except Exception as error:
            raised.append(error)
    want, got = raised
    assert want is not None, f"{each.name}: torch accepts this"
    assert got is not None, f"{each.name}: lazygrad accepts this; torch: {type(want).__name__}: {want}"
    assert isinstance(got, type(want)), (
        f"{each.name}: {type(got).__name__}: {got}; torch: {type(want).__name__}: {want}"
    )
    assert ".py:" in str(got), f"{each.name}: the message names no line: {got}"
