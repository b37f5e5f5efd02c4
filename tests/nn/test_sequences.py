"""Recurrent networks over packed sequences, projections, and nn.utils.rnn against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn.utils import rnn

RNG = np.random.default_rng(0)
LENGTHS = [3, 5, 1, 5]
SORTED = sorted(LENGTHS, reverse=True)


def numbers(*shape):
    return RNG.normal(size=shape)


LAYERS = {
    "RNN": lambda n: n.RNN(3, 4, 2, "relu"),
    "GRU": lambda n: n.GRU(3, 4, num_layers=2, bidirectional=True),
    "LSTM": lambda n: n.LSTM(3, 4, batch_first=True),
    "LSTM projected": lambda n: n.LSTM(3, 4, 2, bidirectional=True, proj_size=2),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("lengths", [LENGTHS, SORTED])
@pytest.mark.parametrize("which", ["output", "states"])
def test_packed(compare_modules, name, lengths, which):
    def call(module, x):
        utils = torch.nn.utils.rnn if isinstance(x, torch.Tensor) else rnn
        first = module.batch_first
        packed = utils.pack_padded_sequence(x, lengths, first, enforce_sorted=lengths is SORTED)
        output, states = module(packed)
        assert isinstance(output, utils.PackedSequence)
        if which == "states":
            return states if module.mode != "LSTM" else states[0].sum(2) * states[1].sum(2)
        padded, found = utils.pad_packed_sequence(output, first, 7.0, 6)
        assert found.tolist() == lengths
        return padded

    shape = (4, 5, 3) if name == "LSTM" else (5, 4, 3)
    compare_modules(LAYERS[name], numbers(*shape), call=call)


def test_packed_with_states(compare_modules):
    def call(module, x, h, c):
        utils = torch.nn.utils.rnn if isinstance(x, torch.Tensor) else rnn
        output, (hidden, cell) = module(utils.pack_padded_sequence(x, LENGTHS, enforce_sorted=False), (h, c))
        return output.data.sum() + (hidden[:, :, :1] * cell).sum()

    compare_modules(
        lambda n: n.LSTM(3, 4, 2, bidirectional=True, proj_size=2),
        numbers(5, 4, 3),
        numbers(4, 4, 2),
        numbers(4, 4, 4),
        call=call,
    )


def test_projection_of_padded_and_unbatched(compare_modules):
    for shape in ((5, 2, 3), (5, 3)):
        compare_modules(
            lambda n: n.LSTM(3, 4, 2, bias=False, bidirectional=True, proj_size=2),
            numbers(*shape),
            call=lambda m, x: m(x)[0] + m(x)[1][0].sum() * m(x)[1][1].sum(),
        )


def test_padding(compare):
    parts = [numbers(n, 2) for n in LENGTHS]

    def of(lib):
        return torch.nn.utils.rnn if lib.t is torch else rnn

    for first in (True, False):
        compare(lambda lib, *p, first=first: of(lib).pad_sequence(p, first, -1.5), *parts)
        compare(lambda lib, *p, first=first: of(lib).pad_sequence(list(p), first, padding_side="left"), *parts)
    compare(lambda lib, *p: of(lib).pack_sequence(p, enforce_sorted=False).data, *parts)
    compare(lambda lib, *p: of(lib).pack_sequence(p, enforce_sorted=False).batch_sizes, *parts)
    packed = rnn.pack_sequence([lg.tensor(p) for p in parts], enforce_sorted=False)
    for part, again in zip(parts, rnn.unpack_sequence(packed)):
        np.testing.assert_array_equal(again.numpy(force=True), part)
    assert packed.to(lg.float32).data.dtype is lg.float32
    with pytest.raises(RuntimeError, match="decreasing order"):
        rnn.pack_sequence([lg.tensor(p) for p in parts])
    with pytest.raises(RuntimeError, match="greater than 0"):
        rnn.pack_padded_sequence(lg.zeros(3, 2), [1, 0])
    with pytest.raises(ValueError, match="total_length"):
        rnn.pad_packed_sequence(packed, total_length=2)


def test_errors():
    with pytest.raises(ValueError, match="only supported for LSTM"):
        nn.GRU(3, 4, proj_size=2)
    with pytest.raises(ValueError, match="smaller than hidden_size"):
        nn.LSTM(3, 4, proj_size=4)
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNN(3, 4, 1, "selu")
    layer = nn.GRU(3, 4)
    with pytest.raises(RuntimeError, match="input_size"):
        layer(lg.zeros(5, 2, 2))
    with pytest.raises(RuntimeError, match="unbatched 2-D"):
        layer(lg.zeros(5, 3), lg.zeros(1, 1, 4))
    with pytest.raises(RuntimeError, match="Expected hidden"):
        layer(lg.zeros(5, 2, 3), lg.zeros(1, 3, 4))
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        nn.GRUCell(3, 4)(lg.zeros(2, 3), lg.zeros(3, 4))
    assert [len(w) for w in nn.LSTM(3, 4, 2, bidirectional=True).all_weights] == [4] * 4
    assert isinstance(layer, nn.RNNBase) and isinstance(nn.GRUCell(3, 4), nn.RNNCellBase)
