"""How Triton spells each pointwise op: takes operand texts, returns expression text.

Operands hold the op's source dtype, half precisions widened to float32; so does the text. libdevice names
resolve to CUDA's device library when compiled, and to NumPy under Triton's interpreter (runtime/triton.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lazygrad.dtype import DType, bool_, float64
from lazygrad.ir import op as ops
from lazygrad.ir.op import Op

Spelling = Callable[..., str]

# dtype: what the operands are computed in; arg: the node's argument
SPELLINGS: dict[Op, Spelling] = {}


def _simple(template: str) -> Spelling:
    return lambda dtype, arg, *operands: template.format(*operands)


def _by_kind(floating: str, integer: str, boolean: str = "") -> Spelling:
    def spell(dtype: DType, arg: Any, *operands: str) -> str:
        template = floating if dtype.is_floating_point else boolean if dtype is bool_ and boolean else integer
        return template.format(*operands)

    return spell


def _cast(dtype: DType, arg: DType, a: str) -> str:
    if arg is bool_:
        return f"({a} != 0)"
    if arg is arg.compute or not arg.is_floating_point:
        return f"{a}.to({arg.triton})"
    return a if dtype.compute is arg.compute else f"{a}.to({arg.compute.triton})"


def _bitcast(dtype: DType, arg: DType, a: str) -> str:
    # half precisions are float32 in registers: their bits are those of the value rounded back
    bits = a if dtype is dtype.compute else f"{a}.to({dtype.triton})"
    return f"{bits}.to({arg.triton}, bitcast=True)"


def _square_root(template: str) -> Spelling:
    """Correctly rounded, as IEEE 754 asks: tl.sqrt is so for float64 only."""
    return lambda dtype, arg, a: template.format(f"tl.{'sqrt' if dtype is float64 else 'sqrt_rn'}({a})")


def _library(name: str) -> Spelling:
    return _simple(f"libdevice.{name}({', '.join('{' + str(i) + '}' for i in range(2 if name in TWO else 1))})")


TWO = ("fmod", "atan2", "hypot", "copysign")

SPELLINGS |= {
    ops.NEG: _simple("-{0}"),
    ops.ABS: _simple("tl.abs({0})"),
    ops.SIGN: _simple("(({0} > 0).to(tl.int8) - ({0} < 0).to(tl.int8))"),
    ops.EXP: _simple("tl.exp({0})"),
    ops.EXP2: _simple("tl.exp2({0})"),
    ops.LOG: _simple("tl.log({0})"),
    ops.LOG2: _simple("tl.log2({0})"),
    ops.SQRT: _square_root("{0}"),
    ops.RSQRT: _square_root("(1.0 / {0})"),
    ops.RECIPROCAL: _simple("(1.0 / {0})"),
    ops.SIGMOID: _simple("(1.0 / (1.0 + tl.exp(-{0})))"),
    ops.SIN: _simple("tl.sin({0})"),
    ops.COS: _simple("tl.cos({0})"),
    ops.ERF: _simple("tl.erf({0})"),
    ops.FLOOR: _simple("tl.floor({0})"),
    ops.CEIL: _simple("tl.ceil({0})"),
    ops.ISNAN: _simple("({0} != {0})"),
    ops.NOT: _simple("~{0}"),
    ops.ADD: _simple("{0} + {1}"),
    ops.SUB: _simple("{0} - {1}"),
    ops.MUL: _simple("{0} * {1}"),
    ops.DIV: _simple("{0} / {1}"),
    ops.FLOORDIV: _by_kind("floor_quotient({0}, {1})", "floor_divide({0}, {1})"),
    ops.TRUNCDIV: _simple("{0} // {1}"),
    ops.REMAINDER: _by_kind("floor_remainder({0}, {1})", "floor_remainder({0}, {1})"),
    ops.FMOD: _by_kind("libdevice.fmod({0}, {1})", "{0} % {1}"),
    ops.MAXIMUM: _by_kind("larger({0}, {1})", "tl.maximum({0}, {1})", "({0} | {1})"),
    ops.MINIMUM: _by_kind("smaller({0}, {1})", "tl.minimum({0}, {1})", "({0} & {1})"),
    ops.LT: _simple("({0} < {1})"),
    ops.LE: _simple("({0} <= {1})"),
    ops.EQ: _simple("({0} == {1})"),
    ops.NE: _simple("({0} != {1})"),
    ops.AND: _simple("({0} & {1})"),
    ops.OR: _simple("({0} | {1})"),
    ops.XOR: _simple("({0} ^ {1})"),
    ops.SHL: _simple("({0} << {1})"),
    ops.SHR: _simple("({0} >> {1})"),
    ops.BARRIER: _simple("{0}"),
    ops.WHERE: _simple("tl.where({0}, {1}, {2})"),
    ops.CAST: _cast,
    ops.BITCAST: _bitcast,
    ops.PHILOX: _simple("random_bits({0}, {1})"),
}
SPELLINGS |= {
    op: _library(op.name.lower())
    for op in (
        ops.EXPM1, ops.LOG10, ops.LOG1P, ops.TAN, ops.ASIN, ops.ACOS, ops.ATAN, ops.SINH, ops.COSH, ops.TANH,
        ops.ASINH, ops.ACOSH, ops.ATANH, ops.ERFC, ops.ERFINV, ops.LGAMMA, ops.ATAN2, ops.HYPOT,
        ops.COPYSIGN, ops.TRUNC,
    )
}  # fmt: skip
SPELLINGS[ops.POW] = _by_kind("libdevice.pow({0}, {1})", "integer_power({0}, {1})")
SPELLINGS[ops.ROUND] = _simple("libdevice.rint({0})")

# ops that no kernel computes: the array library runs them (no device function exists)
BY_LIBRARY = {ops.DIGAMMA, ops.POLYGAMMA}

# rounding to a half precision changes nothing behind these: their result is one of their operands
EXACT = {
    ops.NEG, ops.ABS, ops.SIGN, ops.MAXIMUM, ops.MINIMUM, ops.WHERE, ops.FLOOR, ops.CEIL, ops.TRUNC, ops.ROUND,
    ops.BARRIER,
}  # fmt: skip

# -- small functions a module defines when its kernel calls them --------------------------------------
HELPERS = {
    "larger": """
@triton.jit
def larger(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
""",
    "smaller": """
@triton.jit
def smaller(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
""",
    "added": """
@triton.jit
def added(a, b):
    return a + b
""",
    "product": """
@triton.jit
def product(a, b):
    return a * b
""",
    "floor_divide": """
@triton.jit
def floor_divide(a, b):
    quotient = a // b  # truncates
    return tl.where((quotient * b != a) & ((a < 0) != (b < 0)), quotient - 1, quotient)
""",
    "floor_quotient": """
@triton.jit
def floor_quotient(a, b):
    # a / b rounded may reach the next whole number; what is left over tells (as Python's //)
    remainder = libdevice.fmod(a, b)
    quotient = (a - remainder) / b
    quotient = tl.where((remainder != 0) & ((remainder < 0) != (b < 0)), quotient - 1, quotient)
    whole = tl.floor(quotient)
    whole = tl.where(quotient - whole > 0.5, whole + 1, whole)
    return tl.where(b == 0, a / b, whole)
""",
    "floor_remainder": """
@triton.jit
def floor_remainder(a, b):
    remainder = a % b  # has the sign of a
    return tl.where((remainder != 0) & ((remainder < 0) != (b < 0)), remainder + b, remainder)
""",
    "integer_power": """
@triton.jit
def integer_power(base, exponent):
    # by squaring, which wraps around as multiplication does; the exponent is not negative
    zero = (base - base) + (exponent - exponent)
    result = (zero + 1).to(base.dtype)
    square = (base + zero).to(base.dtype)
    for bit in range(exponent.dtype.primitive_bitwidth):
        result = tl.where(((exponent >> bit) & 1) != 0, result * square, result).to(base.dtype)
        square = (square * square).to(base.dtype)
    return result
""",
    "first_largest": """
@triton.jit
def first_largest(value, index, other, other_index):
    nan, other_nan = value != value, other != other
    wins = (value > other) | (nan & ~other_nan)
    equal = (value == other) | (nan & other_nan)
    mine = wins | (equal & (index < other_index))
    return tl.where(mine, value, other), tl.where(mine, index, other_index)
""",
    "first_smallest": """
@triton.jit
def first_smallest(value, index, other, other_index):
    nan, other_nan = value != value, other != other
    wins = (value < other) | (nan & ~other_nan)
    equal = (value == other) | (nan & other_nan)
    mine = wins | (equal & (index < other_index))
    return tl.where(mine, value, other), tl.where(mine, index, other_index)
""",
    "random_bits": """
@triton.jit
def random_bits(seed, counter):
    # Philox-4x32-10: key = seed, counter words = (low, high, 0, 0); the first word of the output
    low = (counter & 0xFFFFFFFF).to(tl.uint32)
    high = ((counter >> 32) & 0xFFFFFFFF).to(tl.uint32)
    zero = low * 0
    word, _, _, _ = tl.philox(seed.to(tl.uint64), low, high, zero, zero)
    return word.to(tl.int32, bitcast=True)
""",
}


def literal(value: bool | int | float, dtype: DType) -> str:
    """A constant as Triton text of exactly that dtype in tensor arithmetic."""
    if dtype is bool_:
        return f"tl.full((), {bool(value)}, tl.int1)"
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            text = f'float("{value}")'
        else:
            text = repr(value)
        return f"tl.full((), {text}, tl.float64)" if dtype.compute.itemsize == 8 else text
    return str(value) if -(2**31) <= value < 2**31 and dtype.itemsize <= 4 else f"tl.full((), {value}, {dtype.triton})"


def typed_literal(value: bool | int | float, dtype: DType) -> str:
    """A constant where nothing beside it says the dtype."""
    text = f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)
    return f"tl.full((), {text}, {dtype.compute.triton})"
