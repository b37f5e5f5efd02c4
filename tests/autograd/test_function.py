"""autograd.Function against torch: the same class, made for both libraries, gives the same numbers and errors."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.autograd.function

import lazygrad as lg
from lazygrad.ir.node import live_nodes
from tests.support import to_numpy

LIBS = [torch, lg]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2, shape)


def inputs(T, *shapes, dtype="float64"):
    return [T.tensor(draw(*s, seed=i)).to(getattr(T, dtype)).requires_grad_() for i, s in enumerate(shapes)]


def cube(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    return Cube


def exponential(T):
    class Exp(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    return Exp


def linear(T):
    class Linear(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, b=None):
            ctx.save_for_backward(x, w, b)
            return x @ w.mT if b is None else x @ w.mT + b

        @staticmethod
        def backward(ctx, g):
            x, w, b = ctx.saved_tensors
            return g @ w, g.mT @ x, None if b is None else g.sum(0)

    return Linear


def several(T):
    class Several(T.autograd.Function):
        @staticmethod
        def forward(a, b, power):
            return a**power * b, a + b

        @staticmethod
        def setup_context(ctx, inputs, output):
            a, b, ctx.power = inputs
            ctx.save_for_backward(a, b)

        @staticmethod
        def backward(ctx, g, h):
            a, b = ctx.saved_tensors
            return ctx.power * a ** (ctx.power - 1) * b * g + h, a**ctx.power * g + h, None

    return Several


def numpy_inside(T):
    """The value is computed outside of the graph; its gradient isn't."""

    class Outside(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return T.tensor(np.sin(x.detach().numpy()))

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    return Outside


PROGRAMS = {
    "input saved": (lambda T, x, y, w: cube(T).apply(x), 3),
    "output saved": (lambda T, x, y, w: exponential(T).apply(x), 3),
    "linear": (lambda T, x, y, w: linear(T).apply(x, w, y[0]), 2),
    "no bias": (lambda T, x, y, w: linear(T).apply(x, w), 2),
    "several": (lambda T, x, y, w: sum(several(T).apply(x, y, 2)), 2),
    "first of several": (lambda T, x, y, w: several(T).apply(x, y, 3)[0], 2),
    "one after the other": (lambda T, x, y, w: several(T).apply(*several(T).apply(x, y, 2), 2)[0], 2),
    "the same twice": (lambda T, x, y, w: several(T).apply(x, x, 2)[0] * several(T).apply(x, x, 2)[1], 2),
    "outputs meet again": (lambda T, x, y, w: cube(T).apply(several(T).apply(x, y, 2)[1]) * several(T).apply(x, y, 2)[0], 2),
    "nested": (lambda T, x, y, w: exponential(T).apply(-cube(T).apply(x * y)), 2),
    "outside": (lambda T, x, y, w: numpy_inside(T).apply(x * y), 2),
}


def derivatives(T, program, order):
    x, y, w = inputs(T, (2, 3), (2, 3), (3, 3))
    out = program(T, x, y, w)
    found = [out]
    value = (out * out).sum()
    for _ in range(order):
        grads = [g for g in T.autograd.grad(value, [x, y, w], create_graph=True, allow_unused=True) if g is not None]
        found += grads
        value = sum((g * g).sum() for g in grads)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name):
    """To the third order where torch goes there."""
    program, order = PROGRAMS[name]
    want, got = (derivatives(T, program, order) for T in LIBS)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=1e-9)


def test_in_generated_kernels():
    with lg.config(backend="triton"):
        got = derivatives(lg, PROGRAMS["nested"][0], 1)
    for g, w in zip(got, derivatives(torch, PROGRAMS["nested"][0], 1), strict=True):
        np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=1e-9)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 1, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_shapes_and_dtypes(shape, dtype):
    found = []
    for T in LIBS:
        (x,) = inputs(T, shape, dtype=dtype)
        y = cube(T).apply(x)
        y.sum().backward()
        found.append((y, x.grad))
    for w, g in zip(*found, strict=True):
        assert tuple(g.shape) == shape and g.dtype.name == str(w.dtype).removeprefix("torch.")
        np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=2e-2 if dtype == "bfloat16" else 4e-3)


def test_backward_is_called_once_for_all_outputs_when_it_is_asked_for():
    calls = []

    class Two(lg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            assert not lg.is_grad_enabled()
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            calls.append((lg.is_grad_enabled(), g.tolist(), h.tolist()))
            return 2 * g + 3 * h

    x = lg.ones(2, requires_grad=True)
    a, b = Two.apply(x)
    loss = (a * b.exp() + a).sum()
    loss.item()  # reading a loss runs nobody's backward
    assert calls == []
    loss.backward(retain_graph=True)
    assert len(calls) == 1 and not calls[0][0]
    loss.backward(create_graph=True)
    assert len(calls) == 2 and calls[1][0]
    e3 = np.exp(3.0)
    np.testing.assert_allclose(x.grad.numpy(force=True), 2 * (2 * (e3 + 1) + 3 * 2 * e3) * np.ones(2), rtol=1e-5)


def test_the_loss_read_first_gives_the_same_gradients():
    found = []
    for read in (False, True):
        x, w = inputs(lg, (4, 3), (3, 3))
        h = cube(lg).apply((x @ w).softmax(1)) @ w
        loss = (exponential(lg).apply(-h) @ w).sum()
        if read:
            loss.item()
        loss.backward()
        found.append([x.grad.numpy(), w.grad.numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])
def test_what_ctx_says(T):
    seen = []

    class Say(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, n, y):
            seen.append(ctx.needs_input_grad)
            ctx.note = n
            index, same = x.argmax(), x * 1
            ctx.mark_non_differentiable(index, same)
            return x * n, index, same, None, "text"

        @staticmethod
        def backward(ctx, *grads):
            seen.append([None if g is None else g.tolist() for g in grads])
            return grads[0] * ctx.note, None, None

    class Sparse(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            seen.append((g is None, h is None))
            return h * 3

    x = T.ones(2, requires_grad=True)
    out, index, same, nothing, text = Say.apply(x, 3.0, T.ones(1))
    assert out.requires_grad and not index.requires_grad and not same.requires_grad
    assert nothing is None and text == "text"
    out.sum().backward()
    assert seen == [(True, False, False), [[1, 1], 0, [0, 0], None, None]] and x.grad.tolist() == [3, 3]
    Sparse.apply(x)[1].sum().backward()
    assert seen[-1] == (True, False)
    with T.no_grad():
        assert not Say.apply(x, 3.0, x)[0].requires_grad
    assert not cube(T).apply(x.detach()).requires_grad


@pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])
def test_writing_in_place(T):
    class Doubled(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    class Same(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = T.ones(2, requires_grad=True)
    y = x * 3
    z = Doubled.apply(y)
    assert z is y and y.tolist() == [6, 6]
    (y * y).sum().backward()
    assert x.grad.tolist() == [72, 72]
    with pytest.raises(RuntimeError, match="in-place"):
        Doubled.apply(x)
    again = Same.apply(x)
    assert again is not x and again.tolist() == x.tolist()
    x.grad = None
    again.sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_saved_values_are_those_of_the_forward():
    """A write after the call doesn't reach them."""
    x = lg.ones(2, requires_grad=True)
    y = x * 2
    z = cube(lg).apply(y)
    y.add_(10)
    z.sum().backward()
    assert x.grad.tolist() == [24, 24]


@pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])
def test_backward_that_runs_its_forward_again(T):
    """What was saved comes back with its history: with the grad mode on, backward() may differentiate for it."""

    class Again(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return (x * w).sin()

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            assert not T.is_grad_enabled() and x.requires_grad and w.requires_grad and not (x * w).requires_grad
            with T.enable_grad():
                return T.autograd.grad((x * w).sin(), (x, w), g)

    x, w = inputs(T, (3,), (3,))
    Again.apply(x * 1, w).sum().backward()
    slope = T.cos(x * w).detach()
    assert T.allclose(x.grad, slope * w.detach()) and T.allclose(w.grad, slope * x.detach())


def bad_gradient(T, returned):
    class Bad(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, g):
            return returned(g)

    a, b = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    Bad.apply(a, b).sum().backward()
    return a.grad


@pytest.mark.parametrize(
    "returned",
    [lambda g: g, lambda g: (g, g, g), lambda g: (g[:1], g), lambda g: (3.0, g), lambda g: (g[:, None].expand(2, 4), g)],
    ids=["too few", "too many", "too small", "number", "too wide"],
)
def test_gradients_that_do_not_fit(returned):
    for T in LIBS:
        with pytest.raises(RuntimeError) as caught:
            bad_gradient(T, returned)
    assert "test_function.py" in str(caught.value)


@pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])
def test_gradients_that_can_be_made_to_fit(T):
    assert bad_gradient(T, lambda g: (g, g, None)).tolist() == [1, 1]
    assert bad_gradient(T, lambda g: (g.expand(3, 2), g)).tolist() == [3, 3]
    assert bad_gradient(T, lambda g: (g.double(), g)).dtype in (torch.float32, lg.float32)


@pytest.mark.parametrize("T", LIBS, ids=["torch", "lazygrad"])
def test_misuse(T):
    class NoBackward(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class Once(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @T.autograd.function.once_differentiable
        def backward(ctx, g):
            assert not T.is_grad_enabled()
            return 2 * g * ctx.saved_tensors[0]

    class SavesNumber(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)
            return x

    x, w = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="backward or vjp"):
        NoBackward.apply(x).sum().backward()
    (g,) = T.autograd.grad((w * Once.apply(x)).sum(), x, create_graph=True)
    assert g.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()
    with pytest.raises(TypeError, match="save_for_backward"):
        SavesNumber.apply(x)
    np.testing.assert_array_equal(to_numpy(Once.apply(x=x)), [1, 1])


def test_the_line_of_the_users_backward():
    """What backward() computes belongs to its own lines, and so do its errors."""

    class Wrong(lg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g @ lg.ones(7)  # this line

    x = lg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError) as caught:
        Wrong.apply(x).sum().backward()
    with open(__file__) as text:
        line = next(i for i, each in enumerate(text, 1) if each.rstrip().endswith("# this line"))
    assert f"test_function.py:{line}" in str(caught.value)


def test_nothing_is_held_longer_than_the_graph():
    class Held:
        pass

    class Keeps(lg.autograd.Function):
        @staticmethod
        def forward(ctx, x, held):
            ctx.held, y = held, x.exp()
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[1], None

    x = lg.ones(3, requires_grad=True)
    gc.disable()  # no cycles: a graph dies when its last tensor does
    try:
        held = Held()
        watch = weakref.ref(held)
        y = Keeps.apply(x, held)
        del held
        assert watch() is not None
        y.sum().backward()
        x.grad.tolist()
        del y
        assert watch() is None
        x.grad = None
        before = live_nodes()
        for _ in range(3):
            Keeps.apply(x, None).sum().backward()
            x.grad = None
        assert live_nodes() == before
    finally:
        gc.enable()


def test_a_training_loop_compiles_once():
    (x, w) = inputs(lg, (4, 3), (3, 3), dtype="float32")
    optimizer = lg.optim.SGD([w], lr=0.01)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = cube(lg).apply(x.detach() @ w).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    plans = len(lg.engine._plans)
    for _ in range(3):
        optimizer.zero_grad()
        loss = cube(lg).apply(x.detach() @ w).mean()
        loss.backward()
        optimizer.step()
        loss.item()
    assert len(lg.engine._plans) == plans
