"""lazygrad.compile: a function whose whole graph is computed at the end of each call, in as few plans as it has.

Tracing is what lazygrad does anyway; what compile adds is the moment of computing: results and in-place
updates of one call are one plan, found again by structure at the next, however the caller reads them.
"""

from __future__ import annotations

import functools
from typing import Any

from lazygrad.errors import at_user_line
from lazygrad.ir.node import Node
from lazygrad.nn.module import Module
from lazygrad.tensor.core import TensorBase, flush


class OptimizedModule(Module):
    """What compile() makes of a module: the module itself, as `_orig_mod`, each of whose calls is one plan.

    Its parameters are the module's, under names that begin with `_orig_mod.`; so is every other attribute, also
    one that is set. A change of either's mode changes the other's.
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.__dict__.pop("training")
        self._modules["_orig_mod"] = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return _computed(self._orig_mod(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__.get("_modules", {}).get("_orig_mod")
        if module is None or name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        module = self.__dict__.get("_modules", {}).get("_orig_mod")
        if module is None or name in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(module, name, value)


def compile(model: Any = None, **options: Any) -> Any:
    """torch.compile: a function, or an OptimizedModule for a module, that computes its results before it returns.

    `options` (mode, fullgraph, dynamic, backend) are accepted and change nothing. Without `model`: a decorator.
    """
    if model is None:
        return functools.partial(compile, **options)
    if isinstance(model, Module):
        return OptimizedModule(model)
    if not callable(model):
        raise TypeError(at_user_line(f"compile(): expected a function or a module, got {type(model).__name__}"))

    @functools.wraps(model)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        return _computed(model(*args, **kwargs))

    return compiled


def _computed(result: Any) -> Any:
    flush(_nodes(result))
    return result


def _nodes(value: Any) -> list[Node]:
    if isinstance(value, TensorBase):
        return [value.node]
    if isinstance(value, dict):
        return [n for v in value.values() for n in _nodes(v)]
    if isinstance(value, (list, tuple)):
        return [n for v in value for n in _nodes(v)]
    return []
