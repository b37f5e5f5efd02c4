"""Every layer against torch's: names, printing, values, gradients, buffers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


LAYERS = {
    "Linear": (lambda n: n.Linear(4, 3), (5, 4)),
    "Linear without bias": (lambda n: n.Linear(4, 3, bias=False), (2, 5, 4)),
    "Bilinear": (lambda n: n.Bilinear(4, 3, 5), (2, 4), (2, 3)),
    "Identity": (lambda n: n.Identity(), (2, 3)),
    "Flatten": (lambda n: n.Flatten(), (2, 3, 4)),
    "Unflatten": (lambda n: n.Unflatten(1, (2, 3)), (2, 6)),
    "LayerNorm": (lambda n: n.LayerNorm((3, 4)), (2, 3, 4)),
    "LayerNorm plain": (lambda n: n.LayerNorm(4, elementwise_affine=False), (2, 4)),
    "LayerNorm without bias": (lambda n: n.LayerNorm(4, bias=False), (2, 4)),
    "RMSNorm": (lambda n: n.RMSNorm(4, eps=1e-6), (2, 4)),
    "GroupNorm": (lambda n: n.GroupNorm(2, 4), (3, 4, 5)),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(4), (6, 4)),
    "BatchNorm1d cumulative": (lambda n: n.BatchNorm1d(4, momentum=None), (6, 4, 2)),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(3), (2, 3, 4, 4)),
    "BatchNorm3d plain": (
        lambda n: n.BatchNorm3d(3, affine=False, track_running_stats=False),
        (2, 3, 2, 2, 2),
    ),
    "BatchNorm2d eval": (lambda n: n.BatchNorm2d(3).eval(), (2, 3, 4, 4)),
    "InstanceNorm2d": (lambda n: n.InstanceNorm2d(3), (2, 3, 4, 4)),
    "InstanceNorm1d tracked": (
        lambda n: n.InstanceNorm1d(3, affine=True, track_running_stats=True),
        (2, 3, 4),
    ),
    "InstanceNorm3d": (lambda n: n.InstanceNorm3d(3, affine=True), (2, 3, 2, 3, 2)),
    "FeatureAlphaDropout eval": (lambda n: n.FeatureAlphaDropout(0.3).eval(), (2, 3)),
    "Dropout eval": (lambda n: n.Dropout(0.3).eval(), (2, 3)),
    "LocalResponseNorm": (lambda n: n.LocalResponseNorm(2), (2, 4, 3, 3)),
    "SyncBatchNorm": (lambda n: n.SyncBatchNorm(3), (4, 3, 2)),
    "SyncBatchNorm converted": (
        lambda n: n.SyncBatchNorm.convert_sync_batchnorm(
            n.Sequential(n.Linear(3, 3), n.BatchNorm1d(3, affine=False), n.Sequential(n.BatchNorm1d(3).eval()))
        ),
        (4, 3),
    ),
    "Conv1d": (lambda n: n.Conv1d(2, 4, 3, padding=1), (2, 2, 7)),
    "Conv2d": (lambda n: n.Conv2d(2, 4, (3, 2), stride=2, padding=1, groups=2), (2, 2, 7, 6)),
    "Conv2d reflect": (
        lambda n: n.Conv2d(2, 3, 3, padding=2, padding_mode="reflect", bias=False),
        (2, 2, 5, 6),
    ),
    "Conv2d circular": (
        lambda n: n.Conv2d(2, 3, (3, 1), padding=(1, 0), padding_mode="circular"),
        (2, 2, 5, 6),
    ),
    "Conv3d": (lambda n: n.Conv3d(2, 3, 2), (1, 2, 3, 4, 3)),
    "ConvTranspose1d": (lambda n: n.ConvTranspose1d(2, 3, 4, stride=2, output_padding=1), (2, 2, 5)),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (2, 4, 4, 5)),
    "ConvTranspose3d": (lambda n: n.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 2, 3, 2)),
    "MaxPool1d": (lambda n: n.MaxPool1d(2), (2, 3, 8)),
    "MaxPool2d": (lambda n: n.MaxPool2d(3, 2, 1), (2, 3, 8, 7)),
    "AvgPool1d": (lambda n: n.AvgPool1d(2), (2, 3, 8)),
    "AvgPool2d": (lambda n: n.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 8, 7)),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d((1, 1)), (2, 3, 8, 7)),
    "AdaptiveMaxPool2d": (lambda n: n.AdaptiveMaxPool2d(3), (2, 3, 8, 7)),
    "MaxPool3d": (lambda n: n.MaxPool3d(2), (1, 2, 4, 4, 4)),
    "AvgPool3d": (lambda n: n.AvgPool3d(2, padding=1), (1, 2, 4, 4, 4)),
    "AdaptiveAvgPool3d": (lambda n: n.AdaptiveAvgPool3d((1, 2, 3)), (1, 2, 4, 4, 4)),
    "AdaptiveMaxPool1d": (lambda n: n.AdaptiveMaxPool1d(3), (2, 3, 8)),
    "AdaptiveMaxPool3d": (lambda n: n.AdaptiveMaxPool3d(2), (2, 4, 5, 3)),
    "LPPool1d": (lambda n: n.LPPool1d(2, 2), (2, 3, 4)),
    "LPPool3d": (lambda n: n.LPPool3d(2, 2), (2, 3, 4, 4, 4)),
    "AdaptiveAvgPool1d": (lambda n: n.AdaptiveAvgPool1d(3), (2, 3, 8)),
    "LPPool2d": (lambda n: n.LPPool2d(2, 2), (2, 3, 4, 4)),
    "Upsample": (lambda n: n.Upsample(scale_factor=2), (2, 3, 4, 4)),
    "Upsample bilinear": (lambda n: n.Upsample(size=(5, 7), mode="bilinear"), (2, 3, 4, 4)),
    "PixelShuffle": (lambda n: n.PixelShuffle(2), (2, 8, 3, 3)),
    "PixelUnshuffle": (lambda n: n.PixelUnshuffle(2), (2, 2, 4, 4)),
    "ZeroPad2d": (lambda n: n.ZeroPad2d((1, 2, 0, 1)), (2, 3, 4, 4)),
    "ConstantPad1d": (lambda n: n.ConstantPad1d(2, 3.5), (2, 3, 4)),
    "ReflectionPad2d": (lambda n: n.ReflectionPad2d(1), (2, 3, 4, 4)),
    "ReplicationPad1d": (lambda n: n.ReplicationPad1d((1, 3)), (2, 3, 4)),
    "CircularPad2d": (lambda n: n.CircularPad2d(1), (2, 3, 4, 4)),
    "ReflectionPad3d": (lambda n: n.ReflectionPad3d(1), (1, 2, 3, 3, 3)),
    "ReplicationPad3d": (lambda n: n.ReplicationPad3d((1, 0, 2, 1, 0, 1)), (1, 2, 3, 3, 3)),
    "CircularPad3d": (lambda n: n.CircularPad3d(1), (1, 2, 3, 3, 3)),
    "ConstantPad3d": (lambda n: n.ConstantPad3d(1, 2.5), (1, 2, 3, 3, 3)),
    "ZeroPad1d": (lambda n: n.ZeroPad1d(1), (2, 3, 3)),
    "ZeroPad3d": (lambda n: n.ZeroPad3d(1), (1, 2, 3, 3, 3)),
    "ReflectionPad1d": (lambda n: n.ReflectionPad1d(2), (2, 3, 4)),
    "ReplicationPad2d": (lambda n: n.ReplicationPad2d(1), (2, 3, 4, 4)),
    "CircularPad1d": (lambda n: n.CircularPad1d(1), (2, 3, 4)),
    "ConstantPad2d": (lambda n: n.ConstantPad2d((1, 0, 0, 2), -1.0), (2, 3, 4, 4)),
    "ChannelShuffle": (lambda n: n.ChannelShuffle(2), (2, 4, 3, 3)),
    "UpsamplingNearest2d": (lambda n: n.UpsamplingNearest2d(scale_factor=2), (1, 2, 3, 3)),
    "UpsamplingBilinear2d": (lambda n: n.UpsamplingBilinear2d(scale_factor=2), (1, 2, 3, 3)),
    "Unfold": (lambda n: n.Unfold((2, 3), padding=1), (2, 3, 4, 5)),
    "Fold": (lambda n: n.Fold((4, 5), (2, 2)), (2, 12, 12)),
    "CosineSimilarity": (lambda n: n.CosineSimilarity(), (2, 3), (2, 3)),
    "PairwiseDistance": (lambda n: n.PairwiseDistance(), (2, 3), (2, 3)),
    "PReLU": (lambda n: n.PReLU(3), (2, 3, 4)),
    **{
        name: (lambda n, name=name: getattr(n, name)(), (2, 6))
        for name in [
            "ReLU",
            "ReLU6",
            "GELU",
            "SiLU",
            "Mish",
            "ELU",
            "SELU",
            "CELU",
            "LeakyReLU",
            "Hardtanh",
            "Hardswish",
            "Hardsigmoid",
            "Hardshrink",
            "Softshrink",
            "Tanhshrink",
            "Softsign",
            "Softplus",
            "LogSigmoid",
            "Sigmoid",
            "Tanh",
            "GLU",
        ]
    },
    "Softmax": (lambda n: n.Softmax(dim=1), (2, 6)),
    "Softmin": (lambda n: n.Softmin(dim=1), (2, 6)),
    "LogSoftmax": (lambda n: n.LogSoftmax(dim=1), (2, 6)),
    "Softmax2d": (lambda n: n.Softmax2d(), (2, 3, 4, 4)),
    "Threshold": (lambda n: n.Threshold(0.1, 20.0), (2, 6)),
    "RReLU eval": (lambda n: n.RReLU().eval(), (2, 6)),
    "GELU tanh": (lambda n: n.GELU(approximate="tanh"), (2, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(compare_modules, name):
    make, *shapes = LAYERS[name]
    # torch keeps the constants of these two in float32
    tolerance = 1e-6 if name in ("CELU", "Hardsigmoid") else 1e-9
    compare_modules(make, *(numbers(*s) for s in shapes), tolerance=tolerance)


def test_embedding(compare_modules):
    index = np.array([[0, 1, 2], [3, 3, 1]])
    compare_modules(lambda n: n.Embedding(5, 3, padding_idx=1), index)
    table = lg.randn(4, 2)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    np.testing.assert_array_equal(frozen(lg.tensor([2])).numpy(force=True)[0], table.numpy(force=True)[2])


LOSSES = {
    "CrossEntropyLoss": ({"weight": True, "label_smoothing": 0.1}, "classes"),
    "NLLLoss": ({}, "classes"),
    "MSELoss": ({"reduction": "sum"}, "values"),
    "L1Loss": ({}, "values"),
    "SmoothL1Loss": ({"beta": 0.3}, "values"),
    "HuberLoss": ({"delta": 0.3}, "values"),
    "BCELoss": ({}, "shares"),
    "BCEWithLogitsLoss": ({"pos_weight": True}, "shares"),
    "KLDivLoss": ({"reduction": "batchmean"}, "shares"),
    "SoftMarginLoss": ({}, "signs"),
    "PoissonNLLLoss": ({}, "shares"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(compare, name):
    options, kind = LOSSES[name]
    target = {
        "classes": np.array([0, 2, 1, 2]),
        "values": numbers(4, 3),
        "shares": 1 / (1 + np.exp(-numbers(4, 3))),
        "signs": np.sign(numbers(4, 3)),
    }[kind]

    def program(lib, x):
        given = {k: lib.t.tensor([0.5, 1.0, 2.0]).double() if v is True else v for k, v in options.items()}
        module = getattr(lib.nn, name)(**given)
        assert list(module.state_dict()) == [k for k in given if k in ("weight", "pos_weight")]
        assert repr(module) == f"{name}()"
        return module(x.sigmoid() if name == "BCELoss" else x, lib.t.tensor(target))

    compare(program, numbers(4, 3))


RECURRENT = {
    "RNN": lambda n: n.RNN(3, 4),
    "RNN relu": lambda n: n.RNN(3, 4, nonlinearity="relu"),
    "GRU": lambda n: n.GRU(3, 4, num_layers=2, bias=False),
    "LSTM": lambda n: n.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
}


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("which", [0, 1])
def test_recurrent(compare_modules, name, which):
    def call(module, x):
        result = module(x)[which]
        return result[0] + result[1] if isinstance(result, tuple) else result

    compare_modules(RECURRENT[name], numbers(5, 2, 3), call=call)
    compare_modules(RECURRENT[name], numbers(5, 3), call=call)


def test_recurrent_with_states(compare_modules):
    def call(module, x, h, c):
        output, (hidden, cell) = module(x, (h, c))
        return output.sum() + (hidden * cell).sum()

    compare_modules(
        lambda n: n.LSTM(3, 4, 2), numbers(5, 2, 3), numbers(2, 2, 4), numbers(2, 2, 4), call=call
    )
    compare_modules(
        lambda n: n.GRU(3, 4), numbers(5, 2, 3), numbers(1, 2, 4), call=lambda m, x, h: m(x, h)[0]
    )


def test_cells(compare_modules):
    compare_modules(lambda n: n.RNNCell(3, 4), numbers(2, 3), numbers(2, 4))
    compare_modules(lambda n: n.GRUCell(3, 4), numbers(2, 3), numbers(2, 4))
    compare_modules(
        lambda n: n.LSTMCell(3, 4),
        numbers(2, 3),
        numbers(2, 4),
        numbers(2, 4),
        call=lambda m, x, h, c: sum(m(x, (h, c))),
    )


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need", [True, False])
def test_multihead_attention(compare_modules, batch_first, need):
    causal = np.triu(np.ones((5, 5), bool), 1)
    padding = np.array([[False] * 4 + [True], [False] * 5])

    def call(module, x, mask, hidden):
        if batch_first:
            return module(x, x, x, key_padding_mask=hidden, attn_mask=mask, need_weights=need)[0]
        x = x.transpose(0, 1)
        return module(x, x, x, key_padding_mask=hidden, attn_mask=mask, need_weights=need)[0]

    compare_modules(
        lambda n: n.MultiheadAttention(8, 2, batch_first=batch_first),
        numbers(2, 5, 8),
        causal,
        padding,
        call=call,
    )


def test_multihead_attention_across(compare_modules):
    compare_modules(
        lambda n: n.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True),
        numbers(2, 5, 8),
        numbers(2, 3, 6),
        numbers(2, 3, 4),
        call=lambda m, q, k, v: m(q, k, v)[1],
    )


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layers(compare_modules, norm_first):
    options = {"dim_feedforward": 16, "dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    compare_modules(lambda n: n.TransformerEncoderLayer(8, 2, activation="gelu", **options), numbers(2, 5, 8))
    compare_modules(lambda n: n.TransformerDecoderLayer(8, 2, **options), numbers(2, 5, 8), numbers(2, 4, 8))


def test_transformer(compare_modules):
    def call(module, source, target):
        mask = module.generate_square_subsequent_mask(4).to(source.dtype)
        return module(source, target, tgt_mask=mask)

    compare_modules(
        lambda n: n.Transformer(8, 2, 1, 2, 16, dropout=0.0), numbers(5, 2, 8), numbers(4, 2, 8), call=call
    )


def test_batch_norm_over_steps():
    theirs, mine = torch.nn.BatchNorm1d(3, momentum=None).double(), nn.BatchNorm1d(3, momentum=None).double()
    for _ in range(4):
        x = numbers(5, 3)
        theirs(torch.tensor(x))
        mine(lg.tensor(x))
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[name].numpy(force=True), value.numpy(force=True), rtol=1e-9)
    x = numbers(5, 3)
    np.testing.assert_allclose(
        mine.eval()(lg.tensor(x)).numpy(force=True),
        theirs.eval()(torch.tensor(x)).detach().numpy(force=True),
        rtol=1e-9,
    )
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        mine(lg.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        mine.train()(lg.zeros(1, 3).double())
