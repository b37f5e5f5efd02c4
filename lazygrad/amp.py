"""torch.amp: autocast, and GradScaler for float16, whose gradients fall below the smallest number.

The scale and the test for infinities are tensors on the device: a step that overflows is skipped by
choosing the old values, so that no step waits for the device or changes the graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lazygrad.device import Device
from lazygrad.dtype import DType, float32, float64, int32
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.optim import Optimizer
from lazygrad.tensor import Tensor
from lazygrad.tensor.autocast import autocast, get_autocast_dtype, is_autocast_available, is_autocast_enabled
from lazygrad.tensor.core import grad_mode, wrap
from lazygrad.tensor.creation import tensor
from lazygrad.tensor.tree import mapped


class GradScaler:
    """Multiplies losses by a scale that halves when gradients overflow and doubles after a while without.

    scale(loss).backward(); step(optimizer); update().
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and growth_factor <= 1.0:
            raise AssertionError(at_user_line("The growth factor must be > 1.0."))
        if enabled and backoff_factor >= 1.0:
            raise AssertionError(at_user_line("The backoff factor must be < 1.0."))
        self._device = device
        self._enabled = enabled
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_scale = init_scale
        self._init_growth = 0
        self._scale: Tensor | None = None
        self._tracker: Tensor | None = None
        self._unscaled: set[int] = set()  # optimizers whose gradients have been divided since the last update()
        self._stepped: set[int] = set()
        self._found: dict[int, Node] = {}  # by optimizer: 0-d bool, whether its gradients overflowed

    def _start(self, where: Device) -> None:
        if self._scale is None:
            self._scale = tensor(self._init_scale, dtype=float32, device=where)
            self._tracker = tensor(self._init_growth, dtype=int32, device=where)

    def scale(self, outputs: Any) -> Any:
        """The loss (or every tensor of a list) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(o) for o in outputs)
        self._start(outputs.device)
        assert self._scale is not None
        return wrap(build.mul(outputs.node, build.cast(self._scale.node, outputs.dtype)))

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by the scale, and note whether any is infinite or NaN."""
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError(at_user_line("unscale_() is being called after step()."))
        if id(optimizer) in self._unscaled:
            raise RuntimeError(
                at_user_line("unscale_() has already been called on this optimizer since the last update().")
            )
        if self._scale is None:
            raise AssertionError(
                at_user_line("Attempted unscale_ but _scale is None: scaler.scale(loss) comes first in an iteration.")
            )
        self._unscaled.add(id(optimizer))
        grads: list[Any] = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not grads:
            return
        inverse = build.pointwise(ops.RECIPROCAL, self._scale.node)
        found: Node | None = None
        with grad_mode(False):
            for grad in grads:
                wide = build.cast(build.detach(grad.node), grad.dtype.compute)
                value = build.mul(wide, build.cast(build.copy(inverse, grad.device), wide.dtype))
                grad._write(build.cast(value, grad.dtype))
                # |x| < inf is false for NaN too
                finite = build.less(build.pointwise(ops.ABS, wide), build.like(wide, float("inf")))
                bad = build.cast(build.logical_not(finite), int32)
                worst = build.reduce(ops.MAX, bad, tuple(range(bad.ndim)), keepdim=False)
                worst = build.copy(worst, inverse.device)
                found = worst if found is None else build.pointwise(ops.MAXIMUM, found, worst)
        assert found is not None
        self._found[id(optimizer)] = build.less(build.like(found, 0), found)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), without effect on parameters and state where a gradient overflowed."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError(at_user_line("Closure use is not currently supported if GradScaler is enabled."))
        if id(optimizer) in self._stepped:
            raise RuntimeError(at_user_line("step() has already been called since the last update()."))
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        if id(optimizer) not in self._found:
            raise AssertionError(at_user_line("No inf checks were recorded for this optimizer."))
        self._stepped.add(id(optimizer))
        return optimizer.step_unless(self._found[id(optimizer)], *args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Set the scale for the next iteration."""
        if not self._enabled:
            return
        if self._scale is None or self._tracker is None:
            raise AssertionError(at_user_line("Attempted update but _scale is None."))
        with grad_mode(False):
            if new_scale is not None:
                self._scale.fill_(float(new_scale))
            else:
                self._adjust()
        self._found = {}
        self._unscaled, self._stepped = set(), set()

    def _adjust(self) -> None:
        assert self._scale is not None and self._tracker is not None
        if not self._found:
            raise AssertionError(at_user_line("No inf checks were recorded prior to update."))
        overflowed: Node | None = None
        for found in self._found.values():
            overflowed = found if overflowed is None else build.pointwise(ops.OR, overflowed, found)
        assert overflowed is not None
        scale, tracker = self._scale.node, self._tracker.node
        good = build.shift(tracker, 1)
        due = build.equal(good, build.like(good, self._growth_interval))
        grown = build.where(due, build.scale(scale, self._growth_factor), scale)
        self._scale._write(build.where(overflowed, build.scale(scale, self._backoff_factor), grown))
        reset = build.pointwise(ops.OR, overflowed, due)
        self._tracker._write(build.where(reset, build.like(good, 0), good))

    def get_scale(self) -> float:
        """The present scale; reads it from the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def is_enabled(self) -> bool:
        return self._enabled

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._init_growth if self._tracker is None else int(self._tracker.item()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance")
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth = state_dict["_growth_tracker"]
        self._scale = self._tracker = None


class ScalerOfDevice(GradScaler):
    """A GradScaler of the modules that are named after their device, which take it from there."""

    device: str

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(self.device, init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable[..., Any]:
    """A decorator of an autograd.Function's forward: remembers autocast's state for custom_bwd.

    With `cast_inputs`, where autocast is on, floating inputs on the device become of that dtype and forward runs with
    autocast off. ValueError for a device_type that is no string.
    """
    _check_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        on = is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        args, kwargs = mapped(lambda v: _lowered(v, device_type, cast_inputs), (args, kwargs))
        with autocast(device_type, enabled=False):
            return fwd(ctx, *args, **kwargs)

    return decorated


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """A decorator of an autograd.Function's backward: it runs under the autocast that custom_fwd found."""
    _check_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return decorated


def _check_type(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(at_user_line(f"Expected `device_type` of type `str`, got: `{type(device_type)}`"))


def _lowered(value: Any, device_type: str, dtype: DType) -> Any:
    eligible = isinstance(value, Tensor) and value.is_floating_point() and value.dtype is not float64
    return value.to(dtype) if eligible and value.device.type == device_type else value


__all__ = [
    "GradScaler",
    "autocast",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_enabled",
]
