"""embedding and embedding_bag against torch: padding, norms, frequencies, offsets, weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)
INDEX = np.array([[0, 1, 2, 1], [3, 3, 1, 4], [2, 2, 2, 2]])
FLAT = INDEX.reshape(-1)
OFFSETS = np.array([0, 0, 3, 9, 12, 12])


def numbers(*shape):
    return RNG.normal(size=shape)


@pytest.mark.parametrize("padding", [None, 2])
def test_frequencies(compare, padding):
    compare(
        lambda lib, i, w: lib.F.embedding(i, w, padding_idx=padding, scale_grad_by_freq=True), INDEX, numbers(6, 3)
    )


@pytest.mark.parametrize("norm", [2.0, 1.0])
def test_max_norm_writes_the_rows_that_are_asked_for(norm):
    table, index = numbers(6, 3) * 2, INDEX[:2]
    theirs, mine = torch.nn.Embedding(6, 3, max_norm=1.0, norm_type=norm), nn.Embedding(6, 3, None, 1.0, norm)
    assert repr(mine) == repr(theirs)
    theirs, mine = theirs.double(), mine.double()
    theirs.load_state_dict({"weight": torch.tensor(table)})
    mine.load_state_dict({"weight": lg.tensor(table)})
    a, b = theirs(torch.tensor(index)), mine(lg.tensor(index))
    np.testing.assert_allclose(b.numpy(force=True), a.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(mine.weight.numpy(force=True), theirs.weight.detach().numpy(), rtol=1e-9)
    b.sum().backward()
    a.sum().backward()
    np.testing.assert_allclose(mine.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2, -2])
@pytest.mark.parametrize("given", ["rows", "offsets", "last offset"])
def test_bags(compare, mode, padding, given):
    def program(lib, weight):
        index = lib.t.tensor(INDEX if given == "rows" else FLAT)
        offsets = None if given == "rows" else lib.t.tensor(OFFSETS)
        options = {"mode": mode, "padding_idx": padding, "include_last_offset": given == "last offset"}
        return lib.F.embedding_bag(index, weight, offsets, **options)

    compare(program, numbers(6, 3))


@pytest.mark.parametrize("given", ["rows", "offsets"])
def test_bags_weighted(compare, given):
    index, offsets = (INDEX, None) if given == "rows" else (FLAT, OFFSETS)

    def program(lib, weight, factors):
        places = None if offsets is None else lib.t.tensor(offsets)
        return lib.F.embedding_bag(lib.t.tensor(index), weight, places, mode="sum", per_sample_weights=factors)

    compare(program, numbers(6, 3), numbers(*index.shape))

def test_bags_by_frequency(compare):
    """Against embedding and sum: torch's own embedding_bag divides by the counts of other rows."""

    def program(lib, weight):
        index = lib.t.tensor(INDEX)
        if lib.t is torch:
            return lib.F.embedding(index, weight, scale_grad_by_freq=True).sum(1)
        return lib.F.embedding_bag(index, weight, mode="sum", scale_grad_by_freq=True)

    compare(program, numbers(6, 3))


def test_bag_module(compare_modules):
    compare_modules(lambda n: n.EmbeddingBag(6, 3, mode="max", padding_idx=1), INDEX)
    compare_modules(lambda n: n.EmbeddingBag(6, 3, 1.5, mode="sum", include_last_offset=True), FLAT, OFFSETS)
    table = lg.randn(4, 2)
    assert not nn.EmbeddingBag.from_pretrained(table, mode="sum").weight.requires_grad


def test_bag_errors():
    index, weight = lg.tensor(INDEX), lg.zeros(6, 3)
    with pytest.raises(ValueError, match="sum, mean or max"):
        F.embedding_bag(index, weight, mode="median")
    with pytest.raises(ValueError, match="offsets"):
        F.embedding_bag(lg.tensor(FLAT), weight)
    with pytest.raises(ValueError, match="offsets"):
        F.embedding_bag(index, weight, lg.tensor(OFFSETS))
    with pytest.raises(NotImplementedError, match="mode='sum'"):
        F.embedding_bag(index, weight, per_sample_weights=lg.ones(3, 4))
    with pytest.raises(IndexError):
        F.embedding_bag(index + 5, weight).numpy()


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_pdist(compare, p):
    x = numbers(5, 3)
    x[3] = x[1]
    compare(lambda lib, x: lib.F.pdist(x, p), x)
    compare(lambda lib, x: lib.F.pdist(x, p), x[:1])
