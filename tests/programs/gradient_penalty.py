"""A Wasserstein critic with gradient penalty: autograd.grad with create_graph, a loss that holds a norm of gradients."""

import os

import numpy as np
import torch
from torch import autograd, nn, optim

device = os.environ.get("DEVICE", "cpu")
rng = np.random.RandomState(0)
DIM, BATCH, LAMBDA, CRITIC_ITERS = 24, 16, 10, 2
steps = int(os.environ.get("STEPS", 20))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(2, DIM), nn.ReLU(True), nn.Linear(DIM, DIM), nn.ReLU(True), nn.Linear(DIM, 2))

    def forward(self, noise):
        return self.main(noise)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(2, DIM), nn.Softplus(), nn.Linear(DIM, DIM), nn.Tanh(), nn.Linear(DIM, 1))

    def forward(self, x):
        return self.main(x).view(-1)


def weights_init(m):
    if isinstance(m, nn.Linear):
        m.weight.data.copy_(torch.from_numpy(rng.normal(0.0, 0.3, tuple(m.weight.size()))))
        m.bias.data.fill_(0)


def noise(*shape):
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32)).to(device)


def real_data():
    angle = rng.uniform(0, 2 * np.pi, BATCH)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.05, (BATCH, 2))
    return torch.Tensor(points).to(device)


def calc_gradient_penalty(critic, real, fake):
    alpha = torch.from_numpy(rng.rand(BATCH, 1).astype(np.float32)).to(device).expand(real.size())
    interpolates = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(interpolates)
    gradients = autograd.grad(
        outputs=scores,
        inputs=interpolates,
        grad_outputs=torch.ones(scores.size(), device=device),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * LAMBDA


netG, netD = Generator().to(device), Critic().to(device)
netG.apply(weights_init)
netD.apply(weights_init)
optimizerD = optim.RMSprop(netD.parameters(), lr=2e-3)
optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.9))

losses = []
for iteration in range(steps):
    for p in netD.parameters():
        p.requires_grad = True
    for _ in range(CRITIC_ITERS):
        real = real_data()
        with torch.no_grad():
            fake = netG(noise(BATCH, 2))
        netD.zero_grad()
        penalty = calc_gradient_penalty(netD, real.data, fake.data)
        cost = netD(fake).mean() - netD(real).mean() + penalty
        cost.backward()
        optimizerD.step()
        losses.append(cost.item())

    for p in netD.parameters():
        p.requires_grad = False
    netG.zero_grad()
    G = -netD(netG(noise(BATCH, 2))).mean()
    G.backward()
    optimizerG.step()
    losses.append(G.item())
    if iteration % 5 == 0:
        print(f"{iteration}: critic {cost.item():.4f}, penalty {penalty.item():.4f}, generator {G.item():.4f}")
