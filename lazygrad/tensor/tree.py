"""Trees of values: tuples, lists and dicts (and their named and ordered kin), nested; anything else is a leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def is_branch(value: Any) -> bool:
    return isinstance(value, (tuple, list, dict))


def leaves(tree: Any) -> list[Any]:
    """Left to right; of a dict in its own order."""
    if not is_branch(tree):
        return [tree]
    return [leaf for part in _parts(tree) for leaf in leaves(part)]


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with function(leaf) in place of each leaf."""
    if not is_branch(tree):
        return function(tree)
    return _like(tree, [mapped(function, part) for part in _parts(tree)])


def filled(tree: Any, values: Iterable[Any]) -> Any:
    """The same tree with `values` as its leaves."""
    found = iter(values)
    return mapped(lambda leaf: next(found), tree)


def spread(prefix: Any, tree: Any) -> list[Any] | None:
    """One value for each leaf of `tree`, of a `prefix` that is a tree of the same form or ends earlier. None where
    the two don't fit."""
    if not is_branch(prefix):
        return [prefix] * len(leaves(tree))
    same = type(prefix) is type(tree) or (isinstance(prefix, (list, tuple)) and isinstance(tree, (list, tuple)))
    if not same or len(prefix) != len(tree) or (isinstance(prefix, dict) and prefix.keys() != tree.keys()):
        return None
    found: list[Any] = []
    pairs = [(prefix[k], tree[k]) for k in tree] if isinstance(tree, dict) else zip(prefix, tree, strict=True)
    for part, below in pairs:
        values = spread(part, below)
        if values is None:
            return None
        found += values
    return found


def _parts(tree: Any) -> Sequence[Any]:
    return list(tree.values()) if isinstance(tree, dict) else tree


def _like(tree: Any, parts: list[Any]) -> Any:
    if isinstance(tree, dict):
        made = tree.copy()
        made.update(zip(tree, parts, strict=True))
        return made
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
