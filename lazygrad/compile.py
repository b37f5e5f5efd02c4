"""lazygrad.compile: a function whose whole graph is computed at the end of each call, in as few plans as it has.

Tracing is what lazygrad does anyway; what compile adds is the moment of computing: results and in-place
updates of one call are one plan, found again by structure at the next, however the caller reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lazygrad.ir.node import Node
from lazygrad.tensor.core import TensorBase, flush


def compile(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """torch.compile: `options` (mode, fullgraph, dynamic, backend) are accepted and change nothing."""
    if function is None:
        return functools.partial(compile, **options)

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        flush(_nodes(result))
        return result

    return compiled


def _nodes(value: Any) -> list[Node]:
    if isinstance(value, TensorBase):
        return [value.node]
    if isinstance(value, dict):
        return [n for v in value.values() for n in _nodes(v)]
    if isinstance(value, (list, tuple)):
        return [n for v in value for n in _nodes(v)]
    return []
