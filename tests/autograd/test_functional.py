"""autograd.functional, gradcheck and checkpoint against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import lazygrad as lg
from lazygrad.device import H200
from lazygrad.ir import op as ops
from lazygrad.schedule.memory import plan_arena
from tests.graphs import plan_of
from tests.support import to_numpy

LIBS = [torch, lg]
BOTH = pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2, shape)


def flat(value):
    return [f for v in value for f in flat(v)] if isinstance(value, (tuple, list)) else [value]


def same(function):
    want, got = (function(T, T.tensor(draw(3)), T.tensor(draw(2, 2))) for T in LIBS)
    assert isinstance(got, (tuple, list)) == isinstance(want, (tuple, list))
    for g, w in zip(flat(got), flat(want), strict=True):
        assert tuple(g.shape) == tuple(w.shape) and g.requires_grad == w.requires_grad
        np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=1e-8, atol=1e-9)


def scalar(x):
    return (x.sin() * x**2).sum()


def two(x, y):
    return (x * y.sum(), y.exp())


def number(x, y):
    return (x**2).sum() * (y**3).sum()


CASES = {
    "jacobian": lambda T, x, y: T.autograd.functional.jacobian(lambda a: a.outer(a), x),
    "jacobian of many": lambda T, x, y: T.autograd.functional.jacobian(two, (x, y)),
    "jacobian forward": lambda T, x, y: T.autograd.functional.jacobian(
        two, (x, y), vectorize=True, strategy="forward-mode"
    ),
    "jacobian kept": lambda T, x, y: T.autograd.functional.jacobian(
        lambda a: a.outer(a), x.clone().requires_grad_(), create_graph=True
    ),
    "hessian": lambda T, x, y: T.autograd.functional.hessian(scalar, x),
    "hessian of many": lambda T, x, y: T.autograd.functional.hessian(number, (x, y)),
    "vjp": lambda T, x, y: T.autograd.functional.vjp(lambda a: a.outer(a), x, T.ones(3, 3, dtype=x.dtype)),
    "vjp of many": lambda T, x, y: T.autograd.functional.vjp(two, (x, y), (x, y)),
    "vjp of a number": lambda T, x, y: T.autograd.functional.vjp(number, (x, y)),
    "jvp": lambda T, x, y: T.autograd.functional.jvp(two, (x, y), (x + 1, y + 1)),
    "vhp": lambda T, x, y: T.autograd.functional.vhp(number, (x, y), (x + 1, y + 1)),
    "hvp": lambda T, x, y: T.autograd.functional.hvp(number, (x, y), (x + 1, y + 1)),
    "hvp of one": lambda T, x, y: T.autograd.functional.hvp(scalar, x, x),
    "independent": lambda T, x, y: T.autograd.functional.jacobian(lambda a, b: a * 2, (x, y)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    same(CASES[name])


BAD = {
    "strict": lambda T, x, y: T.autograd.functional.jacobian(lambda a, b: a * 2, (x, y), strict=True),
    "strict vjp": lambda T, x, y: T.autograd.functional.vjp(lambda a, b: a * 2, (x, y), x, strict=True),
    "no number": lambda T, x, y: T.autograd.functional.hessian(lambda a: a, x),
    "no v": lambda T, x, y: T.autograd.functional.vjp(lambda a: a * 2, x),
    "shape of v": lambda T, x, y: T.autograd.functional.vjp(lambda a: a * 2, x, y),
    "no tensor": lambda T, x, y: T.autograd.functional.jacobian(lambda a: a, 3.0),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_torchs(name):
    caught = []
    for T in LIBS:
        with pytest.raises((RuntimeError, TypeError)) as error:
            BAD[name](T, T.tensor(draw(3)), T.tensor(draw(2, 2)))
        caught.append(error.value)
    assert type(caught[0]) is type(caught[1]), caught


# -- gradcheck ------------------------------------------------------------------------------------------
def function(T, wrong=0.0, wrong_second=False):
    class Square(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * x * y, x + y

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            slope = (2 + wrong) * x * y
            return (slope.detach() if wrong_second else slope) * g + h, x * x * g + h

    return Square.apply


@BOTH
def test_gradcheck(T):
    x, y = (T.tensor(draw(3, seed=i)).requires_grad_() for i in range(2))
    gradcheck, gradgradcheck = T.autograd.gradcheck, T.autograd.gradgradcheck
    assert gradcheck(function(T), (x, y)) and gradgradcheck(function(T), (x, y))
    assert gradcheck(lambda a: (a.sin() * y).sum(), x, fast_mode=True)
    assert gradcheck(lambda a, n: a.exp() * n, (x, 3), check_batched_grad=True, check_forward_ad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(function(T, wrong=0.1), (x, y))
    assert not gradcheck(function(T, wrong=0.1), (x, y), raise_exception=False)
    assert gradcheck(function(T, wrong_second=True), (x, y))
    assert not gradgradcheck(function(T, wrong_second=True), (x, y), raise_exception=False)
    with pytest.raises(ValueError):
        gradcheck(lambda a: a * 2, (x.detach(),))


# -- checkpoint -----------------------------------------------------------------------------------------
def net(T, x, w, v):
    return (x @ w).softmax(-1) @ v


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint_changes_no_number(reentrant):
    found = []
    for T, checkpoint in zip(LIBS, (torch.utils.checkpoint.checkpoint, lg.utils.checkpoint.checkpoint), strict=True):
        x, w, v = (T.tensor(draw(4, 4, seed=i)).requires_grad_() for i in range(3))
        h = checkpoint(net, T, x, w, v, use_reentrant=reentrant)
        h = checkpoint(lambda h, scale, T=T, w=w, v=v: net(T, h, w, v) * scale, h, 2.0, use_reentrant=reentrant)
        (h * h).sum().backward()
        found.append([h, x.grad, w.grad, v.grad])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-9)


def test_checkpoint_to_the_second_order_and_without_gradients():
    found = []
    for T, checkpoint in zip(LIBS, (torch.utils.checkpoint.checkpoint, lg.utils.checkpoint.checkpoint), strict=True):
        x = T.tensor(draw(4)).requires_grad_()
        y = checkpoint(lambda a: (a.sin() * a, {"n": 3, "square": a * a}), x, use_reentrant=False)
        (g,) = T.autograd.grad((y[0] * y[1]["square"]).sum(), x, create_graph=True)
        found.append([g, *T.autograd.grad(g.sum(), x)])
        with T.no_grad():
            assert not checkpoint(T.sin, x, use_reentrant=False).requires_grad
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-9)


def test_checkpoint_draws_the_same_numbers_again():
    lg.manual_seed(3)
    x = lg.ones(64, requires_grad=True)
    y = lg.utils.checkpoint.checkpoint(lambda a: lg.nn.functional.dropout(a * 2, 0.5), x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy(force=True))
    with pytest.raises(NotImplementedError):
        lg.utils.checkpoint.checkpoint(lg.sin, x, preserve_rng_state=False)


@pytest.mark.parametrize("read", [False, True], ids=["one plan", "loss read first"])
def test_checkpoint_keeps_less(read):
    """Values inside are stored in fewer bytes at a time, for products that are computed twice."""
    found = []
    for kept in (True, False):
        x, ws = lg.tensor(draw(512, 64)), [lg.tensor((draw(64, 64, seed=i) - 1.25) / 4).requires_grad_() for i in range(6)]

        def block(h, w):
            return ((h @ w).tanh() @ w.mT).sin()

        h = x
        for w in ws:
            h = block(h, w) if kept else lg.utils.checkpoint.checkpoint(block, h, w)
        loss = (h * h).mean()
        if read:
            loss.item()
        grads = lg.autograd.grad(loss, ws)
        plan = plan_of([*([] if read else [loss]), *grads], H200)
        stored = plan_arena(plan).size + sum(v.dtype.itemsize * math.prod(v.shape) for v in plan.values[: plan.inputs])
        products = sum(n.op is ops.DOT for s in plan.steps for n in s.body)
        found.append((stored, products, [g.numpy() for g in grads]))
    (kept, once, plain), (less, twice, again) = found
    assert less < kept and twice == once + 12 and np.abs(plain[0]).max() > 1e-6
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)


@BOTH
def test_checkpoint_sequential(T):
    utils = torch.utils.checkpoint if T is torch else lg.utils.checkpoint
    x = T.tensor(draw(3)).requires_grad_()
    steps = [T.sin, lambda a: a * a, T.exp, T.cos, lambda a: a + 1]
    plain = x
    for step in steps:
        plain = step(plain)
    found = utils.checkpoint_sequential(steps, 2, x, use_reentrant=False)
    np.testing.assert_allclose(to_numpy(found), to_numpy(plain))
    np.testing.assert_allclose(
        to_numpy(T.autograd.grad(found.sum(), x)[0]), to_numpy(T.autograd.grad(plain.sum(), x)[0]), rtol=1e-12
    )


@BOTH
def test_checkpointed_modules_train(T):
    nn, utils = (torch.nn, torch.utils.checkpoint) if T is torch else (lg.nn, lg.utils.checkpoint)
    layer = nn.Linear(3, 3)
    with T.no_grad():
        layer.weight.fill_(0.1)
        layer.bias.fill_(0.2)
    x = T.ones(2, 3)
    utils.checkpoint(layer, x, use_reentrant=False).sum().backward()  # no argument requires grad, the parameters do
    np.testing.assert_allclose(to_numpy(layer.weight.grad), np.full((3, 3), 2.0))
