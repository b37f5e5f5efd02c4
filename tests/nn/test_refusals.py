"""What modules refuse: the same type of error as torch's, at the constructor or at the call."""

from __future__ import annotations

import pytest
import torch

import lazygrad as lg

BOTH = (torch, lg)


def f(name, *args, **options):
    return lambda T, x: getattr(T.nn.functional, name)(x, *args, **options)


def call(make, *inputs):
    """A module called: `inputs` are shapes."""
    return lambda T: make(T.nn)(*(T.ones(shape) for shape in inputs))


def of(function, *shape):
    return lambda T: function(T, T.ones(shape))


HEADS = lambda n: n.MultiheadAttention(8, 2)
CASES = {
    # constructors
    "same padding of strides": lambda T: T.nn.Conv1d(2, 2, 3, stride=2, padding="same"),
    "unknown padding": lambda T: T.nn.Conv2d(2, 2, 3, padding="some"),
    "padding mode": lambda T: T.nn.Conv2d(2, 2, 3, padding_mode="some"),
    "groups": lambda T: T.nn.Conv2d(4, 2, 3, groups=3),
    "bilinear of nothing": lambda T: T.nn.Bilinear(0, 2, 2),
    "margin power": lambda T: T.nn.MultiMarginLoss(3),
    "margin weight": lambda T: T.nn.MultiMarginLoss(weight=T.ones(2, 2)),
    "smoothing": lambda T: T.nn.LinearCrossEntropyLoss(2, 3, label_smoothing=2.0),
    "class weights": lambda T: T.nn.LinearCrossEntropyLoss(2, 3, weight=T.ones(2)),
    "accumulation": lambda T: T.nn.LinearCrossEntropyOptions(acc_policy="some"),
    "chunks": lambda T: T.nn.LinearCrossEntropyOptions(batch_chunk_size=0),
    "group norm": lambda T: T.nn.GroupNorm(3, 4),
    "heads": lambda T: T.nn.MultiheadAttention(8, 3),
    "argument": lambda T: T.nn.ReLU(3, 4),
    "unknown argument": lambda T: T.nn.ReLU(some=4),
    "hardtanh": lambda T: T.nn.Hardtanh(2.0, 1.0),
    "dropout": lambda T: T.nn.Dropout(1.5),
    "no module": lambda T: T.nn.utils.skip_init(int),
    "no device": lambda T: T.nn.utils.skip_init(T.nn.ReLU),
    # sizes and steps
    "conv stride": lambda T: T.nn.functional.conv1d(T.ones(1, 2, 5), T.ones(2, 2, 3), stride=0),
    "conv dilation": lambda T: T.nn.functional.conv1d(T.ones(1, 2, 5), T.ones(2, 2, 3), dilation=0),
    "conv padding": lambda T: T.nn.functional.conv1d(T.ones(1, 2, 5), T.ones(2, 2, 3), padding=-1),
    "transposed stride": lambda T: T.nn.functional.conv_transpose1d(T.ones(1, 2, 5), T.ones(2, 2, 3), stride=0),
    **{
        f"{name} {what}": of(f(name, **options), 1, 2, 5, 5)
        for name in ("max_pool2d", "avg_pool2d")
        for what, options in {
            "kernel": {"kernel_size": 0},
            "stride": {"kernel_size": 2, "stride": 0},
            "padding": {"kernel_size": 2, "padding": 2},
            "negative padding": {"kernel_size": 2, "padding": -1},
            "too large": {"kernel_size": 9},
        }.items()
    },
    "divisor": of(f("avg_pool2d", 2, divisor_override=0), 1, 2, 4, 4),
    "no channels": of(f("max_pool2d", 2), 2, 0, 4, 4),
    "corners": of(f("interpolate", 3, align_corners=True), 1, 2, 4),
    "reflection of rows": of(f("pad", (1, 1), "reflect"), 5),
    "replication of four": of(f("pad", (1, 1), "replicate"), 2, 2, 2, 5),
    "circular pad": call(lambda n: n.CircularPad2d(1), (3,)),
    # inputs
    "softmax2d": call(lambda n: n.Softmax2d(), (2, 3)),
    "glu": call(lambda n: n.GLU(), ()),
    "softshrink": call(lambda n: n.Softshrink(-1.0), (2,)),
    "celu": call(lambda n: n.CELU(0.0), (2,)),
    "prelu": call(lambda n: n.PReLU(3), (2, 4)),
    "prelu vector": call(lambda n: n.PReLU(4), (4,)),
    "response norm": call(lambda n: n.LocalResponseNorm(2), (2, 3)),
    "map norm": call(lambda n: n.CrossMapLRN2d(2), (2, 3, 4)),
    "batch norm": call(lambda n: n.BatchNorm1d(4), (1, 4)),
    "batch norm channels": call(lambda n: n.BatchNorm1d(4), (3, 3)),
    "batch norm dimensions": call(lambda n: n.BatchNorm2d(4), (3, 4)),
    "instance norm": call(lambda n: n.InstanceNorm1d(4, affine=True), (2, 3, 5)),
    "sync norm": call(lambda n: n.SyncBatchNorm(4), (4,)),
    "sync norm channels": call(lambda n: n.SyncBatchNorm(4), (4, 0, 2)),
    "dropout1d": call(lambda n: n.Dropout1d(), (4,)),
    "attention width": call(HEADS, (3, 4), (3, 8), (3, 8)),
    "attention batch": call(HEADS, (3, 2, 8), (3, 8), (3, 8)),
    "attention dimensions": call(HEADS, (3, 2, 2, 8), (3, 8), (3, 8)),
    "attention padding": lambda T: HEADS(T.nn)(*[T.ones(3, 2, 8)] * 3, key_padding_mask=T.ones(1, 3).bool()),
    "attention unbatched padding": lambda T: HEADS(T.nn)(*[T.ones(3, 8)] * 3, key_padding_mask=T.ones(1, 3).bool()),
    "attention mask": lambda T: HEADS(T.nn)(*[T.ones(3, 2, 8)] * 3, attn_mask=T.ones(2, 2)),
    "many logits of one": lambda T: T.nn.LinearCrossEntropyLoss(3, 4, out_features=(2,))(T.ones(3), T.tensor([0, 1])),
    "ignored probabilities": lambda T: T.nn.LinearCrossEntropyLoss(3, 4, ignore_index=1)(T.ones(2, 3), T.ones(2, 4)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_errors_are_torchs(name):
    raised = []
    for library in BOTH:
        with pytest.raises(Exception) as caught:
            CASES[name](library)
        raised.append(caught.value)
    assert isinstance(raised[1], type(raised[0])), f"{raised[1]!r} for {raised[0]!r}"


def test_what_is_not_there_says_what_to_use():
    from lazygrad.nn.attention.flex_attention import create_block_mask, flex_attention

    for function in (flex_attention, create_block_mask):
        with pytest.raises(NotImplementedError, match=r"scaled_dot_product_attention.*\.py:"):
            function(lg.ones(1))
    with pytest.raises(NotImplementedError, match="'cuda'"):
        lg.nn.Linear(1, 1).xpu()
