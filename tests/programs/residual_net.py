"""A small ResNet: blocks with a shortcut, label smoothing, parameter groups, OneCycleLR, an averaged copy of the weights."""

import copy
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

device = os.environ.get("DEVICE", "cpu")
rng = np.random.default_rng(14)


def conv3x3(in_planes, out_planes, stride=1):
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = conv3x3(in_planes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes * self.expansion:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, planes * self.expansion, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(planes * self.expansion),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, widths=(8, 12), blocks=(1, 2), num_classes=4):
        super().__init__()
        self.in_planes = widths[0]
        self.stem = nn.Sequential(conv3x3(3, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.layers = nn.ModuleList(
            [self._make_layer(w, n, stride=1 + (i > 0)) for i, (w, n) in enumerate(zip(widths, blocks))]
        )
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1], num_classes)

    def _make_layer(self, planes, blocks, stride):
        layers = []
        for s in [stride] + [1] * (blocks - 1):
            layers.append(BasicBlock(self.in_planes, planes, s))
            self.in_planes = planes * BasicBlock.expansion
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.fc(torch.flatten(self.pool(x), 1))


@torch.no_grad()
def update_average(average, model, decay=0.9):
    for a, p in zip(average.parameters(), model.parameters()):
        a.mul_(decay).add_(p.detach(), alpha=1 - decay)
    for a, b in zip(average.buffers(), model.buffers()):
        a.copy_(b)


model = ResNet()
state = model.state_dict()
for name, value in state.items():
    if value.dim() > 1:
        fan_in = value[0].numel()
        state[name] = torch.from_numpy(rng.normal(0, (2 / fan_in) ** 0.5, value.shape)).float()
    elif name == "fc.bias":
        state[name] = torch.zeros_like(value)
print(model.load_state_dict(state))
model = model.to(device)
average = copy.deepcopy(model)
average.requires_grad_(False)

decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
others = [p for n, p in model.named_parameters() if p.ndim <= 1]
optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=1e-3)
steps = int(os.environ.get("STEPS", 20))
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=max(steps, 4))

centres = rng.normal(size=(4, 3, 1, 1))
losses = []
for step in range(steps):
    targets = rng.integers(0, 4, 8)
    images = centres[targets] * rng.normal(1, 0.5, (8, 1, 8, 8)) + rng.normal(0, 0.5, (8, 3, 8, 8))
    x = torch.as_tensor(images, dtype=torch.float32).to(device)
    y = torch.as_tensor(targets).to(device)

    logits = model(x)
    loss = F.cross_entropy(logits, y, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm=2.0)
    optimizer.step()
    scheduler.step()
    update_average(average, model)
    losses.append(loss.item())
    if step % 5 == 0:
        accuracy = (logits.argmax(-1) == y).float().mean().item()
        print(f"{step}: loss {loss.item():.4f}, accuracy {accuracy:.2f}, gradient norm {norm.item():.3f}")

average.eval()
with torch.inference_mode():
    losses.append(F.cross_entropy(average(x), y).item())
