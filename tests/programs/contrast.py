"""Momentum contrast: a slow copy of the encoder, a queue of keys written in place, hooks that watch activations."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

device = os.environ.get("DEVICE", "cpu")
rng = np.random.default_rng(99)


class MoCo(nn.Module):
    def __init__(self, base_encoder, dim=8, K=24, m=0.9, T=0.2):
        super().__init__()
        self.K, self.m, self.T = K, m, T
        self.encoder_q, self.encoder_k = base_encoder(dim), base_encoder(dim)
        for param_q, param_k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            param_q.data.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(param_q.shape))))
            param_k.data.copy_(param_q.data)
            param_k.requires_grad = False
        self.register_buffer("queue", torch.from_numpy(rng.normal(size=(dim, K))).float())
        self.queue = F.normalize(self.queue, dim=0)
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def _momentum_update_key_encoder(self):
        for param_q, param_k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            param_k.data = param_k.data * self.m + param_q.data * (1.0 - self.m)

    @torch.no_grad()
    def _dequeue_and_enqueue(self, keys):
        batch_size, ptr = keys.shape[0], int(self.queue_ptr)
        assert self.K % batch_size == 0
        self.queue[:, ptr : ptr + batch_size] = keys.T
        self.queue_ptr[0] = (ptr + batch_size) % self.K

    def forward(self, im_q, im_k):
        q = F.normalize(self.encoder_q(im_q), dim=1)
        with torch.no_grad():
            self._momentum_update_key_encoder()
            order = torch.arange(im_k.shape[0] - 1, -1, -1, device=im_k.device)
            k = F.normalize(self.encoder_k(im_k[order]), dim=1)
            k = k[torch.argsort(order)]
        l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        l_neg = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
        logits = torch.cat([l_pos, l_neg], dim=1)
        logits /= self.T
        labels = torch.zeros(logits.shape[0], dtype=torch.long).to(device)
        self._dequeue_and_enqueue(k)
        return logits, labels


def encoder(dim):
    return nn.Sequential(nn.Linear(10, 16), nn.ELU(), nn.LayerNorm(16), nn.Linear(16, dim, bias=False))


model = MoCo(encoder).to(device)
activations, gradients = {}, []
model.encoder_q[1].register_forward_hook(lambda module, args, output: activations.update(elu=output.detach()))
model.encoder_q[3].weight.register_hook(lambda grad: gradients.append(grad.norm().item()))
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9, weight_decay=1e-4)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[10, 15], gamma=0.5)

losses = []
for step in range(20):
    base = rng.normal(size=(6, 10))
    views = [torch.tensor(base + rng.normal(0, 0.1, base.shape), dtype=torch.float32, device=device) for _ in range(2)]
    output, target = model(*views)
    loss = F.cross_entropy(output, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    _, pred = output.topk(3, 1, True, True)
    correct = pred.t().eq(target.view(1, -1).expand_as(pred.t()))
    losses.append(loss.item())
    if step % 5 == 0:
        print(f"{step}: loss {loss.item():.4f} top-3 {correct[:3].reshape(-1).float().sum(0).item() / 6:.2f} elu {activations['elu'].mean():.4f}")
losses += [sum(gradients) / len(gradients), model.queue.std().item(), float(model.queue_ptr)]
