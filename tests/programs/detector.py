"""A one-stage detector: anchors, matching by IoU, focal and GIoU losses, a feature pyramid, non-maximum suppression."""

import math
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.default_rng(77)


def box_area(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(a, b):
    lt, rb = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    inter = (rb - lt).clamp(min=0).prod(dim=2)
    union = box_area(a)[:, None] + box_area(b) - inter
    return inter / union, union


def generalized_iou(a, b):
    iou, union = box_iou(a, b)
    wh = (torch.max(a[:, None, 2:], b[:, 2:]) - torch.min(a[:, None, :2], b[:, :2])).clamp(min=0)
    hull = wh[:, :, 0] * wh[:, :, 1]
    return iou - (hull - union) / hull


def sigmoid_focal_loss(inputs, targets, alpha=0.25, gamma=2.0):
    p = torch.sigmoid(inputs)
    ce_loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    return (alpha * targets + (1 - alpha) * (1 - targets)) * ce_loss * (1 - p_t) ** gamma


def nms(boxes, scores, threshold):
    keep, order = [], scores.argsort(descending=True)
    while order.numel() > 0:
        keep.append(order[0].item())
        iou = box_iou(boxes[order[:1]], boxes[order[1:]])[0].squeeze(0)
        order = order[1:][iou <= threshold]
    return torch.as_tensor(keep, dtype=torch.int64)


class FeaturePyramid(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.inner = nn.ModuleList(nn.Conv2d(c, out, 1) for c in channels)
        self.layer = nn.ModuleList(nn.Conv2d(out, out, 3, padding=1) for _ in channels)

    def forward(self, features):
        last = self.inner[-1](features[-1])
        results = [self.layer[-1](last)]
        for feature, inner, layer in list(zip(features, self.inner, self.layer))[-2::-1]:
            lateral = inner(feature)
            last = lateral + F.interpolate(last, size=lateral.shape[-2:], mode="nearest")
            results.insert(0, layer(last))
        return results


class Detector(nn.Module):
    def __init__(self, num_classes, strides=(4, 8)):
        super().__init__()
        self.num_classes, self.strides = num_classes, strides
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.stage = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True))
        self.fpn = FeaturePyramid((8, 12), 8)
        self.cls, self.reg = nn.Conv2d(8, 2 * num_classes, 3, padding=1), nn.Conv2d(8, 2 * 4, 3, padding=1)

    def anchors(self, features):
        found = []
        for feature, stride in zip(features, self.strides):
            h, w = feature.shape[-2:]
            ys, xs = (torch.arange(n, dtype=torch.float32, device=feature.device) for n in (h, w))
            cy, cx = torch.meshgrid((ys + 0.5) * stride, (xs + 0.5) * stride, indexing="ij")
            centres = torch.stack((cx, cy, cx, cy), dim=-1).reshape(-1, 1, 4)
            base = torch.tensor([[-1.0, -1, 1, 1], [-0.6, -1.2, 0.6, 1.2]], device=feature.device) * stride
            found.append((centres + base).reshape(-1, 4))
        return torch.cat(found)

    def forward(self, x):
        c1 = self.stem(x)
        features = self.fpn([c1, self.stage(c1)])

        def rows(outputs, k):
            return torch.cat([o.unflatten(1, (-1, k)).permute(0, 3, 4, 1, 2).flatten(1, 3) for o in outputs], dim=1)

        logits, deltas = rows(map(self.cls, features), self.num_classes), rows(map(self.reg, features), 4)
        anchors = self.anchors(features)
        size, centre = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
        centre = centre + deltas[..., :2] * size
        half = 0.5 * size * deltas[..., 2:].clamp(max=math.log(4.0)).exp()
        return logits, torch.cat((centre - half, centre + half), dim=-1), anchors


def loss_of(logits, boxes, anchors, target):
    overlaps, _ = box_iou(target["boxes"], anchors)
    values, matches = overlaps.max(dim=0)
    matches[values < 0.3] = -1
    matches[overlaps.argmax(dim=1)] = torch.arange(len(target["boxes"]), device=matches.device)
    positive = matches >= 0
    wanted = torch.zeros_like(logits)
    wanted[positive, target["labels"][matches[positive]]] = 1.0
    certain = positive | (values < 0.2)
    classified = sigmoid_focal_loss(logits[certain], wanted[certain]).sum() / max(1, int(positive.sum()))
    gious = torch.diag(generalized_iou(boxes[positive], target["boxes"][matches[positive]]))
    return classified + (1 - gious).mean()


images, targets = torch.zeros(4, 1, 32, 32), []
for image in images:
    corners = [(int(a), int(b), int(s)) for a, b, s in zip(rng.integers(0, 8, 2), rng.integers(0, 18, 2), (10, 12))]
    boxes = [[y, x + 12 * i // 2, y + s, x + 12 * i // 2 + s // (1 + i)] for i, (x, y, s) in enumerate(corners)]
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        image[0, y0:y1, x0:x1] += 1.0 + i
    boxes, labels = torch.tensor(boxes, dtype=torch.float32), torch.tensor([0, 1])
    targets.append({"boxes": boxes.to(device), "labels": labels.to(device)})
model = Detector(2).to(device)
with torch.no_grad():
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            m.weight.copy_(torch.from_numpy(rng.normal(0, 1.4 / m.weight[0].numel() ** 0.5, m.weight.shape)))
            if m.bias is not None:
                m.bias.fill_(-math.log((1 - 0.1) / 0.1) if m is model.cls else 0.0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
losses = []
for step in range(8):
    logits, boxes, anchors = model(images.to(device))
    of_images = torch.stack([loss_of(scores, b, anchors, t) for scores, b, t in zip(logits, boxes, targets)])
    optimizer.zero_grad(set_to_none=True)
    of_images.mean().backward()
    optimizer.step()
    losses += of_images.tolist()
model.eval()
with torch.inference_mode():
    for logits, boxes in zip(*model(images.to(device))[:2]):
        scores, labels = logits.sigmoid().max(dim=-1)
        best = scores.topk(12).indices
        kept = best[nms(boxes[best].clamp(0, 32), scores[best], 0.4).to(device)]
        losses.append(scores[kept].sum().item())
print(f"loss {losses[0]:.3f} -> {losses[28]:.3f}; {len(kept)} boxes in the last image, classes {labels[kept].tolist()}")
