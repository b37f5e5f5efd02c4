"""Low-rank adapters by parametrization on a frozen, fake-quantized network, sharpness-aware steps, averaged weights."""

import copy
import os
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

device = torch.device(os.environ.get("DEVICE", "cpu"))
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(9)


def randn(*shape, scale=1.0):
    return torch.tensor(rng.normal(0, scale, shape), dtype=torch.float32, device=device)


class FakeQuantize(torch.autograd.Function):
    """Rounds to a grid; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx, x, scale, low=-8, high=7):
        rounded = torch.round(x / scale)
        ctx.save_for_backward((rounded >= low) & (rounded <= high))
        return rounded.clamp(low, high) * scale

    @staticmethod
    def backward(ctx, grad_output):
        (inside,) = ctx.saved_tensors
        return grad_output * inside, None, None, None


class Quantized(nn.Module):
    def forward(self, weight):
        return FakeQuantize.apply(weight, weight.detach().abs().max() / 7)


class LowRank(nn.Module):
    def __init__(self, rows, columns, rank=2, alpha=4.0):
        super().__init__()
        self.A = nn.Parameter(randn(rank, columns, scale=0.5))
        self.B = nn.Parameter(torch.zeros(rows, rank, device=device))
        self.scaling = alpha / rank

    def forward(self, weight):
        return weight + (self.B @ self.A) * self.scaling


class SAM(torch.optim.Optimizer):
    """Climbs to the worst point nearby, takes the gradient there, and steps from where it was."""

    def __init__(self, params, base, rho=0.05, **options):
        super().__init__(params, dict(rho=rho, **options))
        self.base = base(self.param_groups, **options)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
        held = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.norm(torch.stack([p.grad.norm(p=2) for p in held]), p=2)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.data.clone()
                p.add_(p.grad * (group["rho"] / (norm + 1e-12)))
        with torch.enable_grad():
            closure()
        for p in held:
            p.data = self.state[p]["old"]
        self.base.step()
        return loss


model = nn.Sequential(nn.Linear(6, 24), nn.GELU(), nn.LayerNorm(24), nn.Linear(24, 3)).to(device)
with torch.no_grad():
    for p in model.parameters():
        if p.dim() > 1:
            p.copy_(randn(*p.shape, scale=0.4))
    model[0].bias.zero_()
    model[3].bias.zero_()
model.requires_grad_(False)
for layer in (model[0], model[3]):
    parametrize.register_parametrization(layer, "weight", Quantized())
    parametrize.register_parametrization(layer, "weight", LowRank(*layer.weight.shape).to(device))
trained = [p for p in model.parameters() if p.requires_grad]
print([name for name, p in model.named_parameters() if p.requires_grad])

optimizer = SAM(trained, torch.optim.SGD, lr=0.1, momentum=0.9)
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
x = randn(32, 6)
y = (x @ randn(6, 3)).argmax(dim=1)

losses = []
for step in range(steps):

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.05)
        loss.backward()
        return loss

    losses.append(optimizer.step(closure).item())
    average.update_parameters(model)

with torch.no_grad():
    losses.append(F.cross_entropy(average(x), y).item())
before = model(x).detach()
merged = copy.deepcopy(model)
for layer in (merged[0], merged[3]):
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
assert torch.allclose(before, merged(x), atol=1e-6) and "0.weight" in merged.state_dict()
with tempfile.TemporaryDirectory() as folder:
    torch.save(merged.state_dict(), os.path.join(folder, "merged.pt"))
    merged.load_state_dict(torch.load(os.path.join(folder, "merged.pt"), weights_only=True))

weights = {name: p.detach() for name, p in merged.named_parameters()}
one = lambda w, a, b: F.cross_entropy(functional_call(merged, w, (a.unsqueeze(0),)), b.unsqueeze(0))
each = vmap(grad(one), in_dims=(None, 0, 0))(weights, x, y)
norms = torch.stack([g.flatten(1).norm(dim=1) for g in each.values()]).norm(dim=0)
losses.append(norms.mean().item())
print(f"{losses[0]:.3f} -> {losses[steps - 1]:.3f}; gradients of examples {norms.min():.3f} to {norms.max():.3f}")
