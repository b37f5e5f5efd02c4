"""Graph networks on edge lists: attention by scatter and index_add, mean aggregation, masked training, link scores."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.parameter import Parameter

device = os.environ.get("DEVICE", "cpu")
rng = np.random.default_rng(3)


def softmax_by_target(scores, index, num_nodes):
    """The scores of all edges into a node sum to one."""
    spread = index.view(-1, 1).expand_as(scores)
    top = torch.full((num_nodes, scores.size(1)), float("-inf"), device=scores.device)
    top = top.scatter_reduce(0, spread, scores.detach(), reduce="amax")
    e = torch.exp(scores - top.gather(0, spread))
    total = torch.zeros(num_nodes, scores.size(1), device=scores.device).scatter_add_(0, spread, e)
    return e / (total[index] + 1e-16)


class GATConv(nn.Module):
    def __init__(self, in_channels, out_channels, heads, concat=True):
        super().__init__()
        self.heads, self.out_channels, self.concat = heads, out_channels, concat
        self.lin = nn.Linear(in_channels, heads * out_channels, bias=False)
        self.att_src = Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = Parameter(torch.empty(1, heads, out_channels))
        self.bias = Parameter(torch.zeros(heads * out_channels if concat else out_channels))

    def forward(self, x, edge_index):
        src, dst = edge_index
        x = self.lin(x).view(-1, self.heads, self.out_channels)
        scores = (x * self.att_src).sum(-1)[src] + (x * self.att_dst).sum(-1).index_select(0, dst)
        alpha = softmax_by_target(F.leaky_relu(scores, 0.2), dst, x.size(0))
        out = torch.zeros_like(x).index_add_(0, dst, x[src] * alpha.unsqueeze(-1))
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        return out + self.bias


class SAGEConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.lin_l, self.lin_r = nn.Linear(in_channels, out_channels), nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, x, edge_index):
        src, dst = edge_index
        degree = torch.bincount(dst, minlength=x.size(0)).clamp(min=1)
        mean = x.new_zeros(x.shape).index_add(0, dst, x[src]) / degree.unsqueeze(1)
        return F.normalize(self.lin_l(mean) + self.lin_r(x), p=2.0, dim=-1)


class Net(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.conv1 = GATConv(features, hidden, heads=2)
        self.norm = nn.LayerNorm(2 * hidden)
        self.conv2 = SAGEConv(2 * hidden, hidden)
        self.conv3 = GATConv(hidden, classes, heads=2, concat=False)

    def forward(self, x, edge_index):
        x = F.elu(self.norm(self.conv1(x, edge_index)))
        z = self.conv2(x, edge_index)
        return F.log_softmax(self.conv3(z, edge_index), dim=-1), z


def make_graph(num_nodes=30, classes=3):
    y = torch.arange(num_nodes) % classes
    friends = rng.random((num_nodes, num_nodes)) < np.where(y[:, None] == y[None, :], 0.3, 0.03)
    adj = torch.from_numpy(np.triu(friends, 1))
    adj = adj | adj.T
    adj.fill_diagonal_(True)
    x = F.one_hot(y, classes).float() * 0.5 + torch.from_numpy(rng.normal(0, 1, (num_nodes, classes))).float()
    train_mask = torch.zeros(num_nodes, dtype=torch.bool)
    train_mask[torch.from_numpy(rng.permutation(num_nodes)[:18])] = True
    return x, adj.nonzero().t().contiguous(), y, train_mask


x, edge_index, y, train_mask = (t.to(device) for t in make_graph())
model = Net(x.size(1), 6, 3).to(device)
for parameter in model.parameters():
    if parameter.dim() > 1:
        parameter.data.copy_(torch.from_numpy(rng.normal(0, 1 / parameter.size(-1) ** 0.5, parameter.shape)))
    elif parameter is model.conv2.lin_l.bias:
        nn.init.zeros_(parameter)
positive = edge_index[:, edge_index[0] < edge_index[1]]
negative = torch.stack([torch.from_numpy(rng.integers(0, len(x), positive.size(1))).to(device) for _ in range(2)])
links = torch.cat([positive, negative], dim=1)
is_link = torch.cat([torch.ones(positive.size(1)), torch.zeros(negative.size(1))]).to(device)

optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
losses = []
for epoch in range(20):
    model.train()
    optimizer.zero_grad()
    out, z = model(x, edge_index)
    score = (z[links[0]] * z[links[1]]).sum(dim=-1)
    loss = F.nll_loss(out[train_mask], y[train_mask]) + 0.5 * F.binary_cross_entropy_with_logits(score, is_link)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.eval()
with torch.no_grad():
    out, _ = model(x, edge_index)
    correct = out.argmax(dim=1).eq(y)
    acc = correct[~train_mask].double().mean().item()
losses.append(out.exp().max(dim=1).values.mean().item())
print(f"loss {losses[0]:.4f} -> {losses[-2]:.4f}, accuracy on the unseen {acc:.2f}")
