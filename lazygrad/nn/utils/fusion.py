"""Batch norm in eval mode folded into the layer before it: one layer less, the same results."""

from __future__ import annotations

import copy
from typing import TypeVar

from lazygrad.errors import at_user_line
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode
from lazygrad.tensor.creation import ones_like, zeros_like

M = TypeVar("M", bound=Module)


def _fused(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    outputs: int,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of (layer, then batch norm); the weight's dimension `outputs` is the layer's output."""
    with grad_mode(False):
        factor = (ones_like(mean) if bn_weight is None else bn_weight) * (variance + eps).rsqrt()
        shape = [1] * weight.ndim
        shape[outputs] = -1
        shifted = (zeros_like(mean) if bias is None else bias) - mean
        new_bias = shifted * factor + (zeros_like(mean) if bn_bias is None else bn_bias)
        new_weight = (weight * factor.reshape(shape)).to(weight.dtype)
    return Parameter(new_weight, weight.requires_grad), Parameter(new_bias.to(weight.dtype), weight.requires_grad)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a convolution followed by batch norm with these running statistics."""
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a linear layer followed by batch norm with these running statistics."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fuse(layer: M, bn: Module, outputs: int) -> M:
    if layer.training or bn.training:
        raise AssertionError(at_user_line("Fusion is only for eval mode: call .eval() on both modules first"))
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(at_user_line("Batch norm without running statistics can't be fused"))
    fused = copy.deepcopy(layer)
    statistics = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    fused.weight, fused.bias = _fused(fused.weight, fused.bias, *statistics, outputs)
    return fused


def fuse_conv_bn_eval(conv: M, bn: Module, transpose: bool = False) -> M:
    """A copy of `conv` that computes bn(conv(x)). Both have to be in eval mode."""
    return _fuse(conv, bn, 1 if transpose else 0)


def fuse_linear_bn_eval(linear: M, bn: Module) -> M:
    """A copy of `linear` that computes bn(linear(x)). Both have to be in eval mode."""
    if bn.num_features not in (1, linear.out_features):
        raise AssertionError(at_user_line("To fuse, linear.out_features == bn.num_features or bn.num_features == 1"))
    return _fuse(linear, bn, 0)
