"""Masks: takes comparisons of index expressions, returns canonical conditions: where lanes may be touched.

Conditions are hash-consed as expressions are, and what the ranges of variables decide is TRUE or FALSE. A
range is a promise (index.py): `less(x, size)` is TRUE of a variable below size.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from math import gcd, lcm
from typing import Any

from lazygrad.codegen.index import (
    MEMO,
    Expr,
    Formula,
    const,
    divided,
    evaluate,
    from_terms,
    intern,
    interned,
    key_of,
    released,
    render,
    substitute,
    variables,
)

OPERATORS: dict[str, Any] = {
    "&": operator.and_, "|": operator.or_,
    "<": operator.lt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
OPPOSITE = {
    "<": ">=", ">=": "<", "==": "!=", "!=": "==", "&": "|", "|": "&",
    "True": "False", "False": "True",
}  # fmt: skip


class Condition(Formula):
    """A predicate over expressions. Immutable, canonical and compared by identity, as `Expr` is.

    A comparison sets a sum without constant, its first coefficient positive, against an int; "&"
    and "|" hold at least two parts. What bounds decide is TRUE or FALSE.
    """

    __slots__ = ("kind", "left", "right", "parts", "key", "__weakref__")

    kind: str  # "<", ">=", "==", "!=", "&", "|", "True", "False"
    left: Expr  # of a comparison
    right: int  # of a comparison
    parts: tuple[Condition, ...]  # of "&" and "|"
    key: str  # orders parts the same way in every process

    def __and__(self, other: Condition) -> Condition:
        return all_of(self, other)

    def __or__(self, other: Condition) -> Condition:
        return any_of(self, other)

    def __invert__(self) -> Condition:
        return negate(self)

    def __bool__(self) -> bool:
        raise TypeError("a Condition is not a bool: compare it with `is TRUE` or `is FALSE`")

    def __reduce__(self) -> tuple[Any, ...]:
        return _condition, (self.kind, *(self.parts or (self.left, self.right)))

    def _variables(self) -> frozenset[Expr]:
        return frozenset().union(*map(variables, self.parts or (self.left,)))

    def _divided(self) -> frozenset[Expr]:
        return frozenset().union(*map(divided, self.parts or (self.left,)))

    def _substituted(self, values: Mapping[Expr, Expr | int]) -> Condition:
        return self._rebuilt(lambda of: substitute(of, values))

    def _released(self) -> Condition:
        return self._rebuilt(released)

    def _rebuilt(self, change: Callable[[Any], Any]) -> Condition:
        if self.parts:
            return (all_of if self.kind == "&" else any_of)(*map(change, self.parts))
        if self in (TRUE, FALSE):
            return self
        compare = less if self.kind in ("<", ">=") else equal
        condition = compare(change(self.left), self.right)
        return condition if self.kind in ("<", "==") else negate(condition)

    def _worth(self, values: Mapping[str, Any]) -> Any:
        if self.parts:
            return reduce(OPERATORS[self.kind], [evaluate(part, values) for part in self.parts])
        if self in (TRUE, FALSE):
            return self is TRUE
        return OPERATORS[self.kind](evaluate(self.left, values), self.right)

    def _text(self, names: Mapping[str, str]) -> str:
        if self.parts:
            # comparisons bring their own parentheses
            texts = [(render(part, names), part.parts) for part in self.parts]
            return f" {self.kind} ".join(f"({text})" if nested else text for text, nested in texts)
        return self.kind if self in (TRUE, FALSE) else _comparison(self, names)


def _condition(kind: str, *content: Any) -> Condition:
    """Takes a kind and its (left, right) or parts, already canonical, returns the condition."""
    key = (kind, *content)
    found = interned.get(key)
    if found is not None:
        return found
    condition = object.__new__(Condition)
    condition.kind = kind
    if kind in ("&", "|"):
        condition.parts = content
        condition.key = f"({kind.join(part.key for part in content)})"
    else:
        condition.parts = ()
        condition.left, condition.right = content
        condition.key = f"{key_of(condition.left)}{kind}{condition.right}"
    return intern(key, condition)


TRUE = _condition("True", const(0), 0)
FALSE = _condition("False", const(0), 0)


def less(a: Expr | int, b: Expr | int) -> Condition:
    """Takes two expressions, returns the condition a < b."""
    return _less(*_against_constant(a, b))


def at_least(a: Expr | int, b: Expr | int) -> Condition:
    """Takes two expressions, returns the condition a >= b."""
    return negate(less(a, b))


def equal(a: Expr | int, b: Expr | int) -> Condition:
    """Takes two expressions, returns the condition a == b."""
    left, right = _against_constant(a, b)
    if left.lower == left.upper == right:
        return TRUE
    if not left.lower <= right <= left.upper or right % (left.divisor or 1):
        return FALSE
    # -x == k  when  x == -k
    if left.terms[0][1] < 0:
        left, right = -left, -right
    # g*x == k  when  x == k / g
    return _condition("==", left // left.divisor, right // left.divisor)


def _against_constant(a: Expr | int, b: Expr | int) -> tuple[Expr, int]:
    difference = const(0) + a - b
    return difference - difference.constant, -difference.constant


@lru_cache(MEMO)
def _less(left: Expr, right: int) -> Condition:
    if left.upper < right:
        return TRUE
    if left.lower >= right:
        return FALSE
    # -x < k  when not  x < 1 - k
    if left.terms[0][1] < 0:
        return negate(_less(-left, 1 - right))
    # g*x + s < k  when  x <= floor((k - 1 - s) / g), if that is one number for all of s
    for common in sorted({abs(c) for _, c in left.terms} | {left.divisor}, reverse=True):
        if common > 1:
            small = from_terms(((atom, c) for atom, c in left.terms if c % common), 0)
            last = (right - 1 - small.lower) // common
            if last == (right - 1 - small.upper) // common:
                return _less((left - small) // common, last + 1)
    # x // d < k  when  x < k*d
    if left.kind == "//":
        return less(left.dividend, right * left.by)
    return _condition("<", left, right)


def negate(condition: Condition) -> Condition:
    """Takes a condition, returns its opposite."""
    if condition.kind in ("&", "|"):
        parts = sorted(map(negate, condition.parts), key=lambda part: part.key)
        return _condition(OPPOSITE[condition.kind], *parts)
    return _condition(OPPOSITE[condition.kind], condition.left, condition.right)


def any_of(*conditions: Condition) -> Condition:
    """Takes conditions, returns the one that holds where any of them does."""
    return negate(all_of(*map(negate, conditions)))


def all_of(*conditions: Condition) -> Condition:
    """Takes conditions, returns the one that holds where all of them do."""
    tightest: dict[Any, Condition] = {}
    for condition in conditions:
        for part in condition.parts if condition.kind == "&" else (condition,):
            # x < a and x < b  when  x < min(a, b);  x >= a and x >= b  when  x >= max(a, b)
            key = (part.kind, part.left) if part.kind in ("<", ">=") else part
            known = tightest.setdefault(key, part)
            if known is not part and (part.right < known.right) == (part.kind == "<"):
                tightest[key] = part
    tightest.pop(TRUE, None)
    kept = set(tightest.values())
    for part in tightest.values():
        if part is FALSE or negate(part) in kept:
            return FALSE
        below = tightest.get(("<", part.left)) if part.kind in (">=", "==") else None
        above = tightest.get((">=", part.left)) if part.kind == "==" else None
        # x >= a and x < b  never, when  b <= a
        if below is not None and part.right >= below.right:
            return FALSE
        if above is not None and part.right < above.right:
            return FALSE
        # x == a  says all that  x < b  and  x >= c  say
        if part.kind == "==":
            kept -= {below, above}
    if len(kept) < 2:
        return kept.pop() if kept else TRUE
    return _condition("&", *sorted(kept, key=lambda part: part.key))


def _comparison(of: Condition, names: Mapping[str, str]) -> str:
    # u // 8 < 2  reads  u < 16  for a variable u of multiples of 8
    multiple = lcm(*(atom.by // gcd(atom.by, c) for atom, c in of.left.terms if atom.kind == "var"))
    # what is subtracted on the left is added on the right:  i - j < 1  reads  i <= j
    left = [(atom, c * multiple) for atom, c in of.left.terms if c > 0]
    right = [(atom, -c * multiple) for atom, c in of.left.terms if c < 0]
    sign, bound = of.kind, of.right * multiple
    if right and bound == 1 and sign in ("<", ">="):
        sign, bound = {"<": "<=", ">=": ">"}[sign], 0
    shift = bound if right and bound < 0 else 0
    smaller, larger = from_terms(left, -shift), from_terms(right, bound - shift)
    return f"({render(smaller, names)} {sign} {render(larger, names)})"
