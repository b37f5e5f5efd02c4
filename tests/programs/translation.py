"""An encoder-decoder (nn.Transformer) that learns to write sequences backwards: padding and causal masks, warm-up."""

import math
import os

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.default_rng(7)
PAD, BOS, EOS, VOCABULARY = 0, 1, 2, 12


class PositionalEncoding(nn.Module):
    def __init__(self, d_model: int, max_len: int = 32):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[: x.size(0)]


class Seq2Seq(nn.Module):
    def __init__(self, d_model=16, nhead=2, layers=1, dim_feedforward=32):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(VOCABULARY, d_model, padding_idx=PAD)
        self.positional_encoding = PositionalEncoding(d_model)
        self.transformer = nn.Transformer(d_model, nhead, layers, layers, dim_feedforward, dropout=0.0)
        self.generator = nn.Linear(d_model, VOCABULARY)

    def embed(self, tokens):
        return self.positional_encoding(self.embedding(tokens) * math.sqrt(self.d_model))

    def forward(self, src, tgt):
        tgt_mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(0), device=tgt.device)
        src_padding, tgt_padding = (src == PAD).t(), (tgt == PAD).t()
        tgt_padding = torch.zeros_like(tgt_padding, dtype=torch.float).masked_fill(tgt_padding, float("-inf"))
        out = self.transformer(
            self.embed(src),
            self.embed(tgt),
            tgt_mask=tgt_mask,
            src_key_padding_mask=src_padding,
            tgt_key_padding_mask=tgt_padding,
            memory_key_padding_mask=src_padding,
        )
        return self.generator(out)


def batch(size):
    sources, targets = [], []
    for _ in range(size):
        words = rng.integers(3, VOCABULARY, rng.integers(3, 7))
        sources.append(torch.tensor(words.tolist()))
        targets.append(torch.tensor([BOS, *words[::-1].tolist(), EOS]))
    longest = max(len(s) for s in sources)
    src = torch.full((longest, size), PAD)
    tgt = torch.full((longest + 2, size), PAD)
    for i, (s, t) in enumerate(zip(sources, targets)):
        src[: len(s), i] = s
        tgt[: len(t), i] = t
    return src.to(device), tgt.to(device)


model = Seq2Seq().to(device)
for name, p in model.named_parameters():
    if p.dim() > 1:
        limit = math.sqrt(6 / (p.size(0) + p.size(1)))
        p.data.copy_(torch.from_numpy(rng.uniform(-limit, limit, tuple(p.shape))))
    elif name.endswith("bias"):
        nn.init.zeros_(p)
with torch.no_grad():
    model.embedding.weight[PAD].fill_(0)

criterion = nn.CrossEntropyLoss(ignore_index=PAD)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.98), eps=1e-9)
warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.97)
scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, decay], milestones=[5])

losses = []
model.train()
for step in range(20):
    src, tgt = batch(8)
    tgt_in, tgt_out = tgt[:-1, :], tgt[1:, :]
    logits = model(src, tgt_in)
    loss = criterion(logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
    if step % 5 == 0:
        print(f"step {step}: loss {losses[-1]:.4f}, perplexity {math.exp(losses[-1]):.2f}, lr {scheduler.get_last_lr()}")

model.eval()
with torch.no_grad():
    src, _ = batch(1)
    ys = torch.ones(1, 1, dtype=torch.long, device=device).fill_(BOS)
    for _ in range(4):
        prob = model(src, ys)[-1]
        next_word = torch.max(prob, dim=1)[1].item()
        ys = torch.cat([ys, torch.ones(1, 1).type_as(src.data).fill_(next_word)], dim=0)
        if next_word == EOS:
            break
print("source", src.flatten().tolist(), "written", ys.flatten().tolist())
