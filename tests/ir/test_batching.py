"""The table of batching rules is complete, and nodes that depend on no example are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from lazygrad.device import CPU
from lazygrad.ir import attention, build
from lazygrad.ir import op as ops
from lazygrad.ir.attention import AttentionArg
from lazygrad.ir.batching import RULES, batched, depends, new_level
from lazygrad.ir.node import Node
from lazygrad.ir.op import OPS, Kind, Op
from tests.graphs import leaf, values_of

AFTER_AUTOGRAD = {ops.PLACE, ops.SEGMENT}  # what a schedule makes of other ops, when nothing is batched any more


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_every_op_has_a_rule(op: Op) -> None:
    if op.kind in (Kind.SOURCE, Kind.EXAMPLE) or op in AFTER_AUTOGRAD:
        assert op not in RULES and op.kind not in RULES
    else:
        assert (op in RULES) != (op.kind in RULES), "by op or by kind, one of them"


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(-1, 1, shape)


def of_each(function, *arrays: np.ndarray | None, shared: tuple[np.ndarray, ...] = ()) -> None:
    """function of the examples, batched, is the stack of function of each."""
    level = new_level()
    size = len(arrays[0])
    fixed = [leaf(a) for a in shared]
    one: Node = function(*(build.example(leaf(a), level, 0) for a in arrays), *fixed)
    (whole,) = batched([one], level, size)
    assert whole is not None and depends(one, level) and not depends(whole, level)
    want = np.stack([values_of([function(*(leaf(a[i]) for a in arrays), *fixed)])[0] for i in range(size)])
    np.testing.assert_allclose(values_of([whole])[0], want, rtol=1e-12, atol=1e-12)


def grads(arg: AttentionArg, which: Op):
    def function(q: Node, k: Node, v: Node, g: Node, *mask: Node) -> Node:
        src = (q, k, v, *mask)
        out = attention.attention(arg, *src)
        operand = {ops.ATTENTION_DQ: 0, ops.ATTENTION_DK: 1, ops.ATTENTION_DV: 2}[which]
        return attention.gradient(which, operand)(g, out, *src)

    return function


@pytest.mark.parametrize("which", [ops.ATTENTION_DQ, ops.ATTENTION_DK, ops.ATTENTION_DV], ids=str)
@pytest.mark.parametrize("scale", [0.5, -0.5])
def test_gradients_of_attention(which: Op, scale: float) -> None:
    """A negative scale keeps a row's maximum and log sum apart: one more axis in between."""
    qkvg = [draw(3, 2, 2, 5, 4) + i for i in range(4)]
    of_each(grads(AttentionArg(scale), which), *qkvg)
    of_each(grads(AttentionArg(scale, causal=True), which), *qkvg)
    for mask in (draw(3, 1, 1, 5, 5), draw(3, 2, 2, 5, 5)):
        of_each(grads(AttentionArg(scale, masked=True), which), *qkvg, mask)
    of_each(grads(AttentionArg(scale, masked=True), which), *qkvg, shared=(draw(1, 2, 5, 5),))


def test_log_sums_of_attention() -> None:
    q, k, v = (draw(3, 2, 2, 5, 4) + i for i in range(3))
    of_each(lambda *src: attention.log_sum_exp(AttentionArg(0.5), *src), q, k, v)
    of_each(lambda *src: attention.log_sum_exp(AttentionArg(-0.5), *src), q, k, v)


def test_one_operand_shared() -> None:
    index = np.random.default_rng(0).integers(0, 4, (3, 4))
    of_each(lambda x, i: build.gather(x, i, 1), draw(5, 3, 4), shared=(index,))
    of_each(lambda i, x: build.gather(x, i, 1), np.stack([index, index[::-1]]), shared=(draw(3, 4),))
    of_each(lambda x, b: build.scatter(b, leaf(index), x, 1, "add"), draw(5, 3, 4), shared=(draw(3, 4),))
    of_each(lambda x, a: build.solve(a, x), draw(5, 3, 2), shared=(draw(3, 3),))
    of_each(lambda x, a: build.concat([a, x, a], 1), draw(5, 3, 2), shared=(draw(3, 3),))
    of_each(lambda x, a: build.dot(x, a), draw(5, 2, 3, 4), shared=(draw(2, 4, 6),))
    of_each(lambda x, a: build.dot(a, x), draw(5, 2, 4, 3), shared=(draw(2, 6, 4),))
    of_each(lambda x, a: build.barrier(a, x), draw(5, 3), shared=(draw(2, 4),))


def test_what_all_examples_share_is_not_repeated() -> None:
    """A shared factor multiplies the rows of all examples in one product."""
    level = new_level()
    x, w = build.example(leaf(draw(8, 1, 4)), level, 0), leaf(draw(4, 6))
    shared = build.mul(w, w)
    whole, same = batched([build.dot(x, shared), shared], level, 8)
    assert same is None and whole is not None
    product = whole
    while product.op is not ops.DOT:
        (product,) = product.src
    assert product.shape == (8, 6) and product.src[1] is shared


def test_levels_are_told_apart() -> None:
    inner, outer = new_level(), new_level()
    x = build.example(build.example(leaf(draw(3, 4, 5)), outer, 0), inner, 0)
    (rows,) = batched([build.scale(x, 2)], inner, 4)
    assert rows is not None and rows.shape == (4, 5) and depends(rows, outer)
    (whole,) = batched([rows], outer, 3)
    assert whole is not None
    np.testing.assert_allclose(values_of([whole])[0], 2 * draw(3, 4, 5))
    assert batched([build.iota(3, CPU)], inner, 2) == [None]
