"""A variational autoencoder: reparametrised noise, summed binary cross-entropy and KL, a sample decoded at the end."""

import os

import numpy as np
import torch
import torch.utils.data
from torch import nn, optim
from torch.nn import functional as F

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.default_rng(21)


def blobs(count, side=8):
    yy, xx = np.mgrid[0:side, 0:side]
    cy, cx = rng.uniform(2, side - 2, (2, count, 1, 1))
    return torch.from_numpy(np.exp(-((yy - cy) ** 2 + (xx - cx) ** 2) / 4).astype("float32")).unsqueeze(1)


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 40)
        self.fc21 = nn.Linear(40, 4)
        self.fc22 = nn.Linear(40, 4)
        self.fc3 = nn.Linear(4, 40)
        self.fc4 = nn.Linear(40, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.from_numpy(rng.standard_normal(tuple(std.shape), dtype=np.float32)).to(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


model = VAE().to(device)
with torch.no_grad():
    for module in model.modules():
        if isinstance(module, nn.Linear):
            fan_in, fan_out = module.in_features, module.out_features
            module.weight[:] = torch.from_numpy(rng.normal(0, 1 / fan_in**0.5, (fan_out, fan_in)))
            module.bias[...] = 0.0

images = blobs(80)
train_loader = torch.utils.data.DataLoader(images, batch_size=16)
optimizer = optim.Adam(model.parameters(), lr=1e-2)

losses = []
for epoch in range(1, 5):
    model.train()
    train_loss = 0
    for data in train_loader:
        data = data.to(device)
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
        losses.append(loss.item() / len(data))
    print("====> Epoch: {} Average loss: {:.4f}".format(epoch, train_loss / len(train_loader.dataset)))

with torch.no_grad():
    z = torch.linspace(-1, 1, 4 * 3).view(3, 4).to(device)
    sample = model.decode(z).cpu().view(3, 1, 8, 8)
losses.append(sample.mean().item())
