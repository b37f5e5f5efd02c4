"""A small Llama: RMSNorm, rotary positions, SwiGLU, shared key heads; then generation with a cache written in place."""

import math
import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

device = os.environ.get("DEVICE", "cpu")
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(11)


@dataclass
class Config:
    dim: int = 32
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    vocab_size: int = 24
    max_seq_len: int = 24
    norm_eps: float = 1e-5


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps).type_as(x) * self.weight


def rotary_tables(head_dim: int, length: int, theta: float = 10000.0):
    frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2)[: head_dim // 2].float() / head_dim)
    angles = torch.outer(torch.arange(length).float(), frequencies)
    return torch.cos(angles), torch.sin(angles)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    even, odd = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = cos[None, :, None, :], sin[None, :, None, :]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(3).type_as(x)


def repeat_kv(x: torch.Tensor, times: int) -> torch.Tensor:
    batch, length, heads, dim = x.shape
    return x[:, :, :, None, :].expand(batch, length, heads, times, dim).reshape(batch, length, heads * times, dim)


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c.n_heads, c.n_kv_heads, c.dim // c.n_heads
        self.wq = nn.Linear(c.dim, self.heads * self.head_dim, bias=False)
        self.wk = nn.Linear(c.dim, self.kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(c.dim, self.kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(self.heads * self.head_dim, c.dim, bias=False)
        cache = torch.zeros(1, c.max_seq_len, self.kv_heads, self.head_dim)
        self.register_buffer("cache_k", cache.clone(), persistent=False)
        self.register_buffer("cache_v", cache.clone(), persistent=False)

    def forward(self, x, start: int, cos, sin, mask: torch.Tensor | None):
        batch, length, _ = x.shape
        q = rotate(self.wq(x).view(batch, length, self.heads, self.head_dim), cos, sin)
        k = rotate(self.wk(x).view(batch, length, self.kv_heads, self.head_dim), cos, sin)
        v = self.wv(x).view(batch, length, self.kv_heads, self.head_dim)
        if not self.training:
            self.cache_k[:batch, start : start + length] = k
            self.cache_v[:batch, start : start + length] = v
            k, v = self.cache_k[:batch, : start + length], self.cache_v[:batch, : start + length]
        k, v = repeat_kv(k, self.heads // self.kv_heads), repeat_kv(v, self.heads // self.kv_heads)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.head_dim)
        if mask is not None:
            scores = scores + mask
        out = torch.matmul(F.softmax(scores.float(), dim=-1).type_as(q), v)
        return self.wo(out.transpose(1, 2).contiguous().view(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.w1, self.w3 = (nn.Linear(dim, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Llama(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.tok_embeddings = nn.Embedding(c.vocab_size, c.dim)
        self.attention = nn.ModuleList([Attention(c) for _ in range(c.n_layers)])
        self.feed_forward = nn.ModuleList([FeedForward(c.dim, 64) for _ in range(c.n_layers)])
        self.norms = nn.ModuleList([RMSNorm(c.dim, c.norm_eps) for _ in range(2 * c.n_layers + 1)])
        self.output = nn.Linear(c.dim, c.vocab_size, bias=False)
        self.cos, self.sin = (t.to(device) for t in rotary_tables(c.dim // c.n_heads, c.max_seq_len))

    def forward(self, tokens, start: int = 0):
        length = tokens.shape[1]
        x = self.tok_embeddings(tokens)
        mask = None
        if length > 1:
            mask = torch.triu(torch.full((length, length), float("-inf"), device=tokens.device), diagonal=1)
        cos, sin = self.cos[start : start + length], self.sin[start : start + length]
        for i, (attend, feed) in enumerate(zip(self.attention, self.feed_forward)):
            x = x + attend(self.norms[2 * i](x), start, cos, sin, mask)
            x = x + feed(self.norms[2 * i + 1](x))
        return self.output(self.norms[-1](x)).float()


model = Llama(Config()).to(device)
with torch.no_grad():
    for p in model.parameters():
        if p.dim() == 2:
            p.copy_(torch.from_numpy(rng.normal(0, 0.15, tuple(p.shape)).astype(np.float32)))
model = torch.compile(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)

losses = []
for step in range(steps):
    model.train()
    sequence = ((torch.from_numpy(rng.integers(0, 24, (8, 1))) + 5 * torch.arange(13)) % 24).to(device)
    logits = model(sequence[:, :-1])
    loss = F.cross_entropy(logits.flatten(end_dim=1), sequence[:, 1:].flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())

model.eval()
with torch.inference_mode():
    tokens = torch.tensor([[1, 6, 11]], device=device)
    whole = model(tokens, 0)[:, -1]
    for position in range(3):  # one token at a time, from the cache
        last = model(tokens[:, position : position + 1], position)[:, -1]
    losses.append(last.logsumexp(-1).item())
    assert torch.allclose(whole, last, atol=1e-4), "the cache changes nothing"
    while tokens.size(1) < 8:
        tokens = torch.cat([tokens, last.argmax(-1, keepdim=True)], dim=1)
        last = model(tokens[:, -1:], tokens.size(1) - 1)[:, -1]
print(tokens[0].tolist())
