"""torch.distributed.optim: optimizers whose state is divided among the processes. One process holds all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.optim import Optimizer
from lazygrad.optim.hooks import HookedOptimizer
from lazygrad.processes import the_group


class ZeroRedundancyOptimizer(Optimizer):
    """An optimizer of `optimizer_class` with `defaults`, under torch's interface for many processes.

    Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (2020).
    ValueError before init_process_group().
    """

    def __init__(
        self,
        params: Any,
        optimizer_class: type[Optimizer],
        process_group: Any = None,
        parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False,
        **defaults: Any,
    ) -> None:
        the_group(process_group)
        HookedOptimizer.__init__(self)
        self._skip = None
        self.optim = optimizer_class(params, **defaults)
        self.defaults = self.optim.defaults
        self.param_groups = self.optim.param_groups  # one list: a schedule that writes here is seen there
        self.state = self.optim.state
        self._consolidated = False

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.optim.add_param_group(param_group)

    _can_choose = True  # the optimizer inside decides

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        self._consolidated = False
        return self.optim.step(closure) if self._skip is None else self.optim.step_unless(self._skip, closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optim.zero_grad(set_to_none)

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Bring the state of all processes together at `to`, for state_dict()."""
        if to != 0:
            raise ValueError(at_user_line(f"rank {to} is not part of a group of one process"))
        self._consolidated = True

    def state_dict(self) -> dict[str, Any]:
        """The whole state. RuntimeError before consolidate_state_dict()."""
        if not self._consolidated:
            raise RuntimeError(
                at_user_line("state_dict(): the state is not consolidated; call consolidate_state_dict(to=0) before")
            )
        return self.optim.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.optim.load_state_dict(state_dict)
        self.state = self.optim.state


__all__ = ["ZeroRedundancyOptimizer"]
