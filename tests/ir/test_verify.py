"""What the verifier accepts and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.device import CPU
from lazygrad.dtype import bool_, float32, float64, int64
from lazygrad.errors import GraphError
from lazygrad.ir import op as ops
from lazygrad.ir.node import make
from lazygrad.ir.verify import INFER, fault, verify
from lazygrad.nn import functional as F


def leaf(*shape: int, dtype: str = "float32"):
    return lg.tensor(np.zeros(shape, dtype)).node


def test_every_op_has_a_rule():
    assert [op for op in ops.OPS.values() if op not in INFER and op.kind not in INFER] == []


def test_what_the_constructors_make_is_well_formed():
    x = lg.randn(4, 6, requires_grad=True)
    w, index = lg.randn(6, 6), lg.tensor([[0, 1], [2, 3]])
    y = F.layer_norm(F.gelu(x @ w), (6,)).softmax(-1).gather(1, index).cumsum(0)
    y = lg.cat([y, y.flip(0)[:, ::2]], 1).argsort(1).float().logsumexp(1)
    z = F.scaled_dot_product_attention(*(x.view(1, 1, 4, 6) for _ in range(3)), is_causal=True)
    z.sum().backward()
    verify([y.node, z.node, x.grad.node], "building")


BAD = {
    "shape": lambda: make(ops.EXP, (leaf(3, 4),), None, float32, (4, 3), CPU),
    "dtype": lambda: make(ops.EXP, (leaf(3, 4),), None, float64, (3, 4), CPU),
    "mixed dtypes": lambda: make(ops.ADD, (leaf(3), leaf(3, dtype="int64")), None, float32, (3,), CPU),
    "broadcast inside": lambda: make(ops.ADD, (leaf(3, 4), leaf(4)), None, float32, (3, 4), CPU),
    "arity": lambda: make(ops.ADD, (leaf(3),), None, float32, (3,), CPU),
    "comparison": lambda: make(ops.LT, (leaf(3), leaf(3)), None, float32, (3,), CPU),
    "condition": lambda: make(ops.WHERE, (leaf(3), leaf(3), leaf(3)), None, float32, (3,), CPU),
    "axes": lambda: make(ops.SUM, (leaf(3, 4),), (1, 0), float32, (1, 1), CPU),
    "kept axes": lambda: make(ops.SUM, (leaf(3, 4),), (1,), float32, (3,), CPU),
    "reshape": lambda: make(ops.RESHAPE, (leaf(3, 4),), (5, 2), float32, (5, 2), CPU),
    "permute": lambda: make(ops.PERMUTE, (leaf(3, 4),), (1, 1), float32, (4, 4), CPU),
    "slice": lambda: make(ops.SLICE, (leaf(3, 4),), ((0, 4, 1), (0, 4, 1)), float32, (4, 4), CPU),
    "pad": lambda: make(ops.PAD, (leaf(3),), (((-1, 0),), 0.0), float32, (2,), CPU),
    "expand": lambda: make(ops.EXPAND, (leaf(3),), (4,), float32, (4,), CPU),
    "concat": lambda: make(ops.CONCAT, (leaf(3, 4), leaf(3, 5)), 0, float32, (6, 4), CPU),
    "dot": lambda: make(ops.DOT, (leaf(3, 4), leaf(3, 4)), None, float32, (3, 4), CPU),
    "gather": lambda: make(ops.GATHER, (leaf(3), leaf(3)), 0, float32, (3,), CPU),
    "bitcast": lambda: make(ops.BITCAST, (leaf(3),), int64, int64, (3,), CPU),
    "constant": lambda: make(ops.CONST, (), 2.5, int64, (3,), CPU),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_node_is_refused(name):
    with pytest.raises(GraphError, match=r"after some pass, .* is not well formed"):
        verify([BAD[name]()], "some pass")


def test_the_message_shows_the_node():
    with pytest.raises(GraphError) as error:
        verify([BAD["dtype"]()], "simplify")
    said = str(error.value)
    reason = "it says float64[3, 4], but its sources make float32[3, 4]"
    assert said.startswith(f"after simplify, EXP is not well formed: {reason}\n")
    assert "exp = exp(buffer)" in said and "test_verify.py:" in said


def test_a_copy_may_cross_devices_and_nothing_else():
    a = leaf(3)
    gpu = lg.Device("cuda") if hasattr(lg, "Device") else lg.device("cuda")
    assert fault(make(ops.COPY, (a,), gpu, float32, (3,), gpu)) is None
    assert "its sources on cpu" in str(fault(make(ops.EXP, (a,), None, float32, (3,), gpu)))


def test_bools():
    assert fault(make(ops.NOT, (leaf(3, dtype="bool"),), None, bool_, (3,), CPU)) is None
