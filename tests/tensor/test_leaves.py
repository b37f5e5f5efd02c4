"""Leaves: made by torch's old constructor, frozen and thawed, as torch has them."""

from __future__ import annotations

import copy

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


# -- memory that a leaf shares with others ---------------------------------------------------------------
@BOTH
def test_data_takes_over_the_memory_of_another(T, backend):
    flat = T.zeros(6)
    p = T.nn.Parameter(T.ones(2, 2))
    p.data = flat[1:5].view(2, 2)
    flat.add_(1)
    assert values(p) == [[1, 1], [1, 1]] and p.is_leaf and p.requires_grad
    (p * p).sum().backward()
    assert values(p.grad) == [[2, 2], [2, 2]]
    with T.no_grad():
        p.sub_(p.grad)
    assert values(flat) == [1, -1, -1, -1, -1, 1]
    p.data.mul_(3)
    assert values(flat) == [1, -3, -3, -3, -3, 1] and values(p) == [[-3, -3], [-3, -3]]
    p.data = T.ones(3)
    assert values(p) == [1, 1, 1] and values(flat) == [1, -3, -3, -3, -3, 1]
    for wrong in (3, [1.0], None):
        with pytest.raises(TypeError, match="Variable data has to be a tensor"):
            p.data = wrong


@BOTH
def test_two_leaves_of_one_memory_train_together(T, backend):
    """Weights that are tied through .data: gradients of their own, one value."""
    a, b = T.nn.Parameter(T.ones(2)), T.nn.Parameter(T.zeros(2))
    b.data = a.data
    optimizer = T.optim.SGD([a, b], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        (a * 2 + b).sum().backward()
        optimizer.step()
    assert values(a) == values(b) == [-3.5, -3.5] and values(a.grad) == [2, 2] and values(b.grad) == [1, 1]


@BOTH
def test_data_of_an_intermediate_value_keeps_its_history(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.data = T.tensor([10.0, 20.0])
    assert y.requires_grad and not y.is_leaf
    y.add_(x)
    (y * T.tensor([1.0, 2.0])).sum().backward()
    assert values(y) == [11, 22] and values(x.grad) == [4, 8]


@BOTH
def test_a_view_that_becomes_a_leaf_shares_its_memory(T, backend):
    flat = T.arange(6.0)
    parts = [part.requires_grad_() for part in flat.split(3)]
    flat.mul_(2)
    assert [values(p) for p in parts] == [[0, 2, 4], [6, 8, 10]] and all(p.is_leaf for p in parts)
    (parts[0] * parts[1]).sum().backward()
    with T.no_grad():
        for part in parts:
            part.sub_(part.grad)
    assert values(flat) == [-6, -6, -6, 6, 6, 6]


@BOTH
def test_copies_share_memory_and_are_leaves(T):
    x = T.ones(2, requires_grad=True)
    twin = copy.copy(x)
    (twin * 2).sum().backward()
    assert x.grad is None and values(twin.grad) == [2, 2] and twin.is_leaf
    x.data.mul_(5)
    assert values(twin) == [5, 5]
    hidden = copy.copy(x * 2)
    assert hidden.is_leaf and hidden.requires_grad and values(hidden) == [10, 10]
    x.mark = {"group": [1]}
    deep = copy.deepcopy(x)
    assert deep.mark == x.mark and deep.mark["group"] is not x.mark["group"]


@BOTH
def test_a_leaf_can_be_transposed_without_record(T):
    w = T.nn.Parameter(T.arange(6.0).view(2, 3))
    with pytest.raises(RuntimeError, match="leaf"):
        w.t_()
    with T.no_grad():
        w.t_().unsqueeze_(0)
    assert w.is_leaf and w.requires_grad and tuple(w.shape) == (1, 3, 2)
    (w * w).sum().backward()
    assert values(w.grad) == [[[0, 6], [2, 8], [4, 10]]]


@BOTH
def test_what_can_be_assigned_to_grad(T):
    x = T.ones(2, requires_grad=True)
    for wrong, error in (
        (3, TypeError), (T.ones(3), RuntimeError), (T.ones(2, dtype=T.float64), RuntimeError), (x, RuntimeError),
    ):  # fmt: skip
        with pytest.raises(error):
            x.grad = wrong
    mine = T.ones(2)
    x.grad = mine
    (x * 2).sum().backward()
    assert x.grad is mine and values(mine) == [3, 3]
    del x.grad
    assert x.grad is None


@BOTH
def test_attributes_of_ones_own(T):
    x = T.ones(2)
    x.tag = "mine"
    assert x.tag == "mine" and not hasattr(x * 1, "tag")


# -- classes of one's own ----------------------------------------------------------------------------------
@BOTH
def test_subclasses(T):
    class Named(T.Tensor):
        @staticmethod
        def __new__(cls, data, name):
            return T.Tensor._make_subclass(cls, data)

        def __init__(self, data, name):
            self.name_of_it = name

        def doubled(self):
            return self * 2

    base = T.ones(2)
    x = Named(base, "a")
    assert isinstance(x, Named) and isinstance(x, T.Tensor) and x.name_of_it == "a" and values(x.doubled()) == [2, 2]
    base.add_(1)
    assert values(x) == [2, 2]
    leaf = T.ones(2, requires_grad=True)
    (leaf * 3).as_subclass(Named).sum().backward()
    assert values(leaf.grad) == [3, 3]
    with pytest.raises(TypeError):
        base.as_subclass(int)


def test_overrides_of_operations_are_refused():
    with pytest.raises(NotImplementedError, match="__torch_function__"):

        class Logged(lg.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                raise AssertionError
