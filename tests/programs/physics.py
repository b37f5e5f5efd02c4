"""A network that solves Burgers' equation: derivatives of the output for the inputs in the loss; Adam, then LBFGS."""

import math
import os
from itertools import pairwise

import numpy as np
import torch
from torch import nn

device = torch.device(os.environ.get("DEVICE", "cpu"))
steps = int(os.environ.get("STEPS", 16))
rng = np.random.RandomState(1234)


class PhysicsInformed(nn.Module):
    def __init__(self, layers, lb, ub):
        super().__init__()
        self.register_buffer("lb", lb)
        self.register_buffer("ub", ub)
        self.linears = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(layers)])
        self.log_viscosity = nn.Parameter(torch.tensor([-2.0]))  # unknown: found together with the solution
        for linear in self.linears:
            bound = math.sqrt(6.0 / (linear.in_features + linear.out_features))
            linear.weight.data = torch.from_numpy(rng.uniform(-bound, bound, linear.weight.shape)).float()
            nn.init.zeros_(linear.bias)

    def forward(self, x, t):
        h = 2.0 * (torch.cat([x, t], dim=1) - self.lb) / (self.ub - self.lb) - 1.0
        for linear in self.linears[:-1]:
            h = torch.tanh(linear(h))
        return self.linears[-1](h)

    def residual(self, x, t):
        u = self(x, t)
        ones = torch.ones_like(u)
        u_t = torch.autograd.grad(u, t, grad_outputs=ones, retain_graph=True, create_graph=True)[0]
        u_x = torch.autograd.grad(u, x, grad_outputs=ones, retain_graph=True, create_graph=True)[0]
        u_xx = torch.autograd.grad(u_x, x, grad_outputs=ones, create_graph=True)[0]
        return u_t + u * u_x - torch.exp(self.log_viscosity) * u_xx


def column(low, high, count, requires_grad=False):
    values = rng.uniform(low, high, (count, 1)).astype(np.float32)
    return torch.tensor(values, device=device, requires_grad=requires_grad)


def loss_function():
    initial = ((model(x_0, t_0) + torch.sin(math.pi * x_0)) ** 2).mean()
    boundary = sum((model(torch.full_like(t_b, side), t_b) ** 2).mean() for side in (-1.0, 1.0))
    inside = model.residual(x_f, t_f).pow(2).mean()
    return initial + boundary + inside


model = PhysicsInformed([2, 12, 12, 12, 1], torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 1.0])).to(device)
x_f, t_f = column(-1, 1, 40, requires_grad=True), column(0, 1, 40, requires_grad=True)
x_0, t_b = column(-1, 1, 12), column(0, 1, 8)
t_0 = torch.zeros_like(x_0)

losses = []
adam = torch.optim.Adam(model.parameters(), lr=1e-2)
for step in range(steps):
    adam.zero_grad()
    loss = loss_function()
    loss.backward()
    adam.step()
    losses.append(loss.item())

lbfgs = torch.optim.LBFGS(
    model.parameters(), lr=1.0, max_iter=3, max_eval=6, history_size=10,
    tolerance_grad=1e-7, tolerance_change=1e-9, line_search_fn="strong_wolfe",
)  # fmt: skip


def closure():
    lbfgs.zero_grad()
    loss = loss_function()
    loss.backward()
    return loss


for _ in range(2):
    losses.append(lbfgs.step(closure).item())
flux = torch.func.vmap(torch.func.jacrev(lambda xt: model(xt[None, :1], xt[None, 1:])[0]))(torch.cat([x_f, t_f], 1))
losses += [model.log_viscosity.exp().item(), flux.abs().mean().item()]
print(f"loss {losses[0]:.4f} -> {losses[-3]:.4f}, viscosity {losses[-2]:.3f}")
