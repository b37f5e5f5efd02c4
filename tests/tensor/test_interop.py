"""NumPy, DLPack, copies and pickles: what shares memory and what doesn't."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg


def test_numpy_arrays_are_the_tensors_memory() -> None:
    for x in (lg.ones(3), lg.tensor([1.0, 1.0, 1.0]), lg.ones(3) * 1):
        later = x + 1 if x.node.computed is None else None
        array = x.numpy()
        array[0] = 9
        assert x.tolist() == [9, 1, 1]
        x += 1
        assert x.tolist() == [10, 2, 2] and array.tolist() == [9, 1, 1]
        assert later is None or later.tolist()[1:] == [2, 2]


def test_array_protocol() -> None:
    x = lg.ones(2)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    taken = np.array(x, copy=True)
    taken[0] = 5
    assert x.tolist() == [1, 1]
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(lg.ones(2, requires_grad=True))
    assert isinstance(np.sin(x), lg.Tensor) and isinstance(np.float64(2) * x, lg.Tensor)
    assert (x * np.float64(2)).dtype is lg.float32


def test_from_numpy_copies_and_dlpack_shares() -> None:
    array = np.ones(3)
    copied, shared = lg.from_numpy(array), lg.from_dlpack(array)
    array[0] = 9
    assert copied.tolist() == [1, 1, 1] and shared.tolist() == [9, 1, 1]
    theirs = torch.arange(3)
    mine = lg.from_dlpack(theirs)
    theirs += 1
    assert mine.tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"])
def test_dlpack_both_ways(dtype: str) -> None:
    for shape in [(), (0,), (3,), (2, 3)]:
        x = lg.ones(shape, dtype=getattr(lg, dtype))
        there = torch.from_dlpack(x)
        assert str(there.dtype) == f"torch.{dtype}" and tuple(there.shape) == shape
        back = lg.from_dlpack(there)
        assert back.dtype is x.dtype and back.tolist() == x.tolist()
    strided = torch.arange(6).reshape(2, 3).t()
    assert lg.from_dlpack(strided).tolist() == strided.tolist()
    with pytest.raises(BufferError):
        torch.from_dlpack(lg.ones(2, requires_grad=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dlpack_shares_memory_with_torch(dtype: str) -> None:
    theirs = torch.zeros(3, dtype=getattr(torch, dtype))
    mine = lg.from_dlpack(theirs)
    theirs[0] = 1
    assert mine.tolist() == [1, 0, 0]
    mine = lg.zeros(2, dtype=getattr(lg, dtype))
    torch.from_dlpack(mine)[1] = 2
    assert mine.tolist() == [0, 2]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_dlpack_capsules(dtype: str) -> None:
    there = torch.utils.dlpack.from_dlpack(lg.utils.dlpack.to_dlpack(lg.ones(2, 3, dtype=getattr(lg, dtype))))
    assert str(there.dtype) == f"torch.{dtype}" and there.tolist() == [[1, 1, 1]] * 2
    back = lg.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(there))
    assert back.dtype is getattr(lg, dtype) and back.tolist() == there.tolist()


def aliasing(T: Any) -> list[Any]:
    x = T.ones(2)
    twins = copy.deepcopy([x, x, x.view(1, 2)])
    twins[0].add_(1)
    shallow = copy.copy(x)
    shallow.add_(4)
    leaf = copy.deepcopy(T.ones(2, requires_grad=True))
    return [twins[0] is twins[1], twins[2].tolist(), x.tolist(), leaf.requires_grad, leaf.is_leaf]


def test_copies() -> None:
    assert aliasing(lg) == aliasing(torch)
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(lg.ones(2, requires_grad=True) * 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_pickles(dtype: str) -> None:
    x = lg.ones(2, 3, dtype=getattr(lg, dtype))
    back = pickle.loads(pickle.dumps(x))
    assert back.dtype is x.dtype and back.tolist() == x.tolist() and not back.requires_grad
    layer = lg.nn.Linear(2, 3)
    twin = pickle.loads(pickle.dumps(layer))
    assert type(twin.weight) is lg.nn.Parameter and twin.weight.requires_grad
    assert twin.weight.tolist() == layer.weight.tolist()
