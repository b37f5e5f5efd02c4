"""Partition: takes a graph and a Target, returns groups that become one kernel each, in launch order.

Three steps. Anchors: the nodes that might be stored; everything between anchors is recomputed where it is
read, because recomputing a cheap value beats storing it. Accesses: for each anchor, at which linear index
it reads each other anchor. Merging: groups of anchors join while that saves bytes and every member reads
every other at its own element (or its own row), so that nothing crosses between threads but reductions.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from lazygrad.codegen import index as ix
from lazygrad.codegen.attend import kernel_family
from lazygrad.codegen.lower import FILLING, guarded, source_index, unfilled_index
from lazygrad.codegen.segments import operands_of
from lazygrad.codegen.spelling import BY_LIBRARY
from lazygrad.codegen.views import view_of
from lazygrad.device import Target
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.op import Kind
from lazygrad.schedule.group import Domain, Form, Group, domain_of
from lazygrad.schedule.spaces import Space, adds_up, alike, crossing, joint_space, keep_busy, linear_variable

MAX_POINTERS = 28  # pointers of one kernel: more cost registers and help nobody
WORTH_SHARING = 0.25  # of a kernel's elements: reading less than that twice is not worth a common kernel
MAX_OPS = 160  # recomputed ops behind one read: beyond, the value is stored
WHOLE = (Kind.CONTRACT, Kind.ATTENTION, Kind.SEGMENT, Kind.LIBRARY, Kind.TRANSFER)  # read all of their operands


@dataclass
class Draft:
    """A group in the making."""

    number: int
    members: list[Node]
    form: Form
    space: Space
    before: int = 0  # bit set: every group that must run earlier


@dataclass(frozen=True)
class Partition:
    groups: list[Group]
    refusals: list[tuple[Node, Node, str]]  # two neighbours, and why they are not one kernel


def partition(roots: list[Node], target: Target, fuse: bool = True) -> Partition:
    """Groups in an order they can be launched in, and why neighbours were not joined."""
    order = toposort(roots)
    anchors = choose_anchors(order, roots, fuse)
    stored = set(anchors)
    accesses = {anchor: reads_of(anchor, stored) for anchor in anchors}
    drafts = Merger(anchors, accesses, set(roots), target)
    drafts.join_attention()
    if fuse:
        drafts.merge_all()
    return Partition(drafts.groups(), drafts.refusals)


# -- anchors ------------------------------------------------------------------------------------------
def is_source(node: Node) -> bool:
    return node.op.kind is Kind.SOURCE


def runs_in_library(node: Node) -> bool:
    """Ops no kernel evaluates element by element."""
    return node.op in BY_LIBRARY or node.op is ops.SCATTER or node.op.kind in (Kind.LIBRARY, Kind.TRANSFER)


def bases(node: Node) -> list[Node]:
    """What a chain of movement ops starts from."""
    found: list[Node] = []
    stack = [node]
    while stack:
        n = stack.pop()
        if n.op.kind is Kind.MOVEMENT:
            stack.extend(n.src)
        elif n not in found:
            found.append(n)
    return found


def memory_read(node: Node) -> list[Node]:
    """What must be in memory for an op that takes its operands whole."""
    if runs_in_library(node):
        return [b for s in node.src for b in bases(s)]
    return [view_of(s).base for s in operands_of(node)]


def choose_anchors(order: list[Node], roots: list[Node], fuse: bool) -> list[Node]:
    """The nodes that may be stored, sources first."""
    readers: dict[Node, set[Node]] = defaultdict(set)
    needed_whole: set[Node] = set()
    for node in order:
        if node.op.kind is Kind.MOVEMENT or is_source(node):
            continue
        whole = node.op.kind in WHOLE or runs_in_library(node)
        for base in memory_read(node) if whole else (b for s in node.src for b in bases(s)):
            readers[base].add(node)
            if whole:
                needed_whole.add(base)
    forced = {r for r in roots if r.op is not ops.BUFFER}
    anchors: list[Node] = []
    is_anchor: set[Node] = set()
    loads: dict[Node, frozenset[Node]] = {}
    work: dict[Node, int] = {}
    for node in order:
        if node.op in (ops.CONST, ops.IOTA) and node not in forced and node not in needed_whole:
            loads[node], work[node] = frozenset(), 0
            continue
        if node.op is ops.BUFFER:
            loads[node], work[node] = frozenset((node,)), 0
            continue
        read = frozenset().union(*(loads[s] for s in node.src))
        effort = sum(work[s] for s in node.src) + (node.op.kind is not Kind.MOVEMENT)
        plain = node.op.kind in (Kind.POINTWISE, Kind.MOVEMENT) or node.op is ops.GATHER
        stored = (
            node in forced
            or not plain
            or runs_in_library(node)
            or node in needed_whole
            or (not fuse and node.op.kind is not Kind.MOVEMENT)
            or effort > MAX_OPS
            or len(read) > MAX_POINTERS // 2
            or (node.op.kind is not Kind.MOVEMENT and _pays_to_store(node, read, len(readers[node])))
        )
        if stored:
            anchors.append(node)
            is_anchor.add(node)
            loads[node], work[node] = frozenset((node,)), 0
        else:
            loads[node], work[node] = read, effort
    return anchors


def _pays_to_store(node: Node, read: frozenset[Node], readers: int) -> bool:
    """One write and a read for each reader, against every reader reading what this is computed from."""
    if readers < 2:
        return False
    cone = sum(min(r.numel, node.numel) * r.dtype.itemsize for r in read)
    return cone * readers > node.nbytes * (1 + readers)


# -- accesses -----------------------------------------------------------------------------------------
Accesses = dict[Node, set[ix.Expr]]


def space_of(anchor: Node) -> tuple[int, ...]:
    """The shape an anchor is computed over: of a reduction, what it reduces."""
    return anchor.src[0].shape if anchor.op.kind is Kind.REDUCE else anchor.shape


def reads_of(anchor: Node, anchors: set[Node]) -> Accesses:
    """Each anchor and buffer it reads, with the linear indices it is read at, over the anchor's own space."""
    return _Reader(anchor, anchors).found


class _Reader:
    def __init__(self, anchor: Node, anchors: set[Node]) -> None:
        self.anchors = anchors
        self.found: Accesses = defaultdict(set)
        self._seen: set[tuple[Node, tuple[ix.Expr, ...]]] = set()
        self._gathered = 0
        if anchor.op.kind in WHOLE or runs_in_library(anchor):
            for base in memory_read(anchor):
                self.found[base].add(ix.const(-1))  # at elements that only the op knows
            return
        size = 1
        for n in space_of(anchor):
            size *= n
        linear = linear_variable(size)
        if anchor.op.kind is Kind.REDUCE:
            self.visit(anchor.src[0], ix.unravel(linear, anchor.src[0].shape))
        else:
            self.enter(anchor, ix.unravel(linear, anchor.shape))

    def visit(self, node: Node, index: tuple[ix.Expr, ...]) -> None:
        if node in self.anchors or node.op is ops.BUFFER:
            self.found[node].add(ix.released(ix.ravel(index, node.shape)))
        elif node.op is not ops.CONST and (node, index) not in self._seen:
            self._seen.add((node, index))
            self.enter(node, index)

    def enter(self, node: Node, index: tuple[ix.Expr, ...]) -> None:
        """The accesses of the sources of `node`."""
        if node.op in FILLING:
            self.visit(node.src[0], guarded(unfilled_index(node, index), node.src[0].shape)[0])
        elif node.op is ops.CONCAT:
            start = 0
            for source in node.src:
                moved = (*index[: node.arg], index[node.arg] - start, *index[node.arg + 1 :])
                self.visit(source, guarded(moved, source.shape)[0])
                start += source.shape[node.arg]
        elif node.op is ops.GATHER:
            data, positions = node.src
            self.visit(positions, index)
            self._gathered += 1
            chosen = ix.var(f"gathered{self._gathered}", data.shape[node.arg])
            self.visit(data, (*index[: node.arg], chosen, *index[node.arg + 1 :]))
        elif node.op.kind is Kind.MOVEMENT:
            self.visit(node.src[0], source_index(node, index))
        else:
            for source in node.src:
                self.visit(source, index)


# -- merging ------------------------------------------------------------------------------------------
class Merger:
    """Drafts, joined pairwise. Every refusal leaves a reason."""

    def __init__(self, anchors: list[Node], accesses: dict[Node, Accesses], roots: set[Node], target: Target) -> None:
        self.anchors = anchors
        self.accesses = accesses
        self.roots = roots
        self.target = target
        self.draft_of: dict[Node, Draft] = {}
        self.readers: dict[Node, list[Node]] = defaultdict(list)
        self.refusals: list[tuple[Node, Node, str]] = []
        self.tried: set[tuple[int, int, int, int]] = set()
        self.alive: dict[int, Draft] = {}
        for number, anchor in enumerate(anchors):
            rows = frozenset((anchor,)) if anchor.op.kind is Kind.REDUCE else frozenset()
            draft = Draft(number, [anchor], form_of(anchor), Space(_size(anchor), _domain(anchor), rows))
            for base in accesses[anchor]:
                self.readers[base].append(anchor)
                if base in self.draft_of:
                    earlier = self.draft_of[base]
                    draft.before |= earlier.before | (1 << earlier.number)
            self.draft_of[anchor] = draft
            self.alive[number] = draft

    def join_attention(self) -> None:
        """Results of one attention kernel (out with lse, grad_k with grad_v) are one group, always."""
        kernels: dict[object, Draft] = {}
        for anchor in self.anchors:
            if anchor.op.kind is Kind.ATTENTION:
                key = (kernel_family(anchor), anchor.src, replace(anchor.arg, token_major=False))
                first = kernels.setdefault(key, self.draft_of[anchor])
                if first is not self.draft_of[anchor]:
                    self.join(first, self.draft_of[anchor])

    def merge_all(self) -> None:
        self.merge_producers(only_products=True)
        self.merge_producers(only_products=False)
        self.merge_siblings()
        self.merge_producers(only_products=False)

    # -- which pairs
    def merge_producers(self, only_products: bool) -> None:
        """Each group, in order, with the groups it reads, the most bytes first."""
        for anchor in self.anchors:
            draft = self.draft_of[anchor]
            while True:
                candidates: dict[int, int] = defaultdict(int)
                for member in draft.members:
                    for base in self.accesses[member]:
                        producer = self.draft_of.get(base)
                        if producer is None or producer is draft:
                            continue
                        if (producer.form is Form.PRODUCT) == only_products:
                            candidates[producer.number] += base.nbytes
                for number in sorted(candidates, key=lambda n: (-candidates[n], n)):
                    if self.try_join(self.alive[number], draft):
                        draft = self.draft_of[anchor]
                        break
                else:
                    break

    def merge_siblings(self) -> None:
        """Groups that read the same memory at the same elements, or wait for the same group."""
        for anchor in self.anchors:
            draft = self.draft_of[anchor]
            if draft.form is not Form.LOOP:
                continue
            for base in list(self.accesses[anchor]):
                if not WORTH_SHARING * draft.space.size <= base.numel <= draft.space.size:
                    continue
                for reader in self.readers[base]:
                    other, draft = self.draft_of[reader], self.draft_of[anchor]
                    if (
                        other is not draft
                        and other.form is Form.LOOP
                        and alike(other.space, draft.space)
                        and self.accesses[reader][base] == self.accesses[anchor][base]
                    ):
                        self.try_join(draft, other)
            self._merge_followers(anchor)

    def _merge_followers(self, anchor: Node) -> None:
        """Reductions of one domain behind the same group: their kernels are too small to stand alone."""
        draft = self.draft_of[anchor]
        if draft.space.domain is None:
            return
        for base in list(self.accesses[anchor]):
            producer = self.draft_of.get(base)
            if producer is None or producer is draft:
                continue
            for member in producer.members:
                for reader in self.readers[member]:
                    other, draft = self.draft_of[reader], self.draft_of[anchor]
                    if other is not draft and other.form is Form.LOOP and other.space.domain == draft.space.domain:
                        self.try_join(draft, other)

    # -- whether and how
    def try_join(self, first: Draft, second: Draft) -> bool:
        """Join two drafts (`first` may produce what `second` reads) unless there is a reason not to."""
        pair = (first.number, second.number, len(first.members), len(second.members))
        if pair in self.tried:
            return False
        self.tried.add(pair)
        reason = self.refusal(first, second)
        if reason is None:
            self.join(first, second)
            return True
        self.refusals.append((first.members[-1], second.members[-1], reason))
        return False

    def refusal(self, first: Draft, second: Draft) -> str | None:
        if second.form is not Form.LOOP or first.form not in (Form.LOOP, Form.PRODUCT):
            return f"a {first.form.value} and a {second.form.value} have no common kernel"
        if first.form is Form.PRODUCT and (second.space.domain is not None or second.space.size != first.space.size):
            return "only what is elementwise over the product can follow it in its kernel"
        if self._path_between(first, second):
            return "another kernel must run between them"
        space = joint_space(first.space, first.members, second.space, second.members)
        if isinstance(space, str):
            return space
        walks = adds_up(first.space.domain, second.space.domain) or adds_up(second.space.domain, first.space.domain)
        if walks and self._walked(first, space).isdisjoint(self._walked(second, space)):
            return "they read nothing in common along the rows"
        if space.parts and not keep_busy(space.parts, self.target):
            return f"{space.parts} parts of the rows are too few programs"
        for reader in (*first.members, *second.members):
            for base, at in self.accesses[reader].items():
                if self.draft_of.get(base) in (first, second) and self.draft_of[base] is not self.draft_of[reader]:
                    reason = crossing(reader, base, at, space)
                    if reason is not None:
                        return reason
        members = [*first.members, *second.members]
        if self._pointers(members) > MAX_POINTERS:
            return f"together they would take more than {MAX_POINTERS} pointers"
        return None

    def _walked(self, draft: Draft, space: Space) -> set[tuple[Node, frozenset[ix.Expr]]]:
        """What a draft reads or makes row by row, along the rows: what two drafts of one walk have to share."""
        assert space.domain is not None
        linear = linear_variable(space.size)
        row, column = ix.var("row", space.domain.kept), ix.var("column", space.domain.reduction)
        of_row = linear_variable(space.domain.kept)
        made = {(m, frozenset((linear_variable(m.numel),))) for m in draft.members}
        read = {(base, frozenset(at)) for m in draft.members for base, at in self.accesses[m].items()}
        along = {linear: row * space.domain.reduction + column}

        def follows(at: ix.Expr) -> bool:
            place = ix.substitute(at, along)
            return at is of_row or row in ix.variables(place) and ix.stride_of(place, column) == 1

        return made | {(base, at) for base, at in read if all(follows(a) for a in at)}

    def _path_between(self, first: Draft, second: Draft) -> bool:
        """Whether some third group runs after one and before the other."""
        for low, high in ((first, second), (second, first)):
            for member in high.members:
                for base in self.accesses[member]:
                    middle = self.draft_of.get(base)
                    if middle is not None and middle not in (low, high) and middle.before >> low.number & 1:
                        return True
        return False

    def _pointers(self, members: list[Node]) -> int:
        inside = set(members)
        read = {b for m in members for b in self.accesses[m] if b not in inside}
        written = [m for m in members if self._is_stored(m, inside)]
        return len(read) + len(written)

    def _is_stored(self, member: Node, inside: set[Node]) -> bool:
        return member in self.roots or any(r not in inside for r in self.readers[member])

    def join(self, first: Draft, second: Draft) -> None:
        space: Space | str = first.space
        if first.form is not Form.ATTENTION:
            space = joint_space(first.space, first.members, second.space, second.members)
        assert not isinstance(space, str), space
        gone, kept = second, first
        bit, gone_bit = 1 << kept.number, 1 << gone.number
        kept.members = sorted({*first.members, *second.members}, key=self._position)
        kept.space = space
        kept.before = (first.before | second.before) & ~(bit | gone_bit)
        for member in gone.members:
            self.draft_of[member] = kept
        del self.alive[gone.number]
        follows = kept.before | bit
        for draft in self.alive.values():
            if draft is not kept and draft.before & (bit | gone_bit):
                draft.before = (draft.before | follows) & ~gone_bit
        # whoever ran after the group that is gone runs after the joint one

    def _position(self, node: Node) -> int:
        if not hasattr(self, "_positions"):
            self._positions = {a: i for i, a in enumerate(self.anchors)}
        return self._positions[node]

    # -- the result
    def groups(self) -> list[Group]:
        """Groups in launch order: a group's number of predecessors orders them."""
        made: list[Group] = []
        placed: set[int] = set()
        waiting = sorted(self.alive.values(), key=lambda d: self._position(d.members[-1]))
        while waiting:
            ready = [d for d in waiting if all(self._done(d, b, placed) for m in d.members for b in self.accesses[m])]
            assert ready, "groups depend on each other in a circle"
            for draft in ready:
                placed.add(draft.number)
                made.append(self.finished(draft))
            waiting = [d for d in waiting if d.number not in placed]
        # what nobody waits for goes last: an update in place then comes after all who read the old value
        read = {n for group in made for n in group.inputs}
        last = [g for g in made if not any(n in read for n in g.stored)]
        return [g for g in made if g not in last] + last

    def _done(self, draft: Draft, base: Node, placed: set[int]) -> bool:
        producer = self.draft_of.get(base)
        return producer is None or producer is draft or producer.number in placed

    def finished(self, draft: Draft) -> Group:
        inside = set(draft.members)
        inputs = list(dict.fromkeys(b for m in draft.members for b in self.accesses[m] if b not in inside))
        stored = tuple(m for m in draft.members if self._is_stored(m, inside))
        elementwise: frozenset[Node] = frozenset()
        if draft.form in (Form.LOOP, Form.PRODUCT) and not any(m.op is ops.PLACE for m in draft.members):
            members = draft.members
            elementwise = frozenset(b for b in inputs if all(self._reads_own_element(draft, m, b) for m in members))
        space = draft.space
        return Group(
            draft.form, tuple(draft.members), stored, tuple(inputs), space.domain, space.size, elementwise, space.parts
        )

    def _reads_own_element(self, draft: Draft, member: Node, base: Node) -> bool:
        """Whether `member` reads `base` only where it writes: at its own element, or its own row. (In a kernel that
        reduces, an element of the whole may be read again by a later stage, so there only rows count.)"""
        at = self.accesses[member].get(base)
        if not at:
            return True
        linear, space = linear_variable(_size(member)), draft.space
        if space.domain is None:
            return base.numel == space.size and at == {linear}
        if base.numel != space.domain.kept or space.domain.kept == space.domain.size:
            return False
        return at == {linear if space.of_rows(member) else space.domain.kept_part(linear)}


def form_of(anchor: Node) -> Form:
    if runs_in_library(anchor):
        return Form.LIBRARY
    if anchor.op.kind is Kind.CONTRACT:
        return Form.PRODUCT
    return {Kind.ATTENTION: Form.ATTENTION, Kind.SEGMENT: Form.SEGMENT}.get(anchor.op.kind, Form.LOOP)


def _size(anchor: Node) -> int:
    size = 1
    for n in space_of(anchor):
        size *= n
    return size


def _domain(anchor: Node) -> Domain | None:
    if anchor.op.kind is Kind.SCAN:
        return domain_of(anchor.shape, (anchor.arg,))
    if anchor.op.kind is not Kind.REDUCE:
        return None
    return domain_of(anchor.src[0].shape, anchor.arg)
