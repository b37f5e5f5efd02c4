"""A DCGAN on small pictures: two optimizers, transposed convolutions, detached fakes, labels filled in place."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.RandomState(999)
nz, ngf, ndf, nc = 6, 6, 6, 1


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 3, 1, 0, bias=False),  # 3 x 3
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),  # 6 x 6
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),  # 12 x 12
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),  # 6 x 6
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),  # 3 x 3
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 3, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.main(x).view(-1, 1).squeeze(1)


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        m.weight.data = torch.FloatTensor(rng.normal(0.0, 0.1, m.weight.shape)).to(device)
    elif classname.find("BatchNorm") != -1:
        m.weight.data = torch.FloatTensor(rng.normal(1.0, 0.02, m.weight.shape)).to(device)
        nn.init.constant_(m.bias.data, 0)


def real_images(count):
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, 1))
    wave = np.sin(np.linspace(0, 2 * np.pi, 12)[None, None, None, :] + phase)
    return torch.as_tensor(np.repeat(wave, 12, axis=2), dtype=torch.float32, device=device)


netG, netD = Generator().to(device), Discriminator().to(device)
netG.apply(weights_init)
netD.apply(weights_init)
criterion = nn.BCELoss()
fixed_noise = torch.from_numpy(rng.normal(size=(4, nz, 1, 1))).float().to(device)
real_label, fake_label = 1.0, 0.0
optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))

losses = []
for i in range(20):
    netD.zero_grad()
    real = real_images(8)
    label = torch.full((real.size(0),), real_label, dtype=torch.float, device=device)
    output = netD(real)
    errD_real = criterion(output, label)
    errD_real.backward()
    D_x = output.mean().item()

    noise = torch.from_numpy(rng.normal(size=(8, nz, 1, 1)).astype(np.float32)).to(device)
    fake = netG(noise)
    label.fill_(fake_label)
    output = netD(fake.detach())
    errD_fake = criterion(output, label)
    errD_fake.backward()
    D_G_z1 = output.mean().item()
    errD = errD_real + errD_fake
    optimizerD.step()

    netG.zero_grad()
    label.fill_(real_label)
    output = netD(fake)
    errG = criterion(output, label)
    errG.backward()
    D_G_z2 = output.mean().item()
    optimizerG.step()

    losses += [errD.item(), errG.item()]
    if i % 5 == 0:
        print("[%d/20] Loss_D: %.4f Loss_G: %.4f D(x): %.4f D(G(z)): %.4f / %.4f"
              % (i, errD.item(), errG.item(), D_x, D_G_z1, D_G_z2))  # fmt: skip

with torch.no_grad():
    fake = netG(fixed_noise).detach().cpu()
losses.append(fake.abs().mean().item())
