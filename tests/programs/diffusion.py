"""Denoising diffusion: schedules in buffers, time embeddings, attention in a small U-Net, importance by gather, sampling."""

import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

device = os.environ.get("DEVICE", "cpu")
rng = np.random.default_rng(17)


def gaussian(*shape):
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)


class SinusoidalPosEmb(nn.Module):
    def __init__(self, dim, theta=10000):
        super().__init__()
        self.dim, self.theta = dim, theta

    def forward(self, t):
        half = self.dim // 2
        freqs = torch.exp(torch.arange(half, device=t.device) * -(math.log(self.theta) / (half - 1)))
        angles = t[:, None] * freqs[None, :]
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


class Block(nn.Module):
    def __init__(self, cin, cout, time_dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, 2 * cout))
        self.conv1, self.norm1 = nn.Conv2d(cin, cout, 3, padding=1), nn.GroupNorm(2, cout)
        self.conv2, self.norm2 = nn.Conv2d(cout, cout, 3, padding=1), nn.GroupNorm(2, cout)
        self.shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x, t):
        scale, shift = self.mlp(t)[..., None, None].chunk(2, dim=1)
        h = F.silu(self.norm1(self.conv1(x)) * (scale + 1) + shift)
        return F.silu(self.norm2(self.conv2(h))) + self.shortcut(x)


class Attention(nn.Module):
    def __init__(self, dim, heads=2, dim_head=4):
        super().__init__()
        self.heads, self.scale = heads, dim_head**-0.5
        self.to_qkv = nn.Conv2d(dim, 3 * heads * dim_head, 1, bias=False)
        self.to_out = nn.Conv2d(heads * dim_head, dim, 1)

    def forward(self, x):
        b, _, h, w = x.shape
        q, k, v = (t.reshape(b, self.heads, -1, h * w) for t in self.to_qkv(x).chunk(3, dim=1))
        sim = torch.einsum("b h d i, b h d j -> b h i j", q * self.scale, k)
        sim = sim - sim.amax(dim=-1, keepdim=True).detach()
        out = torch.einsum("b h i j, b h d j -> b h d i", sim.softmax(dim=-1), v)
        return x + self.to_out(out.reshape(b, -1, h, w))


class Unet(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.stem = nn.Conv2d(1, dim, 3, padding=1)
        self.time_mlp = nn.Sequential(SinusoidalPosEmb(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.enc, self.down = Block(dim, dim, dim), nn.Conv2d(dim, 2 * dim, 4, 2, 1)
        self.mid, self.attn = Block(2 * dim, 2 * dim, dim), Attention(2 * dim)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(2 * dim, dim, 3, padding=1))
        self.dec, self.head = Block(2 * dim, dim, dim), nn.Conv2d(dim, 1, 1)

    def forward(self, x, time):
        t = self.time_mlp(time)
        h = self.enc(self.stem(x), t)
        m = self.attn(self.mid(self.down(h), t))
        return self.head(self.dec(torch.cat((self.up(m), h), dim=1), t))


def extract(a, t, x_shape):
    b, *_ = t.shape
    return a.gather(-1, t).reshape(b, *((1,) * (len(x_shape) - 1)))


def cosine_beta_schedule(timesteps, s=0.008):
    t = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64) / timesteps
    alphas_cumprod = torch.cos((t + s) / (1 + s) * math.pi * 0.5) ** 2
    alphas_cumprod = alphas_cumprod / alphas_cumprod[0]
    return torch.clip(1 - alphas_cumprod[1:] / alphas_cumprod[:-1], 0, 0.999)


class GaussianDiffusion(nn.Module):
    def __init__(self, model, timesteps=8):
        super().__init__()
        self.model, self.num_timesteps = model, timesteps
        betas = cosine_beta_schedule(timesteps)
        acp = torch.cumprod(1.0 - betas, dim=0)
        acp_prev = F.pad(acp[:-1], (1, 0), value=1.0)
        for name, value in {
            "sqrt_acp": acp.sqrt(), "sqrt_one_minus_acp": (1 - acp).sqrt(),
            "loss_weight": (acp / (1 - acp)).clamp(max=5) / (acp / (1 - acp)),
            "mean_x0": betas * acp_prev.sqrt() / (1 - acp), "mean_xt": (1 - acp_prev) * (1 - betas).sqrt() / (1 - acp),
            "log_variance": torch.log((betas * (1 - acp_prev) / (1 - acp)).clamp(min=1e-20)),
        }.items():  # fmt: skip
            self.register_buffer(name, value.to(torch.float32))

    def q_sample(self, x, t, noise):
        return extract(self.sqrt_acp, t, x.shape) * x + extract(self.sqrt_one_minus_acp, t, x.shape) * noise

    @torch.no_grad()
    def sample(self, count, side):
        img = gaussian(count, 1, side, side)
        for i in reversed(range(self.num_timesteps)):
            t = torch.full((count,), i, device=img.device, dtype=torch.long)
            noise = self.model(img, t)
            x0 = (img - extract(self.sqrt_one_minus_acp, t, img.shape) * noise) / extract(self.sqrt_acp, t, img.shape)
            mean = extract(self.mean_x0, t, img.shape) * x0.clamp_(-1.0, 1.0) + extract(self.mean_xt, t, img.shape) * img
            img = mean + (0.5 * extract(self.log_variance, t, img.shape)).exp() * (gaussian(*img.shape) if i else 0.0)
        return (img + 1) * 0.5

    def forward(self, img):
        t = torch.from_numpy(rng.integers(0, self.num_timesteps, img.shape[0])).to(img.device).long()
        noise = gaussian(*img.shape)
        predicted = self.model(self.q_sample(img * 2 - 1, t, noise), t)
        loss = F.mse_loss(predicted, noise, reduction="none").flatten(1).mean(dim=1)
        return (loss * extract(self.loss_weight, t, loss.shape)).mean()


diffusion = GaussianDiffusion(Unet()).to(device)
with torch.no_grad():
    for name, p in diffusion.named_parameters():
        if p.ndim > 1:
            p.copy_(torch.from_numpy(rng.normal(0, 1 / p[0].numel() ** 0.5, tuple(p.shape))))
        elif name.endswith("bias"):
            p.zero_()
yy, xx = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
centres = torch.from_numpy(rng.uniform(2, 6, (2, 8, 1, 1))).float()
images = torch.exp(-((yy - centres[0]) ** 2 + (xx - centres[1]) ** 2) / 4).unsqueeze(1).to(device)
optimizer = torch.optim.Adam(diffusion.parameters(), lr=4e-3, betas=(0.9, 0.99))
losses = []
for step in range(20):
    optimizer.zero_grad()
    loss = diffusion(images)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())
losses.append(diffusion.sample(2, 8).mean().item())
print(f"loss {losses[0]:.3f} -> {losses[-2]:.3f}; the mean of what was sampled {losses[-1]:.3f}")
