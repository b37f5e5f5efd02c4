"""torch.profiler: what programs wrap around their steps. lazygrad's own account is LAZYGRAD_DEBUG=2, a line a kernel
with its time; nothing is recorded here, and asking for what was recorded says so."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from typing import Any, NoReturn

from lazygrad.errors import at_user_line


class ProfilerActivity(enum.Enum):
    CPU = "cpu"
    CUDA = "cuda"
    XPU = "xpu"
    MTIA = "mtia"
    HPU = "hpu"
    PrivateUse1 = "privateuse1"


class ProfilerAction(enum.Enum):
    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """What to do at each step: `skip_first` steps of nothing, then cycles of wait, warm-up and recording."""
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step >= 0 and skip_first_wait:
            step += wait
        if step < 0 or (repeat and step >= repeat * cycle):
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


class record_function(ContextDecorator):
    """A name for a stretch of a program; as a context or a decorator."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exc: Any) -> None:
        pass


class profile:
    """A context that counts steps and records nothing. `on_trace_ready` is called where torch would call it."""

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        **options: Any,
    ) -> None:
        self._action = schedule or (lambda step: ProfilerAction.RECORD)
        self._ready = on_trace_ready
        self.step_num = 0

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def start(self) -> None:
        self.step_num = 0

    def stop(self) -> None:
        if self._action(self.step_num) in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._saved()

    def step(self) -> None:
        """The end of a step."""
        self.step_num += 1
        if self._action(self.step_num - 1) is ProfilerAction.RECORD_AND_SAVE:
            self._saved()

    def _saved(self) -> None:
        if self._ready is not None:
            self._ready(self)

    def key_averages(self, *args: Any, **kwargs: Any) -> NoReturn:
        _not_recorded("key_averages")

    def events(self) -> NoReturn:
        _not_recorded("events")

    def export_chrome_trace(self, path: str) -> NoReturn:
        _not_recorded("export_chrome_trace")

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> NoReturn:
        _not_recorded("export_stacks")


def _not_recorded(name: str) -> NoReturn:
    raise NotImplementedError(
        at_user_line(
            f"profiler.{name}(): lazygrad records no events; LAZYGRAD_DEBUG=2 prints every kernel with its time, "
            "LAZYGRAD_PROFILE=1 at every run"
        )
    )


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Any:
    """An on_trace_ready that would write a trace: NotImplementedError when there is one to be written."""
    return lambda made: made.export_chrome_trace(dir_name)


__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "tensorboard_trace_handler",
]
