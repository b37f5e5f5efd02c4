"""Trees, dimensions, chunks and transformations inside one another: programs compared with torch, results and errors."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

Pair = namedtuple("Pair", "a b")
X = np.arange(12.0).reshape(3, 4) / 7 - 0.5


def numbers(T):
    return T.tensor(X)


def row(T, i=0):
    return T.tensor(X[i])


def pulled_back(T, x):
    return T.func.vjp(T.sin, x)[1](x)[0]


PROGRAMS = {
    # dimensions of arguments
    "dict": lambda T: T.vmap(lambda d: d["a"] + d["b"], in_dims=({"a": 0, "b": None},))({"a": numbers(T), "b": row(T)}),
    "list": lambda T: T.vmap(lambda xs: xs[0] + xs[1], in_dims=([0, None],))([numbers(T), row(T)]),
    "named": lambda T: T.vmap(lambda t: t.a * t.b, in_dims=(Pair(0, None),))(Pair(numbers(T), T.tensor(2.0))),
    "ordered": lambda T: T.vmap(lambda d: d["b"] * 2, in_dims=(OrderedDict(b=1, a=None),))(OrderedDict(b=numbers(T), a=3)),
    "last": lambda T: T.vmap(lambda a: a * 2, in_dims=-1, out_dims=-1)(numbers(T)),
    "number": lambda T: T.vmap(lambda a, n: a * n, in_dims=(0, None))(numbers(T), 3),
    "none": lambda T: T.vmap(lambda a, n: a * 2, in_dims=(0, None))(numbers(T), None),
    "keyword": lambda T: T.vmap(lambda a, *, k: a + k)(numbers(T), k=row(T)),
    "no tensor": lambda T: T.vmap(lambda a, n: a * n)(numbers(T), 3),
    "no int": lambda T: T.vmap(lambda a: a, in_dims=1.0)(numbers(T)),
    "keyword only": lambda T: T.vmap(lambda *, k: k)(k=numbers(T)),
    "too large": lambda T: T.vmap(lambda a: a, in_dims=2)(numbers(T)),
    "none at all": lambda T: T.vmap(lambda a: a, in_dims=(None,))(numbers(T)),
    # dimensions of results
    "each its own": lambda T: T.vmap(lambda a: {"s": a.sum(), "v": [a, a * 2]}, out_dims={"s": 0, "v": [1, -1]})(numbers(T)),
    "prefix": lambda T: T.vmap(lambda a: {"s": a.sum(), "v": [a, a * 2]}, out_dims={"s": 0, "v": 1})(numbers(T)),
    "tuple of one": lambda T: T.vmap(lambda a: a, out_dims=(1,))(numbers(T)),
    "shared": lambda T: T.vmap(lambda a: (a, T.ones(2)), out_dims=(0, None))(numbers(T)),
    "shared none": lambda T: T.vmap(lambda a: (a, None), out_dims=(0, None))(numbers(T)),
    "unwanted none": lambda T: T.vmap(lambda a: (a, None))(numbers(T)),
    "text": lambda T: T.vmap(lambda a: (a, "s"))(numbers(T)),
    "out of range": lambda T: T.vmap(lambda a: a, out_dims=2)(numbers(T)),
    "before the front": lambda T: T.vmap(lambda a: a, out_dims=-3)(numbers(T)),
    "not mapped out": lambda T: T.vmap(lambda a: a, out_dims=None)(numbers(T)),
    "no examples": lambda T: T.vmap(lambda a: a.sum())(numbers(T)[:0]),
    # chunks
    "chunks": lambda T: T.vmap(lambda a: (a.sum(), {"k": a * 2}), chunk_size=2)(numbers(T)),
    "chunks elsewhere": lambda T: T.vmap(
        lambda a, b: (a.sum(), {"k": a * b}), in_dims=(1, None), out_dims=(0, {"k": 1}), chunk_size=3
    )(numbers(T), T.tensor(2.0)),
    "one chunk": lambda T: T.vmap(lambda a: a.sum(), chunk_size=100)(numbers(T)),
    "chunks of gradients": lambda T: T.vmap(T.func.grad(lambda a: (a**3).sum()), chunk_size=1)(numbers(T)),
    # inside one another
    "outer product": lambda T: T.vmap(T.vmap(T.mul, in_dims=(0, None)), in_dims=(None, 0), out_dims=1)(row(T), row(T, 1)),
    "captured": lambda T: T.vmap(lambda a: T.vmap(lambda b: a * b + a.sum())(numbers(T)))(numbers(T)),
    "vmap grad vmap": lambda T: T.vmap(T.func.grad(lambda r: T.vmap(lambda e: e**3)(r).sum()))(numbers(T)),
    "vmap jacfwd": lambda T: T.vmap(T.func.jacfwd(lambda a: a.outer(a)[0]))(numbers(T)),
    "vmap hessian": lambda T: T.vmap(T.func.hessian(lambda a, b: (a**2 * b).sum(), argnums=(0, 1)))(numbers(T), numbers(T)),
    "vmap aux": lambda T: T.vmap(T.func.grad(lambda a: ((a * 2).sum(), a * 3), has_aux=True))(numbers(T)),
    "vmap both": lambda T: T.vmap(T.func.grad_and_value(lambda a, b: (a * b).sum()), in_dims=(0, None))(numbers(T), row(T)),
    "jacrev of vjp": lambda T: T.func.jacrev(lambda a: pulled_back(T, a))(row(T)),
    "vmap of vjp": lambda T: T.vmap(T.func.vjp(T.sin, row(T))[1])(T.eye(4, dtype=T.float64)),
    "jvp of vmap": lambda T: T.func.jvp(T.vmap(lambda v: v.cumsum(0) * v), (numbers(T),), (numbers(T),)),
    "jvp of jvp": lambda T: T.func.jvp(lambda a: T.func.jvp(T.sin, (a,), (a,))[1], (row(T),), (row(T),)),
    "grad of grad of captured": lambda T: T.func.grad(lambda a: a * T.func.grad(lambda b: a + b)(T.tensor(1.0)))(T.tensor(2.0)),
    "jacfwd of jacfwd": lambda T: T.func.jacfwd(T.func.jacfwd(lambda a: a.prod()))(row(T)),
    "linearized examples": lambda T: T.vmap(T.func.linearize(lambda a: (a * a).sin(), row(T))[1])(numbers(T)),
    "examples of chunks of rows": lambda T: T.vmap(T.func.jacrev(lambda a: a * a.sum(), chunk_size=3))(numbers(T)),
    "grads in a batch": lambda T: T.vmap(lambda a: T.func.jacrev(lambda b: T.matrix_exp(b.reshape(2, 2)))(a))(numbers(T)),
    "no elements": lambda T: (T.func.jacrev(lambda a: a * 2)(row(T)[:0]), T.func.jacfwd(lambda a: a[:0])(row(T))),
    "0-d": lambda T: (T.func.hessian(lambda a: a**3)(T.tensor(2.0)), T.func.jacfwd(lambda a: T.stack([a, a]))(T.tensor(2.0))),
    "promoted": lambda T: (T.func.jacrev(lambda a: a.double() * 2)(T.ones(2)), T.func.jacfwd(lambda a: a.double())(T.ones(2))),
    "unused": lambda T: T.func.jacrev(lambda a, b: a * 2, argnums=(0, 1))(row(T), T.ones(1)),
    "a module": lambda T: T.func.jacfwd(T.nn.Softmax(0))(row(T)),
    "dict of results": lambda T: T.func.jacfwd(lambda d: {"o": d["a"] * 2, "p": (d["a"].sum(),)})({"a": row(T)}),
    # histories from outside
    "history": lambda T: T.vmap(lambda v: (v * 2, v.detach()))(numbers(T).requires_grad_()),
    "no history": lambda T: T.no_grad()(T.vmap(lambda v: v * 2))(numbers(T).requires_grad_()),
}


def outcome(T, program):
    try:
        return program(T)
    except Exception as error:
        return error


def check(got, want):
    if isinstance(want, dict):
        assert type(got) is type(want) and list(got) == list(want)
        got, want = list(got.values()), list(want.values())
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            check(g, w)
    elif isinstance(want, Exception):
        assert type(got) is type(want), (got, want)
        assert "test_nesting.py" in str(got)
    elif want is None:
        assert got is None
    else:
        assert tuple(got.shape) == tuple(want.shape) and got.dtype.name == str(want.dtype).removeprefix("torch.")
        assert got.requires_grad == want.requires_grad
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name):
    want, got = (outcome(T, PROGRAMS[name]) for T in (torch, lg))
    check(got, want)


RANDOM = {
    "dropout": lambda T, v: T.nn.functional.dropout(v),
    "bernoulli": lambda T, v: T.bernoulli(v.sigmoid()),
    "normal_": lambda T, v: v.clone().normal_(),
    "randperm": lambda T, v: v[T.randperm(4)],
    "multinomial": lambda T, v: T.multinomial(v.sigmoid(), 2),
    "rand_like": lambda T, v: T.rand_like(v),
    "randn": lambda T, v: v + T.randn(4),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers(name):
    """An error unless asked for; the same draw is the same for equal examples, a different one isn't."""
    function = RANDOM[name]
    for T in (torch, lg):
        with pytest.raises(RuntimeError, match="randomness"):
            T.vmap(lambda v, T=T: function(T, v))(numbers(T))
    equal = lg.zeros(40, 4, dtype=lg.float64)
    ordered = name == "randperm"  # of equal elements
    equal = lg.arange(4.0).expand(40, 4) if ordered else equal
    alike = lg.vmap(lambda v: function(lg, v), randomness="same")(equal + 0.5).numpy()
    assert (alike == alike[0]).all()
    apart = lg.vmap(lambda v: function(lg, v), randomness="different")(equal + 0.5).numpy()
    assert (apart != apart[0]).any()
    assert function(torch, numbers(torch)[0]).shape == apart[0].shape
