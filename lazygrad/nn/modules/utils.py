"""torch.nn.modules.utils: arguments that are one number or one for each dimension, names of saved states."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    parse.__doc__ = f"A tuple of what is given, {n} times the same where it is one thing."
    return parse


_single, _pair, _triple = (_ntuple(n, name) for n, name in enumerate(("_single", "_pair", "_triple"), 1))
_quadruple = _ntuple(4, "_quadruple")


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take `prefix` off the names that begin with it, in place: "module." of what a parallel wrapper saved."""
    metadata = getattr(state_dict, "_metadata", {})
    for names in (state_dict, metadata):
        for key in list(names):
            if key.startswith(prefix) or names is metadata and key == prefix.removesuffix("."):
                names[key[len(prefix) :]] = names.pop(key)
