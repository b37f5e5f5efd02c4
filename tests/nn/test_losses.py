"""Losses over several labels, sequences and clusters of classes against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


LISTED = np.array([[3, 0, -1, 1, 2], [-1, 1, 2, 3, 4], [0, 1, 2, 3, 4], [2, 2, -1, -1, 0]])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_multilabel(compare, reduction):
    compare(lambda lib, x, y: lib.F.multilabel_margin_loss(x, y, reduction=reduction), numbers(4, 5), LISTED)
    compare(lambda lib, x, y: lib.F.multilabel_margin_loss(x, y, reduction=reduction), numbers(5), LISTED[0])
    y, w = (numbers(4, 5) > 0).astype(float), np.abs(numbers(5))

    def soft(lib, x):
        weight = lib.t.tensor(w)
        return lib.F.multilabel_soft_margin_loss(x, lib.t.tensor(y), weight, reduction=reduction)

    compare(soft, numbers(4, 5) * 10)
    with pytest.raises(RuntimeError, match="inconsistent target size"):
        F.multilabel_margin_loss(lg.zeros(4, 5), lg.tensor(LISTED[0]))


def test_multi_margin(compare):
    def program(lib, x, p):
        weight = lib.t.tensor(np.array([0.5, 1.0, 2.0, 1.0, 1.0]))
        return lib.F.multi_margin_loss(x, lib.t.tensor([0, 2, 1, 1]), p, 0.7, weight, reduction="none")

    compare(lambda lib, x: program(lib, x, 1), numbers(4, 5))
    compare(lambda lib, x: program(lib, x, 2), numbers(4, 5))
    with pytest.raises(ValueError, match="p == 1 and p == 2"):
        F.multi_margin_loss(lg.zeros(2, 3), lg.tensor([0, 1]), p=3)


@pytest.mark.parametrize("swap", [True, False])
def test_triplets_with_any_distance(compare, swap):
    def program(lib, *t):
        module = lib.nn.TripletMarginWithDistanceLoss(
            distance_function=lambda a, b: (a - b).abs().sum(-1), margin=0.5, swap=swap
        )
        return module(*t) + lib.F.triplet_margin_with_distance_loss(*t, swap=swap)

    compare(program, numbers(4, 3), numbers(4, 3), numbers(4, 3))


MODULES = {
    "MultiLabelMarginLoss": ({}, LISTED),
    "MultiLabelSoftMarginLoss": ({"reduction": "sum"}, (LISTED > 0).astype(float)),
    "MultiMarginLoss": ({"p": 2}, np.array([0, 2, 1, 1])),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(compare, name):
    options, target = MODULES[name]

    def program(lib, x):
        module = getattr(lib.nn, name)(**options)
        assert repr(module) == f"{name}()"
        return module(x, lib.t.tensor(target))

    compare(program, numbers(4, 5))


@pytest.mark.skipif(not hasattr(torch.nn, "LinearCrossEntropyLoss"), reason="torch before 2.13 has none")
def test_linear_cross_entropy(compare):
    y = np.array([0, 2, 1, -100])
    compare(
        lambda lib, x, w, b: lib.F.linear_cross_entropy(x, w, lib.t.tensor(y), linear_bias=b, label_smoothing=0.1),
        numbers(4, 5),
        numbers(3, 5),
        numbers(3),
    )


# -- CTC ----------------------------------------------------------------------------------------------
CTC = {
    "padded": ((6, 3, 5), [[1, 2, 2], [3, 0, 0], [4, 4, 1]], [6, 4, 5], [3, 1, 2], {}),
    "in one row": ((6, 3, 5), [1, 2, 2, 3, 4, 4], [6, 4, 5], [3, 1, 2], {"reduction": "sum"}),
    "another blank": ((6, 2, 4), [[0, 1], [2, 2]], [6, 6], [2, 2], {"blank": 3, "reduction": "none"}),
    "empty target": ((4, 2, 4), [[1, 1], [2, 2]], [4, 4], [0, 2], {}),
    "impossible": ((3, 2, 4), [[1, 1, 1], [2, 1, 0]], [3, 3], [3, 2], {"zero_infinity": True}),
    "without batch": ((5, 4), [1, 3], [5], [2], {}),
}


@pytest.mark.parametrize("case", CTC)
def test_ctc(compare, case):
    shape, targets, inputs, outputs, options = CTC[case]

    def program(lib, x):
        lengths = [lib.t.tensor(n[0] if len(shape) == 2 else n) for n in (inputs, outputs)]
        log_p = lib.F.log_softmax(x, -1)
        return lib.nn.CTCLoss(**options)(log_p, lib.t.tensor(targets), *lengths)

    compare(program, numbers(*shape), tolerance=1e-8)


def test_ctc_of_an_impossible_target_is_infinite():
    log_p = F.log_softmax(lg.zeros(3, 1, 4), -1)
    loss = F.ctc_loss(log_p, lg.tensor([[1, 1, 1]]), [3], [3], reduction="none")
    assert np.isinf(loss.numpy()).all()
    with pytest.raises(RuntimeError, match="blank"):
        F.ctc_loss(log_p, lg.tensor([[1]]), [3], [1], blank=4)
    with pytest.raises(RuntimeError, match="input_lengths"):
        F.ctc_loss(log_p, lg.tensor([[1]]), [4], [1])
    with pytest.raises(ValueError, match="reduction"):
        F.ctc_loss(log_p, lg.tensor([[1]]), [3], [1], reduction="average")


# -- adaptive softmax ---------------------------------------------------------------------------------
@pytest.mark.parametrize("part", ["output", "loss", "log_prob", "predict"])
def test_adaptive_log_softmax(compare_modules, part):
    target = np.array([0, 11, 3, 4, 7, 19, 2, 12])

    def call(module, x, y):
        if part in ("log_prob", "predict"):
            return getattr(module, part)(x)
        return getattr(module(x, y), part)

    def make(n):
        return n.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 12], div_value=2.0, head_bias=True)

    mine, theirs = compare_modules(make, numbers(8, 16), target, call=call)
    if part in ("output", "loss"):
        x, y = numbers(16), np.array(5)
        one = call(theirs, torch.tensor(x), torch.tensor(y))
        np.testing.assert_allclose(call(mine, lg.tensor(x), lg.tensor(y)).item(), one.item(), rtol=1e-9)


def test_adaptive_log_softmax_errors():
    with pytest.raises(ValueError, match="cutoffs"):
        nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5, 5])
    layer = nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5, 7])
    for wrong in (10, -1):
        with pytest.raises(IndexError):
            layer(lg.zeros(1, 4), lg.tensor([wrong])).loss.item()
    with pytest.raises(RuntimeError, match="same size"):
        layer(lg.zeros(2, 4), lg.tensor([1]))


LINEAR = {
    "rows": ({}, (5, 3), ()),
    "row": ({"bias": True}, (3,), ()),
    "many": ({"out_features": (2, 3), "bias": True}, (5, 3), (2, 3)),
    "smoothed": ({"label_smoothing": 0.1, "ignore_index": 1, "reduction": "none"}, (5, 3), ()),
}


@pytest.mark.skipif(not hasattr(torch.nn, "LinearCrossEntropyLoss"), reason="torch before 2.13 has none")
@pytest.mark.parametrize("name", LINEAR)
def test_linear_cross_entropy_loss(compare_modules, name):
    options, shape, more = LINEAR[name]
    target = np.random.default_rng(0).integers(0, 4, (*shape[:-1], *more))
    compare_modules(lambda n: n.LinearCrossEntropyLoss(3, 4, **options), numbers(*shape), target)
    if "ignore_index" not in options and len(shape) == 2:
        compare_modules(
            lambda n: n.LinearCrossEntropyLoss(3, 4, options=n.LinearCrossEntropyOptions(), **options),
            numbers(*shape),
            np.abs(numbers(*shape[:-1], 4, *more)),
        )
