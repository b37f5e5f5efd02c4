"""Attention written out, with a mask as an argument, in a training loop: which of the visible words is the largest?"""

import math
import os

import numpy as np
import torch
from torch import nn

device = os.environ.get("DEVICE", "cpu")
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(8)


def attention(query, key, value, mask=None, dropout=None):
    d_k = query.size(-1)
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    p_attn = torch.softmax(scores, dim=-1)
    if dropout is not None:
        p_attn = dropout(p_attn)
    return torch.matmul(p_attn, value), p_attn


class MultiHeadedAttention(nn.Module):
    def __init__(self, h, d_model, dropout=0.0):
        super().__init__()
        assert d_model % h == 0
        self.d_k, self.h = d_model // h, h
        self.linears = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(4)])
        self.attn = None
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = mask.unsqueeze(1)
        nbatches = query.size(0)
        query, key, value = [
            lin(x).view(nbatches, -1, self.h, self.d_k).transpose(1, 2)
            for lin, x in zip(self.linears, (query, key, value))
        ]
        x, self.attn = attention(query, key, value, mask=mask, dropout=self.dropout)
        x = x.transpose(1, 2).contiguous().view(nbatches, -1, self.h * self.d_k)
        return self.linears[-1](x)


class Reader(nn.Module):
    def __init__(self, vocabulary, d_model, h):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, d_model)
        self.attention = MultiHeadedAttention(h, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.out = nn.Linear(d_model, vocabulary)

    def forward(self, words, mask):
        x = self.embedding(words)
        x = self.norm(x + self.attention(x, x, x, mask))
        return self.out(x.masked_fill(~mask.transpose(1, 2), 0.0).sum(1) / mask.sum(-1))


VOCABULARY, LENGTH, BATCH = 10, 7, 16
model = Reader(VOCABULARY, 16, h=2).to(device)
with torch.no_grad():
    for p in model.parameters():
        if p.dim() > 1:
            p.copy_(torch.from_numpy(rng.normal(0, p.size(-1) ** -0.5, tuple(p.shape))))
    for linear in [*model.attention.linears, model.out]:
        linear.bias.zero_()
optimizer = torch.optim.NAdam(model.parameters(), lr=0.01)
criterion = nn.NLLLoss()

losses = []
for step in range(steps):
    words = torch.from_numpy(rng.integers(0, VOCABULARY, (BATCH, LENGTH)))
    lengths = torch.from_numpy(rng.integers(2, LENGTH + 1, BATCH))
    mask = torch.arange(LENGTH)[None, :] < lengths[:, None]
    target = words.masked_fill(~mask, -1).max(dim=1).values
    words, mask, target = words.to(device), mask.unsqueeze(1).to(device), target.to(device)

    log_probs = torch.log_softmax(model(words, mask), dim=-1)
    loss = criterion(log_probs, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step % 5 == 0:
        print(f"step {step}: {loss.item():.4f}, most attended {model.attention.attn[0, 0, 0].argmax().item()}")
losses.append(model.attention.attn.detach().pow(2).mean().item())
