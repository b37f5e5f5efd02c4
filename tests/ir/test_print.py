"""Graphs as text."""

from __future__ import annotations

import lazygrad as lg
from lazygrad.ir.print import graph_text, operation_lines, origin
from lazygrad.nn import functional as F


def test_one_line_for_each_node():
    x = lg.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = (x.exp() * 0.5).sum(1)
    text = graph_text([y.node], "after simplify")
    lines = [line.split("#")[0].rstrip() for line in text.splitlines()]
    assert lines == [
        "def after_simplify(buffer: float32[2, 2]):",
        "    exp = exp(buffer)",
        "    mul = mul(exp, 0.5)",
        "    sum = sum(mul, axes=(1,))",
        "    reshape = reshape(sum, (2,))",
        "    return reshape",
    ]
    assert "# float32[2, 1]  " in text and "test_print.py:" in text


def test_arguments_read_as_in_python():
    x = lg.arange(24).reshape(2, 3, 4)
    text = graph_text([x.float().transpose(0, 2)[1:3, ::2].flip(0).node])
    for call in ("cast(reshape, float32)", "axes=(2, 1, 0)", "[1:3, 0:3:2, 0:2]", "flip(slice, axes=(0,))"):
        assert call in text, text


def test_keywords_are_no_names():
    a, b = lg.tensor([True]), lg.tensor([False])
    assert "and_ = and_(buffer, buffer_1)" in graph_text([(a & b).node])


def test_what_is_given_is_a_parameter():
    x = lg.tensor([1.0])
    inner = x.exp()
    text = graph_text([inner.log().node], given=[inner.node])
    assert text.startswith("def graph(exp: float32[1]):") and "exp(" not in text.replace("graph(exp", "")


def test_composites_are_named():
    y = F.softmax(lg.tensor([[1.0, 2.0]]), 1)
    assert origin(y.node).endswith(" softmax")
    assert [line.split()[0] for line in operation_lines([y.node, y.node])] == ["div"]


def test_a_long_signature_takes_several_lines():
    tensors = [lg.tensor([float(i)] * 3) for i in range(9)]
    total = tensors[0]
    for t in tensors[1:]:
        total = total + t
    text = graph_text([total.node])
    assert text.splitlines()[0] == "def graph(" and "):" in text.splitlines()
