"""Orthogonal polynomials by their recurrences p[k+1] = f(k, x, p[k], p[k-1]) from p[0] = 1; 0 for degrees below 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.build import mul, scale, shift, sub
from lazygrad.ir.node import Node
from lazygrad.tensor.core import wrap
from lazygrad.tensor.promote import check_operands, device_of, float_type, is_scalar, node_of
from lazygrad.tensor.values import largest

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Recurrence = Callable[[int, Node, Node, Node], Node]


def _chebyshev(k: int, x: Node, p: Node, before: Node) -> Node:
    return sub(scale(mul(x, p), 2), before)


def _hermite_h(k: int, x: Node, p: Node, before: Node) -> Node:
    return scale(sub(mul(x, p), scale(before, k)), 2)


def _hermite_he(k: int, x: Node, p: Node, before: Node) -> Node:
    return sub(mul(x, p), scale(before, k))


def _laguerre(k: int, x: Node, p: Node, before: Node) -> Node:
    return scale(sub(mul(sub(build.like(x, 2 * k + 1), x), p), scale(before, k)), 1 / (k + 1))


def _legendre(k: int, x: Node, p: Node, before: Node) -> Node:
    return scale(sub(scale(mul(x, p), 2 * k + 1), scale(before, k)), 1 / (k + 1))


def _family(name: str, first: Callable[[Node], Node], following: Recurrence, shifted: bool = False) -> Any:
    """The function of a family of polynomials, whose first is of degree 1; `shifted` ones are taken at 2 x - 1."""

    def polynomial(input: Any, n: Any) -> Tensor:
        check_operands(name, (input, n))
        dtype, device = float_type(input, n), device_of((input, n))
        x, degree = (node_of(o, dtype.compute, device) for o in (input, n))
        x = shift(scale(x, 2), -1) if shifted else x
        degree = build.pointwise(ops.TRUNC, degree)
        top = int(n) if is_scalar(n) else int(largest(n, name)) if n.numel() else 0
        before, p = build.like(x, 1), first(x)
        total = build.where(build.equal(degree, build.like(degree, 0)), before, build.like(x, 0))
        for k in range(1, top + 1):
            total = build.where(build.equal(degree, build.like(degree, k)), p, total)
            before, p = p, following(k, x, p, before)
        return wrap(build.cast(total, dtype))

    polynomial.__name__ = polynomial.__qualname__ = name
    polynomial.__doc__ = f"The {name.replace('_', ' ')} of degree n at input, elementwise. Computes the largest n now."
    return polynomial


# each kind of Chebyshev polynomials by its first of degree 1
_KINDS: dict[str, Callable[[Node], Node]] = {
    "t": lambda x: x,
    "u": lambda x: scale(x, 2),
    "v": lambda x: shift(scale(x, 2), -1),
    "w": lambda x: shift(scale(x, 2), 1),
}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _family(f"chebyshev_polynomial_{kind}", first, _chebyshev) for kind, first in _KINDS.items()
)
(
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
) = (_family(f"shifted_chebyshev_polynomial_{kind}", first, _chebyshev, shifted=True) for kind, first in _KINDS.items())
hermite_polynomial_h = _family("hermite_polynomial_h", lambda x: scale(x, 2), _hermite_h)
hermite_polynomial_he = _family("hermite_polynomial_he", lambda x: x, _hermite_he)
laguerre_polynomial_l = _family("laguerre_polynomial_l", lambda x: sub(build.like(x, 1), x), _laguerre)
legendre_polynomial_p = _family("legendre_polynomial_p", lambda x: x, _legendre)

__all__ = [
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
]
