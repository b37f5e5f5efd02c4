"""autograd.Function inside vmap by a rule of the user's own, and what else stands on one example of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

X = np.random.default_rng(0).normal(size=(3, 4))


def sorting(T, seen):
    """Sorts by NumPy, whose values no batching rule can follow; its gradient is made up."""

    class Sorting(T.autograd.Function):
        @staticmethod
        def forward(x, dim):
            return T.tensor(np.sort(x.detach().numpy(), axis=dim)), T.tensor(x.shape[dim])

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx, g, g_size):
            (x,) = ctx.saved_tensors
            return g * x, None

        @staticmethod
        def vmap(info, in_dims, x, dim):
            seen.append((info.batch_size, info.randomness, dim))
            whole = x.movedim(in_dims[0], 0)
            return Sorting.apply(whole, dim if dim < 0 else dim + 1), (0, None)

    return Sorting


PROGRAMS = {
    "vmap": lambda T, f, x: T.vmap(lambda v: f(v, 0)[0])(x),
    "other axis": lambda T, f, x: T.vmap(lambda v: f(v, 0)[0] * 2, in_dims=1, out_dims=1)(x),
    "size": lambda T, f, x: T.vmap(lambda v: f(v, 0), out_dims=(0, None))(x)[1],
    "two": lambda T, f, x: T.vmap(T.vmap(lambda v: f(v[None], -1)[0], randomness="same"))(x[None]),
    "gradient through": lambda T, f, x: T.func.grad(lambda x: T.vmap(lambda v: f(v, 0)[0])(x)[1].sum())(x),
    "gradient inside": lambda T, f, x: T.vmap(T.func.grad(lambda v: f(v, 0)[0][1]))(x),
    "none mapped": lambda T, f, x: T.vmap(lambda v: f(x, 1)[0].sum() + v)(x),
    "plain": lambda T, f, x: f(x, 1)[0],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_rules(name):
    seen = [], []
    want, got = (PROGRAMS[name](T, sorting(T, s).apply, T.tensor(X)) for T, s in zip((torch, lg), seen, strict=True))
    assert got.shape == want.shape and seen[0] == seen[1]
    np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-12)


def test_bad_rules():
    for T in (torch, lg):

        class Both(sorting(T, [])):
            generate_vmap_rule = True

        class Short(sorting(T, [])):
            @staticmethod
            def vmap(info, in_dims, x, dim):
                return x

        for function, message in ((Both, "ambiguity"), (Short, "tuple|two|unpack")):
            with pytest.raises((RuntimeError, ValueError), match=message):
                T.vmap(lambda v, f=function: f.apply(v, 0))(T.tensor(X))


def test_printing_shows_all_examples(capsys):
    lg.vmap(lambda v: print(v * 2) or v)(lg.ones(2, 3))
    assert capsys.readouterr().out == "BatchedTensor(bdim=0, value=\n    tensor([[2., 2., 2.],\n            [2., 2., 2.]])\n)\n"
    lg.vmap(lg.vmap(lambda v: print(v) or v))(lg.ones(1, 2))
    shown = capsys.readouterr().out
    assert shown.count("BatchedTensor(bdim=0") == 2 and "tensor([[1., 1.]])" in shown


def test_batch_norms_without_running_statistics():
    for T in (torch, lg):
        net = T.nn.Sequential(T.nn.BatchNorm1d(4), T.nn.Sequential(T.nn.BatchNorm1d(4), T.nn.InstanceNorm1d(4)))
        assert T.func.replace_all_batch_norm_modules_(net) is net
        assert not dict(net.named_buffers()) and not net[1][0].track_running_stats
        assert tuple(T.vmap(net)(T.ones(2, 5, 4, 3)).shape) == (2, 5, 4, 3)


def test_functionalize_says_that_there_is_nothing_to_do():
    with pytest.raises(NotImplementedError, match="in place"):
        lg.func.functionalize(lambda x: x)


def test_distributions_check_their_arguments_in_all_examples():
    means = lg.tensor(X)
    mapped = lg.vmap(lambda m: lg.distributions.Normal(m, m.exp()).log_prob(m + 1).sum())(means)
    want = torch.distributions.Normal(torch.tensor(X), torch.tensor(X).exp()).log_prob(torch.tensor(X) + 1).sum(1)
    np.testing.assert_allclose(mapped.numpy(), want.numpy())
    with pytest.raises(ValueError, match="BatchedTensor"):
        lg.vmap(lambda m: lg.distributions.Normal(m, m).log_prob(m))(means)
