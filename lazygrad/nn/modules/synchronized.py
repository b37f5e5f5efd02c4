"""Batch norm whose statistics are those of all processes together. Here there is one process: they are its own."""

from __future__ import annotations

from typing import Any

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.nn.module import Module
from lazygrad.nn.modules.normalization import BatchNorm
from lazygrad.tensor import Tensor


class SyncBatchNorm(BatchNorm):
    """Batch norm of (N, C, *). `process_group` is kept and needs no exchange in a world of one."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(at_user_line(f"expected at least 2D input (got {input.ndim}D input)"))
        if not input.shape[1]:
            raise ValueError(at_user_line("SyncBatchNorm number of input channels should be non-zero"))

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with every batch norm in it as one of these, of the same parameters and buffers."""
        result = module
        if isinstance(module, BatchNorm):
            kept = (module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
            result = cls(*kept, process_group, bias=module.bias is not None).train(module.training)
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(result, name, getattr(module, name))
        for name, child in list(module.named_children()):
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result
