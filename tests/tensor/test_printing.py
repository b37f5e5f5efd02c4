"""repr, str and format of tensors as torch spells them, letter by letter."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lazygrad as lg

EXPRESSIONS = [
    # shapes, dtypes, suffixes
    "T.tensor(1.0)", "T.tensor(3)", "T.tensor(True)", "T.tensor([])", "T.tensor([], dtype=T.int64)", "T.zeros(0, 3)", "T.zeros(2, 0)",
    "T.zeros(0, 3, dtype=T.int64)", "T.zeros((0,), dtype=T.bool)", "T.eye(3, dtype=T.float64)", "T.eye(2, dtype=T.float16)",
    "T.eye(2, dtype=T.bfloat16)", "T.ones(2, dtype=T.int32)", "T.ones(2, dtype=T.uint8)", "T.arange(5, dtype=T.int8)", "T.eye(3).bool()",
    "T.tensor([[True], [False]])", "T.tensor([1, 100, -5])", "T.tensor([2**40])", "T.ones(1, 1, 1, 1)", "T.ones(2, 2, 2, 2)",
    "T.ones(2, requires_grad=True)", "T.ones(2, dtype=T.float64, requires_grad=True)", "T.tensor(2.5, requires_grad=True)",
    "T.ones(2, requires_grad=True) * 2", "T.ones(2, 3, requires_grad=True) + 1", "T.ones(30, requires_grad=True) * 1.5",
    "T.nn.Parameter(T.ones(2, 2))", "T.Size([1, 2])", "T.float32",
    # numbers: plain, whole, scientific; NaN and infinities; signed zeros
    "T.tensor([1.5, 2.25])", "T.tensor([1.0, 2.0, 3.0])", "T.tensor([1e-5, 1.0])", "T.tensor([1e10, 1.0])", "T.tensor([1e9, 2e9])",
    "T.tensor([1e-6])", "T.tensor([123456.789, 0.001])", "T.tensor([1000.5, 0.5])", "T.tensor([1001.5, 0.5])", "T.tensor([99999999.0, 1.0])",
    "T.tensor([100000001.0, 1.0])", "T.tensor([1e-4, 1e-4])", "T.tensor([9.9e-5])", "T.tensor([[1e-8, 1], [2, 3]])", "T.tensor(1e20)",
    "T.tensor([float('nan'), 1.0])", "T.tensor([float('inf'), -1.5])", "T.tensor([float('inf'), float('nan')])", "T.tensor([1.0, float('nan'), 100.0])",
    "T.tensor(-0.0)", "T.tensor([0.0, -0.0])", "T.tensor([1 / 3, 2 / 3], dtype=T.bfloat16)", "T.zeros(3)",
    # long ones
    "T.arange(10)", "T.arange(1000)", "T.arange(1001)", "T.arange(2000).reshape(2, 1000)", "T.arange(3000.0).reshape(3, 10, 100)",
    "T.arange(10000).reshape(10, 10, 10, 10)", "T.arange(60.0) / 7", "T.arange(60.0).reshape(3, 20) / 7", "T.arange(24).reshape(2, 3, 4) - 12",
    "T.ones(1200, 2)", "T.ones(2, 1200) * 1.5", "T.ones(20, 60)",
]  # fmt: skip

FORMATS = [
    "f'{T.tensor(1.23456):.3f}'", "f'{T.tensor(3):05d}'", "f'{T.tensor([1.0, 2.0])}'", "f'{T.tensor(1.5)}'", "'%.2f' % T.tensor(1.5)",
    "f'{T.tensor([1.0]):.2f}'", "str(T.tensor([1.0]))",
]  # fmt: skip

OPTIONS: list[dict[str, Any]] = [
    {"precision": 2}, {"linewidth": 40}, {"edgeitems": 1, "threshold": 5}, {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"},
    {"profile": "full"}, {"threshold": float("inf")},
]  # fmt: skip
UNDER_OPTIONS = [
    "T.arange(30.0) / 7", "T.arange(2000)", "T.tensor([1e-5, 1.0])", "T.tensor([1.0, 2.0])", "T.arange(100.0).reshape(10, 10) / 3",
    "T.tensor(1e-7)", "T.arange(12.0).reshape(3, 4)",
]  # fmt: skip


def spelled(module: Any, expression: str) -> str:
    try:
        value = eval(expression, {"T": module})
    except Exception as error:
        return type(error).__name__
    return (value if isinstance(value, str) else repr(value)).replace(f"{module.__name__}.", "T.")


@pytest.mark.parametrize("expression", EXPRESSIONS + FORMATS)
def test_as_torch(expression: str) -> None:
    assert spelled(lg, expression) == spelled(torch, expression)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options: dict[str, Any]) -> None:
    for module in (torch, lg):
        module.set_printoptions(**options)
    try:
        for expression in UNDER_OPTIONS:
            assert spelled(lg, expression) == spelled(torch, expression)
    finally:
        for module in (torch, lg):
            module.set_printoptions(profile="default")


def test_printing_computes_once() -> None:
    x = lg.ones(3) * 2
    assert x.node.computed is None
    repr(x)
    node = x.node
    repr(x)
    assert x.node is node and node.computed is not None


PYTHON = [
    "len(T.ones(3, 2))", "len(T.tensor(1))", "[t.item() for t in T.arange(3)]", "bool(T.ones(1))", "bool(T.ones(2))", "bool(T.tensor([]))",
    "int(T.tensor([3.7]))", "float(T.ones(2))", "int(T.ones(2))", "complex(T.tensor(1.5))", "T.ones(2).item()", "[1, 2, 3][T.tensor(1)]",
    "[1, 2, 3][T.tensor(1.0)]", "[1, 2, 3][T.tensor([1, 2])]", "T.tensor([1]) == None", "2 in T.tensor([1, 2])", "'a' in T.tensor([1, 2])",
    "list(range(T.tensor(3)))", "[int(t) for t in reversed(T.arange(3))]", "T.tensor([[1, 2], [3, 4]]).tolist()", "T.tensor(True).item()",
    "T.ones(2, requires_grad=True).numpy()", "iter(T.tensor(1))", "int(T.tensor(float('nan')))", "(2 << T.arange(3)).tolist()",
    "(64 >> T.arange(3)).tolist()", "T.tensor([2.5]).__int__()",
]  # fmt: skip


@pytest.mark.parametrize("expression", PYTHON)
def test_pythons_protocols(expression: str) -> None:
    assert spelled(lg, expression) == spelled(torch, expression)
