"""Dual tensors: values with a tangent, in torch's words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

BOTH = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])

FUNCTIONS = {
    "product": lambda T, x, y: x * y,
    "one argument": lambda T, x, y: x.sin().exp(),
    "matmul": lambda T, x, y: x @ y.mT,
    "reduction": lambda T, x, y: (x * y).logsumexp(0),
    "broadcast": lambda T, x, y: x[:1] + y,
    "index": lambda T, x, y: x[T.tensor([1, 0, 1])] * y[0],
    "softmax": lambda T, x, y: x.softmax(-1) * y,
    "in place": lambda T, x, y: (x * 2).mul_(y).add_(1),
    "linear": lambda T, x, y: T.nn.functional.linear(x, y, y[:, 0]),
    "max": lambda T, x, y: x.max(1).values + y.sum(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tangents(name: str, backend: str) -> None:
    generator = np.random.default_rng(3)
    arrays = [generator.normal(size=(2, 3)) for _ in range(4)]
    found = []
    for T in (torch, lg):
        fw = T.autograd.forward_ad
        x, y, dx, dy = (T.tensor(a) for a in arrays)
        with fw.dual_level():
            result = FUNCTIONS[name](T, fw.make_dual(x, dx), fw.make_dual(y, dy))
            primal, tangent = fw.unpack_dual(result)
            found.append((to_numpy(primal), to_numpy(tangent)))
    for mine, theirs in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


@BOTH
def test_what_has_no_tangent(T) -> None:
    fw = T.autograd.forward_ad
    with fw.dual_level():
        dual = fw.make_dual(T.ones(2), T.tensor([1.0, 2.0]))
        assert fw.unpack_dual(dual).tangent.tolist() == [1, 2]
        assert fw.unpack_dual(T.ones(2)).tangent is None and fw.unpack_dual(dual.detach().clone()).primal is not None
    assert fw.unpack_dual(dual).tangent is None
    with pytest.raises(RuntimeError, match="no level exists"):
        fw.make_dual(T.ones(2), T.ones(2))
    with fw.dual_level():
        with pytest.raises(RuntimeError), fw.dual_level():
            pass
        with pytest.raises(RuntimeError):
            fw.make_dual(T.ones(2), T.ones(3))
        with pytest.raises(ValueError, match="floating point"):
            fw.make_dual(T.ones(2, dtype=T.int64), T.ones(2))


@BOTH
def test_forward_over_reverse(T) -> None:
    """A Hessian-vector product: the tangent of a gradient."""
    fw = T.autograd.forward_ad
    x, v = T.tensor([1.0, 2.0], dtype=T.float64), T.tensor([1.0, -1.0], dtype=T.float64)
    with fw.dual_level():
        dual = fw.make_dual(x.requires_grad_(), v)
        (slope,) = T.autograd.grad((dual**3).sum(), dual, create_graph=True)
        assert fw.unpack_dual(slope).tangent.tolist() == [6, -12]


@BOTH
def test_modules_parameters(T) -> None:
    fw = T.autograd.forward_ad
    layer = T.nn.Linear(2, 1, bias=False)
    with fw.dual_level():
        weight = layer.weight
        del layer.weight
        layer.weight = fw.make_dual(weight, T.ones(1, 2))
        assert fw.unpack_dual(layer(T.tensor([[1.0, 2.0]]))).tangent.tolist() == [[3]]


def test_nothing_follows_tangents_without_recording() -> None:
    fw = lg.autograd.forward_ad
    with fw.dual_level(), lg.no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        fw.make_dual(lg.ones(2), lg.ones(2))
