"""Programs as torch.func's tutorials have them, run with both libraries on equal numbers: per-sample gradients,
ensembles, meta-learning, derivatives of networks with respect to their input, neural tangent kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.graphs import plan_of
from tests.support import to_numpy


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def with_numbers(T, module, seed=0):
    """The module in float64, with the same parameters in both libraries."""
    for i, parameter in enumerate(module.parameters()):
        parameter.data = T.tensor(numbers(*parameter.shape, seed=[seed, i]) * 0.5)
    return module.double()


def same(program, tolerance=1e-8):
    want, got = (flat(program(T)) for T in (torch, lg))
    assert want.keys() == got.keys()
    for name in want:
        assert tuple(got[name].shape) == tuple(want[name].shape), name
        np.testing.assert_allclose(to_numpy(got[name]), to_numpy(want[name]), rtol=tolerance, atol=tolerance, err_msg=name)


def flat(value, prefix=""):
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, (tuple, list)):
        pairs = enumerate(value)
    else:
        return {prefix: value}
    return {n: leaf for key, part in pairs for n, leaf in flat(part, f"{prefix}.{key}").items()}


# -- models ----------------------------------------------------------------------------------------------
def convolutional(T):
    return T.nn.Sequential(
        T.nn.Conv2d(1, 3, 3, padding=1),
        T.nn.BatchNorm2d(3),
        T.nn.ReLU(),
        T.nn.MaxPool2d(2),
        T.nn.Conv2d(3, 4, 3, stride=2),
        T.nn.GroupNorm(2, 4),
        T.nn.Tanh(),
        T.nn.AdaptiveAvgPool2d(1),
        T.nn.Flatten(),
        T.nn.Linear(4, 3),
    )


def recurrent(T):
    class Tagger(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = T.nn.Embedding(7, 4)
            self.memory = T.nn.LSTM(4, 5, batch_first=True)
            self.out = T.nn.Linear(5, 3)

        def forward(self, words):
            states, _ = self.memory(self.words(words))
            return self.out(states[:, -1])

    return Tagger()


def attending(T):
    class Reader(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = T.nn.Embedding(7, 4)
            self.norm = T.nn.LayerNorm(4)
            self.attention = T.nn.MultiheadAttention(4, 2, batch_first=True)
            self.out = T.nn.Linear(4, 3)

        def forward(self, words):
            x = self.norm(self.words(words))
            x = x + self.attention(x, x, x, need_weights=False)[0]
            return self.out(x.mean(1))

    return Reader()


def perceptron(T, hidden=6):
    return T.nn.Sequential(T.nn.Linear(3, hidden), T.nn.Tanh(), T.nn.Linear(hidden, 2))


IMAGES = numbers(4, 1, 8, 8)
WORDS = np.array([[0, 3, 6, 3, 1], [1, 1, 2, 5, 0], [6, 4, 0, 2, 2], [5, 5, 5, 1, 3]])
CLASSES = np.array([0, 2, 1, 2])
MODELS = {"convolutional": (convolutional, IMAGES), "recurrent": (recurrent, WORDS), "attending": (attending, WORDS)}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_each_sample(name):
    """vmap(grad(loss)) of functional calls is the loop over samples with backward()."""
    model, data = MODELS[name]

    def program(T):
        net = with_numbers(T, model(T)).eval()
        state = {n: p.detach() for n, p in net.named_parameters()}
        buffers = dict(net.named_buffers())

        def loss(state, x, y):
            out = T.func.functional_call(net, (state, buffers), (x.unsqueeze(0),))
            return T.nn.functional.cross_entropy(out, y.unsqueeze(0))

        found = T.func.vmap(T.func.grad_and_value(loss), in_dims=(None, 0, 0))
        return found(state, T.tensor(data), T.tensor(CLASSES))

    if name != "recurrent":  # torch's LSTM has no batching rule
        same(program)
    net = with_numbers(lg, model(lg)).eval()
    grads, losses = program(lg)
    for i, (x, y) in enumerate(zip(data, CLASSES, strict=True)):
        net.zero_grad()
        loss = lg.nn.functional.cross_entropy(net(lg.tensor(x)[None]), lg.tensor([y]))
        loss.backward()
        np.testing.assert_allclose(losses[i].numpy(), loss.detach().numpy(), rtol=1e-9)
        for key, parameter in net.named_parameters():
            np.testing.assert_allclose(grads[key][i].numpy(), parameter.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=key)


def test_ensembles():
    """One model on its own batch each, and all of them on one batch; then a step of training of all."""

    def program(T):
        models = [with_numbers(T, perceptron(T), seed) for seed in range(3)]
        parameters, buffers = T.func.stack_module_state(models)
        base = models[0].to("meta") if T is torch else models[0]

        def call(parameters, buffers, x):
            return T.func.functional_call(base, (parameters, buffers), (x,))

        own, shared = T.tensor(numbers(3, 5, 3)), T.tensor(numbers(5, 3, seed=1))
        first = T.vmap(call)(parameters, buffers, own)
        second = T.vmap(call, in_dims=(0, 0, None), randomness="same")(parameters, buffers, shared)
        (first.square().mean((1, 2)).sum() + second.sum()).backward()
        optimizer = T.optim.SGD(parameters.values(), lr=0.1)
        gradients = {n: p.grad.clone() for n, p in parameters.items()}
        optimizer.step()
        return first, second, gradients, parameters

    same(program)


def test_ensembles_of_batch_norms():
    """Each model's running statistics are its own: examples of a batch that they are written into."""

    def program(T):
        def model(seed):
            return with_numbers(T, T.nn.Sequential(T.nn.Linear(3, 4), T.nn.BatchNorm1d(4), T.nn.ReLU()), seed)

        models = [model(seed) for seed in range(2)]
        parameters, buffers = T.func.stack_module_state(models)

        def call(parameters, buffers, x):
            return T.func.functional_call(models[0], (parameters, buffers), (x,))

        out = T.vmap(call, in_dims=(0, 0, None))(parameters, buffers, T.tensor(numbers(6, 3)))
        return out, buffers

    same(program)


def test_meta_learning():
    """MAML: the loss after a step of gradient descent, differentiated through the step, for many tasks at once."""

    def program(T):
        net = with_numbers(T, T.nn.Sequential(T.nn.Linear(1, 4), T.nn.Tanh(), T.nn.Linear(4, 1)))
        state = {n: p.detach() for n, p in net.named_parameters()}

        def loss(state, x, y):
            return T.nn.functional.mse_loss(T.func.functional_call(net, state, (x,)), y)

        def after_a_step(state, x, y, x_new, y_new):
            for _ in range(2):
                slopes = T.func.grad(loss)(state, x, y)
                state = {n: p - 0.1 * slopes[n] for n, p in state.items()}
            return loss(state, x_new, y_new)

        tasks = [T.tensor(numbers(5, 8, 1, seed=s)) for s in range(4)]

        def mean_loss(state):
            return T.vmap(after_a_step, in_dims=(None, 0, 0, 0, 0))(state, *tasks).mean()

        return T.func.grad_and_value(mean_loss)(state)

    same(program)


def test_derivatives_of_a_network():
    """Jacobians and Hessians of each sample both ways, the Laplacian, Hessian-vector products."""

    def program(T):
        net = with_numbers(T, perceptron(T))
        state = {n: p.detach() for n, p in net.named_parameters()}
        xs, vs = T.tensor(numbers(4, 3)), T.tensor(numbers(4, 3, seed=1))

        def call(x):
            return T.func.functional_call(net, state, (x,))

        def height(x):
            return call(x)[0]

        def laplacian(x):
            return T.func.jacfwd(T.func.grad(height))(x).diagonal().sum()

        def hessian_product(x, v):
            return T.func.jvp(T.func.grad(height), (x,), (v,))[1]

        return {
            "reverse": T.vmap(T.func.jacrev(call))(xs),
            "forward": T.vmap(T.func.jacfwd(call))(xs),
            "hessian": T.vmap(T.func.hessian(call))(xs),
            "laplacian": T.vmap(laplacian)(xs),
            "product": T.vmap(hessian_product)(xs, vs),
            "parameters": T.func.jacrev(lambda s: T.func.functional_call(net, s, (xs[0],)))(state),
            "slope of the laplacian": T.func.grad(lambda x: T.vmap(laplacian)(x).sum())(xs),
        }

    same(program)


def test_neural_tangent_kernels():
    """By contracting Jacobians, and by products with vectors alone."""

    def program(T):
        net = with_numbers(T, perceptron(T))
        state = {n: p.detach() for n, p in net.named_parameters()}
        left, right = T.tensor(numbers(3, 3)), T.tensor(numbers(2, 3, seed=1))

        def call(state, x):
            return T.func.functional_call(net, state, (x,))

        def jacobians(xs):
            found = T.vmap(T.func.jacrev(call), (None, 0))(state, xs)
            return [j.flatten(2) for j in found.values()]

        contracted = sum(T.einsum("naf,mbf->nmab", a, b) for a, b in zip(jacobians(left), jacobians(right), strict=True))

        def product(x1, x2):
            def along(vector):
                _, pullback = T.func.vjp(lambda s: call(s, x1), state)
                return T.func.jvp(lambda s: call(s, x2), (state,), pullback(vector))[1]

            return T.vmap(along)(T.eye(2, dtype=T.float64))

        products = T.vmap(T.vmap(product, (None, 0)), (0, None))(left, right)
        return contracted, products

    same(program)


def test_physics():
    """Derivatives of a network with respect to its input inside the loss of its parameters: u'' + u = 0."""

    def program(T):
        net = with_numbers(T, T.nn.Sequential(T.nn.Linear(1, 6), T.nn.Tanh(), T.nn.Linear(6, 1)))
        state = {n: p.detach() for n, p in net.named_parameters()}
        xs = T.tensor(np.linspace(0, 3, 7))

        def u(state, x):
            return T.func.functional_call(net, state, (x[None],))[0]

        def residual(state, x):
            return T.func.grad(T.func.grad(u, 1), 1)(state, x) + u(state, x)

        def loss(state):
            return T.vmap(residual, (None, 0))(state, xs).square().mean() + (u(state, xs[0]) - 1).square()

        losses = []
        for _ in range(3):
            slopes, value = T.func.grad_and_value(loss)(state)
            state = {n: p - 0.05 * slopes[n] for n, p in state.items()}
            losses.append(value)
        return losses, state

    same(program)


def steps_for(samples):
    """How an H200 would run the gradients of each sample."""
    net = with_numbers(lg, convolutional(lg)).eval()
    state = {n: p.detach().realize() for n, p in net.named_parameters()}
    xs, ys = lg.rand(samples, 1, 8, 8).realize(), (lg.arange(samples) % 3).realize()

    def loss(state, x, y):
        out = lg.func.functional_call(net, state, (x.double()[None],))
        return lg.nn.functional.cross_entropy(out, y[None])

    found = lg.vmap(lg.func.grad(loss), in_dims=(None, 0, 0))(state, xs, ys)
    return len(plan_of(list(found.values())).steps)


def test_all_samples_share_their_kernels():
    assert steps_for(64) == steps_for(2) <= 24
