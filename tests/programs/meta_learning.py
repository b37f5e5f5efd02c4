"""MAML on sine waves: inner steps by torch.func.functional_call with a graph kept, gradients through them, LBFGS last."""

import os

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

device = os.environ.get("DEVICE", "cpu")
rng = np.random.default_rng(2)
model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).to(device)
with torch.no_grad():
    for p in model.parameters():
        p.copy_(torch.from_numpy(rng.normal(0, 0.5, tuple(p.shape))))


def task():
    amplitude, phase = rng.uniform(0.5, 2), rng.uniform(0, np.pi)
    x = rng.uniform(-3, 3, (2, 8, 1)).astype(np.float32)
    y = (amplitude * np.sin(x + phase)).astype(np.float32)
    return (torch.from_numpy(part).to(device) for part in (x, y))


def adapted(params, x, y, inner_lr=0.05, inner_steps=2):
    for _ in range(inner_steps):
        loss = nn.functional.mse_loss(functional_call(model, params, (x,)), y)
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        params = {name: p - inner_lr * g for (name, p), g in zip(params.items(), grads)}
    return params


optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
losses = []
for iteration in range(17):
    optimizer.zero_grad()
    total = 0.0
    for _ in range(2):
        x, y = task()
        fast = adapted(dict(model.named_parameters()), x[0], y[0])
        loss = nn.functional.mse_loss(functional_call(model, fast, x[1]), y[1]) / 2
        loss.backward()
        total += loss.item()
    optimizer.step()
    losses.append(total)

x, y = task()
lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, history_size=5)
for _ in range(3):

    def closure():
        lbfgs.zero_grad()
        loss = nn.functional.mse_loss(model(x.flatten(0, 1)), y.flatten(0, 1))
        loss.backward()
        return loss

    losses.append(lbfgs.step(closure).item())
print("meta %.4f -> %.4f, one task by LBFGS %.4f -> %.4f" % (losses[0], losses[16], losses[17], losses[-1]))
