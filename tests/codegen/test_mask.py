"""Conditions over index expressions mean what Python means, are canonical, and are decided where bounds decide them."""

from __future__ import annotations

import operator
import pickle

import numpy as np
import pytest
from hypothesis import strategies as st

from lazygrad.codegen import index as ix
from lazygrad.codegen.mask import FALSE, TRUE, all_of, any_of, at_least, equal, less, negate
from tests.codegen.test_index import VARIABLES, expressions, given, truncating, values


def comparisons():
    def build(make, op, a, b):
        return make(a[0], b[0]), lambda env: op(a[1](env), b[1](env))

    kinds = st.sampled_from([(less, operator.lt), (at_least, operator.ge), (equal, operator.eq)])
    number = st.integers(-60, 60).map(lambda k: (k, lambda _: k))
    return st.builds(lambda k, a, b: build(*k, a, b), kinds, expressions, expressions | number)


def combinations(children):
    lists = st.lists(children, min_size=1, max_size=4)
    every = lists.map(lambda cs: (all_of(*(c for c, _ in cs)), lambda env: all(f(env) for _, f in cs)))
    some = lists.map(lambda cs: (any_of(*(c for c, _ in cs)), lambda env: any(f(env) for _, f in cs)))
    opposite = children.map(lambda c: (negate(c[0]), lambda env: not c[1](env)))
    return every | some | opposite


# Few distinct comparisons over one variable, so that parts meet and tighten, contradict or repeat.
close = st.builds(
    lambda kind, v, k: (kind[0](v, k), lambda env: kind[1](env[v.name], k)),
    st.sampled_from([(less, operator.lt), (at_least, operator.ge), (equal, operator.eq)]),
    st.sampled_from(VARIABLES[1:3]),
    st.integers(-1, 13),
)
conditions = st.recursive(comparisons() | close, combinations, max_leaves=6)


@given(conditions, values())
def test_conditions_mean_what_python_means(pair, env):
    condition, meaning = pair
    value = bool(meaning(env))
    assert ix.evaluate(condition, env) == value
    assert eval(ix.render(condition), {}, env) == value
    assert truncating(ix.render(condition), env) == value
    assert ix.evaluate(negate(condition), env) != value
    assert negate(negate(condition)) is condition


def test_masks_are_decided_and_tightened():
    x, y = ix.var("x", 100), ix.var("y", 4)
    assert less(x, 100) is TRUE and at_least(x, 100) is FALSE
    assert equal(x * 4, 6) is FALSE and equal(x * 4, 8) is equal(x, 2)
    assert less(x * 4 + y, 400) is TRUE
    assert less(x * 4, 9) is less(x, 3)
    assert less(x // 4, 5) is less(x, 20)
    assert all_of(less(x, 9), TRUE, less(x, 5), less(x, 9)) is less(x, 5)
    assert all_of(less(x, 5), at_least(x, 5)) is FALSE
    assert any_of(less(x, 5), at_least(x, 5)) is TRUE
    assert all_of() is TRUE and any_of() is FALSE
    assert less(x * 4 + y, 20) is less(x, 5)
    u = ix.var("u", 64, multiple_of=8)
    assert less(u + y, 20) is less(u, 24) and ix.render(less(u, 24)) == "(u < 24)"
    both = all_of(less(x, 5), less(y, 2))
    assert pickle.loads(pickle.dumps(both)) is both
    assert ix.substitute(both, {x: 7}) is FALSE
    with pytest.raises(TypeError):
        bool(both)


def test_text():
    i, j = ix.var("i", 64), ix.var("j", 64)
    assert ix.render(less(i, 5) & at_least(j, 2)) == "(i < 5) & (j >= 2)"
    assert ix.render(less(i, j)) == "(i < j)" and ix.render(at_least(j, i)) == "(i <= j)"


def test_arrays_evaluate_elementwise():
    x, lanes = ix.var("x", 24), np.arange(24)
    rows, columns = ix.unravel(x, (4, 6))
    mask = less(rows, 2) & at_least(columns, 3)
    assert (ix.evaluate(mask, {"x": lanes}) == ((lanes // 6 < 2) & (lanes % 6 >= 3))).all()
