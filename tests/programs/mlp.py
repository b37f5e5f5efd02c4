"""A perceptron on two spirals: DataLoader, Adam, StepLR, an accuracy without gradients, a state_dict kept and put back."""

import copy
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.default_rng(0)


def spirals(count):
    label = np.arange(count) % 2
    radius = np.linspace(0.2, 1.0, count)
    angle = radius * 4 + label * np.pi
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    order = rng.permutation(count)
    return torch.from_numpy(points[order].astype(np.float32)), torch.from_numpy(label[order])


class MLP(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = torch.tanh(self.fc2(x))
        return self.out(x)


model = MLP(2, 32, 2).to(device)
for parameter in model.parameters():
    bound = 1 / parameter.shape[-1] ** 0.5
    parameter.data = torch.tensor(rng.uniform(-bound, bound, parameter.shape), dtype=torch.float32, device=device)

points, labels = spirals(160)
train_loader = DataLoader(TensorDataset(points[:128], labels[:128]), batch_size=32, shuffle=False)
test_loader = DataLoader(TensorDataset(points[128:], labels[128:]), batch_size=16)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.7)

losses = []
best, best_state = 0.0, None
for epoch in range(5):
    model.train()
    running = 0.0
    for inputs, targets in train_loader:
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        running += loss.item() * inputs.size(0)
    scheduler.step()

    model.eval()
    correct = total = 0
    with torch.no_grad():
        for inputs, targets in test_loader:
            predicted = model(inputs.to(device)).argmax(dim=1).cpu()
            total += targets.size(0)
            correct += (predicted == targets).sum().item()
    accuracy = correct / total
    if accuracy >= best:
        best, best_state = accuracy, copy.deepcopy(model.state_dict())
    print(f"epoch {epoch}: loss {running / 128:.4f}, accuracy {accuracy:.3f}, lr {scheduler.get_last_lr()[0]:.4f}")

model.load_state_dict(best_state)
with torch.no_grad():
    losses.append(criterion(model(points.to(device)), labels.to(device)).item())
