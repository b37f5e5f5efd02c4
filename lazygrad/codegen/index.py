"""Index arithmetic: takes ranged integer variables, returns canonical expressions and masks.

An `Expr` is an affine combination of atoms plus a constant; an atom is a variable,
`dividend // by` or `dividend % by` (floor semantics). A variable known to take only multiples of m
is m times an atom, so what divides a sum is seen from its coefficients alone. Expressions are
hash-consed: equal forms are one object, and `is` compares them. `_sum` makes every sum and `divide`
every quotient and remainder: the laws that make composed views vanish stand there.

A variable's range is a promise: lanes of a block that lie beyond it are masked, and what an
expression is worth there is undefined (so `less(x, size)` is TRUE of a variable below size: who
gives out lanes beyond it owes that mask). Within the range every dividend is non-negative (see
`divide`), so truncating and floor division agree: text means the same in Python and in Triton.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, reduce
from math import gcd, lcm
from typing import Any, TypeVar
from weakref import WeakValueDictionary

MEMO = 1 << 16  # how many results each memo table keeps

OPERATORS: dict[str, Any] = {
    "//": operator.floordiv, "%": operator.mod, "&": operator.and_, "|": operator.or_,
    "<": operator.lt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
OPPOSITE = {
    "<": ">=", ">=": "<", "==": "!=", "!=": "==", "&": "|", "|": "&",
    "True": "False", "False": "True",
}  # fmt: skip

_interned: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
_interning = threading.Lock()  # kernels are generated on several threads


class Expr:
    """An integer expression: immutable, canonical, compared by identity.

    Every value lies in [lower, upper] and is a multiple of `divisor` (0 for the constant 0).
    """

    __slots__ = ("kind", "label", "dividend", "by", "terms", "constant",
                 "lower", "upper", "divisor", "key", "__weakref__")  # fmt: skip

    kind: str  # "var", "//", "%", or "+" for everything that is not one atom
    label: str  # of "var", worth the variable of this name divided by `by`
    dividend: Expr  # of "//" and "%"
    by: int  # of "//", "%" and "var"
    terms: tuple[tuple[Expr, int], ...]  # atoms and coefficients, in print order
    constant: int
    lower: int
    upper: int
    divisor: int
    key: str  # of atoms: orders them alike in every process, so that equal kernels print alike

    @property
    def is_constant(self) -> bool:
        return not self.terms

    @property
    def name(self) -> str:
        """The name of a variable (which is its atom, or a multiple of it)."""
        return self.terms[0][0].label

    def __add__(self, other: Expr | int) -> Expr:
        if not isinstance(other, Expr):
            return _shift(self, operator.index(other))
        if not other.terms:
            return _shift(self, other.constant)
        terms = dict(self.terms)
        for atom, coefficient in other.terms:
            terms[atom] = terms.get(atom, 0) + coefficient
        return _sum(terms, self.constant + other.constant)

    __radd__ = __add__

    def __mul__(self, other: Expr | int) -> Expr:
        if isinstance(other, Expr):
            if other.terms:
                if self.terms:
                    raise TypeError(f"not affine: ({self}) * ({other})")
                self, other = other, self
            other = other.constant
        return _scale(self, operator.index(other))

    __rmul__ = __mul__

    def __neg__(self) -> Expr:
        return _scale(self, -1)

    def __sub__(self, other: Expr | int) -> Expr:
        return self + -other

    def __rsub__(self, other: int) -> Expr:
        return -self + other

    def __floordiv__(self, other: Expr | int) -> Expr:
        return divide(self, _positive(other))[0]

    def __mod__(self, other: Expr | int) -> Expr:
        return divide(self, _positive(other))[1]

    def __rfloordiv__(self, other: int) -> Expr:
        return const(other) // self

    def __rmod__(self, other: int) -> Expr:
        return const(other) % self

    def __repr__(self) -> str:
        return render(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.kind == "var":
            return _variable_atom, (self.label, self.lower, self.upper, self.by)
        if self.kind == "+":
            return _from_terms, (self.terms, self.constant)
        return _division_atom, (self.kind, self.dividend, self.by)


# Construction -----------------------------------------------------------------------------------


def const(value: int) -> Expr:
    """Takes an int, returns it as an expression."""
    return _affine((), +operator.index(value))


def var(name: str, size: int, multiple_of: int = 1) -> Expr:
    """Takes a name and a size, returns a variable with 0 <= variable < size."""
    return var_range(name, 0, max(size - 1, 0), multiple_of)


def var_range(name: str, lower: int, upper: int, multiple_of: int = 1) -> Expr:
    """Takes a name and inclusive bounds, returns a variable that takes multiples of `multiple_of`.

    Variables are the same when all four are; one with a single value is a constant.
    """
    lower, upper = -(-lower // multiple_of), upper // multiple_of
    if lower > upper:
        raise ValueError(f"no multiple of {multiple_of} in the range of {name}")
    if lower == upper:
        return const(lower * multiple_of)
    return _variable_atom(name, lower, upper, multiple_of) * multiple_of


def _variable_atom(name: str, lower: int, upper: int, by: int) -> Expr:
    key = ("var", name, lower, upper, by)
    return _interned.get(key) or _intern_atom(key, f"{name}[{lower},{upper},{by}]", lower, upper)


def _division_atom(kind: str, dividend: Expr, by: int) -> Expr:
    """Takes a dividend that `divide` found irreducible, returns its quotient or remainder."""
    key = (kind, dividend, by)
    found = _interned.get(key)
    if found is not None:
        return found
    text = f"({_key(dividend)}){kind}{by}"
    if kind == "//":
        return _intern_atom(key, text, dividend.lower // by, dividend.upper // by)
    return _intern_atom(key, text, 0, by - 1)


def _intern_atom(key: tuple[Any, ...], text: str, lower: int, upper: int) -> Expr:
    atom = object.__new__(Expr)
    atom.kind, content, atom.by = key[0], key[1], key[-1]
    if atom.kind == "var":
        atom.label = content
    else:
        atom.dividend = content
    atom.terms, atom.constant, atom.key = ((atom, 1),), 0, text
    atom.lower, atom.upper, atom.divisor = lower, upper, 1
    with _interning:
        return _interned.setdefault(key, atom)


@lru_cache(MEMO)
def _affine(terms: tuple[tuple[Expr, int], ...], constant: int) -> Expr:
    """Takes ordered terms that no law reduces, returns their sum."""
    if constant == 0 and len(terms) == 1 and terms[0][1] == 1:
        return terms[0][0]
    key = (terms, constant)
    found = _interned.get(key)
    if found is not None:
        return found
    lower = upper = divisor = constant
    for atom, coefficient in terms:
        ends = atom.lower * coefficient, atom.upper * coefficient
        lower += min(ends)
        upper += max(ends)
        divisor = gcd(divisor, coefficient)
    affine = object.__new__(Expr)
    affine.kind, affine.terms, affine.constant = "+", terms, constant
    affine.lower, affine.upper, affine.divisor = lower, upper, abs(divisor)
    with _interning:
        return _interned.setdefault(key, affine)


def _key(expr: Expr) -> str:
    return "+".join([f"{atom.key}*{c}" for atom, c in expr.terms] + [str(expr.constant)])


def _print_order(term: tuple[Expr, int]) -> tuple[int, str]:
    return -abs(term[1]), term[0].key


def _from_terms(terms: Iterable[tuple[Expr, int]], constant: int) -> Expr:
    return _sum(dict(terms), constant)


def _shift(expr: Expr, by: int) -> Expr:
    return _affine(expr.terms, expr.constant + by) if by else expr


def _scale(expr: Expr, by: int) -> Expr:
    if by == 1:
        return expr
    if by == 0:
        return const(0)
    scaled = tuple([(atom, coefficient * by) for atom, coefficient in expr.terms])
    # every law of sums holds for a multiple when it holds for the sum, so nothing is left to reduce
    return _affine(scaled, expr.constant * by)


def _shrink(expr: Expr, by: int) -> Expr:
    """Takes a sum whose coefficients and constant `by` divides, returns the sum divided."""
    return _affine(tuple([(atom, c // by) for atom, c in expr.terms]), expr.constant // by)


def _positive(divisor: Expr | int) -> int:
    if isinstance(divisor, Expr):
        if divisor.terms:
            raise TypeError(f"division by an expression: {divisor}")
        divisor = divisor.constant
    if operator.index(divisor) <= 0:
        raise ValueError(f"division by {divisor}: divisors are positive")
    return operator.index(divisor)


# The laws of sums -------------------------------------------------------------------------------


def _sum(terms: dict[Expr, int], constant: int) -> Expr:
    """Takes atoms with coefficients and a constant, returns their sum in canonical form."""
    ordered = [term for term in terms.items() if term[1]]
    for remainder, coefficient in ordered:
        if remainder.kind != "%":
            continue
        for quotient, scale in ordered:
            if scale == coefficient * remainder.by and quotient.kind != "var":
                whole = _recombine(quotient, remainder)
                if whole is not None:
                    rest = _sum({**terms, remainder: 0, quotient: 0}, constant)
                    return rest + whole * coefficient
    ordered.sort(key=_print_order)
    return _affine(tuple(ordered), constant)


@lru_cache(MEMO)
def _recombine(quotient: Expr, remainder: Expr) -> Expr | None:
    """Takes two atoms, returns `quotient * remainder.by + remainder` as one thing, or None."""
    dividend, by = remainder.dividend, remainder.by
    if quotient.kind == "//":
        # (x // a) * a + x % a = x
        if dividend // by is quotient:
            return dividend
        if quotient.by == by and quotient.dividend % by is remainder:
            return quotient.dividend
        return None
    # (p % b) * a + x % a = (p*a + x % a) % (a*b), simpler if the inner sum recombines (p = x // a)
    whole = quotient.dividend * by + remainder
    if any(atom is remainder for atom, _ in whole.terms):
        return None
    return whole % (by * quotient.by)


# The laws of division ---------------------------------------------------------------------------


@lru_cache(MEMO)
def divide(expr: Expr, by: int) -> tuple[Expr, Expr]:
    """Takes an expression and a positive int, returns quotient and remainder in canonical form."""
    # x // 1 = x  and  x % 1 = 0
    if by == 1:
        return expr, const(0)

    # x // d = q  and  x % d = x - q*d  when all of [lower, upper] has the quotient q
    turns = expr.lower // by
    if turns == expr.upper // by:
        return const(turns), expr - turns * by

    # (a*d + b) // d = a + b // d  and  (a*d + b) % d = b % d. What is left of a coefficient keeps
    # its sign, so bounds lose nothing; the constant is chosen to leave 0 <= lower < d: no dividend
    # is ever negative, and floor and truncating division are the same.
    whole = const(0)
    rest: dict[Expr, int] = {}
    for atom, coefficient in expr.terms:
        turns = abs(coefficient) // by * (1 if coefficient > 0 else -1)
        whole += atom * turns
        rest[atom] = coefficient - turns * by
    dividend = _sum(rest, expr.constant)
    turns = dividend.lower // by
    dividend, whole = dividend - turns * by, whole + turns
    if dividend is not expr:
        quotient, remainder = divide(dividend, by)
        return whole + quotient, remainder

    # (b + s) // d = b // d  and  (b + s) % d = b % d + s  when 0 <= s < g, g dividing both b and d
    shared = {gcd(c, by) for _, c in expr.terms} | {gcd(by, *(c for _, c in expr.terms))}
    for common in sorted(shared - {1}, reverse=True):
        apart = {atom: c for atom, c in expr.terms if c % common}
        small = _sum(apart, expr.constant)
        turns = small.lower // common
        small -= turns * common
        if small.upper < common and small is not const(0):
            quotient, remainder = divide(expr - small, by)
            return quotient, remainder + small

    # (g*x) // (g*d) = x // d  and  (g*x) % (g*d) = g * (x % d)
    common = gcd(expr.divisor, by)
    if common > 1:
        quotient, remainder = divide(_shrink(expr, common), by // common)
        return quotient, remainder * common

    return _irreducible_quotient(expr, by), _irreducible_remainder(expr, by)


def _irreducible_quotient(expr: Expr, by: int) -> Expr:
    if len(expr.terms) == 1 and expr.terms[0][1] == 1:
        atom = expr.terms[0][0]
        # (x // a + k) // d = (x + a*k) // (a*d)
        if atom.kind == "//":
            return (atom.dividend + expr.constant * atom.by) // (atom.by * by)
        # (x % (a*d)) // d = (x // d) % a
        if atom is expr and atom.kind == "%" and atom.by % by == 0:
            return (atom.dividend // by) % (atom.by // by)
    return _division_atom("//", expr, by)


def _irreducible_remainder(expr: Expr, by: int) -> Expr:
    # (c * (x % a) + b) % d = (c*x + b) % d  when d divides c*a
    congruent = expr
    for atom, coefficient in expr.terms:
        if atom.kind == "%" and coefficient * atom.by % by == 0:
            congruent += (atom.dividend - atom) * coefficient
    return _division_atom("%", expr, by) if congruent is expr else congruent % by


# Shapes -----------------------------------------------------------------------------------------


def unravel(expr: Expr | int, shape: Sequence[int]) -> tuple[Expr, ...]:
    """Takes a linear index below the shape's product, returns the index along each dimension."""
    rest = expr if isinstance(expr, Expr) else const(expr)
    indices = []
    for size in reversed(shape[1:]):
        rest, index = divide(rest, max(size, 1))
        indices.append(index)
    if shape:
        indices.append(rest if shape[0] > 1 else const(0))
    return tuple(reversed(indices))


def ravel(indices: Sequence[Expr | int], shape: Sequence[int]) -> Expr:
    """Takes an index along each dimension, returns the linear, row-major index."""
    linear = const(0)
    for index, size in zip(indices, shape, strict=True):
        linear = linear * size + index
    return linear


def dot(indices: Sequence[Expr | int], strides: Sequence[int], offset: Expr | int = 0) -> Expr:
    """Takes indices and strides, returns the address: the sum of their products plus the offset."""
    address = const(0) + offset
    for index, stride in zip(indices, strides, strict=True):
        address += index * const(stride)
    return address


# Masks ------------------------------------------------------------------------------------------


class Condition:
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

    def __repr__(self) -> str:
        return render(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _condition, (self.kind, *(self.parts or (self.left, self.right)))


def _condition(kind: str, *content: Any) -> Condition:
    """Takes a kind and its (left, right) or parts, already canonical, returns the condition."""
    key = (kind, *content)
    found = _interned.get(key)
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
        condition.key = f"{_key(condition.left)}{kind}{condition.right}"
    with _interning:
        return _interned.setdefault(key, condition)


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
    # g*x == k  when  x == k / g
    scale = left.divisor if left.terms[0][1] > 0 else -left.divisor
    return _condition("==", _shrink(left, scale), right // scale)


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
            small = _sum({atom: c for atom, c in left.terms if c % common}, 0)
            last = (right - 1 - small.lower) // common
            if last == (right - 1 - small.upper) // common:
                return _less(_shrink(left - small, common), last + 1)
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


# Questions --------------------------------------------------------------------------------------


Value = TypeVar("Value", Expr, Condition)


@lru_cache(MEMO)
def variables(of: Expr | Condition) -> frozenset[Expr]:
    """Takes an expression or a condition, returns the variables in it."""
    if isinstance(of, Condition):
        return frozenset().union(*map(variables, of.parts or (of.left,)))
    if of.kind == "var":
        return frozenset((of * of.by,))
    if of.kind == "+":
        return frozenset().union(*(variables(atom) for atom, _ in of.terms))
    return variables(of.dividend)


def stride_of(expr: Expr, variable: Expr) -> int | None:
    """Takes an expression, returns its step per unit of `variable`, None where it has none."""
    ((unit, multiple),) = variable.terms
    stride = 0
    for atom, coefficient in expr.terms:
        if atom is unit and coefficient % multiple == 0:
            stride = coefficient // multiple
        elif variable in variables(atom):
            return None
    return stride


def substitute(of: Value, values: Mapping[Expr, Expr | int]) -> Value:
    """Takes an expression or a condition, returns it with variables replaced, canonical again."""
    if not variables(of) & values.keys():
        return of
    if isinstance(of, Condition):
        if of.parts:
            join = all_of if of.kind == "&" else any_of
            return join(*(substitute(part, values) for part in of.parts))
        compare = less if of.kind in ("<", ">=") else equal
        condition = compare(substitute(of.left, values), of.right)
        return condition if of.kind in ("<", "==") else negate(condition)
    if of.kind == "var":
        return (const(0) + values[of * of.by]) // of.by
    if of.kind == "+":
        return dot(
            [substitute(t, values) for t, _ in of.terms], [c for _, c in of.terms], of.constant
        )
    quotient, remainder = divide(substitute(of.dividend, values), of.by)
    return quotient if of.kind == "//" else remainder


def evaluate(of: Expr | Condition, values: Mapping[str, Any]) -> Any:
    """Takes ints or arrays by variable name, returns the int or array that `of` is worth."""
    if isinstance(of, Condition):
        if of.parts:
            return reduce(OPERATORS[of.kind], [evaluate(part, values) for part in of.parts])
        if of in (TRUE, FALSE):
            return of is TRUE
        return OPERATORS[of.kind](evaluate(of.left, values), of.right)
    if of.kind == "var":
        return values[of.label] if of.by == 1 else values[of.label] // of.by
    if of.kind == "+":
        return sum((evaluate(atom, values) * c for atom, c in of.terms), start=of.constant)
    return OPERATORS[of.kind](evaluate(of.dividend, values), of.by)


# Text -------------------------------------------------------------------------------------------


def render(of: Expr | Condition, names: Mapping[str, str] | None = None) -> str:
    """Takes an expression or a condition, returns Python and Triton text with few parentheses.

    `names` spells variables differently; a spelling must bind as tightly as a name does.
    """
    names = names or {}
    if isinstance(of, Expr):
        return _text(of.terms, of.constant, names)
    if of.parts:
        # comparisons bring their own parentheses
        texts = [(render(part, names), part.parts) for part in of.parts]
        return f" {of.kind} ".join(f"({text})" if nested else text for text, nested in texts)
    if of in (TRUE, FALSE):
        return of.kind
    # u // 8 < 2  reads  u < 16  for a variable u of multiples of 8
    multiple = lcm(*(atom.by // gcd(atom.by, c) for atom, c in of.left.terms if atom.kind == "var"))
    # what is subtracted on the left is added on the right:  i - j < 1  reads  i <= j
    left = [(atom, c * multiple) for atom, c in of.left.terms if c > 0]
    right = [(atom, -c * multiple) for atom, c in of.left.terms if c < 0]
    sign, bound = of.kind, of.right * multiple
    if right and bound == 1 and sign in ("<", ">="):
        sign, bound = {"<": "<=", ">=": ">"}[sign], 0
    shift = bound if right and bound < 0 else 0
    return f"({_text(left, -shift, names)} {sign} {_text(right, bound - shift, names)})"


def _text(terms: Iterable[tuple[Expr, int]], constant: int, names: Mapping[str, str]) -> str:
    # Positive terms first, so that a sum seldom begins with a sign.
    signed = [(c < 0, _product(atom, abs(c), names)) for atom, c in terms]
    if constant or not signed:
        signed.append((constant < 0, str(abs(constant))))
    (negative, text), *others = sorted(signed, key=lambda part: part[0])
    if negative:
        # -x // a  would negate before it divides
        text = f"-({text})" if "//" in text or "%" in text else f"-{text}"
    return text + "".join(f" {'-' if minus else '+'} {part}" for minus, part in others)


def _product(atom: Expr, coefficient: int, names: Mapping[str, str]) -> str:
    if atom.kind == "var":
        text = names.get(atom.label, atom.label)
        common = gcd(coefficient, atom.by)
        coefficient //= common
        if atom.by > common:
            text += f" // {atom.by // common}"
    else:
        # * // % bind alike and to the left, so only a sum needs parentheses
        dividend = render(atom.dividend, names)
        single = len(atom.dividend.terms) == 1 and not atom.dividend.constant
        text = f"{dividend if single else f'({dividend})'} {atom.kind} {atom.by}"
    return text if coefficient == 1 else f"{text} * {coefficient}"
