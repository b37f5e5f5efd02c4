"""Index arithmetic: takes ranged integer variables, returns canonical expressions. Masks over them: mask.py.

An `Expr` is an affine combination of atoms plus a constant; an atom is a variable,
`dividend // by` or `dividend % by` (floor semantics). A variable known to take only multiples of m
is m times an atom, so what divides a sum is seen from its coefficients alone. Expressions are
hash-consed: equal forms are one object, and `is` compares them. `_sum` makes every sum and `divide`
every quotient and remainder: the laws that make composed views vanish stand there.

A variable's range is a promise: lanes of a block that lie beyond it are masked, and what an
expression is worth there is undefined: who gives out lanes beyond it owes that mask. Within the
range every dividend is non-negative (see `divide`), so truncating and floor division agree: text
means the same in Python and in Triton. What only a mask keeps in a range is promised to be there by
`within`, until it is `released` for printing.
"""

from __future__ import annotations

import operator
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import gcd
from typing import Any, TypeVar
from weakref import WeakValueDictionary

MEMO = 1 << 16  # how many results each memo table keeps

interned: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
_interning = threading.Lock()  # kernels are generated on several threads


def intern(key: tuple[Any, ...], made: Any) -> Any:
    """Takes what was made under a key, returns the one object that there is under it."""
    with _interning:
        return interned.setdefault(key, made)


class Formula(ABC):
    """What is built of variables: an `Expr`, or a `Condition` over some (mask.py). The questions at the end of this
    file are asked of either."""

    __slots__ = ()

    @abstractmethod
    def _variables(self) -> frozenset[Expr]: ...

    @abstractmethod
    def _divided(self) -> frozenset[Expr]: ...

    @abstractmethod
    def _substituted(self, values: Mapping[Expr, Expr | int]) -> Formula: ...

    @abstractmethod
    def _released(self) -> Formula: ...

    @abstractmethod
    def _worth(self, values: Mapping[str, Any]) -> Any: ...

    @abstractmethod
    def _text(self, names: Mapping[str, str]) -> str: ...

    def __repr__(self) -> str:
        return render(self)


class Expr(Formula):
    """An integer expression: immutable, canonical, compared by identity.

    Every value lies in [lower, upper] and is a multiple of `divisor` (0 for the constant 0).
    """

    __slots__ = ("kind", "label", "dividend", "by", "terms", "constant",
                 "lower", "upper", "divisor", "key", "__weakref__")  # fmt: skip

    kind: str  # "var", "//", "%", "in", or "+" for everything that is not one atom
    label: str  # of "var", worth the variable of this name divided by `by`
    dividend: Expr  # of "//" and "%"; of "in" what is promised to be below `by`, and no less than 0
    by: int  # of "//", "%", "in" and "var"
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

    def __reduce__(self) -> tuple[Any, ...]:
        if self.kind == "var":
            return _variable_atom, (self.label, self.lower, self.upper, self.by)
        if self.kind == "+":
            return from_terms, (self.terms, self.constant)
        return _division_atom, (self.kind, self.dividend, self.by)

    def _variables(self) -> frozenset[Expr]:
        if self.kind == "var":
            return frozenset((self * self.by,))
        if self.kind == "+":
            return frozenset().union(*(variables(atom) for atom, _ in self.terms))
        return variables(self.dividend)

    def _divided(self) -> frozenset[Expr]:
        if self.kind == "+":
            return frozenset().union(*(divided(atom) for atom, _ in self.terms))
        if self.kind == "in":
            return divided(self.dividend)
        if self.by & (self.by - 1):
            return variables(self)
        return frozenset() if self.kind == "var" else divided(self.dividend)

    def _substituted(self, values: Mapping[Expr, Expr | int]) -> Expr:
        if self.kind == "var":
            return (const(0) + values[self * self.by]) // self.by
        if self.kind == "+":
            atoms, coefficients = zip(*self.terms, strict=True)
            return dot([substitute(atom, values) for atom in atoms], coefficients, self.constant)
        return _again(self, substitute(self.dividend, values))

    def _released(self) -> Expr:
        if self.kind == "var":
            return self
        if self.kind == "+":
            parts = ((released(atom), c) for atom, c in self.terms)
            return sum((atom * c for atom, c in parts), start=const(self.constant))
        dividend = released(self.dividend)
        return dividend if self.kind == "in" else self if dividend is self.dividend else _again(self, dividend)

    def _worth(self, values: Mapping[str, Any]) -> Any:
        if self.kind == "var":
            return values[self.label] if self.by == 1 else values[self.label] // self.by
        if self.kind == "+":
            return sum((evaluate(atom, values) * c for atom, c in self.terms), start=self.constant)
        dividend = evaluate(self.dividend, values)
        if self.kind == "in":
            return dividend
        return dividend // self.by if self.kind == "//" else dividend % self.by

    def _text(self, names: Mapping[str, str]) -> str:
        # Positive terms first, so that a sum seldom begins with a sign.
        signed = [(c < 0, _product(atom, abs(c), names)) for atom, c in self.terms]
        if self.constant or not signed:
            signed.append((self.constant < 0, str(abs(self.constant))))
        (negative, text), *others = sorted(signed, key=lambda part: part[0])
        if negative:
            # -x // a  would negate before it divides
            text = f"-({text})" if "//" in text or "%" in text else f"-{text}"
        return text + "".join(f" {'-' if minus else '+'} {part}" for minus, part in others)


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
    return interned.get(key) or _intern_atom(key, f"{name}[{lower},{upper},{by}]", lower, upper)


def within(expr: Expr, size: int) -> Expr:
    """Takes an expression, returns it with the promise 0 <= expr < size: a mask keeps all else away."""
    if size < 1 or (expr.lower >= 0 and expr.upper < size):
        return expr
    return _division_atom("in", expr, size)


def _again(atom: Expr, dividend: Expr) -> Expr:
    """The atom of another dividend."""
    if atom.kind == "in":
        return within(dividend, atom.by)
    quotient, remainder = divide(dividend, atom.by)
    return quotient if atom.kind == "//" else remainder


def _division_atom(kind: str, dividend: Expr, by: int) -> Expr:
    """Takes a dividend that `divide` found irreducible, returns its quotient or remainder; or a promise."""
    key = (kind, dividend, by)
    found = interned.get(key)
    if found is not None:
        return found
    text = f"({key_of(dividend)}){kind}{by}"
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
    return intern(key, atom)


@lru_cache(MEMO)
def _affine(terms: tuple[tuple[Expr, int], ...], constant: int) -> Expr:
    """Takes ordered terms that no law reduces, returns their sum."""
    if constant == 0 and len(terms) == 1 and terms[0][1] == 1:
        return terms[0][0]
    key = (terms, constant)
    found = interned.get(key)
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
    return intern(key, affine)


def key_of(expr: Expr) -> str:
    """Takes an expression, returns what orders it alike in every process."""
    return "+".join([f"{atom.key}*{c}" for atom, c in expr.terms] + [str(expr.constant)])


def _print_order(term: tuple[Expr, int]) -> tuple[int, str]:
    return -abs(term[1]), term[0].key


def from_terms(terms: Iterable[tuple[Expr, int]], constant: int) -> Expr:
    """Takes atoms with coefficients and a constant, returns their sum."""
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
            if scale == coefficient * remainder.by and quotient.kind in ("//", "%"):
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


# Questions --------------------------------------------------------------------------------------


AnyFormula = TypeVar("AnyFormula", bound=Formula)


@lru_cache(MEMO)
def variables(of: Formula) -> frozenset[Expr]:
    """Takes an expression or a condition, returns the variables in it."""
    return of._variables()


def divided(of: Formula) -> frozenset[Expr]:
    """Takes an expression or a condition, returns the variables in it that are divided by what is no power of 2."""
    return of._divided()


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


def contiguous_along(expr: Expr, variable: Expr) -> bool:
    """Whether the expression steps by one with the variable, at least over runs of it: x % 64, 5 - x."""
    return any(
        abs(coefficient) == 1 and (atom is variable or (atom.kind == "%" and atom.dividend is variable))
        for atom, coefficient in expr.terms
    )


def substitute(of: AnyFormula, values: Mapping[Expr, Expr | int]) -> AnyFormula:
    """Takes an expression or a condition, returns it with variables replaced, canonical again."""
    return of._substituted(values) if variables(of) & values.keys() else of  # type: ignore[return-value]


@lru_cache(MEMO)
def released(of: AnyFormula) -> AnyFormula:
    """Takes an expression or a condition, returns it without the promises in it, canonical again."""
    return of._released()  # type: ignore[return-value]


def evaluate(of: Formula, values: Mapping[str, Any]) -> Any:
    """Takes ints or arrays by variable name, returns the int or array that `of` is worth."""
    return of._worth(values)


BESIDE = "+"


def render(of: Formula, names: Mapping[str, str] | None = None) -> str:
    """Takes an expression or a condition, returns Python and Triton text with few parentheses.

    `names` spells variables differently; a spelling must bind as tightly as a name does. What it has for BESIDE is
    added to each dividend of what is no power of 2.
    """
    return of._text(names or {})


def _product(atom: Expr, coefficient: int, names: Mapping[str, str]) -> str:
    if atom.kind == "var":
        text = names.get(atom.label, atom.label)
        common = gcd(coefficient, atom.by)
        coefficient //= common
        if atom.by > common:
            text = f"{_dividend(text, False, atom.by // common, names)} // {atom.by // common}"
    elif atom.kind == "in":
        text = f"({render(atom.dividend, names)})"
    else:
        # * // % bind alike and to the left, so only a sum needs parentheses
        dividend = render(atom.dividend, names)
        single = len(atom.dividend.terms) == 1 and not atom.dividend.constant
        text = f"{_dividend(dividend, not single, atom.by, names)} {atom.kind} {atom.by}"
    return text if coefficient == 1 else f"{text} * {coefficient}"


def _dividend(text: str, is_sum: bool, by: int, names: Mapping[str, str]) -> str:
    if by & (by - 1) and BESIDE in names:
        return f"({text} + {names[BESIDE]})"
    return f"({text})" if is_sum else text
