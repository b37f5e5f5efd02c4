"""A perceptron whose every weight is one number learns whether an even or an odd number of its inputs is on.

    python examples/parity.py                 learns, and writes parity.dot and parity.svg
    python examples/parity.py --out FOLDER --steps 500 --seed 3

The picture is the loss of one case: each box an operation or a weight, with its value and, after ∂, how much the
loss would change with it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import lazygrad as lg
from lazygrad import nn
from lazygrad.inspect.draw import draw


class Neuron(nn.Module):
    """tanh(w0 x0 + w1 x1 + ... + b), all of them 0-d; the inputs may be of any one shape."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.w = nn.ParameterList([lg.randn(()) for _ in range(inputs)])
        self.b = nn.Parameter(lg.zeros(()))

    def forward(self, inputs: Sequence[lg.Tensor]) -> lg.Tensor:
        total = self.b
        for weight, value in zip(self.w, inputs):
            total = total + weight * value
        return total.tanh()


class Perceptron(nn.Module):
    """A hidden layer, and one neuron that reads it."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([Neuron(inputs) for _ in range(hidden)])
        self.out = Neuron(hidden)

    def forward(self, inputs: Sequence[lg.Tensor]) -> lg.Tensor:
        return self.out([neuron(inputs) for neuron in self.hidden])


def parity(bits: Sequence[int]) -> float:
    """+1 for an odd number of ones, -1 for an even one."""
    return 1.0 if sum(bits) % 2 else -1.0


def learn(model: Perceptron, cases: Sequence[Sequence[int]], steps: int) -> float:
    """Adam on the squared error of all cases at once; returns the last loss."""
    inputs = [lg.tensor([2.0 * bit - 1 for bit in column]) for column in zip(*cases)]
    wanted = lg.tensor([parity(case) for case in cases])
    optimizer = lg.optim.Adam(model.parameters(), lr=0.1)
    bar = tqdm(range(steps), unit="step", dynamic_ncols=True)
    for step in bar:
        loss = ((model(inputs) - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0 or step == steps - 1:
            bar.set_postfix_str(f"loss {loss.item():.4f}")
    return loss.item()


def show(model: Perceptron, cases: Sequence[Sequence[int]]) -> int:
    """Prints what the model says of each case; returns how many it has right."""
    right = 0
    for case in cases:
        with lg.no_grad():
            said = model([lg.tensor(2.0 * bit - 1) for bit in case]).item()
        right += (said > 0) == (parity(case) > 0)
        print(f"  {' '.join(map(str, case))}   {'odd ' if said > 0 else 'even'}  ({said:+.3f})")
    print(f"{right} of {len(cases)} right")
    return right


def picture(model: Perceptron, case: Sequence[int], folder: Path) -> None:
    """Writes parity.dot and parity.svg: how the loss of one case comes about."""
    inputs = [lg.tensor(2.0 * bit - 1) for bit in case]
    loss = (model(inputs) - parity(case)) ** 2
    names = {f"x{i}": value for i, value in enumerate(inputs)}
    drawing = draw(loss, names | dict(model.named_parameters()))
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("dot", "svg"):
        drawing.save(folder / f"parity.{suffix}")
    print(f"{len(drawing.boxes)} boxes in {folder / 'parity.dot'} and {folder / 'parity.svg'}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Learns the parity of three inputs, and draws how.")
    parser.add_argument("--steps", type=int, default=200, help="steps of Adam (200)")
    parser.add_argument("--hidden", type=int, default=4, help="hidden neurons (4)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights at the start (0)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for parity.dot and parity.svg (this one)")
    options = parser.parse_args(arguments)
    lg.manual_seed(options.seed)
    cases = list(itertools.product((0, 1), repeat=3))
    model = Perceptron(3, options.hidden)
    learn(model, cases, options.steps)
    right = show(model, cases)
    picture(model, (1, 0, 1), options.out)
    return right


if __name__ == "__main__":
    main(sys.argv[1:])
