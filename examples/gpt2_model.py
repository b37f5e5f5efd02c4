"""GPT-2: takes token ids [batch, time], returns logits [batch, time, rows].

Parameter names are those of HuggingFace's GPT-2, so that a checkpoint is a rename-free dump (the
matrices there lie the other way round: see gpt2_checkpoint.py). The output head is the transposed
token embedding, so there is no `lm_head.weight`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F

# Keys and values, each [batch, heads, context, head width].
LayerCache = tuple[lg.Tensor, lg.Tensor]


def padded(vocabulary: int, multiple: int = 64) -> int:
    """Rows of an embedding for `vocabulary` ids: whole tiles for the matrix product of the head."""
    return -(-vocabulary // multiple) * multiple


@dataclass(frozen=True)
class GPT2Config:
    layers: int
    heads: int
    width: int
    context: int
    vocabulary: int = 50257  # ids the tokenizer can produce
    rows: int = 50304  # rows of the token embedding: the vocabulary, padded
    dropout: float = 0.0


SIZES = {
    "nano": GPT2Config(layers=2, heads=2, width=32, context=32),
    "tiny": GPT2Config(layers=2, heads=4, width=128, context=64),
    "small": GPT2Config(layers=6, heads=6, width=384, context=256),
    "gpt2": GPT2Config(layers=12, heads=12, width=768, context=1024),
    "gpt2-medium": GPT2Config(layers=24, heads=16, width=1024, context=1024),
    "gpt2-large": GPT2Config(layers=36, heads=20, width=1280, context=1024),
    "gpt2-xl": GPT2Config(layers=48, heads=25, width=1600, context=1024),
}


class Attention(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden: lg.Tensor,
        cache: LayerCache | None = None,
        position: lg.Tensor | None = None,
    ) -> lg.Tensor:
        """Without `position` every token sees itself and those before it (and fills the cache, if
        there is one). With it, `hidden` is the one token at `position`, which sees the cache."""
        batch, time, width = hidden.shape
        query, key, value = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(hidden).split(width, dim=2)
        )
        if position is None:
            if cache is not None:
                cache[0].copy_(key)
                cache[1].copy_(value)
            dropout = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(
                query, key, value, dropout_p=dropout, is_causal=True
            )
        else:
            keys, values = cache
            keys.index_copy_(2, position.view(1), key)
            values.index_copy_(2, position.view(1), value)
            # What lies behind `position` is left over from padding, or from an older text.
            written = lg.arange(keys.shape[2], device=keys.device) <= position
            mixed = F.scaled_dot_product_attention(
                query, keys, values, attn_mask=written.view(1, 1, 1, -1)
            )
        mixed = mixed.transpose(1, 2).reshape(batch, time, width)
        return self.resid_dropout(self.c_proj(mixed))


class MLP(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, 4 * config.width)
        self.c_proj = nn.Linear(4 * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: lg.Tensor) -> lg.Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(hidden), approximate="tanh")))


class Block(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config)

    def forward(
        self,
        hidden: lg.Tensor,
        cache: LayerCache | None = None,
        position: lg.Tensor | None = None,
    ) -> lg.Tensor:
        hidden = hidden + self.attn(self.ln_1(hidden), cache, position)
        return hidden + self.mlp(self.ln_2(hidden))


class GPT2(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.rows, config.width),
                "wpe": nn.Embedding(config.context, config.width),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList([Block(config) for _ in range(config.layers)]),
                "ln_f": nn.LayerNorm(config.width),
            }
        )
        self.initialise()

    def initialise(self) -> None:
        """GPT-2's: 0.02 everywhere, less where 2 * layers residual branches add up."""
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.layers))
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: lg.Tensor) -> lg.Tensor:
        return self.head(self.hidden(tokens))

    def hidden(
        self,
        tokens: lg.Tensor,
        caches: list[LayerCache] | None = None,
        position: lg.Tensor | None = None,
    ) -> lg.Tensor:
        """What the last layer makes of the tokens: [batch, time, width]. See Attention.forward."""
        if position is None:
            places = lg.arange(tokens.shape[1], device=tokens.device)
        else:
            places = position.view(1)
        hidden = self.transformer["wte"](tokens) + self.transformer["wpe"](places)
        hidden = self.transformer["drop"](hidden)
        for index, block in enumerate(self.transformer["h"]):
            hidden = block(hidden, None if caches is None else caches[index], position)
        return self.transformer["ln_f"](hidden)

    def head(self, hidden: lg.Tensor) -> lg.Tensor:
        return F.linear(hidden, self.transformer["wte"].weight)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
