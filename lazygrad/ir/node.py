"""Nodes: immutable, hash-consed. Takes an op, sources and an argument, returns the one Node that means it.

Because equal expressions are the same object, common subexpressions are shared by construction and
identity is equality. Every node knows the user's line that first asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

from lazygrad.device import Device
from lazygrad.dtype import DType
from lazygrad.errors import Line, user_line
from lazygrad.ir import op as ops
from lazygrad.ir.op import Kind, Op
from lazygrad.shape import Shape


class Node:
    """One operation on known shapes. Compare with `is`; make through ir/build.py, which checks."""

    __slots__ = (
        "__weakref__", "arg", "computed", "device", "dtype", "key", "needs_grad", "op", "shape", "src", "where",
    )  # fmt: skip

    op: Op
    src: tuple[Node, ...]
    arg: Any
    dtype: DType
    shape: Shape
    device: Device
    where: Line
    needs_grad: bool  # a gradient flows through here to some leaf
    key: Any  # its place in the table of nodes
    computed: Any  # the runtime's memo: the buffer that holds the value (of a BUFFER: itself), or None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> int:
        n = 1
        for size in self.shape:
            n *= size
        return n

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{self.op.name}({', '.join(s.op.name for s in self.src)}){list(self.shape)}:{self.dtype.name}"


# Nodes by meaning. Sources are named by their ids: an entry counts only while its node lives, and then its
# sources live too, so the ids are theirs. Entries of dead nodes are swept when they may be half of all.
_made: dict[Any, ref[Node]] = {}
_sweep_at = [1 << 16]


def make(op: Op, src: tuple[Node, ...], arg: Any, dtype: DType, shape: Shape, device: Device) -> Node:
    """The node with this meaning: an existing one where there is one. Unchecked; see ir/build.py."""
    sources = len(src)
    if op is ops.CUSTOM:  # by id: neither must the table keep alive what the user saved for a backward
        key: Any = (op, id(arg.call), arg.index, *map(id, src))
    elif sources == 1:
        key = (op, id(src[0]), arg, dtype, shape)
    elif sources == 2:
        key = (op, id(src[0]), id(src[1]), arg, dtype, shape)
    elif sources:  # their device, or the argument's, is the node's
        key = (op, *map(id, src), arg, dtype, shape)
    elif op is ops.CONST:  # 0.0 == -0.0 and 1 == True, so a constant is told apart by its text
        key = (op, repr(arg), dtype, device)
    elif op is ops.BUFFER:  # by id too: the table must not keep memory alive either
        key = (op, id(arg), dtype, shape)
    else:
        key = (op, arg, dtype, shape, device)
    entry = _made.get(key)
    node = None if entry is None else entry()
    if node is None:
        node = Node.__new__(Node)
        node.op, node.src, node.arg, node.key = op, src, arg, key
        node.dtype, node.shape, node.device = dtype, shape, device
        node.where = user_line()
        node.computed = arg if op is ops.BUFFER else None
        node.needs_grad = op is ops.LEAF or (dtype.is_floating_point and op is not ops.DETACH and _any_needs_grad(src))
        _made[key] = ref(node)
        if len(_made) > _sweep_at[0]:
            live_nodes()
    return node


def set_apart(node: Node) -> None:
    """Equal expressions that are made from now on are another node: this one has something to say of its own."""
    entry = _made.get(node.key)
    if entry is not None and entry() is node:
        del _made[node.key]


def _any_needs_grad(src: tuple[Node, ...]) -> bool:
    for s in src:  # noqa: SIM110 - any() with a generator costs three times as much, and this is every node
        if s.needs_grad:
            return True
    return False


def live_nodes() -> int:
    """How many nodes exist: what the tests of leaks look at. Sweeps the entries of those that don't."""
    live = {key: entry for key, entry in list(_made.items()) if entry() is not None}
    _made.clear()
    _made.update(live)
    _sweep_at[0] = max(1 << 16, 2 * len(_made))
    return len(_made)


def toposort(roots: Iterable[Node], stop: Callable[[Node], bool] | None = None) -> list[Node]:
    """Every node reachable from `roots`, sources first; does not look behind a node that `stop`s."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[Node | None] = [*roots]
    stack.reverse()
    ready: list[Node] = []  # nodes whose sources lie above them on the stack, each under a None
    while stack:
        node = stack.pop()
        if node is None:
            order.append(ready.pop())
        elif node not in done:
            done.add(node)
            if not node.src or (stop is not None and stop(node)):
                order.append(node)
                continue
            ready.append(node)
            stack.append(None)
            for source in node.src[::-1]:
                if source not in done:
                    stack.append(source)
    return order


def uncomputed(roots: Iterable[Node], done: set[Node] | None = None) -> list[Node]:
    """toposort, not looking behind what has been computed: what a realization walks. Leaves out what an earlier
    walk has `done`, and adds to that."""
    order: list[Node] = []
    done = set() if done is None else done
    stack: list[Node | None] = [*roots]
    stack.reverse()
    ready: list[Node] = []
    while stack:
        node = stack.pop()
        if node is None:
            order.append(ready.pop())
        elif node not in done:
            done.add(node)
            if node.computed is not None or not node.src:
                order.append(node)
                continue
            ready.append(node)
            stack.append(None)
            # what else a marker names is autograd's: no value that anybody asked for
            for source in node.src[::-1] if node.op.kind is not Kind.MARKER else node.src[:1]:
                if source not in done:
                    stack.append(source)
    return order


def rebuild(node: Node, src: tuple[Node, ...]) -> Node:
    """`node` with other sources of the same shapes and dtypes; the user's line goes along."""
    if src == node.src:
        return node
    made = make(node.op, src, node.arg, node.dtype, node.shape, node.device)
    made.where = node.where
    return made


def substitute(roots: Iterable[Node], replacement: dict[Node, Node]) -> dict[Node, Node]:
    """Every node reachable from `roots` mapped to its twin in which `replacement` has been applied."""
    result: dict[Node, Node] = dict(replacement)
    for node in toposort(roots, stop=lambda n: n in replacement):
        if node not in result:
            result[node] = rebuild(node, tuple(result[s] for s in node.src))
    return result
