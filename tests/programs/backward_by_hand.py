"""A transformer block twice: once differentiated automatically, once with every backward derived by hand. They agree."""

import math
import os

import numpy as np
import torch
from torch import nn
from torch.autograd import Function

device = os.environ.get("DEVICE", "cpu")
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(12)


class Linear(Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return x @ weight.t() + bias

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        rows, grads = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        return grad @ weight, grads.t() @ rows, grads.sum(0)


class LayerNorm(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        mean = x.mean(-1, keepdim=True)
        rstd = (x.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
        normed = (x - mean) * rstd
        ctx.save_for_backward(normed, rstd, weight)
        return normed * weight + bias

    @staticmethod
    def backward(ctx, grad):
        normed, rstd, weight = ctx.saved_tensors
        g = grad * weight
        dx = rstd * (g - g.mean(-1, keepdim=True) - normed * (g * normed).mean(-1, keepdim=True))
        return dx, (grad * normed).flatten(0, -2).sum(0), grad.flatten(0, -2).sum(0), None


class Attention(Function):
    """softmax(q k^T / sqrt(d), where the mask allows) v."""

    @staticmethod
    def forward(ctx, q, k, v, mask):
        ctx.scale = 1 / math.sqrt(q.size(-1))
        scores = (q @ k.transpose(-2, -1) * ctx.scale).masked_fill(~mask, float("-inf"))
        p = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx, grad):
        q, k, v, p = ctx.saved_tensors
        dp = grad @ v.transpose(-2, -1)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * ctx.scale
        return ds @ k, ds.transpose(-2, -1) @ q, p.transpose(-2, -1) @ grad, None


class CrossEntropy(Function):
    @staticmethod
    def forward(ctx, logits, target):
        log_p = logits - logits.logsumexp(-1, keepdim=True)
        ctx.save_for_backward(log_p, target)
        return -log_p.gather(-1, target[:, None]).mean()

    @staticmethod
    def backward(ctx, grad):
        log_p, target = ctx.saved_tensors
        one_hot = torch.zeros_like(log_p).scatter_(1, target[:, None], 1.0)
        return grad * (log_p.exp() - one_hot) / target.numel(), None


class Block(nn.Module):
    def __init__(self, vocabulary, width, by_hand):
        super().__init__()
        self.by_hand = by_hand
        self.embedding = nn.Embedding(vocabulary, width)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, vocabulary)

    def linear(self, layer, x):
        return Linear.apply(x, layer.weight, layer.bias) if self.by_hand else layer(x)

    def forward(self, words, target, mask):
        x = self.embedding(words)
        if self.by_hand:
            normed = LayerNorm.apply(x, self.norm.weight, self.norm.bias, self.norm.eps)
        else:
            normed = self.norm(x)
        q, k, v = self.linear(self.qkv, normed).chunk(3, dim=-1)
        if self.by_hand:
            x = x + Attention.apply(q, k, v, mask)
        else:
            x = x + nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        logits = self.linear(self.out, x).flatten(0, 1)
        return CrossEntropy.apply(logits, target) if self.by_hand else nn.functional.cross_entropy(logits, target)


VOCABULARY, LENGTH, BATCH, WIDTH = 9, 6, 4, 8
automatic, derived = (Block(VOCABULARY, WIDTH, by_hand).to(device) for by_hand in (False, True))
state = {k: torch.tensor(rng.normal(0, 0.5, tuple(v.shape)), dtype=v.dtype) for k, v in automatic.state_dict().items()}
optimizers = []
for model in (automatic, derived):
    model.load_state_dict(state)
    optimizers.append(torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5))
mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=device).tril()

losses = []
for step in range(steps):
    words = torch.from_numpy(rng.integers(0, VOCABULARY, (BATCH, LENGTH))).to(device)
    target = ((words + words.roll(1, dims=1)) % VOCABULARY).flatten()
    for model, optimizer in zip((automatic, derived), optimizers):
        optimizer.zero_grad()
        loss = model(words, target, mask)
        loss.backward()
        losses.append(loss.item())
    for (name, p), q in zip(automatic.named_parameters(), derived.parameters()):
        assert torch.allclose(p.grad, q.grad, rtol=1e-3, atol=1e-5), f"step {step}: the gradients of {name} differ"
    for optimizer in optimizers:
        optimizer.step()
print(f"{losses[0]:.4f} -> {losses[-2]:.4f}, by hand {losses[-1]:.4f}")
