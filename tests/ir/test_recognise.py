"""Attention as people write it is recognised, and equal to torch in values and gradients; what only
looks like it is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import engine
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.recognise import recognise
from lazygrad.tensor.core import wrap

BATCH, HEADS, LENGTH, DIM = 2, 3, 6, 4
RNG = np.random.default_rng(0)
LOWER = np.tril(np.ones((LENGTH, LENGTH), np.float32))
VISIBLE = (RNG.random((BATCH, 1, 1, LENGTH)) > 0.4) | (np.arange(LENGTH) == 0)
ADDED = RNG.normal(size=(1, HEADS, LENGTH, LENGTH))
HEADS_SHAPE = (BATCH, HEADS, LENGTH, DIM)
TOKENS_SHAPE = (BATCH, LENGTH, HEADS * DIM)


@dataclass(frozen=True)
class Way:
    """`function(T, q, k, v, *extras)` for T either library; `arg` is what AttentionArg must say."""

    name: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = (HEADS_SHAPE,) * 3
    extras: tuple[Any, ...] = ()
    arg: dict[str, Any] = field(default_factory=dict)
    kv_heads: int = HEADS

    def __str__(self) -> str:
        return self.name


def split(x):
    return x.view(BATCH, x.shape[1], HEADS, -1).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).contiguous().view(BATCH, -1, HEADS * DIM)


def softmax(T, x):
    return T.nn.functional.softmax(x, dim=-1)


# -- whole attentions, each after a program many have copied -----------------------------------
def nano_gpt(T, q, k, v, tril):
    q, k, v = split(q), split(k), split(v)
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    att = att.masked_fill(tril[:, :, :LENGTH, :LENGTH] == 0, float("-inf"))
    return joined(softmax(T, att) @ v)


def annotated_transformer(T, q, k, v, mask):
    scores = T.matmul(split(q), split(k).transpose(-2, -1)) / math.sqrt(DIM)
    p = scores.masked_fill(mask == 0, -1e9).softmax(dim=-1)
    return joined(T.matmul(p, split(v)))


def gpt2(T, q, k, v, causal):
    weights = T.matmul(q, k.transpose(-1, -2))
    weights = weights / T.full([], v.size(-1) ** 0.5, dtype=weights.dtype)
    weights = T.where(causal, weights, T.full([], T.finfo(T.float32).min, dtype=weights.dtype))
    return T.matmul(softmax(T, weights).type(v.dtype), v)


def bert(T, q, k, v, mask):
    scores = q @ k.transpose(-1, -2) / math.sqrt(DIM)
    return softmax(T, scores + (1.0 - mask[:, None, None, :]) * -10000.0) @ v


def llama(T, q, k, v):
    def repeated(x):
        b, h, t, d = x.shape
        return x[:, :, None, :, :].expand(b, h, HEADS, t, d).reshape(b, h * HEADS, t, d)

    weights = T.matmul(q, repeated(k).transpose(2, 3)) / math.sqrt(DIM)
    weights = weights + T.triu(
        T.full((LENGTH, LENGTH), float("-inf"), dtype=weights.dtype), diagonal=1
    )
    return T.matmul(T.nn.functional.softmax(weights, dim=-1, dtype=weights.dtype), repeated(v))


def einsum(T, q, k, v):
    q, k, v = (x.view(BATCH, LENGTH, HEADS, DIM) for x in (q, k, v))
    scores = T.einsum("bqhd,bkhd->bhqk", q * DIM**-0.5, k)
    return T.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def einsum_turned(T, q, k, v):
    scores = T.einsum("bhkd,bhqd->bhqk", k, q) * DIM**-0.5
    return T.einsum("bhkd,bhqk->bhqd", v, scores.softmax(-1))


def bmm(T, q, k, v):
    q, k, v = (split(x).reshape(BATCH * HEADS, LENGTH, DIM) for x in (q, k, v))
    empty = T.zeros(BATCH * HEADS, LENGTH, LENGTH, dtype=q.dtype)
    scores = T.baddbmm(empty, q, k.transpose(1, 2), beta=0, alpha=0.3)
    p = scores.view(BATCH, HEADS, LENGTH, LENGTH).softmax(-1).view(BATCH * HEADS, LENGTH, LENGTH)
    return joined(T.bmm(p, v).view(BATCH, HEADS, LENGTH, DIM))


def one_head(T, q, k, v):
    wei = q @ k.transpose(-2, -1) * DIM**-0.5
    tril = T.tril(T.ones(LENGTH, LENGTH))
    wei = wei.masked_fill(tril[:LENGTH, :LENGTH] == 0, float("-inf"))
    return softmax(T, wei) @ v


def by_hand(T, q, k, v):
    x = q @ k.mT * 0.4
    e = (x - x.max(-1, keepdim=True)[0]).exp()
    return e / e.sum(-1, keepdim=True) @ v


def by_hand_without_keepdim(T, q, k, v):
    x = q @ k.mT
    e = T.exp(x - x.detach().amax(-1).unsqueeze(-1))
    return (e / e.sum(-1)[..., None]) @ v


def scaled(before, after=lambda T, s: s):
    return lambda T, q, k, v: softmax(T, after(T, before(T, q) @ k.mT)) @ v


def masked(lay):
    return lambda T, q, k, v, *m: softmax(T, lay(T, q @ k.mT / 2, *m)) @ v


def arange_mask(T, n=LENGTH, m=LENGTH):
    return T.arange(n)[:, None] >= T.arange(m)[None, :]


CAUSAL = {"causal": True, "masked": False}
MASK = {"causal": False, "masked": True}
TOKENS = (TOKENS_SHAPE,) * 3
INF = float("-inf")
WAYS = [
    Way(
        "nano_gpt",
        nano_gpt,
        TOKENS,
        (LOWER.reshape(1, 1, LENGTH, LENGTH),),
        MASK | {"fill": -math.inf},
    ),
    Way(
        "annotated_transformer",
        annotated_transformer,
        TOKENS,
        (VISIBLE.astype(np.float32),),
        MASK | {"fill": -1e9},
    ),
    Way("gpt2", gpt2, extras=(LOWER.astype(bool)[None, None],), arg=MASK),
    Way("bert", bert, extras=(VISIBLE[:, 0, 0].astype(np.float32),), arg=MASK),
    Way("llama", llama, (HEADS_SHAPE, *[(BATCH, 1, LENGTH, DIM)] * 2), (), CAUSAL, 1),
    Way("einsum", einsum, TOKENS, arg={"scale": 0.5}),
    Way("einsum with operands turned", einsum_turned),
    Way("bmm and views", bmm, TOKENS, arg={"scale": 0.3}),
    Way("one head", one_head, ((BATCH, LENGTH, DIM),) * 3, (), CAUSAL, 1),
    Way("one head without batch", one_head, ((LENGTH, DIM),) * 3, (), CAUSAL, 1),
    Way("by hand", by_hand, arg={"scale": 0.4}),
    Way("by hand without keepdim", by_hand_without_keepdim),
    Way("keys of another length", by_hand, (HEADS_SHAPE, *[(BATCH, HEADS, 7, DIM)] * 2)),
    Way("one query", by_hand, ((BATCH, HEADS, 1, DIM), *[(BATCH, HEADS, 7, DIM)] * 2)),
    Way(
        "shared keys and values",
        scaled(lambda T, q: q),
        (HEADS_SHAPE, *[(BATCH, 1, LENGTH, DIM)] * 2),
        kv_heads=1,
    ),
    Way("five dimensions", scaled(lambda T, q: q), ((2, 2, 3, LENGTH, DIM),) * 3),
    # scales
    Way("no scale", scaled(lambda T, q: q), arg={"scale": 1.0}),
    Way("q scaled", scaled(lambda T, q: q * 0.25), arg={"scale": 0.25}),
    Way("q divided", scaled(lambda T, q: q / 4), arg={"scale": 0.25}),
    Way("scores negated", scaled(lambda T, q: q, lambda T, s: -s), arg={"scale": -1.0}),
    Way(
        "a tensor of one element",
        scaled(lambda T, q: q, lambda T, s: s / T.tensor(2.0, dtype=s.dtype)),
    ),
    Way(
        "scaled by a parameter",
        lambda T, q, k, v, s: softmax(T, q @ k.mT * s) @ v,
        extras=(np.asarray(0.7),),
    ),
    # masks from positions cost nothing
    Way("positions", masked(lambda T, s: s.masked_fill(~arange_mask(T), INF)), arg=CAUSAL),
    Way("positions, where", masked(lambda T, s: T.where(arange_mask(T), s, INF)), arg=CAUSAL),
    Way("positions, finite", masked(lambda T, s: T.where(arange_mask(T), s, -1e9)), arg=CAUSAL),
    Way(
        "tril of ones",
        masked(lambda T, s: s.masked_fill(T.ones(6, 6).tril() == 0, INF)),
        arg=CAUSAL,
    ),
    Way(
        "tril of True",
        masked(lambda T, s: s.masked_fill(~T.ones(6, 6, dtype=T.bool).tril(), INF)),
        arg=CAUSAL,
    ),
    Way(
        "triu of ones",
        masked(lambda T, s: s.masked_fill(T.triu(T.ones(6, 6), diagonal=1).bool(), INF)),
        arg=CAUSAL,
    ),
    Way(
        "triu added",
        masked(lambda T, s: s + T.triu(T.full((6, 6), INF, dtype=s.dtype), 1)),
        arg=CAUSAL,
    ),
    Way(
        "triu times infinity",
        masked(lambda T, s: s + T.triu(T.ones(6, 6, dtype=s.dtype) * INF, 1)),
        arg=CAUSAL,
    ),
    Way(
        "cut out of a larger one",
        masked(lambda T, s: s.masked_fill(T.tril(T.ones(9, 9))[:6, :6] == 0, INF)),
        arg=CAUSAL,
    ),
    Way(
        "a mask that hides nothing",
        masked(lambda T, s: s.masked_fill(T.tril(T.ones(9, 9))[8:9, :7] == 0, INF)),
        ((BATCH, HEADS, 1, DIM), *[(BATCH, HEADS, 7, DIM)] * 2),
        arg={"causal": False, "masked": False},
    ),
    Way(
        "queries at the end of the keys",
        masked(lambda T, s: s.masked_fill(T.tril(T.ones(9, 9))[2:8, :8] == 0, INF)),
        (HEADS_SHAPE, *[(BATCH, HEADS, 8, DIM)] * 2),
        arg=MASK,
    ),
    Way(
        "masked before it is scaled",
        lambda T, q, k, v: softmax(T, one_masked(T, q @ k.mT) * 0.5) @ v,
        arg=CAUSAL,
    ),
    Way(
        "a window",
        masked(lambda T, s: s.masked_fill((T.arange(6)[:, None] - T.arange(6)).abs() > 2, INF)),
        arg=MASK,
    ),
    # masks that are data
    Way(
        "bool (T, T)",
        masked(lambda T, s, m: s.masked_fill(m, -1e9)),
        extras=(RNG.random((6, 6)) > 0.5,),
        arg=MASK,
    ),
    Way(
        "bool (B, 1, 1, T)", masked(lambda T, s, m: T.where(m, s, INF)), extras=(VISIBLE,), arg=MASK
    ),
    Way(
        "bool (B, H, T, T)",
        masked(lambda T, s, m: T.where(m, -2.0, s)),
        extras=(RNG.random((2, 3, 6, 6)) > 0.5,),
        arg=MASK,
    ),
    Way(
        "bool, turned",
        masked(lambda T, s, m: s.masked_fill(m.mT, -1e9)),
        extras=(RNG.random((6, 6)) > 0.5,),
        arg=MASK,
    ),
    Way("added (T, T)", masked(lambda T, s, m: s + m), extras=(ADDED[0, 0],), arg=MASK),
    Way("added (1, H, T, T)", masked(lambda T, s, m: m + s), extras=(ADDED,), arg=MASK),
    Way(
        "added (B, H, T, T)",
        masked(lambda T, s, m: s - m),
        extras=(RNG.normal(size=(2, 3, 6, 6)),),
        arg=MASK,
    ),
    Way("added, then scaled", masked(lambda T, s, m: (s + m) / 3), extras=(ADDED,), arg=MASK),
    Way("two added", masked(lambda T, s, a, c: s + a + c), extras=(ADDED, ADDED[0, 0]), arg=MASK),
    Way(
        "added zeros and infinities",
        masked(lambda T, s, m: s + T.where(m, T.zeros((), dtype=s.dtype), INF)),
        extras=(VISIBLE,),
        arg=MASK | {"fill": -math.inf},
    ),
    Way(
        "causal and padding",
        masked(lambda T, s, m: s.masked_fill(~arange_mask(T), INF).masked_fill(~m, INF)),
        extras=(VISIBLE,),
        arg={"causal": True, "masked": True},
    ),
    Way(
        "causal and padding in one finite mask",
        masked(lambda T, s, m: T.where(m & arange_mask(T), s, -1e9)),
        extras=(VISIBLE,),
        arg=MASK | {"fill": -1e9},
    ),
    Way(
        "causal and a bias",
        masked(lambda T, s, m: (s + m).masked_fill(~arange_mask(T), INF)),
        extras=(ADDED,),
        arg={"causal": True, "masked": True},
    ),
    Way(
        "padding and a bias",
        masked(lambda T, s, m, a: s.masked_fill(~m, INF) + a),
        extras=(VISIBLE, ADDED),
        arg=MASK,
    ),
]


def one_masked(T, s):
    return s.masked_fill(~arange_mask(T), INF)


# -- running them ------------------------------------------------------------------------------
def inputs(T, way, dtype="float64"):
    generator = np.random.default_rng(1)
    arrays = [generator.normal(size=s) for s in way.shapes] + list(way.extras)
    made = []
    for array in arrays:
        tensor = torch.from_numpy(np.array(array)) if T is torch else lg.tensor(np.array(array))
        differentiable = (
            array.dtype == np.float64
        )  # masks of zeros and ones are float32 or bool here
        made.append(tensor.to(getattr(T, dtype)).requires_grad_() if differentiable else tensor)
    return made


def scalar(T, tensors, seed=3):
    generator = np.random.default_rng(seed)
    total = 0
    for t in tensors:
        weight = np.asarray(generator.uniform(0.5, 1.5, tuple(t.shape)))
        total = (
            total
            + (t * (torch.tensor(weight) if T is torch else lg.tensor(weight)).to(t.dtype)).sum()
        )
    return total


def rewritten(*roots):
    found = recognise(roots)
    return [found.get(r, r) for r in roots]


def attentions(*roots: Node) -> list[Node]:
    return [n for n in toposort(roots) if n.op is ops.ATTENTION]


def is_square(node: Node, way: Way) -> bool:
    return (
        node.op is not ops.EXPAND
        and node.ndim > 2
        and node.shape[-2:] == (way.shapes[0][-2] if len(way.shapes[0]) > 3 else LENGTH, LENGTH)
        and math.prod(node.shape[:-2]) > 1
        and node.needs_grad
    )


def numbers(tensor):
    return tensor.detach().numpy().astype(np.float64)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_is_recognised(way):
    out = way.function(lg, *inputs(lg, way)).node
    (made,) = rewritten(out)
    assert made.shape == out.shape and made.dtype is out.dtype
    (attention,) = attentions(made)
    for name, value in way.arg.items():
        assert getattr(attention.arg, name) == pytest.approx(value), name
    if len(way.shapes[0]) == 4 or way.kv_heads != HEADS or way.shapes == TOKENS:
        assert attention.src[1].shape[1] == way.kv_heads
    reached = toposort([made])
    assert not any(
        n.op in (ops.EXP, ops.DOT, ops.DIV) and n.ndim > 2 and n.shape[-1] != DIM for n in reached
    )
    if not way.extras:
        assert not any(is_square(n, way) for n in reached)


def differentiated(T, way):
    given = inputs(T, way)
    out = way.function(T, *given)
    wanted = [x for x in given if x.requires_grad]
    first = T.autograd.grad(scalar(T, [out]), wanted, create_graph=True)
    second = T.autograd.grad(scalar(T, first, 4), wanted, allow_unused=True)
    return [out, *first, *second]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_values_and_gradients_are_torchs(way):
    got, want = differentiated(lg, way), differentiated(torch, way)
    for i, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        if theirs is None:
            assert mine is None or not np.abs(numbers(mine)).max() > 1e-9
            continue
        mine = np.zeros(tuple(theirs.shape)) if mine is None else numbers(mine)
        np.testing.assert_allclose(
            mine, numbers(theirs), rtol=1e-8, atol=1e-8, err_msg=f"result {i}"
        )


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_forward_alone(way):
    want = numbers(way.function(torch, *inputs(torch, way)))
    (made,) = rewritten(way.function(lg, *inputs(lg, way)).node)
    np.testing.assert_allclose(numbers(wrap(made)), want, rtol=1e-9, atol=1e-9)


def first_gradients(T, way, dtype):
    given = inputs(T, way, dtype)
    wanted = [x for x in given if x.requires_grad]
    out = way.function(T, *given)
    return [out, *T.autograd.grad(scalar(T, [out]), wanted)]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_kernels(way):
    want = first_gradients(torch, way, "float32")
    with lg.config(backend="triton"):
        got = [numbers(t) for t in first_gradients(lg, way, "float32")]
        with lg.no_grad():
            alone = numbers(way.function(lg, *(x.detach() for x in inputs(lg, way, "float32"))))
    for mine, theirs in zip([*got, alone], [*want, want[0]], strict=True):
        np.testing.assert_allclose(mine, numbers(theirs), rtol=2e-4, atol=2e-5)


# -- dropout -----------------------------------------------------------------------------------
def dropped(T, q, k, v):
    att = (q @ k.transpose(-2, -1) / 2).masked_fill(~arange_mask(T), INF)
    return T.nn.functional.dropout(softmax(T, att), 0.3, True) @ v


def dropped_in_batches(T, q, k, v):
    q, k, v = (x.reshape(-1, LENGTH, DIM) for x in (q, k, v))
    p = T.nn.functional.dropout(softmax(T, T.bmm(q, k.transpose(1, 2))), 0.3, True)
    return T.bmm(p, v).view(BATCH, HEADS, LENGTH, DIM)


@pytest.mark.parametrize("backend", ["numpy", "triton"])
@pytest.mark.parametrize("function", [dropped, dropped_in_batches])
def test_dropout_draws_the_same_numbers(function, backend):
    way = Way("dropout", function)
    results = []
    for fuse in (True, False):
        lg.manual_seed(5)
        lg.rand(3)  # the stream is not at its start
        with lg.config(fuse=fuse, backend=backend):
            results.append([numbers(t) for t in first_gradients(lg, way, "float32")])
    for mine, plain in zip(*results, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=2e-4, atol=2e-5)
    out = function(lg, *inputs(lg, way)).node
    (attention,) = attentions(*rewritten(out))
    assert attention.arg.dropout == 0.3 and len(attention.src) == attention.arg.operands


# -- half precision ----------------------------------------------------------------------------
def upcast_softmax(T, q, k, v):
    scores = T.matmul(q, k.transpose(2, 3)) / math.sqrt(DIM)
    return T.nn.functional.softmax(scores, dim=-1, dtype=T.float32).to(q.dtype) @ v


def upcast_scores(T, q, k, v):
    scores = q.float() @ k.float().transpose(-2, -1) / 2
    return softmax(T, scores).type_as(v) @ v


def under_autocast(T, q, k, v):
    with T.autocast("cpu", dtype=T.bfloat16):
        return by_hand(T, q.float(), k.float(), v.float())


@pytest.mark.parametrize("function", [by_hand, upcast_softmax, upcast_scores, under_autocast])
def test_half_precision(function):
    way = Way("half", function)
    out = function(lg, *inputs(lg, way, "bfloat16")).node
    (attention,) = attentions(*rewritten(out))
    assert [s.dtype for s in attention.src] == [lg.bfloat16] * 3 and out.dtype is lg.bfloat16
    want = first_gradients(torch, way, "float64" if function is not under_autocast else "bfloat16")
    for mine, theirs in zip(first_gradients(lg, way, "bfloat16"), want, strict=True):
        np.testing.assert_allclose(numbers(mine), numbers(theirs.double()), rtol=4e-2, atol=4e-2)


# -- rows that see nothing ---------------------------------------------------------------------
@pytest.mark.parametrize("fill", [INF, -1e9, -3.4e38])
def test_a_row_that_sees_nothing(fill):
    seen = np.ones((LENGTH, LENGTH), bool)
    seen[2] = False
    way = Way("empty row", masked(lambda T, s, m: s.masked_fill(~m, fill)), extras=(seen,))
    assert attentions(*rewritten(way.function(lg, *inputs(lg, way)).node))
    pairs = list(
        zip(
            first_gradients(lg, way, "float64"), first_gradients(torch, way, "float64"), strict=True
        )
    )
    # where the row is NaN, so are its gradients; torch's mask keeps the NaN of v from q and k
    for mine, theirs in pairs if fill > INF else (pairs[0], pairs[-1]):
        np.testing.assert_allclose(numbers(mine), numbers(theirs), rtol=1e-9, atol=1e-9)
    assert np.isnan(numbers(way.function(lg, *inputs(lg, way)))[:, :, 2]).all() == (fill == INF)


# -- what only looks like it -------------------------------------------------------------------
def exponentials(T, q, k, v, shift, axis=-1):
    x = q @ k.mT
    e = T.exp(x - shift(x))
    return e / e.sum(axis, keepdim=True) @ v


def after_softmax(change):
    return lambda T, q, k, v, *m: change(T, softmax(T, q @ k.mT / 2), *m) @ v


def own_dropout(T, p):
    kept = (T.arange(LENGTH) % 3 != 0).to(p.dtype)
    return p * kept / (2 / 3)


ROW = (RNG.uniform(0.5, 2, (LENGTH, 1)),)
NEAR_MISSES = [
    Way("softmax over queries", lambda T, q, k, v: T.softmax(q @ k.mT, dim=-2) @ v),
    Way("softmax over heads", lambda T, q, k, v: T.softmax(q @ k.mT, dim=1) @ v),
    Way("scores capped", masked(lambda T, s: T.tanh(s / 5) * 5)),
    Way("scores squared", masked(lambda T, s: s * s)),
    Way("a temperature a row", masked(lambda T, s, t: s / t), extras=ROW),
    Way("a scaled bias", masked(lambda T, s, t, m: (s + m) * t), extras=(np.asarray(0.5), ADDED)),
    Way("no maximum", lambda T, q, k, v: exponentials(T, q, k, v, lambda x: 0 * x)),
    Way("maximum of everything", lambda T, q, k, v: exponentials(T, q, k, v, lambda x: x.max())),
    Way(
        "maximum of columns",
        lambda T, q, k, v: exponentials(T, q, k, v, lambda x: x.amax(-2, keepdim=True)),
    ),
    Way("minimum", lambda T, q, k, v: exponentials(T, q, k, v, lambda x: x.amin(-1, keepdim=True))),
    Way(
        "sum of columns",
        lambda T, q, k, v: exponentials(T, q, k, v, lambda x: x.amax(-1, keepdim=True), -2),
    ),
    Way(
        "probabilities masked",
        after_softmax(lambda T, p, m: p.masked_fill(m, 0.0)),
        extras=(LOWER[::-1] > 0,),
    ),
    Way("probabilities squared", after_softmax(lambda T, p: p**2)),
    Way(
        "probabilities normed again",
        after_softmax(lambda T, p: p / (p.sum(-1, keepdim=True) + 1e-3)),
    ),
    Way("probabilities detached", after_softmax(lambda T, p: p.detach())),
    Way("scores detached", masked(lambda T, s: s.detach())),
    Way("a dropout of one's own", after_softmax(own_dropout)),
    Way("sigmoid", lambda T, q, k, v: T.sigmoid(q @ k.mT) @ v),
    Way(
        "two fills",
        masked(lambda T, s, m: s.masked_fill(~arange_mask(T), INF).masked_fill(~m, -1e9)),
        extras=(VISIBLE,),
    ),
    Way(
        "a fill and a bias",
        masked(lambda T, s, m, a: s.masked_fill(~m, -50.0) + a),
        extras=(VISIBLE, ADDED),
    ),
    Way(
        "a fill that is data",
        masked(lambda T, s, m, f: T.where(m, s, f)),
        extras=(VISIBLE, np.asarray(-9.0)),
    ),
    Way(
        "wider values",
        masked(lambda T, s: s),
        (HEADS_SHAPE, HEADS_SHAPE, (BATCH, HEADS, LENGTH, 5)),
    ),
    Way("probabilities in the result", after_softmax(lambda T, p: p)),
    Way("scores used again", masked(lambda T, s: s)),
]


def with_others(way, T, given):
    """The result, and for the last two what else their user wants of it."""
    q, k = given[:2]
    out = way.function(T, *given)
    if way.name == "probabilities in the result":
        return [out, softmax(T, q @ k.mT / 2)]
    if way.name == "scores used again":
        return [out, (q @ k.mT / 2).sum(-1)]
    return [out]


@pytest.mark.parametrize("way", NEAR_MISSES, ids=str)
def test_near_misses_are_left_alone(way):
    assert recognise([t.node for t in with_others(way, lg, inputs(lg, way))]) == {}
    got, want = [], []
    for T, results in ((lg, got), (torch, want)):
        given = inputs(T, way)
        outs = with_others(way, T, given)
        wanted = [x for x in given if x.requires_grad]
        results += [*outs, *T.autograd.grad(scalar(T, outs), wanted, allow_unused=True)]
    for mine, theirs in zip(got, want, strict=True):
        if theirs is not None:
            np.testing.assert_allclose(numbers(mine), numbers(theirs), rtol=1e-8, atol=1e-8)


def test_probabilities_whose_gradient_is_wanted():
    q, k, v = inputs(lg, Way("", by_hand))
    p = softmax(lg, q @ k.mT)
    p.retain_grad()
    (p @ v).sum().backward()
    assert p.grad is not None and tuple(p.grad.shape) == tuple(p.shape)


# -- in the whole ------------------------------------------------------------------------------
def two_layers(T, x, weight):
    for _ in range(2):
        q, k, v = (x @ weight).split(HEADS * DIM, dim=2)
        x = x + joined(
            softmax(T, (split(q) @ split(k).mT / 2).masked_fill(~arange_mask(T), INF)) @ split(v)
        )
    return x


LAYERS = Way("two layers", two_layers, (TOKENS_SHAPE, (HEADS * DIM, 3 * HEADS * DIM)))


def test_one_layer_above_another():
    out = two_layers(lg, *inputs(lg, LAYERS)).node
    assert len(attentions(*rewritten(out))) == 2
    for mine, theirs in zip(differentiated(lg, LAYERS), differentiated(torch, LAYERS), strict=True):
        np.testing.assert_allclose(numbers(mine), numbers(theirs), rtol=1e-7, atol=1e-7)


def test_what_is_recognised_is_not_recognised_again():
    (made,) = rewritten(two_layers(lg, *inputs(lg, LAYERS)).node)
    assert recognise([made]) == {}


def test_a_held_result_joins_the_differentiated_graph():
    """The loss and what the user holds come of the attention that the gradients use, once."""
    given = inputs(lg, LAYERS)
    held = two_layers(lg, *given)
    loss = (held * held).sum()
    loss.backward()
    assert len(attentions(loss.node, held.node)) == 2
    assert set(attentions(loss.node, held.node)) <= set(toposort([given[1].grad.node]))


def test_a_value_computed_before_backward_is_kept():
    given = inputs(lg, LAYERS)
    held = two_layers(lg, *given)
    before = numbers(held)
    (held * held).sum().backward()
    want = [x.requires_grad_() for x in inputs(torch, LAYERS)]
    (two_layers(torch, *want) ** 2).sum().backward()
    np.testing.assert_allclose(numbers(given[1].grad), numbers(want[1].grad), rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(numbers(held), before)


@pytest.mark.parametrize("fuse", [True, False])
def test_a_forward_alone_is_recognised_unless_nothing_is_fused(monkeypatch, fuse):
    planned = []
    monkeypatch.setattr(engine, "_plans", {})
    simplify = engine.simplify
    monkeypatch.setattr(
        engine, "simplify", lambda roots: planned.append(len(attentions(*roots))) or simplify(roots)
    )
    with lg.config(backend="triton", fuse=fuse), lg.no_grad():
        two_layers(lg, *inputs(lg, LAYERS, "float32")).realize()
    assert max(planned) == (2 if fuse else 0)


def test_without_softmax_it_costs_one_look():
    x = lg.ones(4)
    for _ in range(2000):
        x = x * 2 + 1
    assert recognise([x.node]) == {}
