"""Experts that tokens are routed to: top-k gates, one_hot masks, index_add_, a balancing loss; between them a selective scan."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

device = torch.device(os.environ.get("DEVICE", "cpu"))
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(2)


class SparseMoe(nn.Module):
    """Each token goes to its `top_k` experts, weighted by the renormalized gate."""

    def __init__(self, dim, hidden, num_experts=4, top_k=2):
        super().__init__()
        self.num_experts, self.top_k = num_experts, top_k
        self.gate = nn.Linear(dim, num_experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, dim)) for _ in range(num_experts)
        )

    def forward(self, hidden_states):
        batch, length, dim = hidden_states.shape
        x = hidden_states.view(-1, dim)
        probabilities = F.softmax(self.gate(x), dim=1, dtype=torch.float)
        weights, selected = torch.topk(probabilities, self.top_k, dim=-1)
        weights /= weights.sum(dim=-1, keepdim=True)
        weights = weights.to(x.dtype)
        final = torch.zeros((batch * length, dim), dtype=x.dtype, device=x.device)
        expert_mask = F.one_hot(selected, num_classes=self.num_experts).permute(2, 1, 0)
        for i, expert in enumerate(self.experts):
            which, token = torch.where(expert_mask[i])
            if token.shape[0] == 0:
                continue
            current = x[None, token].reshape(-1, dim)
            final.index_add_(0, token, expert(current) * weights[token, which, None])
        share = F.one_hot(selected, self.num_experts).float().mean(dim=0)
        balance = torch.sum(share * probabilities.mean(dim=0).unsqueeze(0)) * self.num_experts
        return final.reshape(batch, length, dim), balance


class SelectiveScan(nn.Module):
    """h = exp(dt A) h + dt B x, y = C h + D x, with dt, B and C read off x."""

    def __init__(self, dim, state=4):
        super().__init__()
        self.dim, self.state = dim, state
        self.in_proj = nn.Linear(dim, 2 * dim, bias=False)
        self.conv1d = nn.Conv1d(dim, dim, kernel_size=3, groups=dim, padding=2)
        self.x_proj = nn.Linear(dim, 1 + 2 * state, bias=False)
        self.dt_proj = nn.Linear(1, dim)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, state + 1).repeat(dim, 1).float()))
        self.D = nn.Parameter(torch.ones(dim))
        self.out_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        batch, length, _ = x.shape
        x, gate = self.in_proj(x).split(split_size=[self.dim, self.dim], dim=-1)
        x = F.silu(self.conv1d(x.transpose(1, 2))[:, :, :length].transpose(1, 2))
        delta, B, C = self.x_proj(x).split([1, self.state, self.state], dim=-1)
        delta = F.softplus(self.dt_proj(delta))
        decay = torch.exp(torch.einsum("bld,dn->bldn", delta, -torch.exp(self.A_log.float())))
        added = torch.einsum("bld,bln,bld->bldn", delta, B, x)
        h, ys = x.new_zeros(batch, self.dim, self.state), []
        for i in range(length):
            h = decay[:, i] * h + added[:, i]
            ys.append(torch.einsum("bdn,bn->bd", h, C[:, i, :]))
        return self.out_proj((torch.stack(ys, dim=1) + x * self.D) * F.silu(gate))


class Model(nn.Module):
    def __init__(self, vocabulary=16, dim=16):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.scan, self.moe = SelectiveScan(dim), SparseMoe(dim, 32)
        self.head = nn.Linear(dim, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens)
        x = x + self.scan(self.norms[0](x))
        routed, balance = self.moe(self.norms[1](x))
        return self.head(self.norms[2](x + routed)), balance


model = Model().to(device)
with torch.no_grad():
    for p in model.parameters():
        if p.dim() > 1 and p is not model.scan.A_log:
            p.copy_(torch.from_numpy(rng.normal(0, 0.3, tuple(p.shape)).astype(np.float32)))
        elif p.dim() == 1 and p.numel() != 16:
            p.zero_()
    for layer in (model.scan.conv1d, model.scan.dt_proj):
        layer.bias.zero_()
    for expert in model.moe.experts:
        expert[2].bias.fill_(0.01)
no_decay = ("bias", "A_log", "D")
groups = [
    {"params": [p for n, p in model.named_parameters() if not n.endswith(no_decay)], "weight_decay": 0.01},
    {"params": [p for n, p in model.named_parameters() if n.endswith(no_decay)], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=1e-2)
warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=5)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[5])

losses = []
for step in range(steps):
    start, stride = rng.integers(0, 16, (6, 1)), rng.integers(1, 4, (6, 1))
    sequence = torch.from_numpy((start + stride * np.arange(11)) % 16).to(device)
    logits, balance = model(sequence[:, :-1])
    loss = F.cross_entropy(logits.transpose(1, 2), sequence[:, 1:]) + 0.02 * balance
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()
    losses.append(loss.item())
print(f"{losses[0]:.3f} -> {losses[-1]:.3f}, lr {scheduler.get_last_lr()[0]:.2e}, balance {balance:.2f}")
