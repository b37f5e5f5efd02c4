"""The ground of Tensor: a cell that holds the current value, and the path of views that leads into it.

A Tensor points at a cell; a view is its base's cell plus the movement that leads to it. Writing in place
gives the cell a new Node, so every alias sees it, and nothing that was computed from the old Node changes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from lazygrad import engine
from lazygrad.device import Device
from lazygrad.dtype import DType, bool_
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.batching import innermost
from lazygrad.ir.node import Node, uncomputed
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.values import known, remember
from lazygrad.tensor.examples import check_have_values
from lazygrad.tensor.size import Size
from lazygrad.tensor.strides import Strided, row_major

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

T = TypeVar("T")

# -- grad mode ----------------------------------------------------------------------------------------
_grad_enabled: ContextVar[bool] = ContextVar("lazygrad_grad_enabled", default=True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded for backward."""
    return _grad_enabled.get()


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Record for backward, or don't, inside a `with` block."""
    token = _grad_enabled.set(enabled)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


def set_grad_mode(enabled: bool) -> None:
    _grad_enabled.set(enabled)


# -- cells --------------------------------------------------------------------------------------------
class Cell:
    """What a tensor and all its views share: the current Node, and which leaf it is, if any."""

    __slots__ = ("__weakref__", "before", "former_leaf", "leaf_number", "node", "row_major", "together", "version")

    def __init__(self, node: Node) -> None:
        self.node = node
        self._start()

    def _start(self) -> None:
        self.leaf_number: int | None = None
        self.former_leaf: int | None = None  # a leaf that is frozen and thawed is still the leaf of older graphs
        self.version = 0
        self.together: WeakSet[Cell] | None = None  # what one backward() made: computed all at once
        self.before: Node | None = None  # the value that the updates in place not computed yet began with
        self.row_major = False  # torch would lay it out row-major too: then what is no view there is none here

    def read(self) -> Node:
        return self.node if self.leaf_number is None else build.leaf(self.node, self.leaf_number)

    def hold(self, node: Node) -> None:
        """Another value, whose memory has nothing to do with the old one's."""
        self.node, self.before = node, None
        self.watch()

    def watch(self) -> None:
        """Every cell is known by what it holds: who waits for a value must have it before what it is computed
        from is overwritten, and memory that two cells share is nobody's to take over."""
        if known(self.node) is None:
            _unread[self] = None
        else:
            _settled.add(self)

    def write(self, node: Node) -> None:
        """The value after an update in place, which may take over the old one's memory."""
        self.before = self.before or self.node
        self.node = node
        self.version += 1
        _updated[self] = None
        self.watch()

    @property
    def lies(self) -> Strided | None:
        """Where the elements lie; None where nobody can say."""
        return row_major(self.node.shape)

    @property
    def home(self) -> Buffer | None:
        """The memory that the value after an update in place should land in: the old value's, once it has any."""
        return None if self.before is None else known(self.before)


# cells whose in-place update hasn't been computed, in the order of writing: it is part of a plan's key
_updated: WeakKeyDictionary[Cell, None] = WeakKeyDictionary()
_unread: WeakKeyDictionary[Cell, None] = WeakKeyDictionary()  # cells holding values that haven't been computed
_settled: WeakSet[Cell] = WeakSet()  # cells whose value was computed
_clones: WeakSet[Node] = WeakSet()  # copies, which must have memory of their own before their source is written to
_leaf_numbers = itertools.count()
_leaves: WeakValueDictionary[int, TensorBase] = WeakValueDictionary()


def protected(node: Node) -> Node:
    """A copy, whoever holds it: a tensor, or only the graph of one."""
    made = build.clone(node)
    if made.op is ops.CLONE:
        _clones.add(made)
    return made


def new_leaf(node: Node) -> Node:
    """The same value as a differentiable leaf that no tensor is: a transformation's own."""
    return build.leaf(node, new_leaf_number())


def new_leaf_number() -> int:
    return next(_leaf_numbers)


def register_leaf(tensor: TensorBase) -> None:
    """The tensor that its cell's leaf number stands for."""
    assert tensor._cell.leaf_number is not None
    _leaves[tensor._cell.leaf_number] = tensor


def values_now() -> dict[Cell, Node]:
    """What every tensor holds, but for computed values that carry a gradient."""
    return {cell: cell.node for cell in (*_unread, *_settled)}


def undo_writes(before: dict[Cell, Node], unwanted: Callable[[Node], bool]) -> bool:
    """Take back what was written in place since values_now(), where it is such a node. Whether there was any."""
    candidates = {**before, **dict.fromkeys([c for c in _updated if c.home is not None])}
    written = [c for c in candidates if c.node is not before.get(c) and unwanted(c.node)]
    for cell in written:
        old = before.get(cell)
        if old is None:
            assert cell.home is not None  # what was computed has a place
            old = build.buffer(cell.home, cell.home.dtype, cell.home.shape, cell.home.device)
        cell.node = old
        cell.version += 1
        _settle(cell)
    return bool(written)


def leaf_tensor(number: int) -> TensorBase | None:
    """The tensor that is the differentiable leaf of this number, if it still exists and isn't frozen."""
    found = _leaves.get(number)
    return found if found is not None and found._cell.leaf_number == number else None


# -- view paths: each step knows how to go in, and how to put a changed part back ---------------------
class ViewStep(Generic[T]):
    """One movement of a view path. `enter` takes the base's node to the view's; `leave` takes (base, changed
    view) to the changed base, and is None where elements may share a place; `lies` takes where the base's
    elements lie to where the view's do (None: nobody can say)."""

    __slots__ = ("enter", "leave", "lies")

    def __init__(
        self,
        enter: Callable[[Node], Node],
        leave: Callable[[Node, Node], Node] | None,
        lies: Callable[[Strided], Strided | None],
    ) -> None:
        self.enter = enter
        self.leave = leave
        self.lies = lies


class UnrecordedStep(ViewStep[T]):
    """A view made under no_grad() of what requires grad: what is written through it can't be recorded."""

    __slots__ = ()


class OneOfMany(ViewStep[T]):
    """A view that was made together with others: writing to it can't be recorded, as in torch."""

    __slots__ = ()


def one_of_many(view: Tensor) -> Tensor:
    """The view as one of what unbind(), split() and their kin return."""
    *before, last = view._path
    if type(last) is ViewStep:
        view._path = (*before, OneOfMany(last.enter, last.leave, last.lies))
    return view


def _put_back(base: Node, path: tuple[ViewStep[Any], ...], value: Node) -> Node:
    if not path:
        return value
    inner = path[0].enter(base)
    assert path[0].leave is not None
    return path[0].leave(base, _put_back(inner, path[1:], value))


def _put_at_places(base: Node, path: tuple[ViewStep[Any], ...], value: Node) -> Node:
    """As _put_back, for any path of movements alone: where each element goes is read off the path itself."""
    places = build.reshape(build.iota(base.numel, base.device), base.shape)
    for step in path:
        places = step.enter(places)
    line = (places.numel,)
    flat = build.reshape(base, (base.numel,))
    written = build.scatter(flat, build.reshape(places, line), build.reshape(value, line), 0, "set")
    return build.reshape(written, base.shape)


# -- tensors ------------------------------------------------------------------------------------------
class TensorBase:
    """Cell, path and gradient: everything the mixins build on."""

    __slots__ = ("__weakref__", "_cell", "_consumed", "_grad", "_hooks", "_path", "_retains", "_saved", "_view")

    _cell: Cell
    _path: tuple[ViewStep[Any], ...]

    def __init__(self, node: Any = (), *sizes: int) -> None:
        """Of a Node; of a user's data or sizes as torch.Tensor takes them: float32 values, or a shape to fill."""
        if type(node) is not Node:
            node = _from_data[0](node, *sizes)
        self._adopt(Cell(node), ())

    def _adopt(self, cell: Cell, path: tuple[ViewStep[Any], ...]) -> None:
        self._cell = cell
        self._path = path
        self._view: tuple[Node, Node] | None = None  # (base node, this view's node): valid while base stays
        self._grad: Tensor | None = None
        self._hooks: Any = None  # a leaf's LeafHooks (tensor/hooks.py)
        self._retains = False
        self._consumed = False
        self._saved: list[Node] | None = None  # keeps what a computed loss stored for its backward
        if not path:
            cell.watch()

    @property
    def node(self) -> Node:
        """The Node of the current value."""
        base = self._cell.read()
        if not self._path:
            return base
        if self._view is None or self._view[0] is not base:
            node = base
            for step in self._path:
                node = step.enter(node)
            self._view = (base, node)
        return self._view[1]

    # -- what is known without computing
    @property
    def shape(self) -> Size:
        return Size(self.node.shape)

    @property
    def dtype(self) -> DType:
        return self.node.dtype

    @property
    def device(self) -> Device:
        return self.node.device

    @property
    def ndim(self) -> int:
        return len(self.node.shape)

    @property
    def requires_grad(self) -> bool:
        return self.node.needs_grad

    @property
    def is_leaf(self) -> bool:
        """True for tensors made by the user, and for all that don't require grad."""
        return not self.requires_grad or (self._cell.leaf_number is not None and not self._path)

    # -- where elements lie
    def _lies(self) -> Strided | None:
        """Sizes, strides and offset of this view; None where its path says no such thing."""
        lies = self._cell.lies
        for step in self._path:
            lies = step.lies(lies) if lies is not None else None
        return lies

    # -- making others
    def _viewed(
        self,
        enter: Callable[[Node], Node],
        leave: Callable[[Node, Node], Node] | None,
        lies: Callable[[Strided], Strided | None],
    ) -> Tensor:
        """A tensor that shares this one's cell: writes through either are seen by both."""
        kind: type[ViewStep[Any]] = ViewStep
        if not is_grad_enabled() and self.requires_grad:
            plain, kind = enter, UnrecordedStep
            enter = lambda node: build.detach(plain(node))
        step = kind(enter, leave, lies)
        made = step.enter(self.node)  # a view that can't be fails here, at the user's call
        view = tensor_class().__new__(tensor_class())
        view._adopt(self._cell, (*self._path, step))
        view._view = (self._cell.read(), made)
        return view

    def _write(self, value: Node) -> Tensor:
        """Replace this tensor's value in place, seen through every alias.

        Whether it requires grad stays as torch has it: what did goes on doing so. Under no_grad() the values
        change and the history doesn't. RuntimeError on a leaf that requires grad while gradients are recorded.
        """
        mine, base, recorded = self.node, self._cell.node, is_grad_enabled()
        self._check_writable(value, mine)
        if not recorded or self._cell.leaf_number is not None:
            value = build.detach(value)
        elif mine.needs_grad and not value.needs_grad:  # overwritten whole: gradients of zero
            value = build.where(build.const(False, bool_, mine.device), mine, value)
        changed = self._put_into(base, value)
        self._cell.write(changed if recorded else build.graft(changed, base))
        return self  # type: ignore[return-value]

    def _check_writable(self, value: Node, mine: Node) -> None:
        if is_grad_enabled() and self._cell.leaf_number is not None and self.requires_grad:
            kind = "a view of " if self._path else ""
            raise RuntimeError(
                at_user_line(
                    f"{kind}a leaf Variable that requires grad is being used in an in-place operation. "
                    "Use torch.no_grad() or .data around it"
                )
            )
        if is_grad_enabled() and (self._cell.node.needs_grad or value.needs_grad):
            if any(isinstance(step, UnrecordedStep) for step in self._path):
                raise RuntimeError(
                    at_user_line(
                        "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
                        "Make the view where gradients are recorded, or write to it under no_grad()"
                    )
                )
            if any(isinstance(step, OneOfMany) for step in self._path):
                raise RuntimeError(
                    at_user_line(
                        "Output of unbind(), split() or chunk() is a view and is being modified inplace. This view is "
                        "the output of a function that returns multiple views. Such functions do not allow the output "
                        "views to be modified inplace. You should replace the inplace operation by an out-of-place one"
                    )
                )
        if value.dtype is not mine.dtype:
            raise RuntimeError(
                at_user_line(
                    f"result type {value.dtype.name} can't be cast to the desired output type {mine.dtype.name}"
                )
            )
        if value.shape != mine.shape:
            raise RuntimeError(
                at_user_line(
                    f"output with shape {list(mine.shape)} doesn't match the broadcast shape {list(value.shape)}"
                )
            )

    def _put_into(self, base: Node, value: Node) -> Node:
        """The cell's node with `value` where this view lies."""
        if all(step.leave is not None for step in self._path):
            return _put_back(base, self._path, value)
        lies = self._lies()
        if lies is None or lies.overlaps:
            raise RuntimeError(
                at_user_line(
                    "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                    "location. Please clone() the tensor before performing the operation."
                )
            )
        return _put_at_places(base, self._path, value)

    # -- computing
    def realize(self) -> Tensor:
        """Compute the value now. Returns self."""
        self._buffer()
        return self  # type: ignore[return-value]

    def _buffer(self) -> Buffer:
        buffer = known(self.node)
        return flush([self.node])[0] if buffer is None else buffer


def flush(requested: list[Node]) -> list[Buffer]:
    """Compute `requested` and every pending in-place update; keep what tensors still hold. Returns the buffers
    of `requested`."""
    check_have_values(requested)
    _settle_all()  # who shares a value that was computed for another has a share in its memory
    cells = _updated_now(requested)
    updates = _own_homes(cells)
    unread = list(_unread)
    held = dict.fromkeys(c.node for c in unread)
    roots = [*requested, *(c.node for c in cells)]
    copies = [n for n in _clones if known(n) is None]
    buffers = engine.realize([*roots, *_companions(roots, unread)], updates, held, copies)
    for cell, buffer in zip(cells, buffers[len(requested) : len(roots)], strict=True):
        if known(cell.node) is None:  # a constant, which only now gets memory
            cell.node = build.buffer(buffer, buffer.dtype, buffer.shape, buffer.device)
    _settle_all()
    return buffers[: len(requested)]


def _updated_now(requested: list[Node]) -> list[Cell]:
    """Whose pending update is computed with `requested`: those whose old value has memory, and those that follow from
    what is computed on the way. A loop that only reads its loss would else begin with its first parameters anew."""
    settled = [c for c in _updated if c.home is not None]
    if len(settled) == len(_updated):
        return settled
    way = {n for n in uncomputed([*requested, *(c.node for c in settled)]) if n.computed is None and n.src}
    following: set[Node] = set()
    for node in uncomputed([c.node for c in _updated if c.home is None]) if way else ():
        if node not in way and not (way.isdisjoint(node.src) and following.isdisjoint(node.src)):
            following.add(node)
    return [c for c in _updated if c.home is not None or (c.node in following and not innermost([c.node]))]


def _companions(roots: list[Node], unread: list[Cell]) -> list[Node]:
    """The other gradients of a backward() of which one is computed on the way: together they share one pass."""
    if not any(c.together for c in unread):
        return []
    on_the_way = set(uncomputed(roots))
    sets = {id(c.together): c.together for c in unread if c.together and c.node in on_the_way}
    return list(dict.fromkeys(c.node for c in unread if c.together and id(c.together) in sets))


def _own_homes(cells: list[Cell]) -> dict[Node, Buffer]:
    """For each update the memory it may take over: that of the old value, where no other tensor has it too."""
    if not cells:
        return {}
    users = Counter(id(known(c.node)) for c in _settled)
    users.update(id(c.home) for c in cells)
    return {c.node: c.home for c in cells if c.home is not None and users[id(c.home)] == 1}


def take_twins(twin: dict[Node, Node]) -> None:
    """Nodes of equal value take each other's place: what a tensor waits for, and what is already computed,
    is then the same in the graph that is differentiated, and is not computed twice."""
    if not twin:
        return
    for cell in list(_unread):
        cell.node = twin.get(cell.node, cell.node)
    for node, made in twin.items():
        buffer = known(node)
        if buffer is not None and known(made) is None:
            remember(made, buffer)


def _settle_all() -> None:
    for cell in [c for c in (*_updated, *_unread) if known(c.node) is not None]:
        _settle(cell)


def _settle(cell: Cell) -> None:
    """A computed value that carries no gradient keeps its buffer and drops its graph."""
    buffer = known(cell.node)
    if buffer is None:
        return
    _updated.pop(cell, None)
    _unread.pop(cell, None)
    cell.before = cell.together = None
    if not cell.node.needs_grad and cell.node.op is not ops.BUFFER:
        cell.node = build.buffer(buffer, buffer.dtype, buffer.shape, buffer.device)
    _settled.add(cell)


# -- the class the mixins make ------------------------------------------------------------------------
_class: list[type[Tensor]] = []
_from_data: list[Callable[..., Node]] = []


def register_tensor_class(cls: type[Tensor], from_data: Callable[..., Node]) -> None:
    """The class, and what its constructor does with data and sizes."""
    _class[:], _from_data[:] = [cls], [from_data]


def tensor_class() -> type[Tensor]:
    return _class[0]


def wrap(node: Node) -> Tensor:
    """A Tensor of its own with this value; without gradient history where grad mode is off."""
    return tensor_class()(node if is_grad_enabled() else build.detach(node))
