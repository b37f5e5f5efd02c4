"""Index expressions against plain Python arithmetic, and the simplifications that views rely on."""

from __future__ import annotations

import ast
import itertools
import math
import operator
import os
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from lazygrad.codegen import index as ix


def given(*strategies):
    """Hypothesis's given, with LAZYGRAD_TEST_EXAMPLES examples and no deadline."""
    count = int(os.environ.get("LAZYGRAD_TEST_EXAMPLES", "200"))
    return lambda test: settings(max_examples=count, deadline=None)(
        hypothesis.given(*strategies)(test)
    )


VARIABLES = [
    ix.var("x", 1000), ix.var("y", 12), ix.var("z", 7), ix.var("u", 96, multiple_of=8),
    ix.var_range("w", -20, 30), ix.var_range("v", -36, 40, multiple_of=4),
]  # fmt: skip
DIVISORS = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 60, 96])


@st.composite
def values(draw) -> dict[str, int]:
    steps = {v: (v.upper - v.lower) // v.divisor for v in VARIABLES}
    return {v.name: v.lower + v.divisor * draw(st.integers(0, steps[v])) for v in VARIABLES}


def pairs(children):
    """Strategies of (expression, the same computation as a plain Python function)."""
    combine = st.sampled_from([operator.add, operator.sub])
    divide = st.sampled_from([operator.floordiv, operator.mod])
    sums = st.builds(
        lambda op, a, b: (op(a[0], b[0]), lambda env: op(a[1](env), b[1](env))),
        combine, children, children,
    )  # fmt: skip
    shifts = st.builds(
        lambda a, k: (k - a[0], lambda env: k - a[1](env)), children, st.integers(-30, 30)
    )
    products = st.builds(
        lambda a, k: (a[0] * k, lambda env: a[1](env) * k), children, st.integers(-12, 24)
    )
    quotients = st.builds(
        lambda op, a, k: (op(a[0], k), lambda env: op(a[1](env), k)), divide, children, DIVISORS
    )
    return sums | shifts | products | quotients | quotients


def plain(variable: ix.Expr):
    return variable, lambda env: env[variable.name]


expressions = st.recursive(
    st.sampled_from(VARIABLES).map(plain)
    | st.integers(-50, 50).map(lambda k: (ix.const(k), lambda _: k)),
    pairs,
    max_leaves=8,
)  # fmt: skip


def truncating(text: str, env: dict[str, int]) -> int:
    """Evaluates text as Triton does: // and % truncate toward zero."""

    def run(node: ast.AST) -> int:
        match node:
            case ast.Constant(value):
                return value
            case ast.Name(name):
                return env[name]
            case ast.UnaryOp(ast.USub(), operand):
                return -run(operand)
            case ast.BinOp(left, op, right):
                return TRUNCATING[type(op)](run(left), run(right))
            case ast.Compare(left, [op], [right]):
                return TRUNCATING[type(op)](run(left), run(right))
        raise AssertionError(ast.dump(node))

    return run(ast.parse(text, mode="eval").body)


TRUNCATING = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: lambda a, b: int(math.copysign(1, a)) * (abs(a) // b),
    ast.Mod: lambda a, b: int(math.copysign(1, a)) * (abs(a) % b),
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
}  # fmt: skip


@given(expressions, values())
def test_expressions_mean_what_python_means(pair, env):
    expr, meaning = pair
    value = meaning(env)
    assert ix.evaluate(expr, env) == value
    assert expr.lower <= value <= expr.upper
    assert value % expr.divisor == 0 if expr.divisor else value == 0
    assert eval(ix.render(expr), {}, env) == value
    assert truncating(ix.render(expr), env) == value


def is_canonical(expr: ix.Expr) -> bool:
    """Whether every dividend under `expr` is non-negative, irreducible and itself canonical."""
    for atom, coefficient in expr.terms:
        if coefficient == 0:
            return False
        if atom.kind in ("//", "%"):
            if not (0 <= atom.dividend.lower < atom.by <= atom.dividend.upper):
                return False
            if (
                atom.dividend // atom.by if atom.kind == "//" else atom.dividend % atom.by
            ) is not atom:
                return False
            if not is_canonical(atom.dividend):
                return False
    return True


@given(expressions, st.integers(1, 30), st.lists(st.tuples(DIVISORS, st.integers(-9, 9)), max_size=3), values())
def test_promises_shorten_and_hold(pair, size, steps, env):
    """Where a promise is kept, what was simplified under it is worth what it is without it."""
    raw, _ = pair
    promised = ix.within(raw, size)
    assert promised.lower >= 0 and promised.upper < size
    for by, more in steps:
        raw, promised = (e % by + (e * 3 + more) // by for e in (raw, promised))
    plain = ix.released(promised)
    assert ix.released(plain) is plain and is_canonical(plain)
    if 0 <= ix.evaluate(pair[0], env) < size:
        assert ix.evaluate(plain, env) == ix.evaluate(raw, env) == ix.evaluate(promised, env)


def test_a_reshape_behind_a_mask_leaves_no_division():
    x, y = ix.var("x", 9), ix.var("y", 9)
    linear = ix.ravel((ix.within(x - 1, 7), ix.within(y - 1, 7)), (7, 7))
    assert [ix.released(e) for e in ix.unravel(linear, (7, 7))] == [x - 1, y - 1]
    assert ix.released(linear) is x * 7 + y - 8


@given(expressions)
def test_canonical_form_is_stable(pair):
    expr, _ = pair
    assert is_canonical(expr)
    assert ix.substitute(expr, {v: v for v in VARIABLES}) is expr
    assert pickle.loads(pickle.dumps(expr)) is expr
    assert expr + 0 is expr and expr - expr is ix.const(0)
    assert (expr * -1) * -1 is expr


@st.composite
def chains(draw) -> ix.Expr:
    """Quotients and remainders, one of another, of an affine expression: what views compose."""
    chosen = draw(st.lists(st.sampled_from(VARIABLES), min_size=1, max_size=3, unique=True))
    coefficients = draw(st.lists(st.integers(-12, 24), min_size=3, max_size=3))
    expr = ix.dot(chosen, coefficients[: len(chosen)], draw(st.integers(-30, 30)))
    for op in draw(st.lists(st.sampled_from([operator.floordiv, operator.mod]), max_size=3)):
        expr = op(expr, draw(DIVISORS))
    return expr


@given(chains(), DIVISORS)
def test_quotient_and_remainder_recombine(expr, by):
    assert expr // by * by + expr % by is expr
    assert 3 * (expr % by) + (expr // by) * (3 * by) is expr * 3


@given(expressions, expressions, values())
def test_substitute_then_evaluate(pair, replacement, env):
    (expr, _), (new, _) = pair, replacement
    x = VARIABLES[0]
    if x in ix.variables(new) or new.lower < x.lower or new.upper > x.upper:
        new = new % (x.upper + 1)
    replaced = ix.substitute(expr, {x: new})
    assert ix.evaluate(replaced, env) == ix.evaluate(expr, {**env, "x": ix.evaluate(new, env)})


@given(expressions, values())
def test_stride_is_the_step(pair, env):
    expr, _ = pair
    for variable in VARIABLES:
        stride = ix.stride_of(expr, variable)
        if stride is not None and env[variable.name] + variable.divisor <= variable.upper:
            step = {**env, variable.name: env[variable.name] + variable.divisor}
            assert ix.evaluate(expr, step) - ix.evaluate(expr, env) == stride * variable.divisor


def factorizations(sizes: tuple[int, ...]):
    """All groupings of neighbouring prime factors: the shapes one reshape may lead to."""
    for cuts in itertools.product([False, True], repeat=len(sizes) - 1):
        shape = [sizes[0]]
        for size, cut in zip(sizes[1:], cuts, strict=True):
            shape[-1:] = [shape[-1], size] if cut else [shape[-1] * size]
        yield tuple(shape)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_ravel_undoes_unravel(shape):
    x = ix.var("x", math.prod(shape))
    assert ix.ravel(ix.unravel(x, shape), shape) is x


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_unravel_undoes_ravel(shape):
    indices = tuple(ix.var(f"i{axis}", size) for axis, size in enumerate(shape))
    assert ix.unravel(ix.ravel(indices, shape), shape) == indices


@given(st.lists(st.integers(1, 7), min_size=2, max_size=5), st.data())
def test_reshape_chains_vanish(sizes, data):
    shapes = list(factorizations(tuple(sizes)))
    x = ix.var("x", math.prod(sizes))
    linear = x
    for shape in data.draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=6)):
        linear = ix.ravel(ix.unravel(linear, shape), shape)
    assert linear is x


def atoms(expr: ix.Expr) -> set[str]:
    return {atom.kind for atom, _ in expr.terms}


@pytest.mark.parametrize("shape", [(24, 5), (6, 20), (120,), (2, 3, 4, 5), (3, 2, 20), (6, 4, 5)])
def test_reshapes_of_loop_indices_leave_no_division_where_divisible(shape):
    i, j, k = (ix.var(name, size) for name, size in zip("ijk", (6, 4, 5), strict=True))
    linear = ix.ravel((i, j, k), (6, 4, 5))
    again = ix.ravel(ix.unravel(linear, shape), shape)
    assert again is linear
    assert ix.unravel(again, (6, 4, 5)) == (i, j, k)
    merged = ix.unravel(linear, (24, 5))
    assert merged == (i * 4 + j, k)
    assert ix.unravel(linear, (6, 20)) == (i, j * 5 + k)
    assert ix.unravel(linear, (2, 3, 20)) == (i // 3, i % 3, j * 5 + k)


@given(st.permutations(range(4)), st.lists(st.integers(1, 6), min_size=4, max_size=4))
def test_permuting_there_and_back_vanishes(order, shape):
    x = ix.var("x", math.prod(shape))
    indices = ix.unravel(x, shape)
    permuted = ix.ravel([indices[axis] for axis in order], [shape[axis] for axis in order])
    back = ix.unravel(permuted, [shape[axis] for axis in order])
    assert ix.ravel([back[order.index(axis)] for axis in range(4)], shape) is x


def test_laws_of_division():
    x, y = ix.var("x", 1 << 20), ix.var("y", 4)
    assert x // 1 is x and x % 1 is ix.const(0)
    assert (x * 4) // 2 is x * 2 and (x * 4) % 2 is ix.const(0)
    assert (x * 4) // 6 is (x * 2) // 3 and (x * 4) % 6 is (x * 2) % 3 * 2
    assert (x * 12 + y) // 12 is x and (x * 12 + y) % 12 is y
    assert (x * 4 + y) // 12 is x // 3 and (x * 4 + y) % 12 is x % 3 * 4 + y
    assert x // 3 // 5 is x // 15
    assert x % 12 % 4 is x % 4
    assert x % 12 // 4 is x // 4 % 3
    assert x // 4 % 3 * 4 + x % 4 is x % 12
    assert (x - 3) // 4 is (x + 1) // 4 - 1
    u = ix.var("u", 1 << 20, multiple_of=16)
    assert u % 8 is ix.const(0) and u // 8 * 8 is u
    assert (u + y) // 4 is u // 4 and (u + y) % 16 is y


def test_chains_of_views_read_short():
    x = ix.var("x", 32 * 12 * 1024 * 64)
    batch, head, row, column = ix.unravel(x, (32, 12, 1024, 64))
    packed = ix.dot((batch, row, head, column), (1024 * 2304, 2304, 64, 1), 768)
    assert ix.render(packed) == (
        "x // 786432 * 2359296 + x // 64 % 1024 * 2304 + x // 65536 % 12 * 64 + x % 64 + 768"
    )
    assert ix.variables(packed) == {x} and ix.stride_of(packed, x) is None
    block, lane = ix.var("block", 24576), ix.var("lane", 1024)
    assert ix.substitute(packed, {x: block * 1024 + lane}).divisor == 1
    assert ix.substitute(x % 64, {x: block * 1024 + lane}) is lane % 64


def test_text():
    x0, i, j = ix.var("x0", 1 << 20), ix.var("i", 64), ix.var("j", 64)
    assert ix.render(x0 // 768 * 3072 + x0 % 768) == "x0 // 768 * 3072 + x0 % 768"
    assert ix.render((i + j * 3) // 4 % 5) == "(j * 3 + i) // 4 % 5"
    assert ix.render(5 - i) == "5 - i" and ix.render(-(i // 4)) == "-(i // 4)"
    assert ix.render(ix.const(-3)) == "-3"
    assert ix.render((i - 3) // 4) == "(i + 1) // 4 - 1"
    assert ix.render(i * 2, {"i": "i[:, None]"}) == "i[:, None] * 2"


def test_what_stands_beside_every_dividend():
    """A 0 whose range nobody knows: see WIDE in codegen/render.py."""
    x0 = ix.var("x0", 1 << 16)
    names = {ix.BESIDE: "wide"}
    assert ix.render(x0 // 36 % 5 + x0 % 8, names) == "((x0 + wide) // 36 + wide) % 5 + x0 % 8"
    assert ix.render((x0 + 3) // 6 * 4, names) == "(x0 + 3 + wide) // 6 * 4"
    assert ix.divided(x0 // 8 + x0 % 64) == frozenset()
    assert ix.divided(x0 // 8 % 3) == {x0}


def test_arrays_evaluate_elementwise():
    x = ix.var("x", 24)
    lanes = np.arange(24)
    rows, columns = ix.unravel(x, (4, 6))
    transposed = ix.evaluate(ix.ravel((columns, rows), (6, 4)), {"x": lanes})
    assert (np.arange(24).reshape(6, 4).T.ravel() == transposed).all()


def test_refusals_say_why():
    x, y = ix.var("x", 8), ix.var("y", 8)
    with pytest.raises(TypeError, match="not affine"):
        x * y
    with pytest.raises(TypeError, match="division by an expression"):
        x // y
    with pytest.raises(ValueError, match="positive"):
        x % 0
