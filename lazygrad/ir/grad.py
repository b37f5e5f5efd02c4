"""The vjp table and the reverse sweep: takes Nodes and cotangents, returns Nodes.

`VJP[op][i](g, out, *src)` is the cotangent of source i when `g` is the cotangent of `out`. The table is
closed: it is written in ops that are in it, so gradients of gradients need nothing more. Where a formula
fails on some values (a product with zeros), the op is decomposed first and the parts are differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lazygrad.errors import at_user_line, names_what_it_makes
from lazygrad.ir import attention, build, factorizations
from lazygrad.ir import op as ops
from lazygrad.ir.build import add, cast, const, div, like, mul, neg, pointwise, scale, shift, sub, where
from lazygrad.ir.node import Node, rebuild, substitute, toposort
from lazygrad.ir.op import Kind, Op
from lazygrad.shape import Shape

names_what_it_makes(__file__, name="backward")

Vjp = Callable[..., Node]
VJP: dict[Op, tuple[Vjp | None, ...]] = {}


def _zero(g: Node, out: Node, *src: Node) -> Node:
    return like(src[0], 0)


def _square(a: Node) -> Node:
    return mul(a, a)


# -- pointwise, one source: d/da ----------------------------------------------------------------------
VJP |= {
    ops.LEAF: (lambda g, out, a: g,),
    ops.DETACH: (None,),
    ops.CLONE: (lambda g, out, a: g,),
    ops.GRAFT: (None, lambda g, out, value, past: g),
    ops.NEG: (lambda g, out, a: neg(g),),
    ops.ABS: (lambda g, out, a: mul(g, pointwise(ops.SIGN, a)),),
    ops.EXP: (lambda g, out, a: mul(g, out),),
    ops.EXP2: (lambda g, out, a: scale(mul(g, out), math.log(2)),),
    ops.EXPM1: (lambda g, out, a: mul(g, shift(out, 1)),),
    ops.LOG: (lambda g, out, a: div(g, a),),
    ops.LOG2: (lambda g, out, a: div(g, scale(a, math.log(2))),),
    ops.LOG10: (lambda g, out, a: div(g, scale(a, math.log(10))),),
    ops.LOG1P: (lambda g, out, a: div(g, shift(a, 1)),),
    ops.SQRT: (lambda g, out, a: div(g, scale(out, 2)),),
    ops.RSQRT: (lambda g, out, a: scale(mul(g, mul(_square(out), out)), -0.5),),
    ops.RECIPROCAL: (lambda g, out, a: neg(mul(g, _square(out))),),
    ops.SIGMOID: (lambda g, out, a: mul(g, mul(out, sub(like(out, 1), out))),),
    ops.SIN: (lambda g, out, a: mul(g, pointwise(ops.COS, a)),),
    ops.COS: (lambda g, out, a: neg(mul(g, pointwise(ops.SIN, a))),),
    ops.TAN: (lambda g, out, a: mul(g, shift(_square(out), 1)),),
    ops.ASIN: (lambda g, out, a: mul(g, pointwise(ops.RSQRT, sub(like(a, 1), _square(a)))),),
    ops.ACOS: (lambda g, out, a: neg(mul(g, pointwise(ops.RSQRT, sub(like(a, 1), _square(a))))),),
    ops.ATAN: (lambda g, out, a: div(g, shift(_square(a), 1)),),
    ops.SINH: (lambda g, out, a: mul(g, pointwise(ops.COSH, a)),),
    ops.COSH: (lambda g, out, a: mul(g, pointwise(ops.SINH, a)),),
    ops.TANH: (lambda g, out, a: mul(g, sub(like(out, 1), _square(out))),),
    ops.ASINH: (lambda g, out, a: mul(g, pointwise(ops.RSQRT, shift(_square(a), 1))),),
    ops.ACOSH: (lambda g, out, a: mul(g, pointwise(ops.RSQRT, shift(_square(a), -1))),),
    ops.ATANH: (lambda g, out, a: div(g, sub(like(a, 1), _square(a))),),
    ops.ERF: (lambda g, out, a: mul(g, _gauss(a, 2 / math.sqrt(math.pi))),),
    ops.ERFC: (lambda g, out, a: mul(g, _gauss(a, -2 / math.sqrt(math.pi))),),
    ops.ERFINV: (lambda g, out, a: scale(mul(g, pointwise(ops.EXP, _square(out))), math.sqrt(math.pi) / 2),),
    ops.LGAMMA: (lambda g, out, a: mul(g, pointwise(ops.DIGAMMA, a)),),
    ops.DIGAMMA: (lambda g, out, a: mul(g, pointwise(ops.POLYGAMMA, a, arg=1)),),
    ops.POLYGAMMA: (lambda g, out, a: mul(g, pointwise(ops.POLYGAMMA, a, arg=out.arg + 1)),),
    ops.CAST: (lambda g, out, a: cast(g, a.dtype),),
    ops.BITCAST: (None,),
    ops.SIGN: (_zero,),
    ops.FLOOR: (_zero,),
    ops.CEIL: (_zero,),
    ops.ROUND: (_zero,),
    ops.TRUNC: (_zero,),
}


def _gauss(a: Node, factor: float) -> Node:
    return scale(pointwise(ops.EXP, neg(_square(a))), factor)


# -- pointwise, two or three sources ------------------------------------------------------------------
def _share(g: Node, mine: Node, other: Node, lost: Node) -> Node:
    """The cotangent of an operand that hasn't `lost`; equal operands get half each. Where one is NaN nobody has
    lost, as in torch."""
    return where(lost, like(g, 0), where(build.equal(mine, other), scale(g, 0.5), g))


def _power_base(g: Node, out: Node, a: Node, b: Node) -> Node:
    # b * a^(b-1), and exactly 0 where b is 0 (a^(b-1) may be infinite there)
    slope = mul(b, pointwise(ops.POW, a, shift(b, -1)))
    return mul(g, where(build.equal(b, like(b, 0)), like(b, 0), slope))


def _power_exponent(g: Node, out: Node, a: Node, b: Node) -> Node:
    # a^b * log(a), whose limit at a = 0, b >= 0 is 0
    flat = build.logical_and(build.equal(a, like(a, 0)), pointwise(ops.LE, like(b, 0), b))
    return mul(g, where(flat, like(a, 0), mul(out, pointwise(ops.LOG, a))))


def _norm2(a: Node, b: Node) -> Node:
    """a^2 + b^2, 1 instead of 0: nothing flows back to the origin, where the angle has no derivative."""
    total = add(_square(a), _square(b))
    return where(build.equal(total, like(total, 0)), like(total, 1), total)


VJP |= {
    ops.ADD: (lambda g, out, a, b: g, lambda g, out, a, b: g),
    ops.SUB: (lambda g, out, a, b: g, lambda g, out, a, b: neg(g)),
    ops.MUL: (lambda g, out, a, b: mul(g, b), lambda g, out, a, b: mul(g, a)),
    ops.DIV: (lambda g, out, a, b: div(g, b), lambda g, out, a, b: neg(div(mul(g, out), b))),
    ops.FLOORDIV: (_zero, lambda g, out, a, b: like(b, 0)),
    ops.REMAINDER: (
        lambda g, out, a, b: g,
        lambda g, out, a, b: neg(mul(g, pointwise(ops.FLOORDIV, a, b))),
    ),
    ops.FMOD: (
        lambda g, out, a, b: g,
        lambda g, out, a, b: neg(mul(g, pointwise(ops.TRUNC, div(a, b)))),
    ),
    ops.POW: (_power_base, _power_exponent),
    ops.ATAN2: (
        lambda g, out, a, b: mul(g, div(b, _norm2(a, b))),
        lambda g, out, a, b: neg(mul(g, div(a, _norm2(a, b)))),
    ),
    ops.HYPOT: (lambda g, out, a, b: mul(g, div(a, out)), lambda g, out, a, b: mul(g, div(b, out))),
    ops.COPYSIGN: (
        lambda g, out, a, b: mul(g, mul(pointwise(ops.SIGN, a), pointwise(ops.COPYSIGN, like(b, 1), b))),
        lambda g, out, a, b: like(b, 0),
    ),
    ops.MAXIMUM: (
        lambda g, out, a, b: _share(g, a, b, build.less(a, b)),
        lambda g, out, a, b: _share(g, b, a, build.less(b, a)),
    ),
    ops.MINIMUM: (
        lambda g, out, a, b: _share(g, a, b, build.less(b, a)),
        lambda g, out, a, b: _share(g, b, a, build.less(a, b)),
    ),
    ops.BARRIER: (lambda g, out, a, after: g, None),
    ops.WHERE: (
        None,
        lambda g, out, c, a, b: where(c, g, like(g, 0)),
        lambda g, out, c, a, b: where(c, like(g, 0), g),
    ),
}


# -- movement: the transpose of where elements go -----------------------------------------------------
def _unslice(g: Node, out: Node, a: Node) -> Node:
    g = build.dilate(g, tuple(step for _, _, step in out.arg))
    return build.pad(g, [(start, n - stop) for n, (start, stop, _) in zip(a.shape, out.arg, strict=True)])


def _unpad(g: Node, out: Node, a: Node) -> Node:
    return build.slice_(g, [(before, before + n, 1) for n, (before, _) in zip(a.shape, out.arg[0], strict=True)])


def _inverse(axes: Shape) -> Shape:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


VJP |= {
    ops.RESHAPE: (lambda g, out, a: build.reshape(g, a.shape),),
    ops.PERMUTE: (lambda g, out, a: build.permute(g, _inverse(out.arg)),),
    ops.EXPAND: (lambda g, out, a: build.sum_to(g, a.shape),),
    ops.FLIP: (lambda g, out, a: build.flip(g, out.arg),),
    ops.SLICE: (_unslice,),
    ops.PAD: (_unpad,),
    ops.SKEW: (lambda g, out, a: build.skew(g, out.arg.undone(a.shape[out.arg.axis])),),
    ops.COPY: (lambda g, out, a: build.copy(g, a.device),),
    ops.EXAMPLE: (lambda g, out, batch: _past_the_examples(),),
}


def _past_the_examples() -> Node:
    raise RuntimeError(
        at_user_line(
            "vmap: the gradient of one example's value for a tensor outside of the function can't be taken inside it; "
            "take it of what vmap() returns, or make that tensor an argument of func.grad()"
        )
    )


def _concat_part(g: Node, out: Node, part: int) -> Node:
    """The slice of the cotangent that belongs to source `part` of a CONCAT."""
    axis = out.arg
    start = sum(s.shape[axis] for s in out.src[:part])
    stop = start + out.src[part].shape[axis]
    return build.slice_(g, [(start, stop, 1) if i == axis else (0, n, 1) for i, n in enumerate(g.shape)])


# -- reductions, contraction, indexing, scans ---------------------------------------------------------
def _extreme(g: Node, out: Node, a: Node) -> Node:
    """Equal extremes share the cotangent evenly, as torch.amax does."""
    hit = cast(build.equal(a, build.expand(out, a.shape)), g.dtype)
    share = div(g, build.reduce(ops.SUM, hit, out.arg))
    return mul(hit, share)


def _gather_data(g: Node, out: Node, data: Node, index: Node) -> Node:
    axis = out.arg
    if index.shape[axis] == 1:  # one element picked from each line: compare positions, which fuses
        lead = tuple(n if i == axis else 1 for i, n in enumerate(data.shape))
        here = build.reshape(build.iota(data.shape[axis], data.device), lead)
        return where(build.equal(here, index), g, const(0, g.dtype, g.device))
    return build.scatter(const(0, g.dtype, g.device, data.shape), index, g, axis, "add")


def _scatter_base(g: Node, out: Node, base: Node, index: Node, values: Node) -> Node:
    axis, mode = out.arg
    if mode == "add":
        return g
    if mode == "set":
        return build.scatter(g, index, like(values, 0), axis, "set")
    if mode == "mul":
        ones = build.scatter(like(base, 1), index, values, axis, "mul")
        return mul(g, ones)
    return where(build.equal(base, out), _shared_by_winners(g, out, base, index, values), like(g, 0))


def _shared_by_winners(g: Node, out: Node, base: Node, index: Node, values: Node) -> Node:
    """What each of the equal extremes that met in one place gets of its cotangent: the same share."""
    axis = out.arg[0]
    won = cast(build.equal(values, build.gather(out, index, axis)), g.dtype)
    winners = build.scatter(cast(build.equal(base, out), g.dtype), index, won, axis, "add")
    return div(g, winners)


def _scatter_values(g: Node, out: Node, base: Node, index: Node, values: Node) -> Node:
    axis, mode = out.arg
    if mode in ("max", "min"):
        g = _shared_by_winners(g, out, base, index, values)
    picked = build.gather(g, index, axis)
    if mode in ("add", "set"):
        return picked
    if mode == "mul":
        return mul(picked, div(build.gather(out, index, axis), values))
    return where(build.equal(values, build.gather(out, index, axis)), picked, like(picked, 0))


def _reverse_cumsum(g: Node, axis: int) -> Node:
    return build.flip(build.scan(ops.CUMSUM, build.flip(g, (axis,)), axis), (axis,))


VJP |= {
    ops.SUM: (lambda g, out, a: build.expand(g, a.shape),),
    ops.MAX: (_extreme,),
    ops.MIN: (_extreme,),
    ops.DOT: (
        lambda g, out, a, b: build.dot(g, build.transpose(b)),
        lambda g, out, a, b: build.dot(build.transpose(a), g),
    ),
    ops.GATHER: (_gather_data, None),
    ops.SCATTER: (_scatter_base, None, _scatter_values),
    ops.CUMSUM: (lambda g, out, a: _reverse_cumsum(g, out.arg),),
    ops.ATTENTION: (
        attention.gradient(ops.ATTENTION_DQ, 0),
        attention.gradient(ops.ATTENTION_DK, 1),
        attention.gradient(ops.ATTENTION_DV, 2),
        attention.mask_gradient,
        None,
    ),
}


# -- gamma's family -----------------------------------------------------------------------------------
def _gamma_density(a: Node, x: Node) -> Node:
    """x^(a-1) exp(-x) / gamma(a), the slope of IGAMMA in x."""
    return pointwise(ops.EXP, sub(sub(mul(shift(a, -1), pointwise(ops.LOG, x)), x), pointwise(ops.LGAMMA, a)))


def _unknown_slope(g: Node, out: Node, *src: Node) -> Node:
    raise NotImplementedError(at_user_line(f"the derivative for '{out.op.name.lower()}: input' is not implemented"))


VJP |= {
    ops.IGAMMA: (_unknown_slope, lambda g, out, a, x: mul(g, _gamma_density(a, x))),
    ops.IGAMMAC: (_unknown_slope, lambda g, out, a, x: neg(mul(g, _gamma_density(a, x)))),
    ops.ZETA: (
        _unknown_slope,
        lambda g, out, s, q: neg(mul(g, mul(s, build.of_pairs(ops.ZETA, shift(s, 1), q)))),
    ),
}


# -- factorizations -----------------------------------------------------------------------------------
VJP |= {
    ops.SOLVE: (factorizations.unsolve, lambda g, out, a, b: build.solve(build.transpose(a), g)),
    ops.CHOLESKY: (factorizations.uncholesky,),
    ops.LOGABSDET: (factorizations.unlogdet,),
    ops.DETSIGN: (_zero,),
    ops.DET: (factorizations.undet,),
    ops.COFACTORS: (factorizations.uncofactors,),
    ops.EIGH: (factorizations.uneigh,),
    ops.SVD: (factorizations.unsvd,),
    ops.QR: (factorizations.unqr,),
    ops.LU: (factorizations.unlu,),
    ops.PINV: (factorizations.unpinv,),
}


# -- what is differentiated through its parts ---------------------------------------------------------
def _tree_product(node: Node) -> Node:
    """PROD as a tree of multiplications: right also where factors are zero."""
    value = node.src[0]
    if not value.numel:
        return like(node, 1) if node.numel else const(0, node.dtype, node.device, node.shape)
    for axis in node.arg:
        while value.shape[axis] > 1:
            half, odd = divmod(value.shape[axis], 2)
            full = [(0, n, 1) for n in value.shape]
            low, high, rest = list(full), list(full), list(full)
            low[axis], high[axis], rest[axis] = (0, half, 1), (half, 2 * half, 1), (2 * half, 2 * half + 1, 1)
            product = mul(build.slice_(value, low), build.slice_(value, high))
            value = build.concat([product, build.slice_(value, rest)], axis) if odd else product
    return value


def _doubling_scan(combine: Callable[[Node, Node], Node], identity: float) -> Callable[[Node], Node]:
    """A scan in log2(n) steps (Hillis & Steele 1986), each joining what lies 1, 2, 4, ... before."""

    def decompose(node: Node) -> Node:
        value, axis, reach = node.src[0], node.arg, 1
        while reach < value.shape[axis]:
            widths = [(reach, 0) if i == axis else (0, 0) for i in range(value.ndim)]
            kept = [(0, n - reach if i == axis else n, 1) for i, n in enumerate(value.shape)]
            value = combine(value, build.pad(build.slice_(value, kept), widths, identity))
            reach *= 2
        return value

    return decompose


def _maximum(a: Node, b: Node) -> Node:
    return pointwise(ops.MAXIMUM, a, b)


def _minimum(a: Node, b: Node) -> Node:
    return pointwise(ops.MINIMUM, a, b)


THROUGH_PARTS: dict[Op, Callable[[Node], Node]] = {
    ops.PROD: _tree_product,
    ops.CUMPROD: _doubling_scan(mul, 1.0),
    ops.CUMMAX: _doubling_scan(_maximum, -math.inf),
    ops.CUMMIN: _doubling_scan(_minimum, math.inf),
    **{op: f for op, f in attention.DECOMPOSITIONS.items() if op is not ops.ATTENTION},
}


def _with_parts(roots: Iterable[Node]) -> dict[Node, Node]:
    """Every node mapped to its twin in which ops of THROUGH_PARTS that carry a gradient are decomposed."""
    replaced: dict[Node, Node] = {}
    roots = list(roots)
    while True:
        pending = [
            n for n in toposort(roots, stop=lambda n: not n.needs_grad) if n.needs_grad and n.op in THROUGH_PARTS
        ]
        if not pending:
            return replaced
        first = pending[0]
        step = substitute(roots, {first: THROUGH_PARTS[first.op](first)})
        replaced = {old: step.get(new, new) for old, new in replaced.items()} | {
            old: new for old, new in step.items() if old not in replaced
        }
        roots = [step[r] for r in roots]


# -- the sweep ----------------------------------------------------------------------------------------
Custom = Callable[[Node, dict[int, Node]], list[Node | None]]


def by_its_call(node: Node, given: dict[int, Node]) -> list[Node | None]:
    """The cotangents of a CUSTOM's inputs, from those of its call's outputs by index: the call's own vjp."""
    flows: list[Node | None] = node.arg.call.vjp(node.src[1:], given)
    return flows


def gradients(
    outputs: list[Node],
    cotangents: list[Node],
    wanted: list[Node],
    custom: Custom = by_its_call,
    watched: Mapping[Node, Callable[[Node], Node]] | None = None,
    seen: Callable[[Node, int, Node], None] | None = None,
) -> list[Node | None]:
    """The gradient of sum(outputs * cotangents) for each of `wanted`; None where nothing flows.

    `custom` differentiates calls that bring their own gradient. A cotangent that is complete passes through
    the function that `watched` has for its node, and what that returns goes on. What a node passes on to its
    source i is shown to `seen`.
    """
    parts = _with_parts(outputs)
    outputs = [parts.get(o, o) for o in outputs]
    targets = [parts.get(w, w) for w in wanted]
    watches = {parts.get(n, n): watch for n, watch in (watched or {}).items()}
    order = toposort(outputs, stop=lambda n: not n.needs_grad)
    leads: set[Node] = set(targets)  # what leads down to something wanted
    for node in order:
        if node.needs_grad and any(s in leads for s in node.src):
            leads.add(node)
    cotangent: dict[Node, Node] = {}
    for output, g in zip(outputs, cotangents, strict=True):
        if output in leads:
            cotangent[output] = add(cotangent[output], g) if output in cotangent else g
    calls = _calls(order, leads)
    for node in reversed(order):
        if node in cotangent and node in watches:
            cotangent[node] = watches[node](cotangent[node])
        if node.op is ops.CUSTOM:
            given = {n.arg.index: cotangent[n] for n in calls.get(node, ()) if n in cotangent}
            flows = [None, *custom(node, given)] if given else []
        elif node in cotangent:
            flows = [_vjp(node, i, cotangent[node]) if s in leads else None for i, s in enumerate(node.src)]
        else:
            continue
        for i, (s, flow) in enumerate(zip(node.src, flows, strict=False)):
            if flow is not None and s in leads:
                if seen is not None:
                    seen(node, i, flow)
                cotangent[s] = add(cotangent[s], flow) if s in cotangent else flow
    return [cotangent.get(t) for t in targets]


def _calls(order: list[Node], leads: set[Node]) -> dict[Node, list[Node]]:
    """Of each call the output that stands first, with all outputs: when the sweep comes to that one, the
    cotangents of all are complete, and none of the inputs has been passed yet."""
    groups: dict[Any, list[Node]] = {}
    for node in order:
        if node.op is ops.CUSTOM and node in leads:
            groups.setdefault((id(node.arg.call), node.src[1:]), []).append(node)
    return {group[0]: group for group in groups.values()}


def _vjp(node: Node, i: int, g: Node) -> Node | None:
    if node.op is ops.CONCAT:
        return _concat_part(g, node, i)
    if node.op.kind is Kind.ATTENTION:
        rule: Any = VJP[node.op][min(i, 4) if i < 3 or (i == 3 and node.arg.masked) else 4]
    else:
        rule = VJP[node.op][i]
    return None if rule is None else rule(g, node, *node.src)


def without_leaves(nodes: Sequence[Node], leaves: Iterable[Node]) -> list[Node]:
    """The same values as functions of what the leaves stand for: a transformation that has taken its gradients
    leaves no leaf of its own behind."""
    twin: dict[Node, Node] = {leaf: leaf.src[0] for leaf in leaves}
    for node in toposort(nodes, stop=lambda n: n in twin or not n.needs_grad):
        if node not in twin and any(s in twin for s in node.src):
            twin[node] = rebuild(node, tuple(twin.get(s, s) for s in node.src))
    return [twin.get(n, n) for n in nodes]
