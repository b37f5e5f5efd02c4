"""Convolutions and what goes with them: padding, unfolding, resampling, pixel shuffling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.dtype import float64
from lazygrad.errors import at_user_line
from lazygrad.ir import build, pooling, resampling, windows
from lazygrad.ir import convolution as ir
from lazygrad.ir.node import Node
from lazygrad.shape import Shape
from lazygrad.tensor.autocast import autocast_operands, float32_operands
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import from_array

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Sizes = int | Sequence[int]


def sizes_of(value: Sizes, count: int) -> Shape:
    """One number for every dimension, or one each. RuntimeError for another number of them."""
    if isinstance(value, (int, np.integer)):
        return (int(value),) * count
    listed = tuple(int(v) for v in value)
    if len(listed) == 1:
        return listed * count
    if len(listed) != count:
        raise RuntimeError(at_user_line(f"expected {count} sizes or a single one, got {list(listed)}"))
    return listed


def _batched(node: Node, positions: int, name: str) -> tuple[Node, bool]:
    """With a batch dimension, and whether it was there."""
    if node.ndim == positions + 2:
        return node, True
    if node.ndim == positions + 1:
        return build.reshape(node, (1, *node.shape)), False
    raise RuntimeError(
        at_user_line(
            f"Expected {positions + 1}D (unbatched) or {positions + 2}D (batched) input to {name}, but "
            f"got input of "
            f"size: {list(node.shape)}"
        )
    )


def _unbatched(node: Node, batched: bool) -> Node:
    return node if batched else build.reshape(node, node.shape[1:])


def _steps(stride: Any, dilation: Any, positions: int) -> tuple[Shape, Shape]:
    """(stride, dilation) of every dimension. RuntimeError where one is not positive."""
    s, d = sizes_of(stride, positions), sizes_of(dilation, positions)
    for name, sizes in (("stride", s), ("dilation", d)):
        if min(sizes) <= 0:
            raise RuntimeError(at_user_line(f"non-positive {name} is not supported, got {list(sizes)}"))
    return s, d


def _widths(padding: Any, kernel: Shape, stride: Shape, dilation: Shape) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError(at_user_line("padding='same' is not supported for strided convolutions"))
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    if isinstance(padding, str):
        raise RuntimeError(at_user_line(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'"))
    widths = [(p, p) for p in sizes_of(padding, len(kernel))]
    if any(p < 0 for p, _ in widths):
        raise RuntimeError(at_user_line(f"negative padding is not supported, got {padding}"))
    return widths


def _conv(
    positions: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    nodes = autocast_operands(x.node, weight.node, *([] if bias is None else [bias.node]))
    node, batched = _batched(nodes[0], positions, f"conv{positions}d")
    s, d = _steps(stride, dilation, positions)
    widths = _widths(padding, nodes[1].shape[2:], s, d)
    result = ir.convolution(node, nodes[1], nodes[2] if bias is not None else None, s, widths, d, groups)
    return wrap(_unbatched(result, batched))


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """(N, C, L) with weight (O, C / groups, K)."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """(N, C, H, W) with weight (O, C / groups, KH, KW)."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """(N, C, D, H, W) with weight (O, C / groups, KD, KH, KW)."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    positions: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    nodes = autocast_operands(x.node, weight.node, *([] if bias is None else [bias.node]))
    node, batched = _batched(nodes[0], positions, f"conv_transpose{positions}d")
    s, d = _steps(stride, dilation, positions)
    p, e = sizes_of(padding, positions), sizes_of(output_padding, positions)
    if any(extra >= max(a, b) for extra, a, b in zip(e, s, d, strict=True)):
        raise RuntimeError(at_user_line("output padding must be smaller than either stride or dilation"))
    result = ir.transposed_convolution(node, nodes[1], nodes[2] if bias is not None else None, s, p, e, d, groups)
    return wrap(_unbatched(result, batched))


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of conv1d; weight (C, O / groups, K)."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of conv2d; weight (C, O / groups, KH, KW)."""
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of conv3d; weight (C, O / groups, KD, KH, KW)."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """conv1d of (time, batch, channels) with weight (K, C, O) and bias (O)."""
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)


# -- padding ------------------------------------------------------------------------------------------
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pad the last dimension by pad[0], pad[1], the one before by pad[2], pad[3], ...; negative widths
    cut."""
    (node,) = float32_operands(f"{mode}_pad{len(pad) // 2}d", input.node)
    if len(pad) % 2:
        raise RuntimeError(at_user_line("Padding length must be divisible by 2"))
    widths = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    if len(widths) > node.ndim:
        raise RuntimeError(at_user_line("Padding length should be less than or equal to two times the input dimension"))
    if mode == "constant":
        cut = windows.crop_or_pad(node, [(min(b, 0), min(a, 0)) for b, a in widths])
        return wrap(windows.pad_positions(cut, [(max(b, 0), max(a, 0)) for b, a in widths], value or 0))
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(at_user_line(f"Unrecognised padding mode {mode}"))
    if not 1 <= node.ndim - len(widths) <= 2:
        raise NotImplementedError(
            at_user_line(
                f"pad: mode {mode!r} pads the last dimensions of (C, *) or (N, C, *): {len(pad)} widths are not for "
                f"input of {node.ndim} dimensions"
            )
        )
    cut = windows.crop_or_pad(node, [(min(b, 0), min(a, 0)) for b, a in widths])
    return wrap(resampling.pad_by(cut, [(max(b, 0), max(a, 0)) for b, a in widths], mode))


# -- unfold, fold, shuffles ---------------------------------------------------------------------------
def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """(N, C, H, W) to (N, C * kernel positions, windows)."""
    node, batched = _batched(input.node, 2, "unfold")
    k, d, p, s = (sizes_of(v, 2) for v in (kernel_size, dilation, padding, stride))
    return wrap(_unbatched(ir.unfold(node, k, s, p, d), batched))


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The transpose of unfold: overlapping windows added up."""
    node, batched = _batched(input.node, 1, "fold")
    n, k, d, p, s = (sizes_of(v, 2) for v in (output_size, kernel_size, dilation, padding, stride))
    return wrap(_unbatched(ir.fold(node, n, k, s, p, d), batched))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C * r^2, H, W) to (*, C, H * r, W * r)."""
    node, r = input.node, upscale_factor
    *lead, c, h, w = node.shape
    if c % (r * r):
        raise RuntimeError(
            at_user_line(
                f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                f"upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
            )
        )
    split = build.reshape(node, (math.prod(lead), c // (r * r), r, r, h, w))
    mixed = build.permute(split, (0, 1, 4, 2, 5, 3))
    return wrap(build.reshape(mixed, (*lead, c // (r * r), h * r, w * r)))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of pixel_shuffle."""
    node, r = input.node, downscale_factor
    *lead, c, h, w = node.shape
    split = build.reshape(node, (math.prod(lead), c, h // r, r, w // r, r))
    mixed = build.permute(split, (0, 1, 3, 5, 2, 4))
    return wrap(build.reshape(mixed, (*lead, c * r * r, h // r, w // r)))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of `groups` groups interleaved."""
    node = input.node
    n, c, *rest = node.shape
    split = build.reshape(node, (n, groups, c // groups, math.prod(rest)))
    return wrap(build.reshape(build.permute(split, (0, 2, 1, 3)), node.shape))


native_channel_shuffle = channel_shuffle


# -- interpolation ------------------------------------------------------------------------------------
def interpolate(
    input: Tensor,
    size: Sizes | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the positions of (N, C, *): "nearest", "nearest-exact", "linear", "bilinear", "bicubic",
    "area"."""
    node = input.node
    positions = node.ndim - 2
    old = node.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ValueError(at_user_line("only one of size or scale_factor should be defined"))
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(
            at_user_line(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                "trilinear"
            )
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(at_user_line("Anti-alias option is restricted to bilinear and bicubic modes"))
    factors: list[float | None] = [None] * positions
    if size is not None:
        new = sizes_of(size, positions)
    else:
        given = [scale_factor] * positions if isinstance(scale_factor, (int, float)) else list(scale_factor or ())
        new = tuple(math.floor(n * float(f)) for n, f in zip(old, given, strict=True))
        if not recompute_scale_factor:
            factors = [float(f) for f in given]
    if mode == "area":
        return wrap(pooling.adaptive_average_pool(node, new))
    expected = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}.get(mode)
    if expected is None and mode not in ("nearest", "nearest-exact") or expected not in (None, positions):
        raise NotImplementedError(
            at_user_line(f"interpolate: mode {mode!r} is not for input of {node.ndim} dimensions")
        )
    result = node if "nearest" in mode else build.cast(node, node.dtype.compute)
    for i, (n, m, factor) in enumerate(zip(old, new, factors, strict=True)):
        result = _resized(result, 2 + i, n, m, factor, mode, bool(align_corners), antialias)
    return wrap(build.cast(result, node.dtype))


def _resized(
    node: Node, axis: int, n: int, m: int, factor: float | None, mode: str, corners: bool, antialias: bool
) -> Node:
    if "nearest" in mode:
        if m % n == 0 and factor in (None, m / n):
            return resampling.repeat_along(node, axis, m // n)
        step = 1 / factor if factor else n / m
        place = np.arange(m) + (0.5 if mode == "nearest-exact" else 0.0)
        index = np.minimum(np.floor(place * step).astype(np.int64), n - 1)
        matrix = np.eye(n)[index]
    elif antialias:
        matrix = _smooth_weights(n, m, factor, mode == "bicubic", corners)
    else:
        matrix = _weights(n, m, factor, mode == "bicubic", corners)
    return resampling.resample(node, axis, from_array(matrix, node.device, float64))


def _weights(n: int, m: int, factor: float | None, cubic: bool, corners: bool) -> np.ndarray[Any, Any]:
    """(m, n): what each new element takes of the old ones."""
    if corners:
        place = np.arange(m) * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        place = (np.arange(m) + 0.5) * (1 / factor if factor else n / m) - 0.5
        place = place if cubic else np.maximum(place, 0)
    base = np.floor(place).astype(np.int64)
    t = place - base
    matrix = np.zeros((m, n))
    rows = np.arange(m)
    if not cubic:
        for offset, share in ((0, 1 - t), (1, t)):
            np.add.at(matrix, (rows, np.clip(base + offset, 0, n - 1)), share)
        return matrix
    for offset in (-1, 0, 1, 2):  # Keys 1981 with a = -0.75
        x = np.abs(t - offset)
        near = (1.25 * x - 2.25) * x * x + 1
        far = -0.75 * (((x - 5) * x + 8) * x - 4)
        np.add.at(matrix, (rows, np.clip(base + offset, 0, n - 1)), np.where(x <= 1, near, far))
    return matrix


def _smooth_weights(n: int, m: int, factor: float | None, cubic: bool, corners: bool) -> np.ndarray[Any, Any]:
    """(m, n): as _weights, the kernel stretched over what each new element stands for where there are fewer of them.

    Pillow's resampling, as in torch: a triangle, or Keys' cubic with a = -0.5.
    """
    if corners:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    else:
        step = 1 / factor if factor else n / m
    stretch = max(step, 1.0)
    reach = (2 if cubic else 1) * stretch
    centre = (np.arange(m)[:, None] + 0.5) * step
    column = np.arange(n)[None, :]
    first = np.maximum(np.floor(centre - reach + 0.5), 0)
    last = np.minimum(np.floor(centre + reach + 0.5), n)
    x = np.abs((column - centre + 0.5) / stretch)
    if cubic:
        near, far = (1.5 * x - 2.5) * x * x + 1, -0.5 * (((x - 5) * x + 8) * x - 4)
        value = np.where(x < 1, near, np.where(x < 2, far, 0))
    else:
        value = np.maximum(1 - x, 0)
    value = np.where((column >= first) & (column < last), value, 0)
    return value / value.sum(1, keepdims=True)


def upsample(
    input: Tensor,
    size: Sizes | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """interpolate's older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: Sizes | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """interpolate with mode="nearest"."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor, size: Sizes | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """interpolate with mode="bilinear" and align_corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)
