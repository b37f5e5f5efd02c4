"""Where views lie: strides, offsets, what is contiguous, what reshape() shares and view() refuses, as in torch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg


def step(view: Any, drawn: random.Random) -> Any:
    """Another view, drawn alike for both libraries."""
    kind, n = drawn.randint(0, 11), view.ndim
    dim = drawn.randrange(n) if n else 0
    if kind == 0 and n:
        return view.transpose(dim, drawn.randrange(n))
    if kind == 1:
        return view.unsqueeze(drawn.randint(0, n))
    if kind == 2:
        return view.squeeze()
    if kind == 3 and n:
        return view[(slice(None),) * dim + (slice(drawn.randint(0, 1), None, drawn.randint(1, 2)),)]
    if kind == 4 and n and view.shape[dim]:
        return view.select(dim, drawn.randrange(view.shape[dim]))
    if kind == 5:
        return view.expand(drawn.randint(1, 3), *view.shape)
    if kind == 6 and n >= 2:
        a, b = drawn.sample(range(n), 2)
        return view.diagonal(drawn.randint(-2, 2), a, b)
    if kind == 7 and n:
        return view.unfold(dim, drawn.randint(1, view.shape[dim]) if view.shape[dim] else 0, drawn.randint(1, 3))
    if kind == 8 and n:
        items = [drawn.choice([slice(None), slice(0, None, 2), 0 if size else slice(None)]) for size in view.shape]
        return view[(None, *items)]
    if kind == 9 and n:
        return view.flatten(0, dim)
    sizes, rest = [], view.numel()
    for prime in (2, 3):
        if rest and rest % prime == 0:
            sizes.append(prime)
            rest //= prime
    sizes.append(rest)
    drawn.shuffle(sizes)
    return view.view(sizes)


def described(module: Any, seed: int) -> list[Any]:
    drawn = random.Random(seed)
    view = module.zeros(tuple(drawn.choice([1, 2, 3, 4]) for _ in range(drawn.randint(0, 4))))
    found: list[Any] = []
    for _ in range(drawn.randint(1, 5)):
        try:
            view = step(view, drawn)
        except RuntimeError:
            found.append("refused")
            continue
        # of a single element, and of none, strides say nothing
        strides = [s for s, n in zip(view.stride(), view.shape, strict=True) if n > 1] if view.numel() else None
        found.append((tuple(view.shape), strides, view.storage_offset() if view.numel() else 0, view.is_contiguous()))
    return found


@pytest.mark.parametrize("part", range(4))
def test_random_views_lie_where_torchs_do(part: int) -> None:
    for seed in range(part * 150, part * 150 + 150):
        assert described(lg, seed) == described(torch, seed), f"seed {seed}"


def written(view: Any, original: Any, base: Any) -> bool:
    """Whether what is written to `view` shows in `base`."""
    view.fill_(7.0)
    return bool((base == 7.0).any()) and view.tolist() != original


SHARED = {
    "reshape": lambda x: x.reshape(-1), "reshape-transposed": lambda x: x.mT.reshape(-1), "reshape-part": lambda x: x[:, 1:].reshape(-1),
    "reshape-rows": lambda x: x[1:].reshape(-1), "flatten": lambda x: x.permute(2, 0, 1).flatten(), "flatten-kept": lambda x: x.permute(2, 0, 1).flatten(1),
    "ravel": lambda x: x.mT.ravel(), "contiguous": lambda x: x.mT.contiguous(), "contiguous-itself": lambda x: x.contiguous(),
    "view_as": lambda x: x.view(6, 4), "reshape_as": lambda x: x.mT.reshape_as(x), "unflatten": lambda x: x.mT.unflatten(0, (1, 2)),
    "squeeze": lambda x: x[:1].squeeze(), "clone": lambda x: x.clone(), "detach": lambda x: x.detach(), "data": lambda x: x.data,
    "expand-as-it-is": lambda x: x.expand(2, 3, 4), "diagonal": lambda x: x.diagonal(), "unfold": lambda x: x.unfold(2, 2, 2), "to": lambda x: x.to(x.dtype),
    "part-of-expanded": lambda x: x.expand(5, 2, 3, 4)[3], "unbind": lambda x: x.unbind(1)[1], "split": lambda x: x.split(2, 2)[1],
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_shares_memory_where_torch_does(name: str) -> None:
    found = []
    for module in (torch, lg):
        base = module.arange(24.0).reshape(2, 3, 4) + 100
        base = base.clone() if module is torch else module.tensor(base.tolist())
        view = SHARED[name](base)
        found.append((tuple(view.shape), written(view, view.tolist(), base), base.tolist()))
    assert found[1] == found[0]


def test_view_refuses_what_no_strides_can_say() -> None:
    x = lg.zeros(2, 3)
    with pytest.raises(RuntimeError, match=r"view size \[6\] is not compatible .*test_views.py"):
        x.t().view(-1)
    assert tuple(x.t().reshape(-1).shape) == (6,)
    assert tuple((x + 1).t().view(-1).shape) == (6,)  # of a computed result torch may have the strides for it


def test_writes_into_what_overlaps_are_refused() -> None:
    x = lg.zeros(4)
    for write in (lambda: x.expand(3, 4).add_(1), lambda: x.unfold(0, 3, 1).zero_()):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            write()
    x.expand(3, 4)[1, 1:3] += 5
    assert x.tolist() == [0, 5, 5, 0]


def test_contiguous_copies_once() -> None:
    x = lg.tensor(np.arange(6.0)).reshape(2, 3)
    assert x.contiguous() is x
    copy = x.t().contiguous()
    assert copy.contiguous() is copy and copy.stride() == (2, 1)
