"""What today's decoders attend with and torch.nn has no layers for: rotary positions, grouped queries."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazygrad.device import Device
from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.nn import functional as F
from lazygrad.nn.module import Module
from lazygrad.nn.modules.linear import Linear
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array


class RotaryEmbedding(Module):
    """Su et al. 2021: features rotated by their position, so that scores depend on distances alone.

    The input is (batch, length, heads, head_dim), or with seq_dim=-2 (batch, heads, length, head_dim), of whose
    head_dim the first `dim` features turn: pair i by position * base^(-2i / dim). Pairs are neighbours (torchtune,
    Llama's own weights), or with interleaved=False the two halves (HuggingFace's Llama, GPT-NeoX).
    """

    def __init__(
        self,
        dim: int,
        max_seq_len: int = 4096,
        base: float = 10_000,
        *,
        interleaved: bool = True,
        seq_dim: int = -3,
    ) -> None:
        super().__init__()
        if dim <= 0 or dim % 2:
            raise ValueError(f"RotaryEmbedding: dim has to be even and positive, got {dim}")
        if seq_dim not in (-3, -2):
            raise ValueError(f"RotaryEmbedding: seq_dim has to be -3 or -2, got {seq_dim}")
        self.dim = dim
        self.max_seq_len = max_seq_len
        self.base = base
        self.interleaved = interleaved
        self.seq_dim = seq_dim
        # no buffers: a module converted to bfloat16 must not round its angles
        self._tables: dict[tuple[Device, DType], tuple[Tensor, Tensor]] = {}

    def _table(self, device: Device, dtype: DType) -> tuple[Tensor, Tensor]:
        """cos and sin (max_seq_len, dim / 2), from angles in float64."""
        if (device, dtype) not in self._tables:
            rates = self.base ** (-np.arange(0, self.dim, 2) / self.dim)
            angles = np.arange(self.max_seq_len)[:, None] * rates
            cos, sin = (wrap(from_array(table, device, dtype)) for table in (np.cos(angles), np.sin(angles)))
            self._tables[device, dtype] = cos, sin
        return self._tables[device, dtype]

    def forward(self, input: Tensor, input_pos: Tensor | None = None) -> Tensor:
        """`input_pos` (length,) or (batch, length) holds integer positions; None counts from 0."""
        length = input.shape[self.seq_dim]
        if input_pos is None and length > self.max_seq_len:
            raise ValueError(at_user_line(f"RotaryEmbedding: {length} positions, but max_seq_len={self.max_seq_len}"))
        tables = self._table(input.device, input.dtype.compute)
        rows = (t[:length] if input_pos is None else t[input_pos] for t in tables)
        heads = -2 if self.seq_dim == -3 else -3
        cos, sin = (r.unsqueeze(heads) for r in rows)
        return F.rotary_embedding(input, cos, sin, self.interleaved)

    def extra_repr(self) -> str:
        return f"{self.dim}, max_seq_len={self.max_seq_len}, base={self.base}, interleaved={self.interleaved}"


class GroupedQueryAttention(Module):
    """Ainslie et al. 2023: self-attention in which groups of query heads share one head of keys and values.

    (batch, length, embed_dim) to the same. `rotary` (with seq_dim=-2) turns queries and keys before they meet;
    num_kv_heads=1 is multi-query attention, num_heads the ordinary kind.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        *,
        head_dim: int | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        rotary: RotaryEmbedding | None = None,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        if head_dim is None and embed_dim % num_heads:
            raise ValueError(f"embed_dim ({embed_dim}) must be divisible by num_heads ({num_heads})")
        if rotary is not None and rotary.seq_dim != -2:
            raise ValueError("GroupedQueryAttention needs a RotaryEmbedding with seq_dim=-2")
        self.head_dim = embed_dim // num_heads if head_dim is None else head_dim
        self.dropout = dropout
        shared = self.num_kv_heads * self.head_dim
        self.q_proj = Linear(embed_dim, num_heads * self.head_dim, bias, device, dtype)
        self.k_proj = Linear(embed_dim, shared, bias, device, dtype)
        self.v_proj = Linear(embed_dim, shared, bias, device, dtype)
        self.o_proj = Linear(num_heads * self.head_dim, embed_dim, bias, device, dtype)
        self.rotary = rotary

    def forward(
        self,
        input: Tensor,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        input_pos: Tensor | None = None,
    ) -> Tensor:
        """A bool mask is True where attention may go, as in scaled_dot_product_attention."""
        batch, length, _ = input.shape
        q, k, v = (
            project(input).reshape(batch, length, -1, self.head_dim).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.rotary is not None:
            q, k = self.rotary(q, input_pos), self.rotary(k, input_pos)
        dropout = self.dropout if self.training else 0.0
        result = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout, is_causal, enable_gqa=True)
        return self.o_proj(result.transpose(1, 2).reshape(batch, length, -1))

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"
