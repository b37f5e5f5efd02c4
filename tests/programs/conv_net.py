"""A convolutional net with batch norm, dropout and pooling on drawn bars; SGD with momentum; evaluated in eval mode."""

import os

import numpy as np
import torch
from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset

device = os.environ.get("DEVICE", "cpu")


class Bars(Dataset):
    """12x12 pictures with one bar: horizontal (0), vertical (1) or diagonal (2)."""

    def __init__(self, count, seed):
        self.rng = np.random.RandomState(seed)
        self.images, self.labels = [], []
        for _ in range(count):
            label, at = self.rng.randint(3), self.rng.randint(2, 10)
            image = self.rng.normal(0, 0.3, (1, 12, 12))
            if label == 0:
                image[0, at, :] += 1
            elif label == 1:
                image[0, :, at] += 1
            else:
                image[0] += np.eye(12, k=at - 6)
            self.images.append(image.astype(np.float32))
            self.labels.append(label)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return torch.from_numpy(self.images[i]), self.labels[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3),
            nn.BatchNorm2d(12),
            nn.LeakyReLU(0.1),
            nn.AvgPool2d(2),
        )
        self.dropout = nn.Dropout(p=0.0)
        self.fc = nn.Linear(12 * 2 * 2, 3)

    def forward(self, x):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.fc(self.dropout(x))


rng = np.random.RandomState(1)


def init_weights(m):
    if isinstance(m, (nn.Conv2d, nn.Linear)):
        fan_in = m.weight[0].numel()
        m.weight.data.copy_(torch.from_numpy(rng.normal(0, (2 / fan_in) ** 0.5, tuple(m.weight.shape))))
        if m.bias is not None:
            m.bias.data.zero_()


net = Net()
net.apply(init_weights)
net.to(device)
train_set, test_set = Bars(80, 2), Bars(32, 3)
trainloader = DataLoader(train_set, batch_size=16, num_workers=0, drop_last=True)
testloader = DataLoader(test_set, batch_size=16)
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
scheduler = CosineAnnealingLR(optimizer, T_max=4)

losses = []
for epoch in range(4):
    net.train()
    for images, labels in trainloader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()

    net.eval()
    test_loss, correct = 0.0, 0
    with torch.no_grad():
        for images, labels in testloader:
            images, labels = images.to(device), labels.to(device)
            output = net(images)
            test_loss += criterion(output, labels).item() * len(labels)
            correct += output.max(1)[1].eq(labels).sum().item()
    losses.append(test_loss / len(test_set))
    print("epoch %d: test loss %.4f, %d of %d right" % (epoch, losses[-1], correct, len(test_set)))

running = net.features[1].running_mean
print("batches seen:", net.features[1].num_batches_tracked.item(), "running mean:", running.norm().item())
losses.append(running.norm().item())
