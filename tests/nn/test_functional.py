"""nn.functional against torch: values, dtypes, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


ACTIVATIONS = {
    "relu": {},
    "relu6": {},
    "gelu": {},
    "gelu tanh": {"approximate": "tanh"},
    "silu": {},
    "mish": {},
    "elu": {"alpha": 0.7},
    "selu": {},
    "celu": {"alpha": 1.3},
    "leaky_relu": {"negative_slope": 0.2},
    "hardtanh": {"min_val": -0.5, "max_val": 0.7},
    "hardsigmoid": {},
    "hardswish": {},
    "hardshrink": {"lambd": 0.4},
    "softshrink": {"lambd": 0.4},
    "tanhshrink": {},
    "softsign": {},
    "softplus": {},
    "softplus beta": {"beta": 2.0, "threshold": 1.0},
    "logsigmoid": {},
    "threshold": {"threshold": 0.1, "value": 20.0},
    "sigmoid": {},
    "tanh": {},
    "rrelu": {},
    "glu": {"dim": 0},
    "softmax": {"dim": 1},
    "softmin": {"dim": -1},
    "log_softmax": {"dim": 0},
}


@pytest.mark.parametrize("case", ACTIVATIONS)
def test_activations(compare, case):
    x = np.concatenate([numbers(4, 6) * 3, [[0, -3, 3, 6, 30, -40], [100, -100, 1e-9, -1e-9, 0.5, 0.1]]])
    # torch keeps the constants of these two in float32
    tolerance = 1e-7 if case in ("celu", "hardsigmoid") else 1e-9
    compare(lambda lib, x: getattr(lib.F, case.split()[0])(x, **ACTIVATIONS[case]), x, tolerance=tolerance)


@pytest.mark.parametrize("case", ["gelu", "silu", "softmax", "log_softmax", "mish", "logsigmoid"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves_are_rounded_once(case, dtype):
    x = numbers(5, 8) * 2
    arguments = {"dim": -1} if "softmax" in case else {}
    mine = getattr(F, case)(lg.tensor(x, dtype=getattr(lg, dtype)), **arguments)
    exact = getattr(torch.nn.functional, case)(
        torch.tensor(x, dtype=getattr(torch, dtype)).double(), **arguments
    )
    assert mine.dtype is getattr(lg, dtype)
    rounded = exact.to(getattr(torch, dtype)).double().numpy()
    step = {"bfloat16": 2.0**-8, "float16": 2.0**-11}[dtype]
    np.testing.assert_allclose(mine.numpy().astype(np.float64), rounded, rtol=2 * step, atol=1e-7)


def test_softmax_of_large_and_hidden_scores(compare):
    compare(lambda lib, x: lib.F.softmax(x, -1), np.array([[1e4, 1e4 - 1, -1e4], [-np.inf, 0.0, 1.0]]))
    compare(lambda lib, x: lib.F.log_softmax(x, -1), np.array([[1e4, 1e4 - 1, -1e4], [5.0, 0.0, 1.0]]))


def test_second_gradients_of_softmax():
    results = []
    x = numbers(3, 4)
    for library, grad in ((torch, torch.autograd.grad), (lg, lg.autograd.grad)):
        t = library.tensor(x).requires_grad_()
        y = (library.nn.functional.softmax(t, -1) ** 2).sum()
        (g,) = grad(y, t, create_graph=True)
        (h,) = grad((g**3).sum(), t)
        results.append(h)
    np.testing.assert_allclose(results[1].numpy(), results[0].numpy(), rtol=1e-9, atol=1e-12)


def test_prelu(compare):
    compare(lambda lib, x, w: lib.F.prelu(x, w), numbers(2, 3, 4), np.array([0.1, 0.2, 0.3]))
    compare(lambda lib, x, w: lib.F.prelu(x, w), numbers(2, 3), np.array([0.1]))


@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(compare, shape, bias):
    arrays = [numbers(*shape), numbers(3, 4), *([numbers(3)] if bias else [])]
    compare(lambda lib, *tensors: lib.F.linear(*tensors), *arrays)


def test_linear_errors():
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        F.linear(lg.zeros(2, 3), lg.zeros(4, 5))


def test_bilinear(compare):
    compare(
        lambda lib, *t: lib.F.bilinear(*t), numbers(2, 5, 3), numbers(2, 5, 4), numbers(6, 3, 4), numbers(6)
    )


@pytest.mark.parametrize("padding", [None, 1, -2])
def test_embedding(compare, padding):
    index = np.array([[0, 1, 2], [3, 3, 1]])
    compare(lambda lib, i, w: lib.F.embedding(i, w, padding_idx=padding), index, numbers(4, 5))


def test_embedding_errors():
    with pytest.raises(IndexError):
        F.embedding(lg.tensor([7]), lg.zeros(4, 2)).numpy()
    with pytest.raises(RuntimeError, match="integer"):
        F.embedding(lg.tensor([1.0]), lg.zeros(4, 2))


def test_one_hot():
    index = np.array([[0, 2], [1, 1]])
    for classes in (-1, 5):
        mine = F.one_hot(lg.tensor(index), classes).numpy()
        np.testing.assert_array_equal(mine, torch.nn.functional.one_hot(torch.tensor(index), classes).numpy())


@pytest.mark.parametrize("shape,normalized", [((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((5,), (5,))])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_and_rms_norm(compare, shape, normalized, affine):
    weights = [numbers(*normalized), numbers(*normalized)] if affine else []
    compare(lambda lib, x, *w: lib.F.layer_norm(x, normalized, *w), numbers(*shape), *weights)
    compare(lambda lib, x, *w: lib.F.rms_norm(x, normalized, *w), numbers(*shape), *weights[:1])


def test_layer_norm_errors():
    with pytest.raises(RuntimeError, match="normalized_shape"):
        F.layer_norm(lg.zeros(2, 3), (4,))


def test_layer_norm_is_one_row_kernel_in_float32_for_halves():
    x = lg.randn(4, 256).to(lg.bfloat16)
    mine = F.layer_norm(x, (256,)).numpy().astype(np.float32)
    exact = torch.nn.functional.layer_norm(torch.tensor(x.numpy().astype(np.float32)), (256,))
    np.testing.assert_allclose(mine, exact.to(torch.bfloat16).float().numpy(), rtol=2**-7, atol=1e-6)


def test_group_norm(compare):
    compare(lambda lib, x, w, b: lib.F.group_norm(x, 3, w, b), numbers(2, 6, 4, 5), numbers(6), numbers(6))


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
def test_batch_norm(compare, shape):
    mean, variance = numbers(3), np.abs(numbers(3))
    for training in (True, False):

        def program(lib, x, w, b, training=training):
            running = lib.t.tensor(mean), lib.t.tensor(variance)
            y = lib.F.batch_norm(x, *running, w, b, training, 0.3)
            return y + running[0].mean() + running[1].mean()

        compare(program, numbers(*shape), numbers(3), numbers(3))


def test_instance_norm_and_local_response_norm(compare):
    x = numbers(2, 3, 4, 5)
    compare(lambda lib, x: lib.F.instance_norm(x), x)
    compare(lambda lib, x: lib.F.local_response_norm(x, 3, 0.1), x)


def test_vectors(compare):
    a, b = numbers(4, 5), numbers(4, 5)
    for p in (1, 2, 3, float("inf")):
        compare(lambda lib, x, p=p: lib.F.normalize(x, p, dim=1), a)
    compare(lambda lib, x, y: lib.F.cosine_similarity(x, y), a, b)
    compare(lambda lib, x, y: lib.F.pairwise_distance(x, y), a, b)


# -- dropout ------------------------------------------------------------------------------------------
def test_dropout_statistics_and_gradient():
    lg.manual_seed(3)
    x = lg.ones(400, 500, requires_grad=True)
    y = F.dropout(x, 0.3)
    values = y.detach().numpy()
    kept = values != 0
    assert abs(kept.mean() - 0.7) < 0.003
    np.testing.assert_allclose(values[kept], 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)  # the same mask, recomputed


def test_dropout_is_reproducible_and_fresh():
    lg.manual_seed(3)
    first = [F.dropout(lg.ones(100), 0.5).numpy() for _ in range(2)]
    lg.manual_seed(3)
    again = [F.dropout(lg.ones(100), 0.5).numpy() for _ in range(2)]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()


def test_dropout_ends():
    x = lg.randn(10)
    assert F.dropout(x, 0.5, training=False) is x
    np.testing.assert_array_equal(F.dropout(x, 1.0).numpy(), np.zeros(10, np.float32))
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(x, 1.5)


def test_channel_dropout():
    y = F.dropout2d(lg.ones(8, 50, 3, 3), 0.5).numpy()
    assert ((y == 0).all((2, 3)) | (y == 2).all((2, 3))).all()
    assert 0.3 < (y == 0).mean() < 0.7


# -- losses -------------------------------------------------------------------------------------------
PAIRS = {
    "mse_loss": {},
    "l1_loss": {},
    "smooth_l1_loss": {"beta": 0.5},
    "huber_loss": {"delta": 0.7},
    "kl_div": {},
    "kl_div log": {"log_target": True},
    "poisson_nll_loss": {},
    "poisson_nll_loss full": {"log_input": False, "full": True},
    "binary_cross_entropy": {},
    "binary_cross_entropy_with_logits": {},
    "soft_margin_loss": {},
    "hinge_embedding_loss": {"margin": 0.8},
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", PAIRS)
def test_losses_of_pairs(compare, case, reduction):
    name = case.split()[0]
    x, y = numbers(4, 3), numbers(4, 3)
    if name in ("kl_div", "poisson_nll_loss", "binary_cross_entropy"):
        x, y = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-y))
    if name == "poisson_nll_loss":
        y = y * 5
    if name == "binary_cross_entropy_with_logits":
        y = 1 / (1 + np.exp(-y))
    if name in ("soft_margin_loss", "hinge_embedding_loss"):
        y = np.sign(y)

    def program(lib, x):
        return getattr(lib.F, name)(x, lib.t.tensor(y), reduction=reduction, **PAIRS[case])

    compare(program, x)


def test_loss_weights(compare):
    x, y, w = numbers(4, 3), 1 / (1 + np.exp(-numbers(4, 3))), np.abs(numbers(3))

    def program(lib, x):
        return lib.F.binary_cross_entropy_with_logits(
            x, lib.t.tensor(y), weight=lib.t.tensor(w), pos_weight=lib.t.tensor(w * 2)
        )

    compare(program, x)
    compare(
        lambda lib, x: lib.F.binary_cross_entropy(x.sigmoid(), lib.t.tensor(y), weight=lib.t.tensor(w)), x
    )


def test_bce_with_logits_at_zero(compare):
    compare(
        lambda lib, x: lib.F.binary_cross_entropy_with_logits(x, lib.t.tensor([0.25, 1.0]).double()),
        np.zeros(2),
    )


@pytest.mark.parametrize(
    "shape,target", [((5, 4), (5,)), ((4,), ()), ((2, 4, 3), (2, 3)), ((2, 4, 3, 2), (2, 3, 2))]
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", ["plain", "weight", "smoothing", "weight smoothing", "ignore"])
def test_cross_entropy(compare, shape, target, reduction, options):
    index = np.random.default_rng(2).integers(0, 4, target)
    if options == "ignore":
        if not target:
            pytest.skip("nothing would be left")
        index.flat[0] = -100
        index.flat[1] = 2

    def program(lib, x):
        arguments = {}
        if "weight" in options:
            arguments["weight"] = lib.t.tensor(np.array([0.5, 1.0, 2.0, 0.1]))
        if "smoothing" in options:
            arguments["label_smoothing"] = 0.2
        return lib.F.cross_entropy(x, lib.t.tensor(index), reduction=reduction, **arguments)

    compare(program, numbers(*shape) * 3)
    if "smoothing" not in options:

        def likelihood(lib, x):
            arguments = (
                {"weight": lib.t.tensor(np.array([0.5, 1.0, 2.0, 0.1]))} if "weight" in options else {}
            )
            log_p = lib.F.log_softmax(x, 1 if len(shape) > 1 else 0)
            return lib.F.nll_loss(log_p, lib.t.tensor(index), reduction=reduction, **arguments)

        compare(likelihood, numbers(*shape))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_with_probabilities(compare, reduction):
    p = np.random.default_rng(0).dirichlet(np.ones(4), 5)

    def program(lib, x):
        weight = lib.t.tensor(np.array([0.5, 1.0, 2.0, 0.1]))
        return lib.F.cross_entropy(
            x, lib.t.tensor(p), weight=weight, reduction=reduction, label_smoothing=0.1
        )

    compare(program, numbers(5, 4))


def test_cross_entropy_of_large_logits():
    loss = F.cross_entropy(lg.tensor([[1e4, 0.0], [-1e4, 1e4]]), lg.tensor([1, 0]))
    assert loss.item() == pytest.approx(1.5e4)


def test_cross_entropy_errors():
    with pytest.raises(ValueError, match="batch_size"):
        F.cross_entropy(lg.zeros(3, 4), lg.tensor([1, 2]))
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        F.cross_entropy(lg.zeros(2, 4), lg.tensor([1, 2]), reduction="average")
    with pytest.raises(RuntimeError, match="class indices"):
        F.cross_entropy(lg.zeros(2, 4), lg.tensor([1.0, 2.0]))
    with pytest.raises(IndexError):
        F.cross_entropy(lg.zeros(2, 4), lg.tensor([1, 9])).item()


def test_losses_of_more(compare):
    a, b, c = numbers(4, 3), numbers(4, 3), numbers(4, 3)
    sign = np.array([1.0, -1, 1, -1])
    compare(lambda lib, a, b, c: lib.F.triplet_margin_loss(a, b, c), a, b, c)
    compare(lambda lib, a, b, c: lib.F.triplet_margin_loss(a, b, c, swap=True), a, b, c)
    compare(lambda lib, a, b: lib.F.cosine_embedding_loss(a, b, lib.t.tensor(sign), 0.1), a, b)
    compare(lambda lib, a, b: lib.F.margin_ranking_loss(a[:, 0], b[:, 0], lib.t.tensor(sign), 0.1), a, b)
    compare(lambda lib, a, b, c: lib.F.gaussian_nll_loss(a, b, c.abs(), full=True), a, b, c)
    for p in (1, 2):
        compare(lambda lib, a, p=p: lib.F.multi_margin_loss(a, lib.t.tensor([0, 2, 1, 1]), p=p), a)
