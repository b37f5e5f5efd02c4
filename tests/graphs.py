"""Graphs under test: takes Nodes or Tensors, returns their plan, its kernels, or their values on any path.

Nothing here is remembered by the nodes, so one graph can be computed on NumPy, by interpreted kernels and
op by op, and the results compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import lazygrad as lg
from lazygrad import engine
from lazygrad.config import current
from lazygrad.device import CPU, H200, INTERPRETER, NUMPY, Target
from lazygrad.dtype import DType, from_numpy
from lazygrad.ir import build
from lazygrad.ir.node import Node, uncomputed
from lazygrad.runtime.buffer import Buffer
from lazygrad.runtime.execute import execute
from lazygrad.runtime.values import known
from lazygrad.schedule.canonical import Structure, canonical_graph, structure_of
from lazygrad.schedule.plan import KernelStep, OpStep, Plan, kernel_of

TARGETS = {"numpy": NUMPY, "triton": INTERPRETER}


def leaf(array: Any, dtype: DType | None = None) -> Node:
    """A node that reads this array."""
    array = np.asarray(array)
    array = np.ascontiguousarray(array if dtype is None else array.astype(dtype.numpy))
    dtype = from_numpy(array.dtype)
    return build.buffer(Buffer(array, dtype, array.shape, CPU), dtype, array.shape, CPU)


def nodes_of(results: Any) -> list[Node]:
    """The nodes of Tensors and Nodes, however nested."""
    if isinstance(results, Node):
        return [results]
    if isinstance(results, lg.Tensor):
        return [results.node]
    if isinstance(results, dict):
        results = results.values()
    return [node for part in results for node in nodes_of(part)]


def structure(roots: Iterable[Node]) -> Structure:
    roots = list(dict.fromkeys(roots))
    return structure_of(roots, uncomputed(roots))


def plan_of(results: Any, target: Target = H200, fuse: bool = True) -> Plan:
    """The plan that computes these, with nothing run."""
    found = structure(nodes_of(results))
    with lg.config(fuse=fuse, backend="triton" if target.generates_kernels else "numpy"):
        return engine.compile_plan(canonical_graph(found), found.leaves, target, current())


def values_of(roots: Sequence[Node], backend: str = "numpy", fuse: bool = True) -> list[np.ndarray[Any, Any]]:
    """The arrays of these nodes, by NumPy or by interpreted kernels."""
    found = structure(roots)
    inputs = [known(node).read() for node in found.leaves]  # type: ignore[union-attr]
    arrays = execute(plan_of(roots, TARGETS[backend], fuse), inputs, TARGETS[backend])
    by_root = dict(zip(found.roots, arrays, strict=True))
    return [np.array(by_root[root]) for root in roots]


def kernels_of(function: Callable[[], Any], target: Target = H200) -> list[KernelStep]:
    """The kernels that compute what `function` returns; nothing is run."""
    return [s for s in plan_of(function(), target).steps if isinstance(s, KernelStep)]


def library_steps_of(function: Callable[[], Any], target: Target = H200) -> list[OpStep]:
    """The ops that the array library computes."""
    return [s for s in plan_of(function(), target).steps if isinstance(s, OpStep)]


def bytes_of(plan: Plan, values: Iterable[int]) -> int:
    """The size in memory of these values of a plan."""
    return sum(int(np.prod(plan.values[v].shape)) * plan.values[v].dtype.itemsize for v in values)


def bytes_stored(plan: Plan) -> int:
    """What all kernels of a plan write (a product that a library computes first stays out of it)."""
    return sum(bytes_of(plan, [n for _, n in s.stored]) for s in plan.steps if isinstance(s, KernelStep))


def bytes_loaded(plan: Plan) -> int:
    """What all kernels of a plan read, each input of each kernel once."""
    return sum(bytes_of(plan, {n for _, n in s.operands}) for s in plan.steps if isinstance(s, KernelStep))


def describe(steps: Iterable[KernelStep]) -> str:
    """The names of these kernels, for messages."""
    return "\n".join(f"{kernel_of(s).name}: writes {[list(n.shape) for n, _ in s.stored]}" for s in steps)
