"""Norms and dropout."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.shape import Shape
from lazygrad.tensor import random
from lazygrad.tensor.autocast import float32_operands
from lazygrad.tensor.core import grad_mode, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def _float32(name: str, input: Tensor, *others: Tensor | None) -> list[Node | None]:
    """Nodes of the given tensors, in float32 where autocast wants this operation there."""
    given = [t.node for t in (input, *others) if t is not None]
    found = iter(float32_operands(name, *given))
    return [None if t is None else next(found) for t in (input, *others)]


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Zero mean and unit variance over the trailing dimensions, then weight and bias."""
    x, w, b = _float32("layer_norm", input, weight, bias)
    assert x is not None
    return wrap(library.layer_norm(x, tuple(normalized_shape), w, b, eps))


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Unit root mean square over the trailing dimensions, then weight; eps=None is the dtype's own."""
    x, w = _float32("rms_norm", input, weight)
    assert x is not None
    return wrap(library.rms_norm(x, tuple(normalized_shape), w, machine_epsilon(x) if eps is None else eps))


def machine_epsilon(node: Node) -> float:
    """The distance from 1 to the next number in the compute dtype: torch's default eps of rms_norm."""
    return 2.0 ** -(52 if node.dtype.itemsize == 8 else 23)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Zero mean and unit variance over groups of channels."""
    x, w, b = _float32("group_norm", input, weight, bias)
    assert x is not None
    return wrap(library.group_norm(x, num_groups, w, b, eps))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Zero mean and unit variance for each sample's channel over its positions."""
    x = input.node
    w, b = (None if t is None else t.node for t in (weight, bias))
    if not use_input_stats:
        assert running_mean is not None and running_var is not None
        return wrap(library.batch_norm(x, running_mean.node, running_var.node, w, b, eps))
    axes = tuple(range(2, x.ndim))
    count = x.numel // max(x.shape[0] * x.shape[1], 1)
    if count <= 1:
        raise ValueError(
            at_user_line(f"Expected more than 1 spatial element when training, got input size {list(x.shape)}")
        )
    if running_mean is not None and running_var is not None:
        _, average, variance = library.standardized(library.wide(x), axes, eps)
        batch = [library.mean(s, (0,)) for s in (average, build.scale(variance, count / (count - 1)))]
        _track(running_mean, batch[0], momentum)
        _track(running_var, batch[1], momentum)
    return wrap(library.group_norm(x, x.shape[1], w, b, eps))


def _track(running: Tensor, batch: Node, momentum: float | Tensor) -> None:
    """running = (1 - momentum) * running + momentum * batch, outside autograd."""
    with grad_mode(False):
        node = running.node
        new = build.cast(build.reshape(build.detach(batch), node.shape), node.dtype)
        share = build.like(node, momentum) if isinstance(momentum, (int, float)) else momentum.node
        share = build.cast(share, node.dtype)
        kept = build.mul(node, build.sub(build.like(share, 1), share))
        running._write(build.add(kept, build.mul(new, share)))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Zero mean and unit variance a channel: over the batch while training, by the running statistics
    otherwise.

    Training moves the running statistics towards the batch's mean and unbiased variance by `momentum`.
    """
    x = input.node
    w, b = (None if t is None else t.node for t in (weight, bias))
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(at_user_line("batch_norm: running statistics are needed when not training"))
        return wrap(library.batch_norm(x, running_mean.node, running_var.node, w, b, eps))
    count = x.numel // max(x.shape[1], 1)
    if count == 1:
        raise ValueError(
            at_user_line(f"Expected more than 1 value per channel when training, got input size {list(x.shape)}")
        )
    axes: Shape = (0, *range(2, x.ndim))
    y, average, variance = library.standardized(library.wide(x), axes, eps)
    if count and running_mean is not None and running_var is not None:
        _track(running_mean, average, momentum)
        _track(running_var, build.scale(variance, count / (count - 1)), momentum)
    return wrap(build.cast(library.affine(y, w, b, library.channels(x)), x.dtype))


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Krizhevsky et al. 2012: divided by a power of the squares' mean over `size` neighbouring channels."""
    if input.ndim < 3:
        raise ValueError(at_user_line(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)"))
    x = library.wide(input.node)
    widths = [(0, 0)] * x.ndim
    widths[1] = (size // 2, (size - 1) // 2)
    padded = build.pad(build.mul(x, x), widths)
    parts = []
    for i in range(size):
        bounds = [(0, n, 1) for n in padded.shape]
        bounds[1] = (i, i + x.shape[1], 1)
        parts.append(build.slice_(padded, bounds))
    total = parts[0]
    for part in parts[1:]:
        total = build.add(total, part)
    base = build.shift(build.scale(total, alpha / size), k)
    divisor = build.pointwise(ops.POW, base, build.like(base, beta))
    return wrap(build.cast(build.div(x, divisor), input.dtype))


# -- dropout ------------------------------------------------------------------------------------------
def _dropout(name: str, input: Tensor, p: float, training: bool, inplace: bool, mask_shape: Shape) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(at_user_line(f"dropout probability has to be between 0 and 1, but got {p}"))
    if not training or p == 0 or input.node.numel == 0:
        return input
    node = input.node
    seed, (counter,) = random.counters(mask_shape, random.default_generator(node.device))
    result = library.dropout(node, p, seed, counter)
    return input._write(result) if inplace else wrap(result)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element 0 with probability p, else scaled by 1 / (1 - p); the identity when not training."""
    return _dropout("dropout", input, p, training, inplace, input.node.shape)


def _channel_dropout(name: str, dims: tuple[int, ...]) -> Callable[..., Tensor]:
    def function(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        shape = input.node.shape
        if len(shape) not in dims:
            if len(shape) < 2 or name == "dropout1d":
                expected = " or ".join(map(str, dims))
                raise RuntimeError(at_user_line(f"{name}: Expected {expected} dimensions, got {len(shape)}"))
            warnings.warn(f"{name}: a {len(shape)}-D input is deprecated, use dropout instead", stacklevel=2)
        # without a batch the first dimension is the channel; torch's dropout2d takes three for (N, C, L)
        kept = 1 if len(shape) == dims[0] and name != "dropout2d" else 2
        return _dropout(name, input, p, training, inplace, shape[:kept] + (1,) * (len(shape) - kept))

    function.__name__ = name
    function.__doc__ = "dropout of whole channels."
    return function


dropout1d = _channel_dropout("dropout1d", (2, 3))
dropout2d = _channel_dropout("dropout2d", (3, 4))
dropout3d = _channel_dropout("dropout3d", (4, 5))


def _alpha_dropout(input: Tensor, p: float, training: bool, inplace: bool, mask_shape: Shape) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(at_user_line(f"dropout probability has to be between 0 and 1, but got {p}"))
    node = input.node
    if not training or p == 0 or node.numel == 0:
        return input
    floor = -1.7580993408473766
    a = (1.0 / ((1 - p) * (1 + p * floor * floor))) ** 0.5 if p < 1 else 0.0
    seed, (counter,) = random.counters(mask_shape, random.default_generator(node.device))
    mixed = build.where(library.keep_mask(seed, counter, p), node, build.like(node, floor))
    result = build.shift(build.scale(mixed, a), -a * p * floor)
    return input._write(result) if inplace else wrap(result)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of SELU's outputs (Klambauer et al. 2017)."""
    return _alpha_dropout(input, p, training, inplace, input.node.shape)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels: of dimensions 0 and 1."""
    shape = input.node.shape
    if len(shape) < 2:
        raise RuntimeError(at_user_line("Feature dropout requires at least 2 dimensions in the input"))
    return _alpha_dropout(input, p, training, inplace, shape[:2] + (1,) * (len(shape) - 2))
