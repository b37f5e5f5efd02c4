"""torch.optim.swa_utils: averages of a model's parameters over training, equal (SWA) or fading (EMA)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from lazygrad.dtype import int64
from lazygrad.errors import at_user_line
from lazygrad.nn.module import Module
from lazygrad.nn.modules.normalization import BatchNorm
from lazygrad.optim.optimizer import Optimizer
from lazygrad.optim.schedule import LRScheduler, Rates, per_group
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import tensor
from lazygrad.tensor.grad_mode import no_grad

Average = Callable[[Tensor, Tensor, Tensor], Tensor]
Averages = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]


def _checked(decay: float) -> float:
    if not 0 <= decay <= 1:
        raise ValueError(at_user_line(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."))
    return decay


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """f(average, current, count) = decay * average + (1 - decay) * current."""
    _checked(decay)

    @no_grad()
    def ema_update(average: Tensor, current: Tensor, count: Tensor) -> Tensor:
        return average.mul(decay).add(current.mul(1 - decay))

    return ema_update


def get_swa_avg_fn() -> Average:
    """f(average, current, count) = average + (current - average) / (count + 1)."""

    @no_grad()
    def swa_update(average: Tensor, current: Tensor, count: Tensor) -> Tensor:
        return average.add(current.sub(average).div(count + 1))

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """get_ema_avg_fn() for lists of tensors, in place."""
    return _over_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """get_swa_avg_fn() for lists of tensors, in place."""
    return _over_lists(get_swa_avg_fn())


def _over_lists(average: Average) -> Averages:
    @no_grad()
    def update(averages: Sequence[Tensor], currents: Sequence[Tensor], count: Tensor) -> None:
        for kept, current in zip(averages, currents, strict=True):
            kept.copy_(average(kept, current, count))

    return update


class AveragedModel(Module):
    """A copy of `model` that holds averages of its parameters; call update_parameters(model) after some steps.

    `avg_fn(average, current, count)` returns a new average, `multi_avg_fn(averages, currents, count)` writes lists of
    them; by default the average weighs all equally (Izmailov et al. 2018). The first update copies. Buffers are
    copied, with use_buffers averaged. AssertionError if both functions are given.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError(at_user_line("Only one of avg_fn and multi_avg_fn should be provided"))
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present values of `model` into the averages. Reads the count of those before."""
        averages = [t.detach() for t in self._averaged(self.module)]
        currents = [t.detach().to(a.device) for t, a in zip(self._averaged(model), averages, strict=True)]
        if self.n_averaged.item() == 0:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(current)
        else:
            self._update(averages, currents)
        if not self.use_buffers:
            for kept, current in zip(self.module.buffers(), model.buffers(), strict=True):
                kept.detach().copy_(current.detach().to(kept.device))
        self.n_averaged += 1

    def _averaged(self, module: Module) -> Iterable[Tensor]:
        return itertools.chain(module.parameters(), module.buffers() if self.use_buffers else ())

    def _update(self, averages: list[Tensor], currents: list[Tensor]) -> None:
        update = self.multi_avg_fn or _over_lists(self.avg_fn or get_swa_avg_fn())
        places: dict[Any, list[int]] = {}
        for i, average in enumerate(averages):
            places.setdefault((average.device, average.dtype), []).append(i)
        for (device, _), which in places.items():
            update([averages[i] for i in which], [currents[i] for i in which], self.n_averaged.to(device))


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of batch norms to those of all batches of `loader`: of each batch the tensor, or the
    first of a list or tuple, goes through the model."""
    norms = {module: module.momentum for module in model.modules() if isinstance(module, BatchNorm)}
    if not norms:
        return
    was_training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for batch in loader:
        given = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(given if device is None else given.to(device))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From each group's rate to swa_lr over anneal_epochs epochs, along a cosine or a line, and then constant."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                at_user_line(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(at_user_line(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}"))
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way to swa_lr is behind after `step` steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> Rates:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates
