"""A character model of hand-rolled tensors: C[X], batch norm by hand, p.data += -lr * p.grad, retained gradients."""

import os
import random

import numpy as np
import torch
import torch.nn.functional as F

device = os.environ.get("DEVICE", "cpu")
steps = int(os.environ.get("STEPS", 24))
words = "emma olivia ava isabella sophia charlotte mia amelia harper evelyn abigail emily ella elizabeth".split()
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)} | {".": 0}
itos = {i: s for s, i in stoi.items()}
vocab_size, block_size, n_embd, n_hidden = len(stoi), 3, 8, 48


def build_dataset(words):
    X, Y = [], []
    for w in words:
        context = [0] * block_size
        for ch in w + ".":
            ix = stoi[ch]
            X.append(context)
            Y.append(ix)
            context = context[1:] + [ix]
    return torch.tensor(X, device=device), torch.tensor(Y, device=device)


random.seed(42)
random.shuffle(words)
Xtr, Ytr = build_dataset(words[:11])
Xdev, Ydev = build_dataset(words[11:])

rng = np.random.default_rng(7)


def randn(*shape):
    return torch.tensor(rng.standard_normal(shape), dtype=torch.float32, device=device)


C = randn(vocab_size, n_embd)
W1 = randn(n_embd * block_size, n_hidden) * (5 / 3) / (n_embd * block_size) ** 0.5
W2 = randn(n_hidden, vocab_size) * 0.1
b2 = randn(vocab_size) * 0
bngain, bnbias = torch.ones((1, n_hidden), device=device), torch.zeros((1, n_hidden), device=device)
bnmean_running, bnstd_running = torch.zeros_like(bnbias), torch.ones_like(bngain)
parameters = [C, W1, W2, b2, bngain, bnbias]
print(sum(p.nelement() for p in parameters), "parameters")
for p in parameters:
    p.requires_grad = True

losses, ratios = [], []
for i in range(steps):
    ix = torch.from_numpy(rng.integers(0, Xtr.shape[0], (32,))).to(device)
    Xb, Yb = Xtr[ix], Ytr[ix]
    emb = C[Xb]
    embcat = emb.view(emb.shape[0], -1)
    hpreact = embcat @ W1
    bnmeani, bnstdi = hpreact.mean(0, keepdims=True), hpreact.std(axis=0, keepdim=True)
    hpreact = bngain * (hpreact - bnmeani) / bnstdi + bnbias
    with torch.no_grad():
        bnmean_running = 0.9 * bnmean_running + 0.1 * bnmeani
        bnstd_running = 0.9 * bnstd_running + 0.1 * bnstdi
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    counts = (logits - logits.max(1, keepdim=True).values).exp()
    probs = counts * counts.sum(1, keepdims=True) ** -1
    loss = -probs[range(32), Yb].log().mean()

    for p in parameters:
        p.grad = None
    for t in (emb, embcat, h, logits):
        t.retain_grad()
    loss.backward()

    dlogits = F.softmax(logits, 1)
    dlogits[range(32), Yb] -= 1
    dlogits /= 32
    dC = torch.zeros_like(C)
    dC.index_add_(0, Xb.view(-1), emb.grad.view(-1, n_embd))
    for mine, t in ((dlogits, logits), (dlogits @ W2.T, h), (emb.grad.view_as(embcat), embcat), (dC, C)):
        assert torch.allclose(mine, t.grad, atol=1e-6), (mine - t.grad).abs().max().item()

    lr = 0.5 if i < 16 else 0.1
    for p in parameters:
        p.data += -lr * p.grad
    losses.append(loss.item())
    with torch.no_grad():
        ratios.append([(lr * p.grad.std() / p.data.std()).log10().item() for p in parameters if p.ndim == 2][:3])
    if i % 8 == 0:
        print(f"{i:7d}/{steps:7d}: {loss.item():.4f}  saturated {(h.abs() > 0.97).float().mean():.1%}")
losses += [10**r for r in ratios[-1]]


@torch.no_grad()
def split_loss(split):
    x, y = {"train": (Xtr, Ytr), "dev": (Xdev, Ydev)}[split]
    hpreact = C[x].view(x.shape[0], -1) @ W1
    h = torch.tanh(bngain * (hpreact - bnmean_running) / bnstd_running + bnbias)
    return F.cross_entropy(h @ W2 + b2, y).item()


losses += [split_loss("train"), split_loss("dev")]
g = torch.Generator(device=device).manual_seed(2147483647)
out, context = [], [0] * block_size
while len(out) < 12 and (not out or out[-1] != 0):
    hpreact = C[torch.tensor([context], device=device)].view(1, -1) @ W1
    h = torch.tanh(bngain * (hpreact - bnmean_running) / bnstd_running + bnbias)
    out.append(torch.multinomial(F.softmax(h @ W2 + b2, dim=1), num_samples=1, generator=g).item())
    context = context[1:] + [out[-1]]
print("".join(itos[i] for i in out))
