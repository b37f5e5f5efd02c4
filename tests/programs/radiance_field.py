"""A neural radiance field: rays, positional encoding, volume rendering by cumprod, a second network on samples by weight."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

device = os.environ.get("DEVICE", "cpu")
rng = np.random.default_rng(2020)
H = W = 6
focal = 5.0


class Embedder:
    def __init__(self, num_freqs, input_dims=3):
        self.embed_fns = [lambda x: x]
        for freq in (2.0 ** torch.linspace(0.0, num_freqs - 1, steps=num_freqs)).tolist():
            for p_fn in (torch.sin, torch.cos):
                self.embed_fns.append(lambda x, p_fn=p_fn, freq=freq: p_fn(x * freq))
        self.out_dim = input_dims * len(self.embed_fns)

    def __call__(self, inputs):
        return torch.cat([fn(inputs) for fn in self.embed_fns], -1)


class NeRF(nn.Module):
    def __init__(self, input_ch, views_ch, depth=3, width=16, skips=(1,)):
        super().__init__()
        self.input_ch, self.views_ch, self.skips = input_ch, views_ch, skips
        rest = [nn.Linear(width + (input_ch if i in skips else 0), width) for i in range(depth - 1)]
        self.pts_linears = nn.ModuleList([nn.Linear(input_ch, width), *rest])
        self.alpha_linear, self.feature_linear = nn.Linear(width, 1), nn.Linear(width, width)
        self.views_linear, self.rgb_linear = nn.Linear(views_ch + width, width // 2), nn.Linear(width // 2, 3)

    def forward(self, x):
        input_pts, input_views = torch.split(x, [self.input_ch, self.views_ch], dim=-1)
        h = input_pts
        for i, layer in enumerate(self.pts_linears):
            h = F.relu(layer(h))
            if i in self.skips:
                h = torch.cat([input_pts, h], -1)
        alpha = self.alpha_linear(h)
        h = F.relu(self.views_linear(torch.cat([self.feature_linear(h), input_views], -1)))
        return torch.cat([self.rgb_linear(h), alpha], -1)


def get_rays(c2w):
    j, i = torch.meshgrid(torch.arange(H, device=device), torch.arange(W, device=device), indexing="ij")
    dirs = torch.stack([(i - W * 0.5) / focal, -(j - H * 0.5) / focal, -torch.ones_like(i)], -1)
    rays_d = torch.sum(dirs[..., np.newaxis, :] * c2w[:3, :3], -1)
    return c2w[:3, -1].expand(rays_d.shape).reshape(-1, 3), rays_d.reshape(-1, 3)


def raw2outputs(raw, z_vals, rays_d):
    dists = z_vals[..., 1:] - z_vals[..., :-1]
    dists = torch.cat([dists, torch.tensor([1e10], device=device).expand(dists[..., :1].shape)], -1)
    dists = dists * torch.norm(rays_d[..., None, :], dim=-1)
    alpha = 1.0 - torch.exp(-F.softplus(raw[..., 3]) * dists)
    transmitted = torch.cat([torch.ones_like(alpha[:, :1]), 1.0 - alpha + 1e-10], -1)
    weights = alpha * torch.cumprod(transmitted, -1)[:, :-1]
    rgb_map = torch.sum(weights[..., None] * torch.sigmoid(raw[..., :3]), -2)
    depth_map = torch.sum(weights * z_vals, -1)
    return rgb_map + (1.0 - weights.sum(-1, keepdim=True)), depth_map, weights


def sample_pdf(bins, weights, n_samples):
    """Inverse transform sampling of the piecewise constant density that the coarse network found."""
    pdf = (weights + 1e-5) / torch.sum(weights + 1e-5, -1, keepdim=True)
    cdf = torch.cumsum(pdf, -1)
    cdf = torch.cat([torch.zeros_like(cdf[..., :1]), cdf], -1)
    u = torch.linspace(0.03, 0.97, steps=n_samples, device=device).expand(*cdf.shape[:-1], n_samples).contiguous()
    inds = torch.searchsorted(cdf, u, right=True)
    below = torch.max(torch.zeros_like(inds), inds - 1)
    above = torch.min((cdf.shape[-1] - 1) * torch.ones_like(inds), inds)
    inds_g = torch.stack([below, above], -1)
    matched = [inds_g.shape[0], inds_g.shape[1], cdf.shape[-1]]
    cdf_g = torch.gather(cdf.unsqueeze(1).expand(matched), 2, inds_g)
    bins_g = torch.gather(bins.unsqueeze(1).expand(matched), 2, inds_g)
    denom = cdf_g[..., 1] - cdf_g[..., 0]
    denom = torch.where(denom < 1e-5, torch.ones_like(denom), denom)
    return bins_g[..., 0] + (u - cdf_g[..., 0]) / denom * (bins_g[..., 1] - bins_g[..., 0])


def run_network(pts, viewdirs, network, netchunk=100):
    flat = torch.reshape(pts, [-1, pts.shape[-1]])
    dirs = torch.reshape(viewdirs[:, None].expand(pts.shape), [-1, 3])
    embedded = torch.cat([embed(flat), embed_dirs(dirs)], -1)
    out = torch.cat([network(embedded[i : i + netchunk]) for i in range(0, embedded.shape[0], netchunk)], 0)
    return torch.reshape(out, [*pts.shape[:-1], out.shape[-1]])


def render(c2w, n_coarse=6, n_fine=5):
    rays_o, rays_d = get_rays(c2w)
    viewdirs = rays_d / torch.norm(rays_d, dim=-1, keepdim=True)
    near, far = 1.0 * torch.ones_like(rays_d[..., :1]), 5.0 * torch.ones_like(rays_d[..., :1])
    t_vals = torch.linspace(0.0, 1.0, steps=n_coarse, device=device)
    z_vals = 1.0 / (1.0 / near * (1.0 - t_vals) + 1.0 / far * t_vals)
    mids = 0.5 * (z_vals[..., 1:] + z_vals[..., :-1])
    lower, upper = torch.cat([z_vals[..., :1], mids], -1), torch.cat([mids, z_vals[..., -1:]], -1)
    z_vals = lower + (upper - lower) * torch.from_numpy(rng.random(tuple(z_vals.shape), dtype=np.float32)).to(device)
    pts = rays_o[..., None, :] + rays_d[..., None, :] * z_vals[..., :, None]
    rgb0, _, weights = raw2outputs(run_network(pts, viewdirs, coarse), z_vals, rays_d)
    z_samples = sample_pdf(0.5 * (z_vals[..., 1:] + z_vals[..., :-1]), weights[..., 1:-1], n_fine).detach()
    z_vals, _ = torch.sort(torch.cat([z_vals, z_samples], -1), -1)
    pts = rays_o[..., None, :] + rays_d[..., None, :] * z_vals[..., :, None]
    rgb, depth, _ = raw2outputs(run_network(pts, viewdirs, fine), z_vals, rays_d)
    return rgb, rgb0, depth


embed, embed_dirs = Embedder(3), Embedder(1)
coarse, fine = (NeRF(embed.out_dim, embed_dirs.out_dim).to(device) for _ in range(2))
for p in (*coarse.parameters(), *fine.parameters()):
    p.data = torch.from_numpy(rng.normal(0, (2 / p.shape[-1]) ** 0.5 if p.ndim == 2 else 0.01, tuple(p.shape))).to(p)
angles = np.linspace(0.0, 1.0, 3)
poses = torch.eye(4).repeat(3, 1, 1)
poses[:, 0, 0] = poses[:, 2, 2] = torch.from_numpy(np.cos(angles)).float()
poses[:, 0, 2], poses[:, 2, 0] = torch.tensor(np.sin(angles)), -torch.tensor(np.sin(angles))
poses[:, :3, 3] = 3.0 * poses[:, :3, 2]
poses = poses.to(device)
targets = torch.from_numpy(rng.random((3, H * W, 3), dtype=np.float32)).to(device)
optimizer = torch.optim.Adam([*coarse.parameters(), *fine.parameters()], lr=5e-3, betas=(0.9, 0.999))
losses = []
for step in range(14):
    rgb, rgb0, depth = render(poses[step % 3])
    loss = torch.mean((rgb - targets[step % 3]) ** 2)
    psnr = -10.0 * torch.log10(loss.detach())
    optimizer.zero_grad()
    (loss + torch.mean((rgb0 - targets[step % 3]) ** 2)).backward()
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] = 5e-3 * 0.1 ** (step / 50)
    losses += [loss.item(), depth.mean().item()]
print(f"PSNR {psnr.item():.2f}")
