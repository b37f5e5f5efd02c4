"""Sequences of different lengths: padded to one tensor, or packed so that no step computes what is padding."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import tensor


class PackedSequence(NamedTuple):
    """Sequences, longest first, step by step: `data` holds the first elements of all, then the second ones, ...

    `batch_sizes` (on the CPU) says how many sequences reach each step. `sorted_indices` is the order in which the
    caller's sequences were taken, `unsorted_indices` undoes it; both None where they came sorted.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same on another device or in another dtype; batch_sizes stay on the CPU."""
        data = self.data.to(*args, **kwargs)
        indices = (None if i is None else i.to(data.device) for i in self[2:])
        return PackedSequence(data, self.batch_sizes, *indices)

    def cpu(self) -> PackedSequence:
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> PackedSequence:
        return self.to(device)

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one."""
    return None if permutation is None else permutation.argsort()


def _listed(lengths: Any) -> list[int]:
    return [int(n) for n in (wrap(lengths.node).tolist() if isinstance(lengths, TensorBase) else lengths)]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """(steps, batch, *), or (batch, steps, *) with batch_first, of which sequence i has `lengths[i]` steps.

    RuntimeError for a length of 0, one beyond the input, or, with enforce_sorted, lengths that grow. Lengths are read.
    """
    given = _listed(lengths)
    steps_first = input.transpose(0, 1) if batch_first else input
    steps, batch = steps_first.shape[:2]
    if len(given) != batch:
        raise RuntimeError(at_user_line(f"Expected `len(lengths)` to be equal to batch_size {batch}, got {len(given)}"))
    if not given or min(given) <= 0:
        raise RuntimeError(at_user_line(f"Length of all samples has to be greater than 0, but 'lengths' are {given}"))
    if max(given) > steps:
        raise RuntimeError(at_user_line(f"Expected lengths of at most {steps} steps, got {max(given)}"))
    order = sorted(range(batch), key=lambda i: -given[i])
    places: list[Tensor | None] = [None, None]
    if not enforce_sorted:
        taken = tensor(order, dtype=int64, device=input.device)
        places = [taken, invert_permutation(taken)]
        steps_first = steps_first.index_select(1, taken)
    elif any(a < b for a, b in itertools.pairwise(given)):
        raise RuntimeError(
            at_user_line(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
                "`enforce_sorted=False` to have them sorted"
            )
        )
    sizes = [sum(n > t for n in given) for t in range(max(given))]
    node = steps_first.node
    rest = [(0, n, 1) for n in node.shape[2:]]
    parts = [build.slice_(node, [(t, t + 1, 1), (0, n, 1), *rest]) for t, n in enumerate(sizes)]
    rows = build.concat([build.reshape(p, p.shape[1:]) for p in parts], 0)
    return PackedSequence(wrap(rows), tensor(sizes, dtype=int64), *places)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """(padded, lengths): the inverse of pack_padded_sequence, padded to the longest or to `total_length` steps."""
    sizes: list[int] = sequence.batch_sizes.tolist()
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(
            at_user_line(
                f"Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={steps} and max sequence length being {len(sizes)}"
            )
        )
    node = sequence.data.node
    rest = node.shape[1:]
    rows, start = [], 0
    for n in sizes:
        step = build.slice_(node, [(start, start + n, 1), *((0, m, 1) for m in rest)])
        padded = build.pad(step, [(0, sizes[0] - n), *((0, 0) for _ in rest)], padding_value)
        rows.append(build.reshape(padded, (1, sizes[0], *rest)))
        start += n
    whole = build.pad(build.concat(rows, 0), [(0, steps - len(sizes)), *((0, 0) for _ in (0, *rest))], padding_value)
    result = wrap(whole)
    lengths = tensor([sum(n > i for n in sizes) for i in range(sizes[0])], dtype=int64)
    if sequence.unsorted_indices is not None:
        result = result.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices.cpu())
    return (result.transpose(0, 1) if batch_first else result), lengths


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors (length, *) of any lengths as one (longest, batch, *), or (batch, longest, *) with batch_first."""
    if padding_side not in ("left", "right"):
        raise ValueError(at_user_line(f"padding_side should be 'left' or 'right', got {padding_side!r}"))
    nodes = [s.node for s in sequences]
    if not nodes:
        raise RuntimeError(at_user_line("pad_sequence: received an empty list of sequences"))
    longest, rest = max(n.shape[0] for n in nodes), nodes[0].shape[1:]
    rows = []
    for node in nodes:
        missing = longest - node.shape[0]
        width = (missing, 0) if padding_side == "left" else (0, missing)
        padded = build.pad(node, [width, *((0, 0) for _ in rest)], padding_value)
        rows.append(build.reshape(padded, (1, *padded.shape)))
    result = build.concat(rows, 0)
    return wrap(result if batch_first else build.transpose(result, 0, 1))


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The inverse of pad_sequence: each sequence with its own length."""
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(batch.unbind(0), _listed(lengths), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors (length, *) packed; sorted by decreasing length, unless enforce_sorted is False."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of pack_sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
