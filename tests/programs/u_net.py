"""Segmentation by a small U-Net: skip connections, interpolation, group norm, dice and focal losses, RMSprop, a plateau."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, random_split

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.default_rng(31)


class Discs(Dataset):
    def __init__(self, count, side=12):
        yy, xx = np.mgrid[0:side, 0:side]
        self.samples = []
        for _ in range(count):
            cy, cx, r = rng.uniform(3, side - 3), rng.uniform(3, side - 3), rng.uniform(2, 3.5)
            mask = ((yy - cy) ** 2 + (xx - cx) ** 2 < r**2).astype(np.float32)
            image = mask[None] * rng.uniform(0.5, 1.5, (2, 1, 1)) + rng.normal(0, 0.3, (2, side, side))
            self.samples.append({"image": torch.as_tensor(image).float().contiguous(), "mask": torch.from_numpy(mask)})

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, idx):
        return self.samples[idx]


class DoubleConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.GroupNorm(2, cout), nn.ReLU(inplace=True),
            nn.Conv2d(cout, cout, 3, padding="same", bias=False), nn.BatchNorm2d(cout), nn.SiLU(),
        )  # fmt: skip

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, cin, cout, bilinear):
        super().__init__()
        if bilinear:
            up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.up = nn.Sequential(up, nn.Conv2d(cin, cin // 2, 1))
        else:
            self.up = nn.ConvTranspose2d(cin, cin // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(cin, cout)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.inc = DoubleConv(2, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), DoubleConv(2 * width, 4 * width))
        self.up1, self.up2 = Up(4 * width, 2 * width, True), Up(2 * width, width, False)
        self.outc = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


def dice_loss(probs, target, eps=1e-6):
    inter = 2 * (probs * target).sum(dim=(-1, -2))
    sets_sum = probs.sum(dim=(-1, -2)) + target.sum(dim=(-1, -2))
    sets_sum = torch.where(sets_sum == 0, inter, sets_sum)
    return 1 - ((inter + eps) / (sets_sum + eps)).mean()


def focal_loss(logits, target, gamma=2.0):
    ce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_t = torch.exp(-ce)
    return ((1 - p_t) ** gamma * ce).mean()


net = UNet().to(device)
for m in net.modules():
    if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
        m.weight.data = torch.from_numpy(rng.normal(0, 0.2, tuple(m.weight.shape))).to(m.weight)
        if m.bias is not None:
            nn.init.constant_(m.bias, 0.0)
dataset = Discs(36)
train_set, val_set = random_split(dataset, [24, 12], generator=torch.Generator().manual_seed(0))
train_set.indices, val_set.indices = list(range(24)), list(range(24, 36))  # the same split in every library
optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.5, foreach=True)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=1)

losses = []
for epoch in range(7):
    net.train()
    for batch in DataLoader(train_set, batch_size=8, pin_memory=False):
        images = batch["image"].to(device=device, dtype=torch.float32)
        true_masks = batch["mask"].to(device=device, dtype=torch.float32)
        masks_pred = net(images).squeeze(1)
        loss = focal_loss(masks_pred, true_masks) + dice_loss(torch.sigmoid(masks_pred), true_masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        scores = [((net(b["image"].to(device)).squeeze(1) > 0).cpu() == (b["mask"] > 0)).float().mean() for b in DataLoader(val_set, 6)]
    scheduler.step(torch.stack(scores).mean())
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, pixels right {torch.stack(scores).mean():.3f}")
