"""Writing in place inside transformed functions: to examples, their views, copies, what was made inside or outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

X = np.arange(12.0).reshape(3, 4) / 7 - 0.5


def written(v, *steps):
    for step in steps:
        step(v)
    return v


def first_is(v, value):
    v[0] = value


def made_inside(v, make):
    made = make(v)
    made[1:] = v[:3] * 2
    return made.mul_(v)


# functions of one example
EXAMPLES = {
    "add_": lambda T, v: v.add_(1),
    "item": lambda T, v: written(v, lambda v: first_is(v, 5.0)),
    "item of itself": lambda T, v: written(v, lambda v: first_is(v, v[1] * 2)),
    "view": lambda T, v: written(v, lambda v: v[1:3].mul_(2), lambda v: v.view(2, 2)[0].exp_()),
    "number": lambda T, v: v.zero_(),
    "copy": lambda T, v: written(v.clone(), lambda c: c.mul_(v), lambda c: first_is(c, v[2])),
    "twice": lambda T, v: v.add_(1).mul_(v),
    "zeros_like": lambda T, v: made_inside(v, T.zeros_like),
    "new_zeros": lambda T, v: made_inside(v, lambda v: v.new_zeros(4)),
    "copy_": lambda T, v: T.empty_like(v).copy_(v * 2),
    "result apart": lambda T, v: (v.mul_(3), v.sum())[1],
    "no_grad": lambda T, v: T.no_grad()(lambda: v.mul_(2))() + v,
    "index": lambda T, v: v.index_add_(0, T.tensor([0, 0]), v[:2].clone()),
    "masked_fill_": lambda T, v: v.masked_fill_(v > 0, 9.0),
    "scatter_": lambda T, v: v.scatter_(0, T.tensor([3]), v[:1].clone()),
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("options", [{}, {"in_dims": -1, "out_dims": -1}, {"chunk_size": 2}], ids=str)
def test_what_is_written_into_examples_is_in_the_batch(name, options):
    outcomes = []
    for T in (torch, lg):
        batch = T.tensor(X if "in_dims" not in options else X.T.copy())
        view = batch[:, :]
        result = T.vmap(lambda v, T=T: EXAMPLES[name](T, v), **options)(batch)
        outcomes.append([to_numpy(t) for t in (result, batch, view)])
    for want, got in zip(*outcomes, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])
def test_gradients_flow_through_what_is_written(T):
    x = T.tensor(X).requires_grad_()
    T.vmap(lambda v: written(v.clone(), lambda c: c[1:].mul_(c[0].clone())).sum())(x).sum().backward()
    want = np.concatenate([1 + X[:, 1:].sum(1, keepdims=True), np.repeat(X[:, :1], 3, 1)], 1)
    np.testing.assert_allclose(to_numpy(x.grad), want)
    batch = x * 1
    T.vmap(lambda v: v.mul_(3))(batch)
    (gradient,) = T.autograd.grad((batch * x).sum(), x)
    np.testing.assert_allclose(to_numpy(gradient), 6 * X)


@pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])
def test_through_two_vmaps(T):
    x = T.tensor(X)
    T.vmap(T.vmap(lambda e: e.add_(1)), in_dims=1)(x)
    np.testing.assert_allclose(to_numpy(x), X + 1)


@pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])
def test_what_all_examples_share_is_written_once(T):
    calls = T.zeros(1)

    def function(v):
        calls.add_(1)
        return v * calls

    assert to_numpy(T.vmap(function)(T.ones(3, 4))).tolist() == [[1.0] * 4] * 3
    assert calls.tolist() == [1]


def leak(T, transform):
    total = T.zeros(4, dtype=T.float64)
    transform(lambda v: total.add_(v).sum())


BAD = {
    "leaf": lambda T, x: T.func.grad(lambda v: v.mul_(2).sum())(x),
    "leaf of vjp": lambda T, x: T.func.vjp(lambda v: v.mul_(2), x),
    "leaf of jacrev": lambda T, x: T.func.jacrev(lambda v: first_is(v, 1.0) or v)(x),
    "leaf inside vmap": lambda T, x: T.vmap(T.func.grad(lambda v: v.mul_(2).sum()))(x[None]),
    "captured by grad": lambda T, x: leak(T, lambda f: T.func.grad(f)(x)),
    "captured by jacrev": lambda T, x: leak(T, lambda f: T.func.jacrev(f)(x)),
    "captured by vmap": lambda T, x: leak(T, lambda f: T.vmap(f)(x[None])),
    "batch is a leaf": lambda T, x: T.vmap(lambda v: v.mul_(2))(x.requires_grad_()[None][0]),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_as_torch_does(name):
    for T in (torch, lg):
        with pytest.raises(RuntimeError) as caught:
            BAD[name](T, T.tensor(X[0]))
    assert "test_in_place.py" in str(caught.value)


def test_a_refused_write_leaves_no_trace():
    total = lg.zeros(4, dtype=lg.float64)
    with pytest.raises(RuntimeError, match="captured Tensor"):
        lg.func.grad(lambda v: total.add_(v).sum())(lg.tensor(X[0]))
    assert total.tolist() == [0, 0, 0, 0] and not total.requires_grad
    total.add_(1)
    assert total.tolist() == [1, 1, 1, 1]


def test_running_statistics_may_be_written_under_grad():
    """Their values come from the arguments, their history doesn't. torch refuses: rewrite there, none needed here."""
    norm, plain = (lg.nn.BatchNorm1d(4, dtype=lg.float64) for _ in range(2))
    parameters = {n: p.detach() for n, p in norm.named_parameters()}
    lg.func.grad(lambda p: lg.func.functional_call(norm, p, lg.tensor(X)).square().sum())(parameters)
    plain(lg.tensor(X))
    np.testing.assert_allclose(norm.running_mean.numpy(), plain.running_mean.numpy())
    assert not norm.running_var.requires_grad and norm.num_batches_tracked.item() == 1


@pytest.mark.parametrize("push", ["jvp", "jacfwd"])
def test_forward_derivatives_let_arguments_be_written(push):
    for T in (torch, lg):
        x = T.tensor(X[0])
        function = lambda v: v.mul_(3).mul(X[1][0])
        got = T.func.jvp(function, (x,), (x,))[1] if push == "jvp" else T.func.jacfwd(function)(x)
        want = 3 * X[1][0] * (X[0] if push == "jvp" else np.eye(4))
        np.testing.assert_allclose(to_numpy(got), want)
