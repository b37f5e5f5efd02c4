"""What attention is computed, and how it may be tiled: takes a spec, returns tilings worth trying.

Values only; `attention` turns a spec and one of its tilings into kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lazygrad import dtype as dtypes
from lazygrad.dtype import DType

SHARED_MEMORY = {80: 163 << 10, 87: 163 << 10, 90: 227 << 10, 100: 227 << 10, 103: 227 << 10}
SMALL_SHARED_MEMORY = 99 << 10  # what one program may have on the other GPUs since Ampere

TENSORS = ("q", "k", "v", "out", "grad_out", "grad_q", "grad_k", "grad_v")
OVER_KEYS = ("k", "v", "grad_k", "grad_v")


@dataclass(frozen=True)
class Strided:
    """Where element (batch, head, row, dim) lies in its buffer, in elements. 0 broadcasts."""

    strides: tuple[int, int, int, int]
    offset: int = 0

    @classmethod
    def contiguous(cls, heads: int, length: int, head_dim: int) -> Strided:
        return cls((heads * length * head_dim, length * head_dim, head_dim, 1))


@dataclass(frozen=True)
class MaskSpec:
    """A mask over (batch, head, query, key). bool_: True attends. A float: added to the scores."""

    dtype: DType
    strides: tuple[int, int, int, int]
    offset: int = 0


@dataclass(frozen=True)
class AttentionSpec:
    """What is computed. `grad_out` and the gradients' own layouts are contiguous where left out.

    `causal` lets query i see key j where j <= i, at any lengths. `fill` is the score that a bool
    mask gives to what it hides; no gradient passes through it. `empty_rows` is what a row has whose
    every score is -inf: "nan" as in a softmax written by hand, or "zero" with zero gradients.
    """

    batch: int
    heads: int
    kv_heads: int
    q_len: int
    k_len: int
    head_dim: int
    dtype: DType
    scale: float
    causal: bool
    q: Strided
    k: Strided
    v: Strided
    out: Strided
    mask: MaskSpec | None = None
    fill: float = -math.inf
    empty_rows: str = "nan"
    dropout: float = 0.0
    grad_out: Strided | None = None
    grad_q: Strided | None = None
    grad_k: Strided | None = None
    grad_v: Strided | None = None

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} query heads can't share {self.kv_heads} heads of keys evenly")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.empty_rows not in ("nan", "zero"):
            raise ValueError(f'empty_rows is "nan" or "zero", not {self.empty_rows!r}')
        if min(self.batch, self.heads, self.q_len, self.k_len, self.head_dim) < 1:
            raise ValueError("attention over nothing has no kernel")

    @property
    def group(self) -> int:
        return self.heads // self.kv_heads

    @property
    def block_dim(self) -> int:
        return max(16, _power_of_two(self.head_dim))

    @property
    def boolean(self) -> bool:
        return self.mask is not None and self.mask.dtype is dtypes.bool_

    @property
    def additive(self) -> bool:
        return self.mask is not None and not self.boolean

    @property
    def may_be_empty(self) -> bool:
        """Whether a row may have no score above -inf. Causal rows alone always see key 0."""
        return self.additive or (self.boolean and self.fill == -math.inf)

    @property
    def shifted(self) -> bool:
        """Whether scores may lie far below 0, or the scale can't be taken out of a maximum."""
        return self.additive or (self.boolean and self.fill != -math.inf) or self.scale <= 0

    def layout(self, tensor: str) -> Strided:
        """Where q, k, v, out or one of their gradients lies."""
        given: Strided | None = getattr(self, tensor)
        if given is not None:
            return given
        over_keys = tensor in OVER_KEYS
        heads, length = (self.kv_heads, self.k_len) if over_keys else (self.heads, self.q_len)
        return Strided.contiguous(heads, length, self.head_dim)


@dataclass(frozen=True)
class AttentionConfig:
    """How it is tiled: `block_q` queries by `block_k` keys at a time."""

    block_q: int
    block_k: int
    num_warps: int = 4
    num_stages: int = 2


def lse_shape(spec: AttentionSpec) -> tuple[int, ...]:
    """takes a spec, returns the shape of its lse buffer."""
    rows = (spec.batch, spec.heads, spec.q_len)
    return (2, *rows) if spec.shifted else rows


def largest_buffer(spec: AttentionSpec) -> int:
    """takes a spec, returns how many elements its farthest reaching address counts over."""
    query_rows = (spec.batch, spec.heads, spec.q_len, spec.head_dim)
    key_rows = (spec.batch, spec.kv_heads, spec.k_len, spec.head_dim)
    pairs = (spec.batch, spec.heads, spec.q_len, spec.k_len)
    spans = [_span(spec.layout(tensor), key_rows if tensor in OVER_KEYS else query_rows) for tensor in TENSORS]
    if spec.mask is not None:
        spans.append(_span(spec.mask, pairs))
    if spec.dropout:
        spans.append(spec.q_len * spec.k_len)
    return max(spans)


def _span(layout: Strided | MaskSpec, shape: tuple[int, int, int, int]) -> int:
    reach = sum((size - 1) * abs(stride) for size, stride in zip(shape, layout.strides, strict=True))
    return abs(layout.offset) + reach + 1


def _power_of_two(number: int) -> int:
    """The least power of two that is not below `number`."""
    return 1 << (number - 1).bit_length()


Tilings = tuple[tuple[int, int, int, int], ...]  # block_q, block_k, num_warps, num_stages

# Best guess first, for head dims up to 64 and above; ptxas spills no register of theirs on sm_90.
_HALF: dict[tuple[str, bool], Tilings] = {
    ("forward", False): (
        (128, 64, 4, 3), (128, 64, 8, 3), (128, 128, 8, 2), (64, 64, 4, 3), (128, 32, 4, 3),
    ),
    ("forward", True): (
        (128, 64, 8, 3), (128, 128, 8, 2), (128, 64, 8, 2), (64, 64, 4, 3), (64, 64, 4, 2),
    ),
    ("backward_q", False): (
        (64, 64, 4, 3), (128, 64, 4, 2), (128, 64, 8, 3), (128, 32, 4, 3), (128, 128, 8, 2),
    ),
    ("backward_q", True): ((128, 64, 8, 2), (64, 64, 4, 2), (64, 128, 8, 2), (64, 32, 4, 2)),
    ("backward_kv", False): (
        (64, 64, 4, 3), (64, 128, 8, 2), (32, 128, 4, 3), (64, 64, 8, 2), (32, 64, 4, 3),
    ),
    ("backward_kv", True): ((64, 64, 4, 2), (32, 128, 8, 2), (64, 64, 8, 2), (32, 64, 4, 2)),
}  # fmt: skip
# Full precision multiplies without tensor cores: larger tiles only spill and take long to compile.
_FULL: dict[bool, Tilings] = {
    False: ((32, 32, 8, 2), (16, 32, 4, 2), (16, 16, 4, 2)),
    True: ((16, 16, 4, 2), (16, 32, 8, 2), (32, 32, 8, 2)),
}


def candidates(spec: AttentionSpec, which: str, compute_capability: int) -> tuple[AttentionConfig, ...]:
    """takes a kernel's name and 80, 90, ..., returns tilings to try, the best guess first.

    `which` is "forward", "backward_kv" or "backward_q".
    """
    half, large = spec.dtype.itemsize == 2, spec.block_dim > 64
    tilings = _HALF[which, large] if half else _FULL[large]
    available = SHARED_MEMORY.get(compute_capability, SMALL_SHARED_MEMORY)
    configs = []
    for block_q, block_k, warps, stages in tilings:
        block_q = min(block_q, max(16, _power_of_two(spec.q_len)))
        block_k = min(block_k, max(16, _power_of_two(spec.k_len)))
        warps = min(warps, max(4, block_q * block_k // 512))
        configs.append(AttentionConfig(block_q, block_k, warps, stages))
    fitting = [config for config in configs if shared_memory(spec, which, config) <= available]
    if compute_capability < 90:  # the first guess must do on the smallest of these GPUs
        fitting.sort(key=lambda config: shared_memory(spec, which, config) > SMALL_SHARED_MEMORY)
    return tuple(dict.fromkeys(fitting))


def shared_memory(spec: AttentionSpec, which: str, config: AttentionConfig) -> int:
    """takes a tiling, returns the bytes of tiles it keeps in shared memory."""
    held, walked = config.block_q, config.block_k
    if which == "backward_kv":
        held, walked = walked, held
    held_tiles = 1 if which == "forward" else 2
    rows = held_tiles * held + 2 * config.num_stages * walked
    statistics = 8 * config.num_stages * walked if which == "backward_kv" else 0
    return rows * spec.block_dim * spec.dtype.itemsize + statistics
