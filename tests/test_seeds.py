"""The tables that every small framework begins with, row by row: each against torch, with gradients and their
gradients, by NumPy and by kernels in Triton's interpreter. Edge cases of each have tables of their own elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support import Case, case, check, distinct, fixed, ints, within

OPS = [
    case("add", lambda T, a, b: (a + b, T.add(a, b, alpha=2), 1 + a), (2, 3), (3,)),
    case("sub", lambda T, a, b: (a - b, T.sub(a, b), 1 - a), (2, 3), (2, 1)),
    case("mul", lambda T, a, b: (a * b, T.mul(a, b), 2 * a), (2, 3), (3,)),
    case("div", lambda T, a, b: (a / b, T.div(a, b), 1 / b), (2, 3), within(0.5, 2, 3)),
    case("pow", lambda T, a, b: (a**b, T.pow(a, 3), a**-0.5, 2**a), within(0.5, 2, 2, 3), (3,)),
    case("matmul", lambda T, a, b: (a @ b, T.matmul(b.mT, a.mT)), (2, 3, 4), (4, 5)),
    case("sum", lambda T, a: (a.sum(), T.sum(a, 1), a.sum((0, 2), keepdim=True)), (2, 3, 4)),
    case("mean", lambda T, a: (a.mean(), T.mean(a, -1), a.mean(0, keepdim=True)), (2, 3, 4)),
    case("var", lambda T, a: (a.var(), T.var(a, 1), a.var(0, unbiased=False), a.std(1, keepdim=True)), (3, 4)),
    case("max", lambda T, a: (a.max(), *T.max(a, 1), a.amax(0), *a.min(-1, keepdim=True)), distinct(3, 4)),
    case("argmax", lambda T, a: (a.argmax(), T.argmax(a, 1), a.argmin(0, keepdim=True)), distinct(3, 4)),
    case("indexing", lambda T, a, i: (a[1], a[..., -1], a[:, 1:3], a[i], a[i, :2], a[None, 0], a[::2]), (3, 4), ints(2, below=3)),
    case("indexing by mask", lambda T, a: (a[a > 0], T.where(a > 0, a, 0)), (3, 4)),
    case("equality", lambda T, a, b: (a == b, a != b, T.eq(a, 1), a < b, a >= b, T.equal(a, a)), within(0, 3, 3, 4), within(0, 3, 4), dtypes=("float32", "int64")),
    case("transpose", lambda T, a: (a.transpose(0, 2), T.transpose(a, -1, 1), a.mT), (2, 3, 4)),
    case("permute", lambda T, a: (a.permute(2, 0, 1), T.permute(a, (1, 0, 2))), (2, 3, 4)),
    case("reshape", lambda T, a: (a.reshape(4, 6), T.reshape(a, (-1,)), a.mT.reshape(2, -1), a.view(6, 4)), (2, 3, 4), strided=False),
    case("flatten", lambda T, a: (a.flatten(), T.flatten(a, 1), a.flatten(0, 1)), (2, 3, 4)),
    case("squeeze", lambda T, a: (a.squeeze(), T.squeeze(a, 0), a.squeeze(-1)), (1, 3, 1)),
    case("unsqueeze", lambda T, a: (a.unsqueeze(0), T.unsqueeze(a, -1)), (2, 3)),
    case("sort", lambda T, a: (*a.sort(), *T.sort(a, 0, descending=True)), distinct(3, 4)),
    case("argsort", lambda T, a: (a.argsort(), T.argsort(a, 0, descending=True)), distinct(3, 4)),
    case("concatenate", lambda T, a, b: (T.cat((a, b), 1), T.concatenate([b, a], -1), T.concat((a, a))), (2, 3), (2, 4)),
    case("stack", lambda T, a, b: (T.stack((a, b)), T.stack([a, b], -1)), (2, 3), (2, 3)),
    case("chunk", lambda T, a: (*a.chunk(3, 1), *T.chunk(a, 2), *a.split(2, 1)), (2, 5)),
    case("exp", lambda T, a: (a.exp(), T.exp(a)), (2, 3)),
    case("log", lambda T, a: (a.log(), T.log(a)), within(0.5, 2, 2, 3)),
    case("abs", lambda T, a: (a.abs(), T.abs(a), abs(a)), (2, 3)),
    case("clamp", lambda T, a: (a.clamp(-1, 1), T.clamp(a, min=0), a.clamp(max=0.5), T.clip(a, -1)), (3, 4)),
    case("sqrt", lambda T, a: (a.sqrt(), T.sqrt(a)), within(0.5, 2, 2, 3)),
    *(case(name, lambda T, a, name=name: (getattr(a, name)(), getattr(T, name)(a)), within(-1.2, 1.2, 2, 3)) for name in ("sin", "cos", "tan", "tanh")),
]  # fmt: skip


def made(T: Any, module: Any, dtype: Any) -> Any:
    """The module with the same numbers as parameters in both libraries."""
    generator = np.random.default_rng(5)
    for parameter in module.parameters():
        parameter.data = T.tensor(generator.uniform(-1, 1, tuple(parameter.shape)))
    return module.to(dtype)


def layer(name: str, make: Callable[[Any], Any], *inputs: Any, call: Any = None, **options: Any) -> Case:
    """Results, and the gradients of the parameters as results too; so the case's gradients are mixed second ones."""

    def function(T: Any, *tensors: Any) -> Any:
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), T.float32)
        module = made(T, make(T.nn), dtype)
        result = module(*tensors) if call is None else call(module, *tensors)
        parameters = list(module.parameters())
        if not parameters:
            return result
        total = sum((r * r).sum() for r in (result if isinstance(result, tuple) else (result,)))
        found = T.autograd.grad(total, parameters, create_graph=True)
        return (result, *found) if any(t.requires_grad for t in tensors) else (result, *(g.detach() for g in found))

    return case(name, function, *inputs, second=False, tolerance=5.0, **options)


def recurrent(module: Any, x: Any, h: Any) -> Any:
    return module(x, (h, h * 0.5) if type(module).__name__ == "LSTMCell" else h)


PLANE = (1, 2, 5, 6)
LAYERS = [
    layer("Linear", lambda n: n.Linear(3, 4), (2, 3)),
    layer("Embedding", lambda n: n.Embedding(5, 3, padding_idx=0), ints(2, 3, below=5), gradient=False),
    layer("Dropout", lambda n: n.Sequential(n.Dropout(0.0), n.Dropout(0.5).eval()), (2, 3)),
    layer("Conv1d", lambda n: n.Conv1d(2, 3, 3, padding=1, stride=2), (1, 2, 6)),
    layer("Conv2d", lambda n: n.Conv2d(2, 3, 3, padding=1), PLANE),
    layer("ConvTranspose1d", lambda n: n.ConvTranspose1d(2, 3, 3, stride=2), (1, 2, 4)),
    layer("ConvTranspose2d", lambda n: n.ConvTranspose2d(2, 2, 3, stride=2, padding=1), (1, 2, 3, 3)),
    layer("MaxPool2d", lambda n: n.MaxPool2d(2), distinct(*PLANE)),
    layer("AvgPool2d", lambda n: n.AvgPool2d(3, 2, 1), PLANE),
    layer("AdaptiveAvgPool2d", lambda n: n.AdaptiveAvgPool2d((2, 3)), PLANE),
    layer("Upsample", lambda n: n.Upsample(scale_factor=2), (1, 2, 2, 3)),
    layer("Upsample bilinear", lambda n: n.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 2, 3)),
    layer("LayerNorm", lambda n: n.LayerNorm(4), (3, 4)),
    layer("BatchNorm1d", lambda n: n.BatchNorm1d(3), (5, 3)),
    layer("BatchNorm2d", lambda n: n.BatchNorm2d(2), (2, 2, 3, 3)),
    layer("BatchNorm2d eval", lambda n: n.BatchNorm2d(2).eval(), (2, 2, 3, 3)),
    *(layer(name, lambda n, name=name: getattr(n, name)(), (3, 4)) for name in ("Sigmoid", "ReLU", "GELU", "LeakyReLU", "Tanh")),
    layer("Softmax", lambda n: n.Softmax(-1), (3, 4)),
    layer("CrossEntropyLoss", lambda n: n.CrossEntropyLoss(), (3, 4), ints(3, below=4)),
    layer("MSELoss", lambda n: n.MSELoss(), (3, 4), (3, 4)),
    *(layer(f"{name}Cell", lambda n, name=name: getattr(n, f"{name}Cell")(3, 2), (2, 3), (2, 2), call=recurrent) for name in ("RNN", "LSTM", "GRU")),
    *(layer(name, lambda n, name=name: getattr(n, name)(3, 2), (2, 1, 3), call=lambda m, x: m(x)[0]) for name in ("RNN", "LSTM", "GRU")),
]  # fmt: skip

CREATION = [
    case("zeros", lambda T, x: (T.zeros(2, 3), T.zeros_like(x)), (2, 3), gradient=False),
    case("ones", lambda T, x: (T.ones((2, 3)), T.ones_like(x, dtype=T.int64)), (2, 3), gradient=False),
    case("full", lambda T, x: (T.full((2, 3), 7), T.full_like(x, 1.5)), (2, 3), gradient=False),
    case("arange", lambda T: (T.arange(5), T.arange(1, 4, 0.5)), gradient=False),
    case("linspace", lambda T: (T.linspace(-1, 1, 7),), gradient=False),
    case("eye", lambda T: (T.eye(3), T.eye(2, 4)), gradient=False),
    case("tril", lambda T, x: (x.tril(), T.tril(x, -1), T.tril(x, 2)), (3, 4)),
    case("triu", lambda T, x: (x.triu(), T.triu(x, -1), T.triu(x, 2)), (3, 4)),
    case("empty", lambda T, x: (T.empty(2, 3), T.empty_like(x)), (2, 3), values=False, gradient=False),
    case("randn", lambda T, x: (T.randn(2, 3), T.randn_like(x)), (2, 3), values=False, gradient=False),
    case("rand", lambda T, x: (T.rand(2, 3), T.rand_like(x)), (2, 3), values=False, gradient=False),
    case("randint", lambda T, x: (T.randint(3, (2, 3)), T.randint_like(x, 2, 5)), (2, 3), values=False, gradient=False),
    case("draws lie where they should", lambda T, x: (((T.rand_like(x) - 0.5).abs() <= 0.5).all(), (T.randint(2, 5, (50,)) - 3).abs().max() <= 1, T.randn(500).std().log().abs() < 0.3), fixed(np.zeros(50), "float32"), gradient=False),
]  # fmt: skip


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", [*OPS, *LAYERS, *CREATION], ids=str)
def test_seeds(each: Case) -> None:
    check(each)
