"""autocast's lists, promotion and errors beside torch's own on the CPU; GradScaler's rules step by step."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import lazygrad as lg

# each of a float32 matrix x, a bfloat16 one y, batches z, images w, class indices t
CALLS: dict[str, Callable[..., Any]] = {
    "mm": lambda T, x, y, z, w, t: x.mm(x), "matmul": lambda T, x, y, z, w, t: x @ x, "mixed": lambda T, x, y, z, w, t: x @ y,
    "bmm": lambda T, x, y, z, w, t: z.bmm(z), "addmm": lambda T, x, y, z, w, t: T.addmm(x, x, x), "addbmm": lambda T, x, y, z, w, t: T.addbmm(x, z, z),
    "baddbmm": lambda T, x, y, z, w, t: T.baddbmm(z, z, z), "linear": lambda T, x, y, z, w, t: T.nn.functional.linear(x, x),
    "mv": lambda T, x, y, z, w, t: x.mv(x[0]), "dot": lambda T, x, y, z, w, t: x[0].dot(x[0]), "addmv": lambda T, x, y, z, w, t: T.addmv(x[0], x, x[0]),
    "addr": lambda T, x, y, z, w, t: T.addr(x, x[0], x[0]), "outer": lambda T, x, y, z, w, t: T.outer(x[0], x[0]), "vecdot": lambda T, x, y, z, w, t: T.linalg.vecdot(x, x),
    "einsum": lambda T, x, y, z, w, t: T.einsum("ij,jk->ik", x, x), "tensordot": lambda T, x, y, z, w, t: T.tensordot(x, x, 1), "inner": lambda T, x, y, z, w, t: T.inner(x, x),
    "multi_dot": lambda T, x, y, z, w, t: T.linalg.multi_dot([x, x, x]), "conv2d": lambda T, x, y, z, w, t: T.nn.functional.conv2d(w, w),
    "attention": lambda T, x, y, z, w, t: T.nn.functional.scaled_dot_product_attention(w, w, w), "double": lambda T, x, y, z, w, t: x.double() @ x.double(),
    "prod": lambda T, x, y, z, w, t: y.prod(0), "quantile": lambda T, x, y, z, w, t: y.quantile(0.5), "cdist": lambda T, x, y, z, w, t: T.cdist(y, y),
    "trace": lambda T, x, y, z, w, t: y.trace(), "inv": lambda T, x, y, z, w, t: T.linalg.inv(T.eye(4, dtype=y.dtype)), "inverse": lambda T, x, y, z, w, t: T.inverse(T.eye(4, dtype=y.dtype)),
    "pinverse": lambda T, x, y, z, w, t: T.pinverse(y), "cholesky": lambda T, x, y, z, w, t: T.linalg.cholesky(T.eye(4, dtype=y.dtype)), "svd": lambda T, x, y, z, w, t: T.linalg.svd(y)[1],
    "svdvals": lambda T, x, y, z, w, t: T.linalg.svdvals(y), "qr": lambda T, x, y, z, w, t: T.linalg.qr(y)[1], "eigh": lambda T, x, y, z, w, t: T.linalg.eigh(y)[0],
    "eigvalsh": lambda T, x, y, z, w, t: T.linalg.eigvalsh(y), "solve": lambda T, x, y, z, w, t: T.linalg.solve(T.eye(4, dtype=y.dtype), y), "lstsq": lambda T, x, y, z, w, t: T.linalg.lstsq(y, y)[0],
    "cond": lambda T, x, y, z, w, t: T.linalg.cond(T.eye(4, dtype=y.dtype)), "mse_loss": lambda T, x, y, z, w, t: T.nn.functional.mse_loss(y, y),
    "cross_entropy": lambda T, x, y, z, w, t: T.nn.functional.cross_entropy(y, t), "kl_div": lambda T, x, y, z, w, t: T.nn.functional.kl_div(y, y, reduction="sum"),
    "softmax": lambda T, x, y, z, w, t: y.softmax(0), "sum": lambda T, x, y, z, w, t: y.sum(), "exp": lambda T, x, y, z, w, t: y.exp(), "norm": lambda T, x, y, z, w, t: y.norm(),
    "layer_norm": lambda T, x, y, z, w, t: T.nn.functional.layer_norm(y, (4,)), "cumsum": lambda T, x, y, z, w, t: y.cumsum(0), "gelu": lambda T, x, y, z, w, t: T.nn.functional.gelu(y),
    "cat": lambda T, x, y, z, w, t: T.cat([x, y]), "stack": lambda T, x, y, z, w, t: T.stack([x, y]), "add": lambda T, x, y, z, w, t: x + y, "mul": lambda T, x, y, z, w, t: y * y,
    "where": lambda T, x, y, z, w, t: T.where(x > 0, x, y), "addcmul": lambda T, x, y, z, w, t: x.addcmul(y, y), "embedding": lambda T, x, y, z, w, t: T.nn.functional.embedding(t, x),
}  # fmt: skip


def dtype_of(module: Any, name: str) -> str:
    x = module.ones(4, 4)
    with module.autocast("cpu", dtype=module.bfloat16):
        inputs = x, x.to(module.bfloat16), module.ones(2, 4, 4), module.ones(1, 1, 4, 4), module.tensor([0, 1, 2, 3])
        return str(CALLS[name](module, *inputs).dtype).split(".")[1]


@pytest.mark.parametrize("name", CALLS)
def test_dtypes_follow_torchs_lists(name: str) -> None:
    assert dtype_of(lg, name) == dtype_of(torch, name)


def test_a_dtype_that_is_no_lower_precision_switches_it_off() -> None:
    for module in (torch, lg):
        with pytest.warns(UserWarning, match="Disabling autocast"):
            context = module.autocast("cpu", dtype=module.float64)
        with context:
            assert (module.ones(2, 2) @ module.ones(2, 2)).dtype is module.float32
        with pytest.raises(RuntimeError, match="device"):
            module.autocast("abacus")


def refused(function: Callable[[], Any]) -> str | None:
    try:
        function()
    except Exception as error:
        return type(error).__name__
    return None


def scaled_steps(T: Any) -> list[Any]:
    """What the scaler says after steps of which some overflow, and which calls it refuses."""
    model = T.nn.Linear(2, 1)
    optimizer = T.optim.SGD(model.parameters(), lr=0.1)
    scaler = T.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2, growth_factor=3.0, backoff_factor=0.25)
    found: list[Any] = []
    for factor in (1.0, 1.0, float("inf"), 1.0, float("nan"), 1.0, 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((model(T.ones(1, 2)) * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append((scaler.get_scale(), scaler.state_dict()["_growth_tracker"]))
    found.append(sorted(scaler.state_dict().items()))
    scaler.scale(model(T.ones(1, 2)).sum()).backward()
    scaler.unscale_(optimizer)
    found.append(refused(lambda: scaler.unscale_(optimizer)))
    scaler.step(optimizer)
    found += [refused(lambda: scaler.step(optimizer)), refused(lambda: scaler.unscale_(optimizer))]
    scaler.update()
    found.append(refused(scaler.update))
    fresh, unused = T.amp.GradScaler("cpu"), T.optim.SGD(T.nn.Linear(2, 1).parameters(), lr=0.1)
    found += [refused(fresh.update), refused(lambda: fresh.load_state_dict({})), refused(lambda: fresh.step(unused))]
    fresh.scale(T.ones(1))
    found += [refused(lambda: fresh.unscale_(unused)), refused(lambda: fresh.step(unused))]
    off = T.amp.GradScaler("cpu", enabled=False)
    found.append((off.get_scale(), off.state_dict(), off.is_enabled(), off.scale(T.ones(1)).tolist()))
    scaler.load_state_dict(
        {"scale": 4.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 7, "_growth_tracker": 3}
    )
    found.append((scaler.get_scale(), scaler.get_growth_interval(), pickle.loads(pickle.dumps(scaler)).get_scale()))
    found += [refused(lambda: T.amp.GradScaler("cpu", growth_factor=1.0))]
    found += [refused(lambda: T.amp.GradScaler("cpu", backoff_factor=1.0))]
    return found


def test_grad_scaler_as_torchs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scaled_steps(lg) == scaled_steps(torch)
