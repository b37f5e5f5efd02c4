"""Convolutions, pooling, padding, resampling against torch, with gradients."""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


CONVOLUTIONS = {
    "plain": ((2, 3, 8, 7), (4, 3, 3, 2), {}),
    "one by one": ((2, 3, 5, 5), (4, 3, 1, 1), {}),
    "stride and padding": ((2, 3, 8, 7), (4, 3, 3, 2), {"stride": (2, 3), "padding": (1, 2)}),
    "dilation": ((1, 2, 9, 9), (3, 2, 3, 3), {"dilation": 2, "padding": 2}),
    "groups": ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 4, 6, 6), (4, 1, 3, 3), {"groups": 4, "stride": 2}),
    "same": ((1, 2, 6, 5), (3, 2, 4, 3), {"padding": "same"}),
    "without batch": ((3, 6, 6), (4, 3, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv2d(compare, case, bias):
    x, w, options = CONVOLUTIONS[case]
    arrays = [numbers(*x), numbers(*w), *([numbers(w[0])] if bias else [])]
    compare(lambda lib, *t: lib.F.conv2d(*t, **options), *arrays)


def test_conv1d_and_conv3d(compare):
    compare(
        lambda lib, *t: lib.F.conv1d(*t, stride=2, padding=1), numbers(2, 3, 9), numbers(4, 3, 3), numbers(4)
    )
    compare(lambda lib, *t: lib.F.conv3d(*t, padding=1), numbers(1, 2, 4, 4, 3), numbers(3, 2, 2, 3, 2))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"dilation": 2},
        {"groups": 2, "stride": 3},
        {"padding": 2},
    ],
)
def test_transposed(compare, options):
    groups = options.get("groups", 1)
    compare(
        lambda lib, *t: lib.F.conv_transpose2d(*t, **options),
        numbers(2, 4, 5, 4),
        numbers(4, 6 // groups, 3, 3),
        numbers(6),
    )
    compare(lambda lib, *t: lib.F.conv_transpose1d(*t, stride=2), numbers(2, 4, 5), numbers(4, 3, 4))
    compare(
        lambda lib, *t: lib.F.conv_transpose3d(*t, **options),
        numbers(1, 2, 5, 4, 5),
        numbers(2, 4 // groups, 2, 3, 2),
        numbers(4),
    )


def test_second_gradient(compare):
    def program(lib, x, w):
        y = lib.F.conv2d(x, w, padding=1).tanh().sum()
        (g,) = lib.t.autograd.grad(y, x, create_graph=True)
        return (g**2).sum()

    compare(program, numbers(1, 2, 4, 4), numbers(2, 2, 3, 3))


def test_errors():
    with pytest.raises(RuntimeError, match="expected input"):
        F.conv2d(lg.zeros(1, 3, 4, 4), lg.zeros(2, 4, 3, 3))
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        F.conv2d(lg.zeros(1, 3, 2, 2), lg.zeros(2, 3, 3, 3))
    with pytest.raises(RuntimeError, match="should be the same"):
        F.conv2d(lg.zeros(1, 3, 4, 4), lg.zeros(2, 3, 3, 3).double())


POOLS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": (1, 2), "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
]


@pytest.mark.parametrize("options", POOLS)
def test_max_pool(compare, options):
    compare(lambda lib, x: lib.F.max_pool2d(x, **options), numbers(2, 3, 7, 8))
    ties = np.maximum(np.round(numbers(2, 2, 7, 8)), 0)
    compare(lambda lib, x: lib.F.max_pool2d(x, **options), ties)
    compare(lambda lib, x: lib.F.max_pool2d(x, **options, return_indices=True)[1], ties)


def test_max_pool_more(compare):
    compare(lambda lib, x: lib.F.max_pool2d(x, 2, dilation=2, stride=1), numbers(1, 2, 6, 6))
    compare(lambda lib, x: lib.F.max_pool1d(x, 3, 2), numbers(2, 3, 9))
    compare(lambda lib, x: lib.F.max_pool3d(x, 2), numbers(1, 2, 4, 4, 4))
    compare(lambda lib, x: lib.F.max_pool2d(x, 2), np.array([[[[1.0, np.nan], [2, 3]]]]))


@pytest.mark.parametrize(
    "options", [*POOLS, {**POOLS[3], "count_include_pad": False}, {"kernel_size": 2, "divisor_override": 3}]
)
def test_average_pool(compare, options):
    compare(lambda lib, x: lib.F.avg_pool2d(x, **options), numbers(2, 3, 7, 8))
    if "divisor_override" not in options and isinstance(options["kernel_size"], int):
        compare(lambda lib, x: lib.F.avg_pool1d(x, **options), numbers(2, 3, 9))


@pytest.mark.parametrize("size", [1, 2, (3, 5), (None, 4), (9, 11)])
def test_adaptive(compare, size):
    compare(lambda lib, x: lib.F.adaptive_avg_pool2d(x, size), numbers(2, 3, 6, 8))
    compare(lambda lib, x: lib.F.adaptive_max_pool2d(x, size), numbers(2, 3, 6, 8))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("widths", [(1, 2), (1, 0, 2, 1)])
def test_pad(compare, mode, widths):
    compare(
        lambda lib, x: lib.F.pad(x, widths, mode),
        numbers(2, 3, 4, 5) if len(widths) == 4 else numbers(3, 4, 5),
    )


def test_pad_by_values_and_negative_widths(compare):
    compare(lambda lib, x: lib.F.pad(x, (1, -2, -1, 3), value=7.0), numbers(4, 5))
    with pytest.raises(RuntimeError, match="Padding size should be less"):
        F.pad(lg.zeros(1, 1, 3), (5, 0), "reflect")


def test_unfold_and_fold(compare):
    options = {"kernel_size": (2, 3), "stride": (2, 1), "padding": 1, "dilation": (1, 2)}
    compare(lambda lib, x: lib.F.unfold(x, **options), numbers(2, 3, 6, 7))
    compare(lambda lib, x: lib.F.fold(lib.F.unfold(x, **options), (6, 7), **options), numbers(2, 3, 6, 7))


def test_shuffles(compare):
    compare(lambda lib, x: lib.F.pixel_shuffle(x, 2), numbers(2, 8, 3, 4))
    compare(lambda lib, x: lib.F.pixel_unshuffle(x, 2), numbers(2, 3, 4, 6))


@pytest.mark.parametrize(
    "target", [{"size": (7, 9)}, {"size": (2, 3)}, {"scale_factor": 2}, {"scale_factor": (1.7, 0.6)}]
)
@pytest.mark.parametrize(
    "mode", ["nearest", "nearest-exact", "bilinear", "bilinear corners", "bicubic", "bicubic corners", "area"]
)
def test_interpolate(compare, mode, target):
    name, *corners = mode.split()
    options = {"align_corners": True} if corners else {}
    compare(
        lambda lib, x: lib.F.interpolate(x, mode=name, **target, **options),
        numbers(2, 3, 5, 6),
        tolerance=1e-6,
    )
    if name == "bilinear" and target.get("size"):
        compare(lambda lib, x: lib.F.interpolate(x, size=7, mode="linear", **options), numbers(2, 3, 5))


@pytest.mark.parametrize("target", [{"size": (7, 3)}, {"size": (2, 9)}, {"scale_factor": (0.45, 1.7)}])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("corners", [True, False])
def test_interpolate_smoothly(compare, mode, target, corners):
    compare(
        lambda lib, x: lib.F.interpolate(x, mode=mode, antialias=True, align_corners=corners, **target),
        numbers(1, 2, 6, 7),
        tolerance=1e-6,
    )


def test_interpolate_in_three_dimensions_and_older_names(compare):
    compare(lambda lib, x: lib.F.interpolate(x, size=(3, 5, 2), mode="trilinear"), numbers(1, 2, 2, 3, 4), tolerance=1e-6)
    compare(lambda lib, x: lib.F.interpolate(x, scale_factor=2), numbers(1, 2, 2, 3, 4))
    compare(lambda lib, x: lib.F.upsample(x, size=5, mode="linear", align_corners=True), numbers(1, 2, 3), tolerance=1e-6)
    with pytest.raises(ValueError, match="Anti-alias"):
        F.interpolate(lg.zeros(1, 1, 2, 2), size=3, antialias=True)
