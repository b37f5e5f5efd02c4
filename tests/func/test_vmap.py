"""vmap against torch.func.vmap: values, gradients through it and inside it, dimensions, randomness, errors."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import to_numpy

SHAPE = (3, 4)  # of one example


def both(array, dtype="float64"):
    return (
        torch.tensor(np.asarray(array)).to(getattr(torch, dtype)),
        lg.tensor(np.asarray(array)).to(getattr(lg, dtype)),
    )


def draw(*shape, seed=0, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape)


def same(got, want, tolerance=1e-9):
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w, tolerance)
        return
    assert tuple(got.shape) == tuple(want.shape) and got.dtype.name == str(want.dtype).removeprefix("torch.")
    np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=tolerance, atol=tolerance)


W = draw(4, 5, seed=7)
BIAS = draw(4, seed=8)
SPD = np.eye(3) * 4


def conv(T, x):
    weight = T.tensor(draw(2, 3, 2, seed=3))
    return T.nn.functional.conv1d(x[None], weight)[0]


def loop(T, x):
    total = x[0] * 0
    for row in x:
        total = T.tanh(total + row)
    return total


def in_place(T, x):
    y = x.clone()
    y[0] = 1.5
    y[:, 1] += x[:, 0]
    y.mul_(2)
    return y


def attention(T, x):
    q = T.stack([x, x * 0.5])[None]
    return T.nn.functional.scaled_dot_product_attention(q, q + 1, q * 2)


def masked_attention(T, x):
    q = T.stack([x, x * 0.5])[None]
    mask = x @ x.mT
    return T.nn.functional.scaled_dot_product_attention(q, q + 1, q * 2, attn_mask=mask)


def by_hand(T, x):
    scores = (x @ x.mT / 2).softmax(-1)
    return scores @ x


FUNCTIONS = {
    "pointwise": lambda T, x: T.sin(x) * x + 2,
    "unary chain": lambda T, x: T.exp(-(x * x)).log1p(),
    "where": lambda T, x: T.where(x > 0, x, x.exp()),
    "captured": lambda T, x: x * T.tensor(BIAS) + T.tensor(BIAS).sum(),
    "reduce all": lambda T, x: x.sum(),
    "mean dim": lambda T, x: x.mean(0),
    "var": lambda T, x: x.var(1, keepdim=True),
    "amax": lambda T, x: x.amax(1),
    "prod": lambda T, x: x.prod(1),
    "logsumexp": lambda T, x: x.logsumexp(-1),
    "norm": lambda T, x: x.norm(),
    "max with index": lambda T, x: x.max(1).values,
    "shared factor": lambda T, x: x @ T.tensor(W),
    "shared left": lambda T, x: T.tensor(W).mT @ x.mT,
    "vector": lambda T, x: x @ T.tensor(BIAS),
    "both factors": lambda T, x: x @ x.mT,
    "batched shared": lambda T, x: T.tensor(draw(2, 5, 3, seed=4)) @ x,
    "batched shared right": lambda T, x: x @ T.tensor(draw(2, 4, 3, seed=4)),
    "einsum": lambda T, x: T.einsum("ij,kj,k->i", x, x, x[:, 0]),
    "reshape": lambda T, x: x.reshape(2, 6).mT.flatten() * 2,
    "permute": lambda T, x: x[None].permute(2, 0, 1),
    "expand": lambda T, x: x[:, :1].expand(2, 3, 5),
    "expand number": lambda T, x: x.sum().expand(2, 3),
    "flip": lambda T, x: x.flip(0).roll(1, 1),
    "slice": lambda T, x: x[1:, ::2],
    "pad": lambda T, x: T.nn.functional.pad(x, (1, 2), value=3.0),
    "concat": lambda T, x: T.cat([x, T.ones(1, 4, dtype=x.dtype), x * 2]),
    "stack": lambda T, x: T.stack([x, x * x], 1),
    "split": lambda T, x: tuple(p * 2 for p in x.split(2, 1)),
    "index": lambda T, x: x[:, T.tensor([0, 2, 2])],
    "gather by value": lambda T, x: x.gather(1, x.argsort(1)[:, :2]),
    "gather shared": lambda T, x: T.tensor(draw(3, 6, seed=1)).gather(1, (x > 0).long()) * x,
    "scatter": lambda T, x: T.zeros(3, 5, dtype=x.dtype).scatter_add(1, (x > 0).long() + 1, x),
    "index_add": lambda T, x: x.index_add(0, T.tensor([0, 0]), x[1:] * 2),
    "cumsum": lambda T, x: x.cumsum(1),
    "cumprod": lambda T, x: x.cumprod(0),
    "sort": lambda T, x: x.sort(1).values,
    "topk": lambda T, x: x.topk(2, 1).values,
    "softmax": lambda T, x: x.softmax(0),
    "layer_norm": lambda T, x: T.nn.functional.layer_norm(x, (4,)),
    "cross_entropy": lambda T, x: T.nn.functional.cross_entropy(x, T.tensor([0, 3, 1])),
    "conv": conv,
    "loop": loop,
    "in place": in_place,
    "solve": lambda T, x: T.linalg.solve(x @ x.mT + T.tensor(SPD), x),
    "cholesky": lambda T, x: T.linalg.cholesky(x @ x.mT + T.tensor(SPD)),
    "logdet": lambda T, x: T.logdet(x @ x.mT + T.tensor(SPD)),
    "eigh": lambda T, x: T.linalg.eigh(x @ x.mT + T.tensor(SPD))[0],
    "svd": lambda T, x: T.linalg.svd(x, full_matrices=False)[1],
    "qr": lambda T, x: T.linalg.qr(x.mT)[1].abs(),
    "pinv": lambda T, x: T.linalg.pinv(x),
    "attention": attention,
    "masked attention": masked_attention,
    "attention by hand": by_hand,
    "independent": lambda T, x: T.tensor(BIAS) * 2,
    "integers": lambda T, x: (x > 0).long().sum(1),
    "several": lambda T, x: (x.sum(), x * 2),
}
SMOOTH = [k for k in FUNCTIONS if k not in ("independent", "integers")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_axis(name):
    """Every op's rule, with the examples in front and elsewhere."""
    function = FUNCTIONS[name]
    theirs, mine = both(draw(5, *SHAPE))
    same(lg.vmap(lambda x: function(lg, x))(mine), torch.vmap(lambda x: function(torch, x))(theirs), 1e-7)
    if name == "independent":  # torch reads wild memory for out_dims=-1
        return
    moved = torch.vmap(lambda x: function(torch, x), in_dims=1, out_dims=-1)(theirs.movedim(0, 1))
    same(lg.vmap(lambda x: function(lg, x), in_dims=1, out_dims=-1)(mine.movedim(0, 1)), moved, 1e-7)


def scalar(result):
    parts = result if isinstance(result, tuple) else (result,)
    return sum((p * p).sum() + p.sum() for p in parts)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_inside_and_through(name):
    """vmap(grad(f)), grad(vmap(f)), vmap(vmap(f)): each equal to torch's."""
    function = FUNCTIONS[name]
    theirs, mine = both(draw(2, *SHAPE, seed=1))

    def per_example(T):
        return T.vmap(T.func.grad(lambda x: scalar(function(T, x))))

    def through(T):
        return T.func.grad(lambda xs: scalar(T.vmap(lambda x: function(T, x))(xs)))

    if name == "masked attention":  # torch has no gradient for the mask
        got = per_example(lg)(mine)
        same(got, torch.stack([torch.tensor(lg.func.grad(lambda x: scalar(function(lg, x)))(x).numpy()) for x in mine]))
        same(through(lg)(mine), torch.tensor(got.numpy()))
        return
    same(per_example(lg)(mine), per_example(torch)(theirs), 1e-7)
    same(through(lg)(mine), through(torch)(theirs), 1e-7)
    if name == "attention by hand":
        return
    stacked, mine2 = both(draw(2, 2, *SHAPE, seed=2))
    twice = [T.vmap(T.vmap(lambda x, T=T: function(T, x), out_dims=-1)) for T in (lg, torch)]
    same(twice[0](mine2), twice[1](stacked), 1e-7)


def test_every_way_of_factorizing():
    xs = lg.tensor(draw(3, *SHAPE))
    for f in (lambda x: lg.linalg.svd(x)[0].abs(), lambda x: lg.linalg.qr(x, "complete")[0].abs()):
        np.testing.assert_allclose(lg.vmap(f)(xs).numpy(), np.stack([f(x).numpy() for x in xs]), rtol=1e-9)


@pytest.mark.parametrize("name", ["pointwise", "softmax", "both factors", "layer_norm", "scatter", "cumsum"])
def test_kernels(name):
    """What vmap makes runs in generated kernels."""
    function = FUNCTIONS[name]
    theirs, mine = both(draw(3, *SHAPE), "float32")
    with lg.config(backend="triton"):
        got = lg.vmap(lg.func.grad(lambda x: scalar(function(lg, x.double()))))(mine)
        want = torch.vmap(torch.func.grad(lambda x: scalar(function(torch, x.double()))))(theirs)
        same(got, want, 1e-5)


def test_equal_to_a_loop():
    xs = lg.tensor(draw(4, *SHAPE))
    for name in ("attention by hand", "gather by value", "in place"):
        f = FUNCTIONS[name]
        whole = lg.vmap(lambda x, f=f: f(lg, x))(xs)
        np.testing.assert_allclose(whole.numpy(), np.stack([f(lg, x).numpy() for x in xs]), rtol=1e-12)


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])
def test_trees_and_dimensions(T):
    x, y = (T.tensor(draw(4, 3)), T.tensor(draw(3, 4)))

    def f(tree, scale, *, extra):
        return {"sum": tree["a"] + tree["b"][0] * scale, "rest": [extra, Pair(tree["a"], extra)]}

    found = T.vmap(f, in_dims=({"a": 0, "b": [1]}, None), out_dims=0)({"a": x, "b": [y]}, 2.0, extra=x[:, 0])
    np.testing.assert_allclose(to_numpy(found["sum"]), draw(4, 3) + draw(3, 4).T * 2)
    assert isinstance(found["rest"][1], Pair) and tuple(found["rest"][0].shape) == (4, 4)
    a, b = T.vmap(lambda v: (v, T.ones(2)), out_dims=(1, None))(x)
    assert tuple(a.shape) == (3, 4) and tuple(b.shape) == (2,)
    assert tuple(T.vmap(lambda v: T.ones(2))(x).shape) == (4, 2)
    assert tuple(T.vmap(lambda v, w: v * w, in_dims=(0, -1))(x, y).shape) == (4, 3)
    same_in_chunks = T.vmap(lambda v: (v * 2, v.sum()), chunk_size=3)(x)
    np.testing.assert_allclose(to_numpy(same_in_chunks[0]), draw(4, 3) * 2)
    assert tuple(same_in_chunks[1].shape) == (4,)


ERRORS = {
    "item": (lambda T, x: x.sum().item(), RuntimeError),
    "branch": (lambda T, x: x if x.sum() > 0 else -x, RuntimeError),
    "shape by value": (lambda T, x: x.nonzero(), RuntimeError),
    "boolean index": (lambda T, x: x[x > 0], RuntimeError),
    "random": (lambda T, x: x + T.randn(4), RuntimeError),
    "no tensor": (lambda T, x: 3, ValueError),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_has_no_batched_meaning(name):
    function, error = ERRORS[name]
    for T in (torch, lg):
        with pytest.raises(error) as caught:
            T.vmap(lambda x, T=T: function(T, x))(T.tensor(draw(3, 4)))
    assert "vmap" in str(caught.value) and "test_vmap.py" in str(caught.value)


BAD = {
    "number": lambda T: T.vmap(lambda x: x)(T.tensor(1.0)),
    "sizes": lambda T: T.vmap(lambda x, y: x)(T.ones(3), T.ones(2)),
    "in_dim": lambda T: T.vmap(lambda x: x, in_dims=3)(T.ones(3)),
    "in_dims": lambda T: T.vmap(lambda x: x, in_dims=(0, 0))(T.ones(3)),
    "none": lambda T: T.vmap(lambda x: x, in_dims=(None,))(T.ones(3)),
    "no dims": lambda T: T.vmap(lambda x: x, in_dims=None)(T.ones(3)),
    "out_dims": lambda T: T.vmap(lambda x: x, out_dims=(0, 0))(T.ones(3)),
    "out none": lambda T: T.vmap(lambda x: x, out_dims=None)(T.ones(3)),
    "not a tensor": lambda T: T.vmap(lambda x: x)(3),
    "nothing": lambda T: T.vmap(lambda: 1)(),
    "randomness": lambda T: T.vmap(lambda x: x, randomness="often")(T.ones(3)),
    "chunks": lambda T: T.vmap(lambda x: x, chunk_size=0)(T.ones(3)),
    "outer tensor": lambda T: T.vmap(lambda x, y: y.add_(x), in_dims=(0, None))(T.ones(3), T.ones(())),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_torchs(name):
    errors = []
    for T in (torch, lg):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            BAD[name](T)
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1]), errors
    assert "test_vmap.py" in str(errors[1])


def test_a_refused_write_leaves_the_tensor_as_it_was():
    total = lg.ones(3).realize()
    with pytest.raises(RuntimeError, match="writes values of one example"):
        lg.vmap(lambda x: total.add_(x))(lg.ones(4, 3))
    assert total.tolist() == [1, 1, 1]
    kept = []
    lg.vmap(lambda x: kept.append(x * 2) or x)(lg.ones(4, 3))
    total.add_(1)
    assert total.tolist() == [2, 2, 2]  # what leaked out of a vmap is in nobody's way
    with pytest.raises(RuntimeError, match="one example"):
        kept[0].tolist()


def test_randomness():
    lg.manual_seed(0)
    xs = lg.zeros(6, 5)
    one = lg.vmap(lambda x: x + lg.rand(5), randomness="same")(xs).numpy()
    assert (one == one[0]).all() and len(set(one[0].tolist())) == 5
    many = lg.vmap(lambda x: x + lg.rand(5), randomness="different")(xs).numpy()
    assert len(set(many.ravel().tolist())) == 30
    after = lg.rand(40).numpy()
    assert not set(many.ravel().tolist()) & set(after.tolist())
    nested = lg.vmap(lambda row: lg.vmap(lambda x: x + lg.rand(2), randomness="different")(row), randomness="different")
    assert len(set(nested(lg.zeros(3, 4)).numpy().ravel().tolist())) == 24
    drop = lg.vmap(lambda x: lg.nn.functional.dropout(x, 0.5), randomness="different")(lg.ones(8, 16)).numpy()
    assert len({tuple(r) for r in drop}) > 1
    drop = lg.vmap(lambda x: lg.nn.functional.dropout(x, 0.5), randomness="same")(lg.ones(8, 16)).numpy()
    assert len({tuple(r) for r in drop}) == 1

    def attend(q):
        return lg.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5)

    q = lg.ones(1, 1, 4, 4)[None].expand(3, 1, 1, 4, 4)
    rows = lg.vmap(attend, randomness="same")(q).numpy()
    np.testing.assert_array_equal(rows[0], rows[2])
    rows = lg.vmap(attend, randomness="different")(q).numpy()
    assert (rows[0] != rows[2]).any()


def test_examples_of_what_requires_grad_can_be_detached():
    """detach() inside vmap stops a gradient that comes from outside."""
    for T in (torch, lg):
        x = T.tensor(draw(3, 2)).requires_grad_()
        T.vmap(lambda v: v * v.detach())(x).sum().backward()
        np.testing.assert_allclose(to_numpy(x.grad), draw(3, 2))


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (3, 0), (2,), (7, 1, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_shapes_and_dtypes(shape, dtype):
    theirs, mine = both(np.arange(np.prod(shape)).reshape(shape) % 3, dtype)
    if shape[0] == 0:  # torch refuses some ops here
        assert tuple(lg.vmap(lambda x: x + x)(mine).shape) == shape
        return
    got, want = (T.vmap(lambda x: (x + x, x.sum(), x.reshape(-1)[:1] == 1))(v) for T, v in ((lg, mine), (torch, theirs)))
    same(got, want)


def test_a_custom_function_is_batched_too():
    class Cube(lg.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x**3 * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return 3 * x**2 * w * g, (x**3 * g).sum()

    x, w = lg.tensor(draw(4, 3)), lg.tensor(1.5, dtype=lg.float64)
    plain = lg.func.grad(lambda xs, w: (lg.vmap(lambda v: v**3 * w)(xs) ** 2).sum(), argnums=(0, 1))
    mine = lg.func.grad(lambda xs, w: (lg.vmap(lambda v: Cube.apply(v, w))(xs) ** 2).sum(), argnums=(0, 1))
    for got, want in zip(mine(x, w), plain(x, w), strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12)
    per_example = lg.vmap(lg.func.grad(lambda v, w: Cube.apply(v, w).sum(), argnums=(0, 1)), in_dims=(0, None))(x, w)
    np.testing.assert_allclose(per_example[0].numpy(), 4.5 * draw(4, 3) ** 2, rtol=1e-12)
    np.testing.assert_allclose(per_example[1].numpy(), (draw(4, 3) ** 3).sum(1), rtol=1e-12)
    twice = lg.func.grad(lambda v: lg.func.grad(lambda v: lg.vmap(lambda u: Cube.apply(u, w))(v).sum())(v).sum())(x)
    np.testing.assert_allclose(twice.numpy(), 9 * draw(4, 3), rtol=1e-12)
