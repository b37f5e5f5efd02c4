"""grad_fn and torch.autograd.graph: the graph as programs look at it."""

from __future__ import annotations

import pytest
import torch

import lazygrad as lg

BOTH = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])

EXPRESSIONS = [
    "x + 1", "x - 1", "x * 2", "x / 2", "-x", "x ** 2", "x ** 3", "2 ** x", "x ** x", "x @ x.t()", "x.t()", "x.exp()", "x.log()", "x.sqrt()",
    "x.abs()", "x.sin()", "x.tanh()", "x.sigmoid()", "x.relu()", "x.sum()", "x.sum(0)", "x.mean()", "x.mean(1)", "x.max()", "x.amax(1)",
    "x.prod()", "x.clone()", "x.cumsum(0)", "x.log1p()", "x.reciprocal()", "x.maximum(x * 2)", "x[0]", "x[:, 1:]", "x[T.tensor([0])]", "x.view(-1)",
    "x.unsqueeze(0)", "x.expand(2, 2, 3)", "x.permute(1, 0).unsqueeze(0).permute(2, 0, 1)", "x.view(1, 2, 3).transpose(1, 2)", "T.cat([x, x])",
    "T.where(x > 1, x, 2 * x)", "F.linear(x, x, x.sum(1))", "F.softmax(x, 1)", "F.log_softmax(x, 1)", "F.gelu(x)", "F.silu(x)", "F.elu(x)",
    "F.leaky_relu(x)", "F.softplus(x)", "F.layer_norm(x, (3,))", "F.mse_loss(x, T.ones(2, 3))", "F.cross_entropy(x, T.tensor([0, 1]))",
    "F.smooth_l1_loss(x, T.ones(2, 3))", "F.binary_cross_entropy_with_logits(x, T.ones(2, 3))", "F.embedding(T.tensor([1]), x)", "x.double()",
    "F.conv2d(x.view(1, 1, 2, 3), T.ones(1, 1, 1, 1))", "(x * 1).mul_(2)", "x.half()",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_names(expression: str) -> None:
    found = []
    for T in (torch, lg):
        x = T.tensor([[0.5, 1.0, 2.0], [1.5, 0.25, 3.0]], requires_grad=True)
        value = eval(expression, {"T": T, "x": x, "F": T.nn.functional})
        found.append((value.grad_fn.name(), type(value.grad_fn).__name__, repr(value.grad_fn).split()[0], repr(value).split("grad_fn=")[1]))
    assert found[1] == found[0]


@BOTH
def test_walking_down_to_the_leaves(T) -> None:
    """As programs that draw a graph do it."""
    x, w = T.ones(1, 2, requires_grad=True), T.ones(3, 2, requires_grad=True)
    loss = ((x @ w.t()).relu() * 2).sum()
    names, leaves, pending = [], [], [loss.grad_fn]
    while pending:
        function = pending.pop(0)
        names.append(function.name())
        if hasattr(function, "variable"):
            leaves.append(function.variable)
        pending += [f for f, _ in function.next_functions if f is not None]
    assert names == [
        "SumBackward0", "MulBackward0", "ReluBackward0", "MmBackward0", "torch::autograd::AccumulateGrad", "TBackward0",
        "torch::autograd::AccumulateGrad",
    ]  # fmt: skip
    assert leaves[0] is x and leaves[1] is w
    assert loss.grad_fn == loss.grad_fn and T.ones(1).grad_fn is None and x.grad_fn is None


@BOTH
def test_hooks_before_a_backward(T) -> None:
    x, seen = T.ones(2, requires_grad=True), []
    y = x * 3
    y.grad_fn.register_prehook(lambda gradients: seen.append(gradients[0].tolist()))
    handle = y.grad_fn.register_prehook(lambda gradients: (gradients[0] * 2,))
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    assert seen == [[1, 1], [1, 1]] and x.grad.tolist() == [9, 9]


@BOTH
def test_contexts_that_change_no_number(T) -> None:
    x = T.ones(2, requires_grad=True)
    with T.autograd.graph.save_on_cpu():
        y = x * x
    with T.autograd.graph.disable_saved_tensors_hooks("none here"):
        y = y.sum()
    y.backward()
    assert x.grad.tolist() == [2, 2]
    edge = T.autograd.graph.get_gradient_edge(x * 2)
    assert edge.node.name() == "MulBackward0" and edge.output_nr == 0 and isinstance(edge.node, T.autograd.graph.Node)
    with pytest.raises(RuntimeError):
        T.autograd.graph.get_gradient_edge(T.ones(2))


def test_what_cant_be_followed_says_so() -> None:
    with pytest.raises(NotImplementedError, match="checkpoint"), lg.autograd.graph.saved_tensors_hooks(abs, abs):
        pass
    with pytest.raises(NotImplementedError, match=r"tensor\.register_hook"):
        (lg.ones(2, requires_grad=True) * 2).grad_fn.register_hook(print)
