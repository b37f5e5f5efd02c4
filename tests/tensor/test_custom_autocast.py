"""autocast around functions with their own gradient, its old names and its settings: beside torch on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lazygrad as lg

LIBRARIES = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])


def product(T: Any, cast: Any) -> Any:
    """x @ w as a Function that notes the dtypes it computes in."""

    class Product(T.autograd.Function):
        seen: list[Any] = []

        @staticmethod
        @T.amp.custom_fwd(device_type="cpu", cast_inputs=cast)
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            Product.seen.append((x.dtype is T.float32, (x @ w).dtype is T.bfloat16, T.is_autocast_enabled("cpu")))
            return x @ w

        @staticmethod
        @T.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            Product.seen.append(((x @ w).dtype is T.bfloat16, T.is_autocast_enabled("cpu")))
            return (g.float() @ w.float().t()).to(x.dtype), (x.float().t() @ g.float()).to(w.dtype)

    return Product


@LIBRARIES
@pytest.mark.parametrize(
    ("cast", "on", "expected"),
    [
        (None, True, [(True, True, True), (True, True)]),
        (None, False, [(True, False, False), (False, False)]),
        ("float32", True, [(True, False, False), (False, False)]),
        ("bfloat16", True, [(False, True, False), (True, False)]),
        ("bfloat16", False, [(True, False, False), (False, False)]),
    ],
)
def test_functions_with_their_own_gradient(T: Any, cast: Any, on: bool, expected: Any) -> None:
    function = product(T, getattr(T, cast) if cast else None)
    x, w = T.ones(2, 3, requires_grad=True), T.ones(3, 4, requires_grad=True)
    with T.autocast("cpu", dtype=T.bfloat16, enabled=on):
        y = function.apply(x, w)
    y.float().sum().backward()
    assert x.grad.tolist() == [[4.0] * 3] * 2
    assert function.seen == expected


@LIBRARIES
def test_settings(T: Any) -> None:
    assert T.amp.is_autocast_available("cpu") and T.amp.is_autocast_available("cuda")
    assert not T.amp.is_autocast_available("meta")
    assert T.get_autocast_dtype("cpu") is T.bfloat16 and T.get_autocast_dtype("cuda") is T.float16
    T.set_autocast_enabled("cpu", True)
    T.set_autocast_dtype("cpu", T.float16)
    try:
        assert T.is_autocast_enabled("cpu") and (T.ones(2, 2) @ T.ones(2, 2)).dtype is T.float16
        with T.autocast("cpu", dtype=T.bfloat16), T.autocast("cpu", enabled=False):
            assert not T.is_autocast_enabled("cpu") and (T.ones(2, 2) @ T.ones(2, 2)).dtype is T.float32
        assert T.get_autocast_dtype("cpu") is T.float16
    finally:
        T.set_autocast_enabled("cpu", False)
        T.set_autocast_dtype("cpu", T.bfloat16)
        T.clear_autocast_cache()
    assert not T.is_autocast_enabled("cpu") and T.is_autocast_cache_enabled()
    with pytest.raises(RuntimeError):
        T.get_autocast_dtype("abacus")
    with pytest.raises(ValueError, match="device_type"):
        T.amp.custom_fwd(device_type=0)


@LIBRARIES
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_old_names(T: Any) -> None:
    with T.cpu.amp.autocast():
        assert T.is_autocast_enabled("cpu")
    scaler = T.cpu.amp.GradScaler(init_scale=4.0)
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.1)
    scaler.set_growth_interval(5)
    assert scaler.scale(T.ones(1)).tolist() == [4.0]
    assert [scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()] == [3.0, 0.1, 5]
    assert T.cpu.is_available() and T.cpu.device_count() == 1 and T.cpu.current_device() == "cpu"
    T.cpu.synchronize()


@LIBRARIES
def test_a_scaler_and_a_step_of_ones_own(T: Any) -> None:
    """A step that the scaler can't take back is not taken at all where a gradient overflowed."""

    class Plain(T.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {})

        @T.no_grad()
        def step(self, closure: Any = None) -> None:
            for p in self.param_groups[0]["params"]:
                p.sub_(p.grad)

    weight = T.nn.Parameter(T.ones(2))
    optimizer = Plain([weight])
    scaler = T.amp.GradScaler("cpu", init_scale=2.0)
    seen = []
    for factor in (1.0, float("inf"), 2.0):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append((weight.tolist(), scaler.get_scale()))
    assert seen == [([0, 0], 2.0), ([0, 0], 1.0), ([-2, -2], 1.0)]
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: 0)
