"""The processes that train together, as torch.distributed sees them. There is one: this.

What a program for many processes says to a group is right for one: reductions over one process change
nothing, gathering finds one part. A world of several raises NotImplementedError.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor

BACKENDS = ("gloo", "nccl", "mpi", "ucc")


@dataclass(frozen=True)
class ProcessGroup:
    """A group of processes: this one alone."""

    backend: str = "gloo"

    def rank(self) -> int:
        return 0

    def size(self) -> int:
        return 1


class Work:
    """What async_op=True returns: done already."""

    def wait(self, timeout: Any = None) -> bool:
        return True

    def is_completed(self) -> bool:
        return True


class ReduceOp:
    """How values of several processes become one. Of one process's value each makes that value."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


_world: list[ProcessGroup] = []


def is_available() -> bool:
    """True: a world of one process always is."""
    return True


def is_initialized() -> bool:
    return bool(_world)


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_nccl_available() -> bool:
    """False: one process exchanges nothing."""
    return False


def is_gloo_available() -> bool:
    return False


def is_mpi_available() -> bool:
    return False


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Begin a world of one process. RANK and WORLD_SIZE are read from the environment where they aren't given.

    ValueError where they are nowhere, or for a second call; NotImplementedError for more processes than one.
    """
    if _world:
        raise ValueError(at_user_line("trying to initialize the default process group twice!"))
    name = (backend or "gloo").lower().split(":")[-1]
    if name not in BACKENDS:
        raise ValueError(at_user_line(f"Invalid backend: {backend!r}; use one of {', '.join(BACKENDS)}"))
    size = _given(world_size, "WORLD_SIZE", os.environ)
    place = _given(rank, "RANK", os.environ)
    if size != 1:
        raise NotImplementedError(
            at_user_line(
                f"init_process_group(): lazygrad trains in one process on one device; several GPUs are not supported "
                f"yet (world_size={size}). Run it with a world size of 1"
            )
        )
    if place != 0:
        raise ValueError(at_user_line(f"rank {place} is outside a world of {size}"))
    _world.append(ProcessGroup(name))


def _given(value: int, variable: str, environment: Mapping[str, str]) -> int:
    if value >= 0:
        return value
    if variable not in environment:
        raise ValueError(
            at_user_line(
                "Error initializing torch.distributed using env:// rendezvous: environment variable "
                f"{variable} expected, but not set"
            )
        )
    return int(environment[variable])


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """End the world that init_process_group() began. AssertionError where there is none."""
    if group is None and not _world:
        raise AssertionError(at_user_line("Process group cannot be None"))
    if group is None or group in _world:
        _world.clear()


def the_group(group: ProcessGroup | None = None) -> ProcessGroup:
    """The group given, or the world. ValueError before init_process_group()."""
    if not _world:
        raise ValueError(
            at_user_line("Default process group has not been initialized, please make sure to call init_process_group.")
        )
    return group or _world[0]


def new_group(ranks: Any = None, timeout: Any = None, backend: str | None = None, **options: Any) -> ProcessGroup:
    """A group of some of the world's processes."""
    world = the_group()
    if ranks is not None and list(ranks) != [0]:
        raise ValueError(at_user_line(f"the new group's ranks {list(ranks)} are not in a world of 1"))
    return ProcessGroup(backend or world.backend)


def get_rank(group: ProcessGroup | None = None) -> int:
    return the_group(group).rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    return the_group(group).size()


def get_backend(group: ProcessGroup | None = None) -> str:
    return the_group(group).backend


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """LOCAL_RANK, which torchrun sets. RuntimeError where it isn't set and no fallback is given."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError(at_user_line("LOCAL_RANK is not in the environment. Consider passing fallback_rank"))
    return fallback_rank


# -- exchanges, each between this process and itself ---------------------------------------------------
def _done(group: ProcessGroup | None, async_op: bool, root: int | None = None) -> Work | None:
    the_group(group)
    if root not in (None, 0):
        raise ValueError(at_user_line(f"rank {root} is not part of a group of one process"))
    return Work() if async_op else None


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None, timeout: Any = None) -> Work | None:
    """Wait for all processes."""
    return _done(group, async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    _done(group, False)


def all_reduce(tensor: Tensor, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Combine `tensor` over all processes, in place: one process's is what it was."""
    return _done(group, async_op)


def reduce(
    tensor: Tensor, dst: int | None = None, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """As all_reduce, at `dst` alone."""
    return _done(group, async_op, dst)


def broadcast(tensor: Tensor, src: int | None = None, group: Any = None, async_op: bool = False) -> Work | None:
    """Give all processes the tensor of `src`."""
    return _done(group, async_op, src)


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy every process's tensor into the list."""
    work = _done(group, async_op)
    _check_parts(tensor_list, "all_gather")
    tensor_list[0].copy_(tensor.detach())
    return work


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copy every process's tensor into one."""
    work = _done(group, async_op)
    output_tensor.copy_(input_tensor.detach().reshape(output_tensor.shape))
    return work


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """As all_gather, at `dst` alone."""
    work = _done(group, async_op, dst)
    _check_parts(gather_list, "gather")
    assert gather_list is not None
    gather_list[0].copy_(tensor.detach())
    return work


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Give each process its part of the list that `src` holds."""
    work = _done(group, async_op, src)
    _check_parts(scatter_list, "scatter")
    assert scatter_list is not None
    tensor.copy_(scatter_list[0].detach())
    return work


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Combine the lists of all processes, and give each process its part."""
    work = _done(group, async_op)
    _check_parts(input_list, "reduce_scatter")
    output.copy_(input_list[0].detach())
    return work


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Combine the tensors of all processes, and give each process its part."""
    work = _done(group, async_op)
    output.copy_(input.detach().reshape(output.shape))
    return work


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Put every process's object into the list."""
    _done(group, False)
    _check_parts(object_list, "all_gather_object")
    object_list[0] = obj


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None
) -> None:
    """Give all processes the objects of `src`."""
    _done(group, False, src)


def _check_parts(parts: Any, name: str) -> None:
    if not isinstance(parts, list) or len(parts) != 1:
        raise ValueError(at_user_line(f"{name}(): a group of one process needs a list of one part, got {parts!r:.60}"))


__all__ = [
    "ProcessGroup",
    "ReduceOp",
    "Work",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "destroy_process_group",
    "gather",
    "get_backend",
    "get_node_local_rank",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "monitored_barrier",
    "new_group",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
]
