"""x[...] in every mix torch takes, read and written, with gradients: Hypothesis draws the index."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lazygrad as lg

SIZES = st.sampled_from([1, 2, 2, 3, 4, 0])
SETTINGS = settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@st.composite
def indices(draw: Any) -> tuple[tuple[int, ...], list[Any]]:
    """A shape and an index into it, in which arrays stand for tensors; mostly one that fits."""
    shape = tuple(draw(st.lists(SIZES, max_size=4)))
    picks = draw(st.sampled_from([(2,), (3,), (1,), (2, 1), (1, 2), (2, 3)]))
    items: list[Any] = []
    dim, dots = 0, False
    while dim < len(shape) and len(items) < 6:
        size = shape[dim]
        kind = draw(st.sampled_from(["int", "slice", "none", "dots", "array", "array", "list", "mask", "wide mask", "0d", "bool", "end"]))
        if kind == "end":
            break
        if kind == "none":
            items.append(None)
            continue
        if kind == "bool":
            items.append(draw(st.booleans()))
            continue
        if kind == "dots":
            items.append(...)
            if dots:  # what may follow a second one is torch's secret
                break
            dim += draw(st.integers(0, len(shape) - dim))
            dots = True
            continue
        if kind == "slice":
            bound = st.none() | st.integers(-size - 1, size + 1)
            items.append(slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3]))))
        elif kind == "wide mask" and dim + 1 < len(shape):
            count = size * shape[dim + 1]
            items.append(np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool).reshape(shape[dim : dim + 2]))
            dim += 1
        elif kind in ("mask", "wide mask"):
            items.append(np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool))
        else:
            wild = draw(st.integers(0, 30)) == 0
            place = st.integers(-size, size - 1 + wild) if size else st.just(0)
            if kind == "int":
                items.append(draw(place))
            elif kind == "0d":
                items.append(np.array(draw(place)))
            elif kind == "list":
                items.append([draw(place) for _ in range(picks[-1])])
            else:
                count = int(np.prod(picks))
                items.append(np.array([draw(place) for _ in range(count)]).reshape(picks))
        dim += 1
    return shape, items


def of(module: Any, items: list[Any]) -> Any:
    made = [module.tensor(i) if isinstance(i, np.ndarray) else i for i in items]
    return made[0] if len(made) == 1 else tuple(made)


def outcome(function: Any, *args: Any) -> Any:
    """What a call returns, as nested lists, or the type of what it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        return type(error).__name__


def filled(module: Any, shape: tuple[int, ...], start: float = 0.0) -> Any:
    count = int(np.prod(shape))
    return (module.arange(count, dtype=module.float64) + start).reshape(shape)


@SETTINGS
@given(indices())
def test_reads_and_their_gradients(drawn: Any) -> None:
    shape, items = drawn

    def read(module: Any) -> Any:
        x = filled(module, shape).requires_grad_()
        found = x[of(module, items)]
        weights = filled(module, tuple(found.shape), 1.0)
        (grad,) = module.autograd.grad((found * weights).sum(), x, allow_unused=True, materialize_grads=True)
        return tuple(found.shape), found.tolist(), grad.tolist()

    got, want = outcome(read, lg), outcome(read, torch)
    if want == "IndexError" != got and 0 in got[0]:
        return  # a value out of range is met when an index tensor is read, and nothing was
    assert got == want


@SETTINGS
@given(indices(), st.sampled_from(["number", "whole", "row", "one", "add", "through a view"]), st.booleans())
def test_writes_and_their_gradients(drawn: Any, what: str, transposed: bool) -> None:
    shape, items = drawn

    def write(module: Any) -> Any:
        leaf = filled(module, shape).requires_grad_()
        x = leaf * 2
        base, alias = x, x.view(-1)
        if transposed:
            base = x.permute(tuple(range(len(shape)))[::-1]).permute(tuple(range(len(shape)))[::-1])
        index = of(module, items)
        places = filled(torch, shape)[of(torch, items)]
        twice = places.unique().numel() < places.numel()
        size = tuple(places.shape)
        if what == "add":
            base[index] += 3
            value = None
        elif what == "number" or twice:
            base[index] = -1.5
            value = None
        else:
            part = {"whole": size, "row": size[-1:], "one": (1,) * len(size), "through a view": size}[what]
            value = filled(module, part, 100.0).requires_grad_()
            base[index] = value if what != "through a view" else value.view(-1).view(part) * 1
        weights = filled(module, shape, 1.0)
        wanted = [leaf] if value is None else [leaf, value]
        grads = module.autograd.grad((x * weights).sum(), wanted, allow_unused=True, materialize_grads=True)
        return x.tolist(), base.tolist(), alias.tolist(), [g.tolist() for g in grads]

    assert outcome(write, lg) == outcome(write, torch)
