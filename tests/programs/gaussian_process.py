"""Models without layers: a Gaussian process by Cholesky, Newton's method by Hessians, a mixture by EM, PCA by SVD."""

import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.functional import hessian
from torch.distributions import MultivariateNormal

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.default_rng(5)
losses = []

# a Gaussian process: the marginal likelihood's gradient for the kernel's own parameters
train_x = torch.linspace(0, 1, 18, device=device).unsqueeze(-1)
noise = torch.tensor(rng.standard_normal(18), dtype=torch.float32, device=device)
train_y = torch.sin(train_x.squeeze(-1) * 6) + 0.1 * noise
raw = {"length": -1.0, "scale": 0.0, "noise": -2.0}
raw = {name: torch.tensor(value, device=device, requires_grad=True) for name, value in raw.items()}


def kernel(a, b):
    length, scale = F.softplus(raw["length"]), F.softplus(raw["scale"])
    return scale * torch.exp(-0.5 * (a[:, None, :] - b[None, :, :]).div(length).square().sum(-1))


optimizer = torch.optim.Adam(raw.values(), lr=0.1)
for step in range(12):
    K = kernel(train_x, train_x) + F.softplus(raw["noise"]) * torch.eye(18, device=device)
    L = torch.linalg.cholesky(K)
    alpha = torch.cholesky_solve(train_y.unsqueeze(1), L)
    nll = 0.5 * train_y @ alpha.squeeze(1) + L.diagonal().log().sum() + 9 * math.log(2 * math.pi)
    optimizer.zero_grad()
    nll.backward()
    optimizer.step()
    losses.append(nll.item())
with torch.no_grad():
    test_x = torch.tensor([[0.13], [0.5], [1.2]], device=device)
    k = kernel(train_x, test_x)
    v = torch.linalg.solve_triangular(L, k, upper=False)
    variance = F.softplus(raw["scale"]) - v.pow(2).sum(dim=0)
    losses += (k.mT @ alpha).flatten().tolist() + variance.sqrt().tolist()
    losses.append(-MultivariateNormal(torch.zeros_like(train_y), scale_tril=L).log_prob(train_y).item())

# logistic regression from zeros: full Newton steps
X = torch.from_numpy(rng.normal(size=(50, 3))).float().to(device)
y = (X @ torch.tensor([1.0, -2.0, 0.5], device=device) + 0.3 > 0).float()


def regularised(w):
    return F.binary_cross_entropy_with_logits(X @ w, y) + 0.05 * w.dot(w)


w = torch.zeros(3, device=device)
for step in range(4):
    w.requires_grad_(True)
    loss = regularised(w)
    (g,) = torch.autograd.grad(loss, w)
    with torch.no_grad():
        w = w - torch.linalg.solve(hessian(regularised, w), g)
    losses.append(loss.item())

# k-means, then expectation maximisation of a mixture of Gaussians
means = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
data = torch.cat([torch.from_numpy(rng.normal(0, 0.6, (20, 2))).float() + m for m in means]).to(device)
mu = data[[0, 25, 45]].clone()
for _ in range(3):
    labels = torch.cdist(data, mu).argmin(dim=1)
    for j in range(3):
        mu[j] = data[labels == j].mean(dim=0)
    losses.append(torch.cdist(data, mu).gather(1, labels[:, None]).square().sum().item())
pi, cov = torch.full((3,), 1 / 3, device=device), torch.eye(2, device=device).repeat(3, 1, 1)
for _ in range(4):
    log_joint = MultivariateNormal(mu, cov).log_prob(data[:, None, :]) + pi.log()
    evidence = torch.logsumexp(log_joint, dim=1, keepdim=True)
    resp = torch.exp(log_joint - evidence)
    counts = resp.sum(dim=0)
    pi, mu = counts / len(data), resp.T @ data / counts[:, None]
    apart = data[None] - mu[:, None]
    cov = torch.einsum("nk,kni,knj->kij", resp, apart, apart) / counts[:, None, None] + 1e-4 * torch.eye(2, device=device)
    losses.append(-evidence.mean().item())

# principal components, and the gradient of the part of the variance that they explain
centred = data - data.mean(dim=0, keepdim=True)
U, S, Vh = torch.linalg.svd(centred, full_matrices=False)
assert torch.allclose((U * S) @ Vh, centred, atol=1e-4)
losses += S.tolist()
shear = torch.zeros(2, 2, device=device, requires_grad=True)
eigenvalues = torch.linalg.eigvalsh(torch.cov((centred @ torch.matrix_exp(shear)).T))
(eigenvalues[-1] / eigenvalues.sum()).backward()
losses += [eigenvalues[0].item(), shear.grad.norm().item()]
print(f"likelihood {losses[0]:.2f} -> {losses[11]:.2f}; mixture {losses[-8]:.3f} -> {losses[-5]:.3f}")
