"""backward(), grad(), hooks and grad modes against torch."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

LIBS = [torch, lg]
BOTH = pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])


def leaf(T, *values):
    return T.tensor(list(values) or [1.0, 2.0], requires_grad=True)


# -- backward and grad ----------------------------------------------------------------------------------
@BOTH
def test_backward_arguments(T):
    x, y = leaf(T), leaf(T, 3.0, 4.0)
    (x * y).backward(T.tensor([1.0, 10.0]), retain_graph=True)
    assert x.grad.tolist() == [3, 40] and y.grad.tolist() == [1, 20]
    x.grad = y.grad = None
    z = (x * y).sum()
    z.backward(inputs=[y])
    assert x.grad is None and y.grad.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="second time"):
        (x * y).sin().sum().backward() or z.backward()
    hidden = x * 2
    (hidden * hidden).sum().backward(inputs=hidden)
    assert hidden.grad.tolist() == [4, 8]
    x.grad = None
    T.autograd.backward([(x * 2).sum(), (x * 3).sum()])
    assert x.grad.tolist() == [5, 5]
    T.autograd.backward((x * 2), T.ones(2))
    assert x.grad.tolist() == [7, 7]
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    with T.no_grad():
        (x.detach().requires_grad_() * 1).sum()


@BOTH
def test_grad_arguments(T):
    x, y = leaf(T), leaf(T, 3.0, 4.0)
    z = (x * x).sum()
    with pytest.raises(RuntimeError, match="not have been used"):
        T.autograd.grad(z, [x, y], retain_graph=True)
    assert T.autograd.grad(z, [x, y], retain_graph=True, allow_unused=True)[1] is None
    assert T.autograd.grad(z, [x, y], retain_graph=True, materialize_grads=True)[1].tolist() == [0, 0]
    with pytest.raises(ValueError):
        T.autograd.grad(z, [x], allow_unused=False, materialize_grads=True)
    with pytest.raises(RuntimeError, match="cannot be empty"):
        T.autograd.grad(z, [])
    with pytest.raises(RuntimeError, match="cannot be empty"):
        z.backward(inputs=[])
    with pytest.raises(RuntimeError, match="does not require grad"):
        T.autograd.grad(z, T.ones(2))
    with pytest.raises(RuntimeError, match="does not require grad"):
        T.ones(()).backward()
    with pytest.raises(RuntimeError, match="scalar"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="shape"):
        (x * 2).backward(T.ones(3))
    rows = T.autograd.grad(x * x, x, T.eye(2), is_grads_batched=True)[0]
    assert rows.tolist() == [[2, 0], [0, 4]]


def test_hessian_vector_products():
    """Both ways of writing them."""
    found = []
    for T in LIBS:
        x = T.tensor(np.linspace(0.5, 2, 5)).requires_grad_()
        v = T.tensor(np.linspace(-1, 1, 5))
        (g,) = T.autograd.grad((x**3 * x.roll(1)).sum(), x, create_graph=True)
        first = T.autograd.grad(g, x, v, retain_graph=True)[0]
        second = T.autograd.grad((g * v).sum(), x)[0]
        found.append([first, second])
    for got, want in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-12)


@BOTH
def test_detach(T):
    x = leaf(T)
    y = x * 2
    assert not y.detach().requires_grad
    (y * y.detach()).sum().backward()
    assert x.grad.tolist() == [4, 8]
    z = x * 3
    assert z.detach_() is z and not z.requires_grad and z.is_leaf
    with pytest.raises(RuntimeError, match="view"):
        (x * 2)[:1].detach_()


# -- hooks of tensors -----------------------------------------------------------------------------------
@BOTH
def test_hooks_see_and_replace_gradients(T):
    x = leaf(T)
    seen = []
    y = x * 2
    z = (y * y).sum()  # made before the hook
    handle = y.register_hook(lambda g: g * 3)
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.retain_grad()
    x.register_hook(lambda g: g + 1)
    z.backward(retain_graph=True)
    assert seen == [[12, 24]] and y.grad.tolist() == [12, 24] and x.grad.tolist() == [25, 49]
    handle.remove()
    x.grad = y.grad = None
    z.backward(retain_graph=True)
    assert y.grad.tolist() == [4, 8] and x.grad.tolist() == [9, 17]
    assert T.autograd.grad(z, x, retain_graph=True)[0].tolist() == [9, 17]
    with y.register_hook(lambda g: g * 0):
        assert T.autograd.grad(z, x, retain_graph=True)[0].tolist() == [1, 1]
    assert T.autograd.grad(z, x)[0].tolist() == [9, 17]


@BOTH
def test_a_hook_is_of_one_tensor(T):
    """Not of an equal one that is made later, nor only as long as its Tensor lives."""
    x = leaf(T)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]

    def forward():
        hidden = x * 3
        hidden.register_hook(lambda g: g * 10)
        return hidden.sum()

    x.grad = None
    forward().backward()
    assert x.grad.tolist() == [30, 30]
    y = x * 5
    y.retain_grad()
    y.retain_grad()
    (x * 5).sum().backward()
    assert y.grad is None and y.retains_grad


@BOTH
def test_hooks_in_the_middle_of_a_recognised_attention(T):
    q = T.tensor(np.linspace(-1, 1, 24).reshape(1, 1, 6, 4)).requires_grad_()
    scores = q @ q.mT
    p = scores.softmax(-1)
    out = (p @ q).sum()
    seen = []
    p.register_hook(lambda g: seen.append(tuple(g.shape)))
    scores.register_hook(lambda g: g * 2)
    out.backward()
    assert seen == [(1, 1, 6, 6)]
    test_hooks_in_the_middle_of_a_recognised_attention.found = getattr(
        test_hooks_in_the_middle_of_a_recognised_attention, "found", to_numpy(q.grad)
    )
    np.testing.assert_allclose(to_numpy(q.grad), test_hooks_in_the_middle_of_a_recognised_attention.found, rtol=1e-9)


@BOTH
def test_hooks_after_accumulation(T):
    x = leaf(T)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert seen == [[2, 2], [5, 5]]
    with pytest.raises(RuntimeError):
        (x * 2).register_post_accumulate_grad_hook(print)
    for bad in (T.ones(2), T.ones(2) * 2):
        with pytest.raises(RuntimeError):
            bad.register_hook(print)
        with pytest.raises(RuntimeError):
            bad.retain_grad()
    z = (x * 2).sum()
    x.register_hook(lambda g: g[:1])
    with pytest.raises(RuntimeError):
        z.backward()


def test_hooks_of_hooks_gradients():
    """What a hook returns is differentiated again."""
    found = []
    for T in LIBS:
        x = T.tensor([1.0, 2.0]).double().requires_grad_()
        y = x * x
        y.register_hook(lambda g, x=x: g * x)
        (g,) = T.autograd.grad((y * y).sum(), x, create_graph=True)
        found.append(T.autograd.grad(g.sum(), x)[0].tolist())
    assert found[0] == found[1]


# -- modes ----------------------------------------------------------------------------------------------
@BOTH
def test_modes(T):
    x = leaf(T)
    on = T.is_grad_enabled
    with T.no_grad():
        assert not on() and not (x * 2).requires_grad
        with T.enable_grad():
            assert on() and (x * 2).requires_grad
        with T.set_grad_enabled(True):
            assert on()
        assert not on()
    with T.inference_mode():
        assert not on()
    with T.inference_mode(False):
        assert on()
    T.set_grad_enabled(False)
    assert not on()
    T.set_grad_enabled(True)


def test_a_mode_inside_itself():
    """torch's no_grad() forgets what it should restore."""
    mode = lg.no_grad()
    with mode:
        with mode:
            assert not lg.is_grad_enabled()
        assert not lg.is_grad_enabled()
    assert lg.is_grad_enabled()


@BOTH
def test_modes_as_decorators(T):
    on = T.is_grad_enabled

    @T.no_grad()
    def a():
        """Says something."""
        return on()

    @T.no_grad
    def b():
        return on()

    @T.inference_mode()
    def c():
        return on()

    @T.set_grad_enabled(False)
    def d():
        return on()

    @T.no_grad()
    def generator():
        got = yield on()
        try:
            yield (on(), got)
        except KeyError:
            yield "caught"
        return 7

    assert not (a() or b() or c() or d()) and on() and a.__doc__ == "Says something."
    with T.no_grad():
        assert T.enable_grad()(on)()
    running = generator()
    assert next(running) is False and on()
    assert running.send(5) == (False, 5) and on()
    assert running.throw(KeyError) == "caught" and on()
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert stop.value.value == 7 and inspect.isgeneratorfunction(generator)


@BOTH
def test_create_graph_counts_more_than_the_mode(T):
    x = leaf(T)
    z = (x**3).sum()
    with T.no_grad():
        z.backward(create_graph=True)
        assert x.grad.requires_grad


@BOTH
def test_variable_is_a_detached_tensor(T):
    """The class of PyTorch before 0.4, which older programs still name."""
    Variable = T.autograd.Variable
    hidden = leaf(T) * 2
    view = Variable(hidden)
    assert isinstance(view, Variable) and isinstance(view, T.Tensor) and not isinstance(3, Variable)
    assert not view.requires_grad and Variable(hidden, requires_grad=True).is_leaf
    data = T.zeros(2)
    Variable(data).fill_(3.0)
    assert data.tolist() == [3, 3] and Variable().shape == (0,)
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        Variable([1.0])
    with pytest.warns(UserWarning, match="volatile was removed"):
        Variable(data, volatile=True)
