"""Connectionist temporal classification (Graves et al. 2006)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library, losses
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.creation import tensor

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

NEVER = -1e30
"""The log of a probability of 0 here: finite, so that no difference of two of them is NaN."""


def _lengths(given: Any, batch: int, name: str) -> list[int]:
    listed = [int(n) for n in (wrap(given.node).reshape(-1).tolist() if isinstance(given, TensorBase) else given)]
    if len(listed) != batch:
        raise RuntimeError(at_user_line(f"{name} must be of size batch_size {batch}, got {len(listed)}"))
    return listed


def _padded_targets(targets: Tensor, lengths: list[int]) -> Node:
    """(batch, longest), of targets (batch, *) or all after one another."""
    longest = max(lengths, default=0)
    node = build.cast(targets.node, int64)
    if node.ndim == 2:
        if node.shape[1] < longest:
            raise RuntimeError(at_user_line(f"Expected targets of at least {longest} columns, got {node.shape[1]}"))
        return build.slice_(node, [(0, node.shape[0], 1), (0, longest, 1)])
    if node.shape[0] != sum(lengths):
        raise RuntimeError(at_user_line(f"Expected {sum(lengths)} targets in all, got {node.shape[0]}"))
    rows, start = [], 0
    for n in lengths:
        row = build.pad(build.slice_(node, [(start, start + n, 1)]), [(0, longest - n)])
        rows.append(build.reshape(row, (1, longest)))
        start += n
    return build.concat(rows, 0)


def _with_blanks(targets: Node, blank: int) -> Node:
    """(batch, 2 * longest + 1): a blank before, between and behind the labels."""
    batch, longest = targets.shape
    pairs = build.pad(build.reshape(targets, (batch, longest, 1)), [(0, 0), (0, 0), (1, 0)], blank)
    return build.pad(build.reshape(pairs, (batch, 2 * longest)), [(0, 0), (0, 1)], blank)


def _earlier(node: Node, steps: int, before: float) -> Node:
    """(batch, places): what stands `steps` places before, `before` where nothing does."""
    batch, places = node.shape
    moved = build.pad(node, [(0, 0), (steps, 0)], before)
    return build.slice_(moved, [(0, batch, 1), (0, places, 1)])


def _negative_log_likelihood(log_p: Node, labels: Node, steps: list[int], lengths: list[int], blank: int) -> Node:
    """(batch,): the forward recursion over the places of `labels`, all samples and places at once."""
    time, batch, _ = log_p.shape
    places = labels.shape[1]
    device = log_p.device
    place = build.reshape(build.iota(places, device), (1, places))
    is_blank = build.equal(labels, build.like(labels, blank))
    repeated = build.equal(labels, _earlier(labels, 2, -1))
    skips = build.logical_not(build.pointwise(ops.OR, is_blank, repeated))
    ends, sizes = (build.reshape(tensor(n, dtype=int64, device=device).node, (batch, 1)) for n in (steps, lengths))

    def emitted(t: int) -> Node:
        row = build.slice_(log_p, [(t, t + 1, 1), (0, batch, 1), (0, log_p.shape[2], 1)])
        return build.gather(build.reshape(row, log_p.shape[1:]), labels, 1)

    never = build.const(NEVER, log_p.dtype, device, (batch, places))
    first = build.less(place, build.like(place, 2))
    alpha = build.where(first, emitted(0), never)
    for t in range(1, time):
        two = build.where(skips, _earlier(alpha, 2, NEVER), never)
        ways = build.concat([build.reshape(a, (batch, places, 1)) for a in (alpha, _earlier(alpha, 1, NEVER), two)], 2)
        moved = build.add(library.logsumexp(ways, (2,), False), emitted(t))
        alpha = build.where(build.less(build.like(ends, t), ends), moved, alpha)
    last = build.scale(sizes, 2)
    final = build.pointwise(ops.OR, build.equal(place, last), build.equal(place, build.shift(last, -1)))
    return build.neg(library.logsumexp(build.where(final, alpha, never), (1,), False))


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of all alignments of a target: log_probs (T, N, C) or (T, C) from log_softmax.

    Targets are (N, S), or one row of all of them. Lengths are read. "mean" divides each loss by its target's length.
    A target that can't be aligned has an infinite loss, or 0 and no gradient with zero_infinity.
    """
    single = log_probs.ndim == 2
    (given,) = float32_operands("ctc_loss", log_probs.node)
    node = library.wide(build.reshape(given, (given.shape[0], 1, *given.shape[1:])) if single else given)
    if node.ndim != 3:
        raise RuntimeError(at_user_line(f"log_probs has to be (T, N, C) or (T, C), got {list(log_probs.shape)}"))
    time, batch, classes = node.shape
    if not 0 <= blank < classes:
        raise RuntimeError(at_user_line("blank must be in label range"))
    counts = [[n] if single and isinstance(n, int) else n for n in (input_lengths, target_lengths)]
    steps, lengths = _lengths(counts[0], batch, "input_lengths"), _lengths(counts[1], batch, "target_lengths")
    if max(steps, default=0) > time or min(steps, default=1) < 1:
        raise RuntimeError(at_user_line(f"Expected input_lengths between 1 and {time}, got {steps}"))
    labels = _with_blanks(_padded_targets(targets.unsqueeze(0) if single else targets, lengths), blank)
    loss = _negative_log_likelihood(node, labels, steps, lengths, blank)
    impossible = build.less(build.like(loss, -NEVER / 2), loss)
    loss = build.where(impossible, build.like(loss, 0 if zero_infinity else math.inf), loss)
    if reduction == "mean":
        divisors = tensor([float(max(n, 1)) for n in lengths], dtype=loss.dtype, device=log_probs.device)
        loss = build.div(loss, divisors.node)
    result = build.cast(losses.reduced(loss, reduction), given.dtype)
    return wrap(build.reshape(result, ()) if single else result)
