"""An optimizer's update as one formula over a parameter, its gradient, its running values and shared numbers.

What may change from step to step is kept out of the formula: it is there as 0-d Nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lazygrad.device import Device
from lazygrad.dtype import DType
from lazygrad.ir import build
from lazygrad.ir.formula import Formula
from lazygrad.ir.node import Node
from lazygrad.optim.common import is_zero
from lazygrad.tensor.core import TensorBase
from lazygrad.tensor.creation import from_array

Group = dict[str, Any]
State = dict[str, Node]
Update = Callable[[Group, State, Node, Node, State], tuple[Node, State]]
CHANGING = object()  # stands for an option whose number must not become part of a graph


class Scalars:
    """The numbers of one group that may change, as 0-d Nodes: scalars("lr") and so on.

    A Node is replaced when its number changes; a tensor in a group is read as it is.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, Device, DType], tuple[float, Node]] = {}

    def __call__(self, name: str, value: Any, device: Device, dtype: DType) -> Node:
        if isinstance(value, TensorBase):
            node = build.copy(build.cast(build.detach(value.node), dtype), device)
            return build.reshape(node, ())
        key = (name, device, dtype)
        held = self._held.get(key)
        if held is None or held[0] != value:
            held = (value, from_array(np.asarray(value), device, dtype))
            self._held[key] = held
        return held[1]


class Fixed:
    """The options of a group that an update may take for constants, and a key that tells them from others."""

    def __init__(self, group: Group, known: Iterable[str], changing: Sequence[str]) -> None:
        self.options = {name: group[name] for name in known}
        for name in changing:
            if not is_zero(group[name]):
                self.options[name] = CHANGING
        if "betas" in group:
            self.options["betas"] = (CHANGING, *group["betas"][1:])
        self.key = tuple([(name, _spelled(value)) for name, value in self.options.items()])


def _spelled(value: Any) -> Any:
    """An option as part of a key: numbers by their digits, for 0.0 == -0.0 and 1 == True; others by what they are."""
    if isinstance(value, (tuple, list)):
        return tuple([_spelled(v) for v in value])
    return repr(value) if isinstance(value, (bool, int, float, str)) else id(value)


class Rule:
    """An optimizer's update as a formula over (parameter, gradient, running values, shared scalars)."""

    def __init__(
        self,
        name: str,
        update: Update,
        options: Group,
        moments: Sequence[str],
        scalars: Sequence[str],
        dtype: DType,
        operands: Sequence[Node],
    ) -> None:
        self.options = options  # what a key names by identity must live as long as the key
        self.written: tuple[str, ...] = ()

        def formula(p: Node, g: Node, *rest: Node) -> list[Node]:
            before = {name: build.cast(n, dtype) for name, n in zip(moments, rest, strict=False)}
            scalar = dict(zip(scalars, rest[len(moments) :], strict=True))
            grad = build.cast(g, dtype)
            if options.get("maximize"):
                grad = build.neg(grad)
            value, after = update(options, scalar, build.cast(p, dtype), grad, before)
            self.written = tuple(after)
            kept = dict(zip(moments, rest, strict=False))
            return [build.cast(value, p.dtype), *[build.cast(n, kept[name].dtype) for name, n in after.items()]]

        self.formula = Formula(name, formula, operands)
