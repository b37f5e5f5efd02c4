"""Regression with optimizers written by hand: a loop over parameters under no_grad, then a subclass of Optimizer."""

import math
import os

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

device = os.environ.get("DEVICE", "cpu")
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(5)


def make_model():
    model = nn.Sequential(nn.Linear(3, 20), nn.SiLU(), nn.Linear(20, 20), nn.GELU(), nn.Linear(20, 1)).to(device)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.new_tensor(rng.uniform(-0.5, 0.5, tuple(p.shape))))
    return model


class Adam(Optimizer):
    """Kingma & Ba, algorithm 1, as one would write it first."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        if lr <= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad, state = p.grad, self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
                if group["weight_decay"] != 0:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                exp_avg.mul_(beta1).add_(grad, alpha=1 - beta1)
                exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                denom = (exp_avg_sq.sqrt() / math.sqrt(1 - beta2 ** state["step"])).add_(group["eps"])
                p.addcdiv_(exp_avg, denom, value=-group["lr"] / (1 - beta1 ** state["step"]))
        return loss


x = torch.from_numpy(rng.uniform(-1, 1, (64, 3)).astype(np.float32)).to(device)
y = (x[:, 0] * x[:, 1] + torch.sin(3 * x[:, 2])).unsqueeze(-1)
mse = nn.MSELoss()
losses = []

# heavy-ball momentum, by hand
model, lr, momentum = make_model(), 0.05, 0.9
velocity = [torch.zeros_like(p) for p in model.parameters()]
for t in range(steps):
    loss = mse(model(x), y)
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p, v in zip(model.parameters(), velocity):
            v *= momentum
            v -= lr * p.grad
            p += v
    losses.append(loss.item())
print(f"by hand: {losses[0]:.4f} -> {losses[-1]:.4f}")

# the same with a class of our own and a closure
model = make_model()
optimizer = Adam(model.parameters(), lr=0.02, weight_decay=0.01)
for t in range(steps):

    def closure():
        optimizer.zero_grad()
        loss = mse(model(x), y)
        loss.backward()
        return loss

    losses.append(optimizer.step(closure).item())
    for group in optimizer.param_groups:
        group["lr"] *= 0.98
print(f"with a class: {losses[steps]:.4f} -> {losses[-1]:.4f}; {len(optimizer.state_dict()['state'])} states")
