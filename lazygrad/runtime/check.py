"""LAZYGRAD_CHECK: takes a step and the arrays it reads, raises CheckError where its kernel wrote something else
than its ops compute.

The ops are evaluated one by one by the array library from the same inputs (attention as its decomposition).
The law of equality: NaN equals NaN and an infinity itself; integers and bools are equal; a floating-point
number is equal within CLOSE * eps(dtype). Where that fails, rounding gets a hearing: the bounds of
runtime/rounding.py say how far it can move this very element, given its ops, their values, the dtypes and
the length of each sum, and an element that differs by more than MARGIN times that is wrong. Outputs are
poisoned before the launch, so that what was never written is seen; inputs must come out as they went in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from lazygrad.errors import CheckError
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, make, substitute, toposort
from lazygrad.ir.op import Kind
from lazygrad.ir.print import operation_lines, shape_text
from lazygrad.runtime import array
from lazygrad.runtime.rounding import RoundingBounds, difference, eps
from lazygrad.schedule.canonical import Slot
from lazygrad.schedule.plan import KernelStep, Plan
from lazygrad.schedule.prepare import decompose

CLOSE = 4
MARGIN = 4  # the kernel and the ops may each be off by the bound, and the bound leaves out second-order terms
POISON_FLOAT, POISON_OTHER = 0xFF, 0xA5  # bytes: NaN in every floating-point dtype; no bool, no likely integer
MOST_SHOWN = 24


def checked_launch(
    step: KernelStep, plan: Plan, values: Sequence[Any], name: str, file: str, launch: Callable[[], None]
) -> None:
    """Launch a kernel over `values` (results are allocated) and compare. `name` and `file` go into the message."""
    check = _Check(step, plan, values)
    launch()
    check.compare(values, name, file)


@dataclass(frozen=True)
class _Wrong:
    """What differs in one output, and its worst element."""

    count: int
    index: tuple[int, ...]
    got: Any
    want: Any
    allowed: float
    untouched: bool


class _Check:
    """What is known before the launch: the expected outputs, and what the inputs hold."""

    def __init__(self, step: KernelStep, plan: Plan, values: Sequence[Any]) -> None:
        self.step = step
        read = [a for a in dict.fromkeys(step.arguments) if a not in step.results]
        device = plan.values[step.results[0]].device
        self.xp = array.library(device.type)
        updated = [r for r in step.results if any(_same_memory(values[r], values[a]) for a in read)]
        given = {}
        for node, number in step.operands:
            stands_for = make(ops.BUFFER, (), Slot(number), node.dtype, node.shape, node.device)
            lost = any(_same_memory(values[number], values[r]) for r in updated)
            given[node] = (stands_for, values[number].copy() if lost else values[number])
        nodes = [n for n, _ in step.stored]
        twins = substitute(nodes, {n: twin for n, (twin, _) in given.items()})
        self.roots = decompose([twins[n] for n in nodes])
        self.given = dict(given.values())
        self.expected = evaluated(self.roots, self.given)
        self.readonly = [n for n in read if not any(_same_memory(values[n], values[r]) for r in step.results)]
        self.sums = [_checksum(self.xp, values[n]) for n in self.readonly]
        for result in step.results:
            if result not in updated and values[result] is not None:
                poison(values[result])

    def compare(self, values: Sequence[Any], name: str, file: str) -> None:
        for number, before in zip(self.readonly, self.sums, strict=True):
            if _checksum(self.xp, values[number]) != before:
                raise CheckError(self.message(name, file, f"wrote into value {number}, which it may only read"))
        for position, (node, number) in enumerate(self.step.stored):
            wrong = self.difference(position, values[number])
            if wrong is not None:
                raise CheckError(self.message(name, file, self.told(position, node, wrong)))

    def difference(self, position: int, got: Any) -> _Wrong | None:
        """What is wrong with one output, or None."""
        xp, root, want = self.xp, self.roots[position], self.expected[position]
        raw = got
        if not root.dtype.is_floating_point:
            got, want = _numbers(got), _numbers(want)
        with np.errstate(all="ignore"):
            apart = difference(xp, got, want)
            if not root.dtype.is_floating_point:  # beyond 2**53 neighbours are one float64
                apart = xp.where(got == want, 0.0, xp.maximum(apart, 1.0))
            size = xp.abs(want.astype(np.float64))
            allowed = CLOSE * eps(root.dtype) * xp.where(xp.isfinite(size), size, 0)
            if not bool((apart > allowed).any()):
                return None
            bound = self.rounding()[root]
            if bound is not None:
                tiny = float(ml_dtypes.finfo(root.dtype.numpy).tiny) if root.dtype.is_floating_point else 0.0
                allowed = xp.maximum(allowed, MARGIN * bound + tiny)
            bad = apart > allowed
            count = int(bad.sum())
            if not count:
                return None
            excess = xp.where(bad, apart / xp.maximum(allowed, 1e-300), -1.0)
        worst = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), got.shape))
        untouched = bool((_bytes(raw)[worst] == _poison_of(root.dtype.is_floating_point)).all())
        return _Wrong(
            count, worst, _item(raw, worst), _item(self.expected[position], worst), float(allowed[worst]), untouched
        )

    def rounding(self) -> dict[Node, Any]:
        """How far rounding can move every value."""
        halves = [n for n in self.step.body if n.op.kind is Kind.ATTENTION and n.src[0].dtype.itemsize == 2]
        operands = max((eps(n.src[0].dtype) for n in halves), default=0.0)  # its weights are multiplied as halves
        known: dict[Node, Any] = {}
        evaluated(self.roots, self.given, known)
        bounds = RoundingBounds(self.xp, known, operands)
        for node in toposort(self.roots):
            bounds.add(node)
        return bounds.of

    # -- words
    def told(self, position: int, node: Node, wrong: _Wrong) -> str:
        outputs = len(self.step.stored)
        which = "its output" if outputs == 1 else f"output {position + 1} of {outputs}"
        by = f"; rounding explains {wrong.allowed:.3g} at most" if node.dtype.is_floating_point else ""
        got = f"{wrong.got} (never written)" if wrong.untouched else f"{wrong.got}"
        return (
            f"differs from its ops in {wrong.count} of {node.numel} elements of {which}, {shape_text(node)} of "
            f"{node.op.name.lower()}\n"
            f"  worst at {list(wrong.index)}: the kernel has {got}, op by op it is {wrong.want}{by}"
        )

    def message(self, name: str, file: str, what: str) -> str:
        lines = operation_lines(self.step.body)
        if len(lines) > MOST_SHOWN:
            lines = [*lines[: MOST_SHOWN - 1], f"... and {len(lines) - MOST_SHOWN + 1} more"]
        hint = "\n  LAZYGRAD_FUSE=0 LAZYGRAD_CHECK=1 tells which op it is" if len(lines) > 1 else ""
        shown = "\n".join(f"    {line}" for line in lines)
        return f"kernel {name} ({file}) {what}\n  what it fuses, and the user's lines:\n{shown}{hint}"


def evaluated(roots: Sequence[Node], given: dict[Node, Any], keep: dict[Node, Any] | None = None) -> list[Any]:
    """The arrays of `roots`, op by op; those of every node go to `keep` if asked for, else are dropped when read."""
    order = toposort(roots)
    readers: dict[Node, int] = {}
    for node in (*roots, *(s for n in order for s in n.src)):
        readers[node] = readers.get(node, 0) + 1
    known: dict[Node, Any] = {} if keep is None else keep
    for node in order:
        known[node] = given[node] if node in given else array.evaluate(node, [known[s] for s in node.src])
        for source in node.src:
            readers[source] -= 1
            if not readers[source] and keep is None:
                known.pop(source, None)
    return [known[r] for r in roots]


def poison(value: Any) -> None:
    """Fill memory with what no kernel writes."""
    if value.size:
        value.reshape(-1).view(np.uint8)[...] = POISON_FLOAT if _is_float(value) else POISON_OTHER


def _is_float(value: Any) -> bool:
    return value.dtype.kind not in "biu"


def _poison_of(floating: bool) -> int:
    return POISON_FLOAT if floating else POISON_OTHER


def _numbers(value: Any) -> Any:
    """Bools as bytes: poison is neither True nor False."""
    if value.dtype != np.bool_:
        return value
    return value.view(np.uint8) if value.flags.c_contiguous else value.astype(np.uint8)


def _bytes(value: Any) -> Any:
    """The bytes of every element, in a dimension of their own."""
    flat = value.reshape(-1).view(np.uint8)
    return flat.reshape(*value.shape, value.dtype.itemsize)


def _item(value: Any, index: tuple[int, ...]) -> Any:
    item = value[index]
    item = item.get() if hasattr(item, "get") else item
    return (
        bool(item)
        if value.dtype == np.bool_
        else int(item)
        if value.dtype.kind in "iu"
        else float(f"{float(item):.9g}")
    )


def _same_memory(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.size > 0 and b.size > 0 and _address(a) == _address(b)


def _address(value: Any) -> int:
    return int(value.ctypes.data if isinstance(value, np.ndarray) else value.data.ptr)


def _checksum(xp: Any, value: Any) -> int:
    value = xp.ascontiguousarray(value)
    return int(xp.sum(value.reshape(-1).view(np.uint8), dtype=np.uint64)) if value.size else 0
