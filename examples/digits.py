"""Learns to read digits, and says how many of those it has never seen it reads right.

    python examples/digits.py                    a perceptron, on digits that are drawn here
    python examples/digits.py --model conv       convolutions, batch norm, dropout, pooling
    python examples/digits.py --data mnist       downloads MNIST once
    python examples/digits.py --model conv --eval-only     measures the weights kept by the last run

Companion: digits_data (the pictures).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import gpt2_threads  # noqa: F401  before NumPy
from digits_data import SOURCES, Images
from gpt2_data import UsageError, cache_directory
from tqdm import tqdm

import lazygrad as lg
from lazygrad import nn
from lazygrad.data import DataLoader, TensorDataset
from lazygrad.nn import functional as F
from lazygrad.optim.lr_scheduler import OneCycleLR


class Perceptron(nn.Module):
    """Two hidden layers on the pixels as they come."""

    def __init__(self, side: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(side * side, hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 10),
        )

    def forward(self, images: lg.Tensor) -> lg.Tensor:
        return self.layers(images)


class ConvNet(nn.Module):
    """Two blocks of convolution, batch norm and pooling, the mean over places, a linear layer."""

    def __init__(self, side: int, channels: int = 12) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * channels)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(2 * channels * 4 * 4, 10)

    def forward(self, images: lg.Tensor) -> lg.Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.adaptive_avg_pool2d(x, 4).flatten(1)
        return self.out(self.dropout(x))


MODELS = {"mlp": Perceptron, "conv": ConvNet}
EPOCHS = {"drawn": 8, "mnist": 2}


def loader(images: Images, batch: int, shuffle: bool) -> DataLoader:
    pictures, labels = images
    dataset = TensorDataset(lg.from_numpy(pictures), lg.from_numpy(labels))
    return DataLoader(dataset, batch_size=batch, shuffle=shuffle, drop_last=shuffle)


@lg.no_grad()
def accuracy(model: nn.Module, batches: DataLoader, device: str) -> float:
    """The share of pictures read right."""
    model.eval()
    right = count = 0
    for images, labels in batches:
        right += (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
        count += len(labels)
    return right / count


def train(model: nn.Module, batches: DataLoader, test: DataLoader, options: argparse.Namespace) -> None:
    optimizer = lg.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    steps = options.epochs * len(batches)
    schedule = OneCycleLR(optimizer, max_lr=options.lr, total_steps=max(steps, 1))
    criterion = nn.CrossEntropyLoss()
    started = time.perf_counter()
    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:
        for epoch in range(1, options.epochs + 1):
            model.train()
            total = lg.zeros((), device=options.device)
            for images, labels in batches:
                loss = criterion(model(images.to(options.device)), labels.to(options.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total = total + loss.detach()
                bar.update()
                if bar.n % 10 == 0:
                    bar.set_postfix_str(f"loss {loss.item():.3f}, lr {schedule.get_last_lr()[0]:.1e}")
            mean, found = total.item() / len(batches), accuracy(model, test, options.device)
            tqdm.write(f"epoch {epoch:2d}   loss {mean:.4f}   test accuracy {found:.2%}")
    print(f"{steps} steps in {time.perf_counter() - started:.1f} s")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Learns to read digits.")
    passes = ", ".join(f"{data} {epochs}" for data, epochs in EPOCHS.items())
    parser.add_argument("--model", choices=MODELS, default="mlp", help="a perceptron (default) or a convolutional net")
    parser.add_argument("--data", choices=SOURCES, default="drawn", help="drawn here (default), or MNIST (a download)")
    parser.add_argument("--epochs", type=int, help=f"passes over the training pictures ({passes})")
    parser.add_argument("--batch", type=int, default=64, help="pictures a step (64)")
    parser.add_argument("--lr", type=float, default=5e-3, help="the highest learning rate (5e-3)")
    parser.add_argument("--device", default="cuda" if lg.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (0)")
    parser.add_argument("--out", type=Path, help="file for the weights (in lazygrad's cache folder)")
    parser.add_argument("--eval-only", action="store_true", help="measure the weights in --out, train nothing")
    options = parser.parse_args(arguments)
    options.epochs = EPOCHS[options.data] if options.epochs is None else options.epochs
    options.out = options.out or cache_directory() / f"digits-{options.data}-{options.model}.safetensors"
    return options


def main(arguments: Sequence[str] | None = None) -> float:
    """Returns the accuracy on the test pictures, of the weights as they were read back from the file."""
    options = parse(arguments)
    try:
        training, testing = SOURCES[options.data]()
        if options.eval_only and not options.out.exists():
            raise UsageError(f"there are no weights in {options.out}; train first, with the same --out")
    except UsageError as error:
        raise SystemExit(f"digits.py: {error}") from error
    lg.manual_seed(options.seed)
    side = training[0].shape[-1]
    model = MODELS[options.model](side).to(options.device)
    test = loader(testing, 200, shuffle=False)
    count = sum(p.numel() for p in model.parameters())
    print(f"{options.model}: {count:,} parameters, on {options.device}")
    print(f"{options.data}: {len(training[1]):,} pictures of {side} x {side}, {len(testing[1]):,} more to test with")
    if not options.eval_only:
        train(model, loader(training, options.batch, shuffle=True), test, options)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        lg.save(model.state_dict(), options.out)
    kept = MODELS[options.model](side).to(options.device)
    kept.load_state_dict(lg.load(options.out))
    found = accuracy(kept, test, options.device)
    print(f"test accuracy {found:.2%}, weights in {options.out}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
