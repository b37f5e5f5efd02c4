"""torch's files of layers, and the base classes in them that programs ask isinstance of or derive from."""

from __future__ import annotations

import importlib

import pytest
import torch

import lazygrad as lg

FILES = (
    "activation adaptive batchnorm channelshuffle container conv distance dropout flatten fold instancenorm linear loss "
    "module normalization padding pixelshuffle pooling rnn sparse transformer upsampling utils"
)
BOTH = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])


@pytest.mark.parametrize("name", FILES.split())
def test_a_file_has_the_layers_that_torch_has_in_it(name):
    theirs = importlib.import_module(f"torch.nn.modules.{name}")
    mine = importlib.import_module(f"lazygrad.nn.modules.{name}")
    assert getattr(lg.nn.modules, name) is mine
    for layer in {n for n in vars(theirs).get("__all__", ()) if hasattr(lg.nn, n) and "Lazy" not in n}:
        assert getattr(mine, layer) is getattr(lg.nn, layer)


@BOTH
def test_families(T):
    nn, files = T.nn, T.nn.modules
    assert isinstance(nn.BatchNorm2d(2), files.batchnorm._BatchNorm) and isinstance(
        nn.BatchNorm1d(2), files.batchnorm._NormBase
    )
    assert isinstance(nn.InstanceNorm2d(2), files.instancenorm._InstanceNorm) and isinstance(
        nn.Dropout2d(), files.dropout._DropoutNd
    )
    assert isinstance(nn.ConvTranspose1d(2, 2, 1), files.conv._ConvNd) and isinstance(
        nn.Conv2d(2, 2, 1), files.conv._ConvNd
    )
    assert not isinstance(nn.Conv2d(2, 2, 1), files.conv._ConvTransposeNd)
    assert isinstance(nn.CrossEntropyLoss(), files.loss._WeightedLoss) and isinstance(nn.MSELoss(), files.loss._Loss)
    assert not isinstance(nn.MSELoss(), files.loss._WeightedLoss)
    assert (
        files.utils._pair(3) == (3, 3)
        and files.utils._triple([1, 2, 3]) == (1, 2, 3)
        and files.utils._single(2) == (2,)
    )


@BOTH
def test_a_loss_of_ones_own(T):
    class Scaled(T.nn.modules.loss._WeightedLoss):
        def __init__(self, factor, weight=None, size_average=None, reduce=None, reduction="mean"):
            super().__init__(weight, size_average, reduce, reduction)
            self.factor = factor

        def forward(self, x, y):
            return T.nn.functional.cross_entropy(x, y, self.weight, reduction=self.reduction) * self.factor

    loss = Scaled(2.0, weight=T.tensor([1.0, 2.0]), reduction="sum")
    assert loss.reduction == "sum" and dict(loss.named_buffers())["weight"].tolist() == [1, 2]
    x, y = T.zeros(3, 2), T.tensor([0, 1, 1])
    assert loss(x, y).item() == pytest.approx(2 * 5 * 0.6931472)
