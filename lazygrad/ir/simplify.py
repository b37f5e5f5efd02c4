"""Simplification: takes Nodes, returns equal Nodes that cost less. Each rule states its law.

Rules look at a node and its sources only, never at its users, so the same expression simplifies to the
same node wherever it stands. "Equal" is ==: a rule may lose the sign of a zero, never a NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lazygrad.dtype import bool_
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import constant_value, like
from lazygrad.ir.node import Node, rebuild, toposort
from lazygrad.ir.op import Kind, Op

Rule = Callable[[Node], Node | None]


def simplify(roots: Iterable[Node]) -> list[Node]:
    """The simplified twin of every root."""
    roots = list(roots)
    twin: dict[Node, Node] = {}
    for node in toposort(roots):
        twin[node] = _settled(_rebuilt(node, tuple(twin[s] for s in node.src)), node)
    return [twin[r] for r in roots]


def _settled(node: Node, asked: Node) -> Node:
    """Rules applied until none fits; a new node answers for the user's line of the one it replaces."""
    for _ in range(16):
        found = _step(node)
        if found is None or found is node:
            return node
        if found.op.kind is not Kind.SOURCE and not _stands_below(found, node):
            found.where = asked.where
        node = found
    return node


def _stands_below(found: Node, node: Node) -> bool:
    """Whether a rule returned what was there already, which keeps its own line."""
    return any(found is s or found in s.src for s in node.src)


def _step(node: Node) -> Node | None:
    if node.op is ops.IOTA and node.arg == 1:
        return like(node, 0)
    if node.op.kind is Kind.SOURCE:
        return None
    if 0 in node.shape:
        return like(node, 0)
    if node.op.kind is Kind.POINTWISE:
        folded = _fold(node)
        if folded is not None:
            return folded
    for rule in RULES.get(node.op, ()):
        found = rule(node)
        if found is not None:
            return found
    return None


def _rebuilt(node: Node, src: tuple[Node, ...]) -> Node:
    """Through the builders, where those merge neighbouring movements."""
    if src == node.src and not (node.op in build.VIEWS and src[0].op is node.op):
        return node
    if node.op not in build.VIEWS:
        return rebuild(node, src)
    made = build.VIEWS[node.op](src[0], node.arg)
    if made.op.kind is not Kind.SOURCE:
        made.where = node.where
    return made


def _fold(node: Node) -> Node | None:
    """f(constants) is a constant."""
    values = [constant_value(s) for s in node.src]
    if any(v is None for v in values) or node.op is ops.PHILOX or node.op is ops.BITCAST:
        return None
    wide = node.src[0].dtype.compute.numpy if node.op is not ops.WHERE else node.dtype.compute.numpy
    arrays = [np.asarray(v, dtype=bool if s.dtype is bool_ else wide) for v, s in zip(values, node.src, strict=True)]
    assert node.op.ref is not None
    with np.errstate(all="ignore"):
        result = np.asarray(node.op.ref(np, node.arg, *arrays)).astype(node.dtype.numpy)
    return like(node, result.astype(node.dtype.compute.numpy).item())


def _is(node: Node, value: float) -> bool:
    found = constant_value(node)
    return found is not None and found == value


# -- the rules ----------------------------------------------------------------------------------------
def _either(value: float) -> Rule:
    """x op value = value op x = x"""

    def rule(node: Node) -> Node | None:
        a, b = node.src
        return a if _is(b, value) else b if _is(a, value) else None

    return rule


def _right(value: float) -> Rule:
    """x op value = x"""
    return lambda node: node.src[0] if _is(node.src[1], value) else None


def _zero_product(node: Node) -> Node | None:
    """x * 0 = 0 for integers (a float x may be infinite or NaN)"""
    if node.dtype.is_floating_point:
        return None
    return like(node, 0) if any(_is(s, 0) for s in node.src) else None


def _minus_one(node: Node) -> Node | None:
    """x * -1 = -x"""
    a, b = node.src
    if not node.dtype.signed:
        return None
    return build.neg(a) if _is(b, -1) else build.neg(b) if _is(a, -1) else None


def _product_of_constants(node: Node) -> Node | None:
    """(x * c) * d = x * (c * d) where c * d is exact, as for powers of two"""
    a, b = node.src
    if not (a.op is ops.MUL and node.dtype.is_floating_point and node.dtype.compute is node.dtype):
        return None
    outer, inner = constant_value(b), constant_value(a.src[1])
    if outer is None or inner is None or not (_power_of_two(outer) or _power_of_two(inner)):
        return None
    return build.scale(a.src[0], inner * outer)


def _power_of_two(value: Any) -> bool:
    mantissa, exponent = np.frexp(np.float64(value))
    return bool(abs(mantissa) == 0.5 and -60 < exponent < 60)


def _add_negated(node: Node) -> Node | None:
    """a + (-b) = a - b"""
    a, b = node.src
    if b.op is ops.NEG:
        return build.sub(a, b.src[0])
    return build.sub(b, a.src[0]) if a.op is ops.NEG else None


def _subtract_negated(node: Node) -> Node | None:
    """a - (-b) = a + b"""
    a, b = node.src
    return build.add(a, b.src[0]) if b.op is ops.NEG else None


def _divide_by_power_of_two(node: Node) -> Node | None:
    """x / 2^n = x * 2^-n, exactly"""
    value = constant_value(node.src[1])
    if value is None or not _power_of_two(value):
        return None
    return build.scale(node.src[0], 1.0 / value)


def _double_negation(node: Node) -> Node | None:
    """-(-x) = x, ~~x = x"""
    return node.src[0].src[0] if node.src[0].op is node.op else None


def _known_choice(node: Node) -> Node | None:
    """where(True, a, b) = a;  where(c, a, a) = a"""
    condition, a, b = node.src
    if a is b:
        return a
    value = constant_value(condition)
    return None if value is None else a if value else b


def _cast_chain(node: Node) -> Node | None:
    """narrow(wide(x)) = narrow(x) where wide holds every value of x"""
    inner = node.src[0]
    if inner.op is not ops.CAST:
        return None
    first, middle = inner.src[0].dtype, inner.dtype
    widening = (
        first.category == middle.category
        and first.category > 0
        and (first.signed == middle.signed or not first.signed)
        and first.itemsize < middle.itemsize
    )
    return build.cast(inner.src[0], node.dtype) if widening else None


def _movement_of_constant(node: Node) -> Node | None:
    """moving equal elements about changes nothing"""
    value = constant_value(node.src[0])
    if value is None or node.op in (ops.EXPAND, ops.RESHAPE):
        return None
    if node.op is ops.PAD and node.arg[1] != value:
        return None
    return like(node, value)


def _transposed_product(node: Node) -> Node | None:
    """(a b)^T = b^T a^T, whose operands are views: a weight's gradient then lies as the weight does"""
    product, axes = node.src[0], node.arg
    if product.op is not ops.DOT or axes != (*range(len(axes) - 2), len(axes) - 1, len(axes) - 2):
        return None
    a, b = product.src
    return build.dot(build.transpose(b), build.transpose(a))


def _empty_reduction(node: Node) -> Node | None:
    """a sum of nothing is 0, a product of nothing 1"""
    if 0 not in node.src[0].shape:
        return None
    return like(node, 1 if node.op is ops.PROD else 0)


def _sum_of_repeats(node: Node) -> Node | None:
    """the sum of n equal elements is n times one"""
    source = node.src[0]
    if source.op is not ops.EXPAND or not node.dtype.is_floating_point:
        return None
    inner = source.src[0]
    lead = source.ndim - inner.ndim
    repeated = tuple(a for a in node.arg if a < lead or inner.shape[a - lead] == 1)
    if not repeated:
        return None
    count = 1
    for axis in repeated:
        count *= source.shape[axis]
    rest = tuple(a for a in node.arg if a not in repeated)
    kept = tuple(1 if i in repeated else n for i, n in enumerate(source.shape))
    narrow = build.expand(build.reshape(inner, (1,) * lead + inner.shape), kept)
    return build.reduce(ops.SUM, build.scale(narrow, count), rest) if rest else build.scale(narrow, count)


def _sum_of_scaled(node: Node) -> Node | None:
    """sum(-x) = -sum(x)"""
    source = node.src[0]
    return build.neg(build.reduce(ops.SUM, source.src[0], node.arg)) if source.op is ops.NEG else None


RULES: dict[Op, tuple[Rule, ...]] = {
    ops.ADD: (_either(0), _add_negated),
    ops.SUB: (_right(0), _subtract_negated),
    ops.MUL: (_either(1), _zero_product, _minus_one, _product_of_constants),
    ops.DIV: (_right(1), _divide_by_power_of_two),
    ops.FLOORDIV: (),
    ops.NEG: (_double_negation,),
    ops.NOT: (_double_negation,),
    ops.WHERE: (_known_choice,),
    ops.CAST: (_cast_chain,),
    ops.PERMUTE: (_movement_of_constant, _transposed_product),
    ops.SLICE: (_movement_of_constant,),
    ops.FLIP: (_movement_of_constant,),
    ops.PAD: (_movement_of_constant,),
    ops.SUM: (_empty_reduction, _sum_of_repeats, _sum_of_scaled),
    ops.PROD: (_empty_reduction,),
}
