"""Leaves: made by torch's old constructor, frozen and thawed, as torch has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg

BOTH = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])


def values(tensor):
    return None if tensor is None else tensor.tolist()


@BOTH
def test_the_constructor_takes_data_or_sizes(T):
    assert T.Tensor([[1, 2], [3, 4]]).dtype is T.float32 and T.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert T.Tensor(np.arange(3)).tolist() == [0.0, 1.0, 2.0] and T.Tensor(np.ones((2, 1))).shape == (2, 1)
    for made, shape in ((T.Tensor(), (0,)), (T.Tensor(3), (3,)), (T.Tensor(2, 3), (2, 3)), (T.Tensor(np.int64(2)), (2,))):
        assert tuple(made.shape) == shape and made.dtype is T.float32
    assert T.Tensor(T.ones(2, 3).size()).shape == (2, 3) and T.LongTensor(T.ones(2).shape).dtype is T.int64
    assert T.LongTensor([1, 2]).tolist() == [1, 2] and T.FloatTensor(2, 2).shape == (2, 2)


@BOTH
def test_requires_grad_can_be_assigned(T):
    x = T.ones(2)
    x.requires_grad = True
    (x * 3).sum().backward()
    assert values(x.grad) == [3.0, 3.0] and x.is_leaf
    x.requires_grad = False
    assert not (x * 3).requires_grad and values(x.grad) == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        (x.requires_grad_() * 2).requires_grad = False
    with pytest.raises(RuntimeError, match="floating point"):
        T.ones(2, dtype=T.int64).requires_grad = True


@BOTH
def test_a_leaf_frozen_after_its_use_gets_no_gradient(T):
    x, y = (T.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    loss = (x * x * y).sum()
    x.requires_grad = False
    loss.backward()
    assert x.grad is None and values(y.grad) == [1.0, 4.0]


@BOTH
def test_a_leaf_frozen_and_thawed_after_its_use_gets_its_gradient(T):
    x = T.nn.Parameter(T.tensor([1.0, 2.0]))
    loss = (x * x).sum()
    x.requires_grad_(False)
    x.requires_grad_(True)
    loss.backward()
    assert values(x.grad) == [2.0, 4.0]


@BOTH
def test_a_leaf_used_while_frozen_gets_no_gradient(T):
    x, y = (T.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    x.requires_grad = False
    loss = (x * y).sum()
    x.requires_grad = True
    loss.backward()
    assert x.grad is None and values(y.grad) == [1.0, 2.0]
