"""What codegen hands to the runtime: one kernel, complete. A value; nothing here runs anything.

`source` is a whole Python module, readable and runnable on its own: shapes, strides and block sizes are
literals or `NAME: tl.constexpr = value` lines in it, so a kernel takes pointers only. Two kernels with the
same source but for comments, whose pointers have the same dtypes, are the same kernel: the disk cache is keyed on
its `code` and its `params`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from lazygrad.dtype import DType

COMMENTS = re.compile(r'^[ \t]*#[^\n]*\n|^[ \t]*""".*?"""\n', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Pointer:
    """A buffer argument: the address of element 0, 16-byte aligned."""

    name: str
    dtype: DType
    written: bool = False


@dataclass(frozen=True)
class TensorMap:
    """A host tensor descriptor (Hopper's bulk copies) over a buffer: `block` is what one load brings in."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    block: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True)
class PointerTable:
    """Many tensors for one launch: a row of `columns` pointers for each of `sizes`, cut into `block` elements a
    program. In memory (int64): where the sizes begin, where the programs begin, how many there are; the rows;
    the sizes; each program's row; each program's first element."""

    name: str
    columns: tuple[Pointer, ...]
    sizes: tuple[int, ...]
    block: int

    @property
    def programs(self) -> int:
        return sum(-(-size // self.block) for size in self.sizes)


Parameter = Pointer | TensorMap | PointerTable


@dataclass(frozen=True)
class Kernel:
    """A generated kernel: `source` defines the @triton.jit function `name`, taking `params` in order."""

    name: str
    source: str
    params: tuple[Parameter, ...]
    grid: tuple[int, int, int]
    num_warps: int = 4
    num_stages: int = 2
    ticket: bool = False  # one more parameter, behind the others: an int32 that is 0 before and after each launch

    @cached_property
    def code(self) -> str:
        """The source without its comments: what is compiled. The user's lines move without changing it."""
        return COMMENTS.sub("", self.source)
