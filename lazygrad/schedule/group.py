"""Groups: what becomes one kernel. Values; made by partition.py, read by codegen and the planner."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache

from lazygrad.codegen import index as ix
from lazygrad.ir.node import Node
from lazygrad.shape import Shape, numel


class Form(enum.Enum):
    LOOP = "loop"  # pointwise and reductions over one iteration space
    PRODUCT = "product"  # a matrix product, with what follows it elementwise
    ATTENTION = "attention"
    SEGMENT = "segment"  # runs of rows, each combined into one
    LIBRARY = "library"  # run op by op by the array library


@dataclass(frozen=True)
class Domain:
    """An iteration space: row-major dimensions, each kept or reduced; neighbours of one fate are merged."""

    dims: Shape
    reduced: tuple[bool, ...]

    @property
    def size(self) -> int:
        return numel(self.dims)

    @property
    def kept_dims(self) -> Shape:
        return tuple(n for n, r in zip(self.dims, self.reduced, strict=True) if not r)

    @property
    def reduced_dims(self) -> Shape:
        return tuple(n for n, r in zip(self.dims, self.reduced, strict=True) if r)

    @property
    def kept(self) -> int:
        return numel(self.kept_dims)

    @property
    def reduction(self) -> int:
        return numel(self.reduced_dims)

    @property
    def longest_reduced(self) -> int:
        """Which reduced dimension is the longest, the first of equal ones."""
        return max((i for i, r in enumerate(self.reduced) if r), key=lambda i: self.dims[i])

    def linear(self, kept: ix.Expr, reduced: ix.Expr) -> ix.Expr:
        """The linear index of the whole space, from those of its kept and reduced dimensions."""
        outer, inner = list(ix.unravel(kept, self.kept_dims)), list(ix.unravel(reduced, self.reduced_dims))
        return ix.ravel([inner.pop(0) if r else outer.pop(0) for r in self.reduced], self.dims)

    def kept_part(self, linear: ix.Expr) -> ix.Expr:
        """The linear index over the kept dimensions, from that of the whole space."""
        index = ix.unravel(linear, self.dims)
        return ix.ravel([at for at, r in zip(index, self.reduced, strict=True) if not r], self.kept_dims)


@lru_cache(maxsize=4096)
def domain_of(shape: Shape, axes: tuple[int, ...]) -> Domain:
    """The canonical domain of reducing `shape` over `axes`."""
    dims: list[int] = []
    fates: list[bool] = []
    for i, size in enumerate(shape):
        if size == 1:
            continue
        if fates and fates[-1] == (i in axes):
            dims[-1] *= size
        else:
            dims.append(size)
            fates.append(i in axes)
    return Domain(tuple(dims), tuple(fates))


@dataclass(frozen=True, eq=False)
class Group:
    """`members` are evaluated together; `stored` of them are written; `inputs` are read from memory."""

    form: Form
    members: tuple[Node, ...]
    stored: tuple[Node, ...]
    inputs: tuple[Node, ...]
    domain: Domain | None  # of a LOOP that reduces
    size: int  # elements of the whole iteration space
    elementwise: frozenset[Node] = frozenset()  # inputs read only at the element being written
    parts: int = 0  # of the rows: a program walks one, and adds up columns or values of its rows on the way
