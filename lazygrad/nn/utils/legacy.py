"""What torch.nn.utils keeps under older names, and what only makes sense where modules compute their initial values."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, TypeVar

from lazygrad.errors import at_user_line
from lazygrad.memory_layout import check_memory_format
from lazygrad.nn.module import Module
from lazygrad.nn.utils.clip_grad import clip_grad_norm_
from lazygrad.tensor import Tensor

M = TypeVar("M", bound=Module)


def clip_grad_norm(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """clip_grad_norm_'s older name. Warns."""
    warnings.warn("clip_grad_norm is deprecated, use clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """The module. Its initial values are drawn when they are first read, so what is overwritten before never is.

    RuntimeError for what is no Module, or takes no `device`.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(at_user_line(f"Expected a Module; got {module_cls}"))
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(at_user_line("Module must support a 'device' arg to skip initialization"))
    return module_cls(*args, **kwargs)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """The module itself: a memory format is a hint, and kernels walk weights as they choose. TypeError for another."""
    check_memory_format(memory_format, "convert_conv2d_weight_memory_format")
    return module


convert_conv3d_weight_memory_format = convert_conv2d_weight_memory_format
