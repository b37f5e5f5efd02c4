"""torch.multiprocessing: Python's own, and spawn(). Tensors travel between processes by value."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import *  # noqa: F403 - torch's module is Python's with more
from typing import Any

from lazygrad.errors import at_user_line

_strategy = ["file_descriptor"]


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Run fn(i, *args) in processes i = 0 .. nprocs-1; waits for them, or returns them where join is False.

    RuntimeError where one fails: the others are ended.
    """
    context: Any = get_context(start_method)  # noqa: F405
    processes = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]
    for process in processes:
        process.start()
    if not join:
        return processes
    while any(p.is_alive() for p in processes) and not any(p.exitcode for p in processes):
        for process in processes:
            process.join(0.05)
    failed = [(i, p.exitcode) for i, p in enumerate(processes) if p.exitcode]
    for process in processes if failed else ():
        process.terminate()
    if failed:
        raise RuntimeError(at_user_line(f"process {failed[0][0]} terminated with exit code {failed[0][1]}"))
    return None


def get_all_sharing_strategies() -> set[str]:
    return {"file_descriptor", "file_system"}


def get_sharing_strategy() -> str:
    return _strategy[0]


def set_sharing_strategy(new_strategy: str) -> None:
    """How torch shares memory between processes; held, and without effect here."""
    if new_strategy not in get_all_sharing_strategies():
        raise ValueError(at_user_line(f"unknown sharing strategy {new_strategy!r}"))
    _strategy[0] = new_strategy
