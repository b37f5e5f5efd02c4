"""Calls that bring their own gradient: takes the values and inputs of a call, returns the values as marked Nodes.

A marked node is the value below autograd, where markers vanish. To autograd it is one output of a call whose
inputs are the marker's other sources. The reverse sweep gathers the cotangents of all outputs of a call and asks
it once for those of its inputs. The node holds the call: what it saved lives exactly as long as the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make


class Call(Protocol):
    """Whoever knows the gradient."""

    @property
    def saved(self) -> Sequence[Node]:
        """Values of the forward pass that vjp() reads."""

    def vjp(self, inputs: Sequence[Node], cotangents: dict[int, Node]) -> list[Node | None]:
        """The cotangent of each input, from those of the outputs by index (none: nothing flowed there)."""


@dataclass(frozen=True, eq=False)
class CustomArg:
    """Output `index` of a call."""

    call: Call
    index: int

    def __repr__(self) -> str:
        return f"{type(self.call).__name__}, output={self.index}"


def custom(call: Call, index: int, value: Node, inputs: Sequence[Node]) -> Node:
    """Output `index` of a call over `inputs`: `value`, whose own history no gradient enters."""
    arg = CustomArg(call, index)
    return make(ops.CUSTOM, (build.detach(value), *inputs), arg, value.dtype, value.shape, value.device)
