"""torch.nn.parallel for one process: wrappers that hand everything to the module they hold.

Their state_dict has `module.` before every name, as torch's, so that checkpoints fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lazygrad.device import device as parse_device
from lazygrad.errors import at_user_line
from lazygrad.nn.module import Module
from lazygrad.processes import the_group


class DistributedDataParallel(Module):
    """The module of one process of a group; gradients need no exchange in a world of one.

    ValueError before init_process_group(); RuntimeError for a module without parameters to train.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool | None = None,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: int | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ) -> None:
        super().__init__()
        self.process_group = the_group(process_group)
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                at_user_line("DistributedDataParallel is not needed when a module doesn't have any parameter to train")
            )
        _check_devices(device_ids)
        self.module = module
        self.device_ids = device_ids
        self.require_backward_grad_sync = True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients inside are not exchanged between processes."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before


class DataParallel(Module):
    """The module on one device. NotImplementedError where several are asked for."""

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        _check_devices(device_ids)
        self.module = module
        self.dim = dim
        self.device_ids = list(device_ids or [])

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def _check_devices(device_ids: Sequence[Any] | None) -> None:
    if len({parse_device(d) for d in device_ids or ()}) > 1:
        raise NotImplementedError(
            at_user_line(f"lazygrad trains on one device; several GPUs are not supported yet (device_ids={device_ids})")
        )


__all__ = ["DataParallel", "DistributedDataParallel"]
