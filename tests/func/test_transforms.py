"""func's derivatives against torch.func: values, structures, nesting, errors; modules as functions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

LIBS = [torch, lg]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-2, 2, shape)


def flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [f for v in value for f in flat(v)]
    return [value]


def shape_of(value):
    if isinstance(value, dict):
        return {k: shape_of(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(shape_of(v) for v in value)
    return tuple(value.shape) if hasattr(value, "shape") else value


def same(function):
    """function(T) gives the same structure and numbers with both libraries."""
    want, got = (function(T) for T in LIBS)
    assert shape_of(got) == shape_of(want)
    for g, w in zip(flat(got), flat(want), strict=True):
        if isinstance(w, torch.Tensor):
            assert g.requires_grad == w.requires_grad
            np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=1e-8, atol=1e-9)


def scalar(x):
    return (x.sin() * x).sum()


def hooked(x, by):
    x.register_hook(lambda g: g * by)
    return x


def vector(x):
    return x.outer(x * x)[:, :2] + x.sum()


CASES = {
    "grad": lambda T, x, y: T.func.grad(scalar)(x),
    "grad of two": lambda T, x, y: T.func.grad(lambda a, b: (a * b.sum()).sum(), argnums=(0, 1))(x, y),
    "grad of one": lambda T, x, y: T.func.grad(lambda a, b: (a * b.sum()).sum(), argnums=(1,))(x, y),
    "grad last": lambda T, x, y: T.func.grad(lambda a, b: (a * b.sum()).sum(), argnums=-1)(x, y),
    "grad aux": lambda T, x, y: T.func.grad(lambda a: (scalar(a), {"twice": a * 2}), has_aux=True)(x),
    "grad tree": lambda T, x, y: T.func.grad(lambda p: scalar(p["a"] * p["b"][0]))({"a": x, "b": [x * 2]}),
    "unused": lambda T, x, y: T.func.grad(lambda a, b: scalar(a), argnums=(0, 1))(x, y),
    "constant": lambda T, x, y: T.func.grad(lambda a: y.sum() * 1)(x),
    "grad_and_value": lambda T, x, y: T.func.grad_and_value(scalar)(x),
    "grad_and_value aux": lambda T, x, y: T.func.grad_and_value(lambda a: (scalar(a), a * 2), has_aux=True)(x),
    "second": lambda T, x, y: T.func.grad(lambda a: T.func.grad(scalar)(a).sum())(x),
    "third": lambda T, x, y: T.func.grad(lambda a: T.func.grad(lambda b: T.func.grad(scalar)(b).sum())(a).sum())(x),
    "confusion": lambda T, x, y: T.func.grad(lambda a: (a * T.func.grad(lambda b: (a * b).sum())(a)).sum())(x),
    "detach inside": lambda T, x, y: T.func.grad(lambda a: (a * a.detach()).sum())(x),
    "hooks": lambda T, x, y: T.func.grad(lambda a: hooked(hooked(a, 5) * 2, 3).sum())(x),
    "hooks in rows": lambda T, x, y: T.func.jacrev(lambda a: hooked(hooked(a, 5) * 2, 3) * a)(x),
    "in place": lambda T, x, y: T.func.grad(lambda a: (a.clone().mul_(a) * 2).sum())(x),
    "vjp": lambda T, x, y: T.func.vjp(vector, x)[1](T.ones(3, 2, dtype=x.dtype)),
    "vjp two": lambda T, x, y: T.func.vjp(lambda a, b: (a * b.sum(), b), x, y)[1]((x, y)),
    "vjp value": lambda T, x, y: T.func.vjp(lambda a: {"v": vector(a)}, x)[0],
    "vjp aux": lambda T, x, y: T.func.vjp(lambda a: (vector(a), a * 3), x, has_aux=True)[2],
    "jvp": lambda T, x, y: T.func.jvp(vector, (x,), (x + 1,)),
    "jvp two": lambda T, x, y: T.func.jvp(lambda a, b: (a * b.sum(), b.exp()), (x, y), (x + 1, y * 2)),
    "jvp aux": lambda T, x, y: T.func.jvp(lambda a: (vector(a), a * 3), (x,), (x,), has_aux=True),
    "jvp constant": lambda T, x, y: T.func.jvp(lambda a: y * 1, (x,), (x,)),
    "jvp of grad": lambda T, x, y: T.func.jvp(T.func.grad(scalar), (x,), (x + 1,)),
    "grad of jvp": lambda T, x, y: T.func.grad(lambda a: T.func.jvp(scalar, (a,), (a,))[1])(x),
    "jacrev": lambda T, x, y: T.func.jacrev(vector)(x),
    "jacrev two": lambda T, x, y: T.func.jacrev(lambda a, b: (a * b.sum(), b.exp()), argnums=(0, 1))(x, y),
    "jacrev tree": lambda T, x, y: T.func.jacrev(lambda p: {"s": p["a"].sum(), "v": [p["a"] * 2]})({"a": x}),
    "jacrev aux": lambda T, x, y: T.func.jacrev(lambda a: (vector(a), a * 2), has_aux=True)(x),
    "jacrev chunks": lambda T, x, y: T.func.jacrev(vector, chunk_size=4)(x),
    "jacfwd": lambda T, x, y: T.func.jacfwd(vector)(x),
    "jacfwd two": lambda T, x, y: T.func.jacfwd(lambda a, b: (a * b.sum(), b.exp()), argnums=(0, 1))(x, y),
    "hessian": lambda T, x, y: T.func.hessian(scalar)(x),
    "hessian two": lambda T, x, y: T.func.hessian(lambda a, b: (a * a).sum() * (b**3).sum(), argnums=(0, 1))(x, y),
    "hessian of vector": lambda T, x, y: T.func.hessian(vector)(x),
    "jacrev of jacfwd": lambda T, x, y: T.func.jacrev(T.func.jacfwd(scalar))(x),
    "jacobians of examples": lambda T, x, y: T.vmap(T.func.jacrev(vector))(T.stack([x, x * 2])),
    "jacobian of vmap": lambda T, x, y: T.func.jacrev(T.vmap(lambda v: v * v.sin()))(T.stack([x, x * 2])),
    "hessians of examples": lambda T, x, y: T.vmap(T.func.hessian(scalar))(T.stack([x, x * 2])),
    "linearize": lambda T, x, y: (T.func.linearize(vector, x)[0], T.func.linearize(vector, x)[1](x + 1)),
    "number": lambda T, x, y: T.func.jacrev(lambda a: a * a)(x.sum()),
    "empty": lambda T, x, y: T.func.grad(lambda a: a.sum())(x[:0]),
}


@pytest.mark.parametrize("name", CASES)
def test_transformations(name):
    same(lambda T: CASES[name](T, T.tensor(draw(3)), T.tensor(draw(2, 2))))


def test_the_history_of_inputs_goes_on():
    """Gradients from outside flow through transformations, and what is not recorded has none."""
    for transform in ("grad", "jacrev", "jacfwd"):
        for enabled in (True, False):

            def program(T, transform=transform, enabled=enabled):
                x = T.tensor(draw(3)).requires_grad_()
                with T.set_grad_enabled(enabled):
                    found = getattr(T.func, transform)(scalar)(x)
                if enabled:
                    found.sum().backward()
                return found, x.grad if enabled else x

            same(program)


def test_value_first():
    x = lg.tensor(draw(3))
    value, gradient = lg.func.value_and_grad(scalar)(x)
    want = torch.func.grad_and_value(scalar)(torch.tensor(draw(3)))
    np.testing.assert_allclose(gradient.numpy(), want[0].numpy())
    np.testing.assert_allclose(value.numpy(), want[1].numpy())
    (value, aux), gradient = lg.func.value_and_grad(lambda a: (scalar(a), 7), has_aux=True)(x)
    assert aux == 7 and not value.requires_grad


BAD = {
    "no scalar": lambda T: T.func.grad(lambda x: x)(T.ones(3)),
    "no tensor": lambda T: T.func.grad(lambda x: 3)(T.ones(3)),
    "integers": lambda T: T.func.grad(lambda x: x.sum())(T.ones(3).long()),
    "argnums": lambda T: T.func.grad(lambda x: x.sum(), argnums=1)(T.ones(3)),
    "number": lambda T: T.func.grad(lambda x: x.sum())(3.0),
    "aux": lambda T: T.func.grad(lambda x: x.sum(), has_aux=True)(T.ones(3)),
    "cotangent": lambda T: T.func.vjp(lambda x: x, T.ones(3))[1](T.ones(2)),
    "tangent": lambda T: T.func.jvp(lambda x: x, (T.ones(3),), (T.ones(2),)),
    "primals": lambda T: T.func.jvp(lambda x: x, T.ones(3), T.ones(3)),
    "no primals": lambda T: T.func.jvp(lambda: 1, (), ()),
    "whole numbers from jacrev": lambda T: T.func.jacrev(lambda x: x.long())(T.ones(3)),
    "whole numbers from vjp": lambda T: T.func.vjp(lambda x: (x, x.long()), T.ones(3)),
    "whole numbers pushed": lambda T: T.func.jvp(lambda x: x, (T.arange(3),), (T.arange(3),)),
    "no chunks": lambda T: T.func.jacrev(lambda x: x, chunk_size=0),
    "argnums twice": lambda T: T.func.jacrev(lambda x, y: x * y, argnums=(0, 0))(T.ones(3), T.ones(3)),
    "list of argnums": lambda T: T.func.jacfwd(lambda x, y: x * y, argnums=[0])(T.ones(3), T.ones(3)),
    "no argnums": lambda T: T.func.grad(lambda x: x.sum(), argnums=())(T.ones(3)),
    "by name": lambda T: T.func.grad(lambda x: x.sum())(x=T.ones(3)),
    "structure": lambda T: T.func.vjp(lambda x: (x, x), T.ones(3))[1](T.ones(3)),
    "number from jacfwd": lambda T: T.func.jacfwd(lambda x: 3)(T.ones(3)),
    "linearized": lambda T: T.func.linearize(lambda x: x, T.ones(3))[1](T.ones(2)),
    "independent": lambda T: T.func.jvp(lambda x: T.ones(2), (T.ones(3),), (T.ones(3),), strict=True),
    "no state": lambda T: T.func.functional_call(T.nn.Linear(2, 2), 3, T.ones(2)),
    "state of numbers": lambda T: T.func.functional_call(T.nn.Linear(2, 2), {"weight": 3}, T.ones(2)),
    "no models": lambda T: T.func.stack_module_state([]),
    "shapes of models": lambda T: T.func.stack_module_state([T.nn.Linear(2, 2), T.nn.Linear(2, 3)]),
    "classes of models": lambda T: T.func.stack_module_state([T.nn.Linear(2, 2), T.nn.Conv1d(2, 2, 1)]),
    "modes of models": lambda T: T.func.stack_module_state([T.nn.Linear(2, 2), T.nn.Linear(2, 2).eval()]),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_torchs(name):
    caught = []
    for T in LIBS:
        with pytest.raises((RuntimeError, ValueError, TypeError)) as error:
            BAD[name](T)
        caught.append(error.value)
    assert type(caught[0]) is type(caught[1]), caught
    assert "test_transforms.py" in str(caught[1])


# -- modules ------------------------------------------------------------------------------------------
BOTH = [SimpleNamespace(t=torch, nn=torch.nn), SimpleNamespace(t=lg, nn=lg.nn)]


def model(lib):
    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = lib.nn.Linear(3, 3)
            self.b = lib.nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.register_buffer("shift", lib.t.ones(3))

        def forward(self, x, scale=1.0):
            return self.b(self.a(x).tanh()) * scale + self.shift

    return Net()


@pytest.mark.parametrize("lib", BOTH, ids=["torch", "lazygrad"])
def test_functional_call(lib):
    net, x = model(lib), lib.t.ones(2, 3)
    state = {"a.weight": lib.t.eye(3), "a.bias": lib.t.zeros(3), "shift": lib.t.zeros(3)}
    before = net.a.weight
    found = lib.t.func.functional_call(net, state, (x,), {"scale": 2.0})
    want = (x.tanh() + net.b.bias) * 2
    np.testing.assert_allclose(to_numpy(found), to_numpy(want), rtol=1e-6)
    assert net.a.weight is before and net.b.weight is before
    untied = lib.t.func.functional_call(net, state, x, tie_weights=False)
    assert not np.allclose(to_numpy(untied), to_numpy(want) / 2)
    with pytest.raises(RuntimeError, match="Missing"):
        lib.t.func.functional_call(net, state, x, strict=True)
    with pytest.raises(ValueError):
        lib.t.func.functional_call(net, (state, state), x)
    more = lib.t.func.functional_call(net, {**state, "nothing": x}, x)
    np.testing.assert_allclose(to_numpy(more), to_numpy(want) / 2, rtol=1e-6)


def test_gradients_per_example():
    """The usual recipe: vmap of grad of a functional call."""

    def program(lib):
        lib.t.manual_seed(0)
        net = lib.nn.Linear(3, 2)
        weight, bias = lib.t.tensor(draw(2, 3)), lib.t.tensor(draw(2, seed=1))
        state = {"weight": weight, "bias": bias}
        xs, ys = lib.t.tensor(draw(4, 3, seed=2)), lib.t.tensor([0, 1, 1, 0])

        def loss(state, x, y):
            out = lib.t.func.functional_call(net, state, (x[None],))
            return lib.nn.functional.cross_entropy(out, y[None])

        return lib.t.vmap(lib.t.func.grad(loss), in_dims=(None, 0, 0))(state, xs, ys)

    want, got = (program(lib) for lib in BOTH)
    for name in want:
        np.testing.assert_allclose(to_numpy(got[name]), to_numpy(want[name]), rtol=1e-8)


@pytest.mark.parametrize("lib", BOTH, ids=["torch", "lazygrad"])
def test_ensembles(lib):
    models = [lib.nn.Linear(3, 2) for _ in range(4)]
    parameters, buffers = lib.t.func.stack_module_state(models)
    assert parameters["weight"].is_leaf and parameters["weight"].requires_grad and not buffers
    x = lib.t.ones(5, 3)
    found = lib.t.vmap(lambda p: lib.t.func.functional_call(models[0], p, (x,)))(parameters)
    want = np.stack([to_numpy(m(x)) for m in models])
    np.testing.assert_allclose(to_numpy(found), want, rtol=1e-5)
    found.sum().backward()
    assert tuple(parameters["weight"].grad.shape) == (4, 2, 3)
