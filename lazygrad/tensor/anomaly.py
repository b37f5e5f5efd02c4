"""Anomaly mode: every gradient is computed and looked at as backward() makes it, and a NaN names who made it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from lazygrad.errors import at_user_line, show_line
from lazygrad.ir.node import Node
from lazygrad.tensor.core import tensor_class
from lazygrad.tensor.history import origin_of


@dataclass
class _State:
    enabled: bool = False
    check_nan: bool = True


_state = _State()


def is_anomaly_enabled() -> bool:
    """Whether gradients are looked at as they are made."""
    return _state.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode, where it is on, raises for a NaN."""
    return _state.check_nan


class set_detect_anomaly:
    """Switch anomaly mode on or off: at once, and until the end of the block where used as a context.

    While it is on, a backward() in which an operation passes on a NaN raises a RuntimeError that names the
    operation's backward and the line of its forward. Everything is computed one gradient at a time: slow.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = (_state.enabled, _state.check_nan)
        _state.enabled, _state.check_nan = mode, check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        _state.enabled, _state.check_nan = self._before


class detect_anomaly:
    """set_detect_anomaly(True) for a block."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled: it slows backward() down", stacklevel=2)

    def __enter__(self) -> None:
        self._mode = set_detect_anomaly(True, self._check_nan)

    def __exit__(self, *exc: Any) -> None:
        self._mode.__exit__(*exc)


def check_flow(node: Node, source: int, flow: Node) -> None:
    """RuntimeError where `flow`, what the backward of `node` passes on to one of its sources, holds a NaN."""
    if bool(tensor_class()(flow).isnan().any()):
        raise RuntimeError(
            at_user_line(
                f"Function '{origin_of(node)}' returned nan values in its {source}th output. "
                f"Its forward was called at {show_line(node.where)}"
            )
        )
