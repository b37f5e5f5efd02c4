"""torch's second names for the same methods, in one table; each in-place twin follows its method."""

from __future__ import annotations

from typing import Any

ALIASES = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "divide": "div",
    "fix": "trunc",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "subtract": "sub",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "unsafe_chunk": "chunk",
    "unsafe_split": "split",
    "unsafe_split_with_sizes": "split",
    "true_divide": "div",
}


def add_aliases(cls: Any) -> None:
    """Give the class every alias of a method it has, and of the method's in-place twin."""
    for alias, name in ALIASES.items():
        for suffix in ("", "_"):
            method = getattr(cls, name + suffix, None)
            if method is not None:
                setattr(cls, alias + suffix, method)
