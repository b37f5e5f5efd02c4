"""Hooks of modules against torch."""

from __future__ import annotations

import copy
import warnings
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

import lazygrad as lg

BOTH = pytest.mark.parametrize(
    "lib", [SimpleNamespace(t=torch, nn=torch.nn), SimpleNamespace(t=lg, nn=lg.nn)], ids=["torch", "lazygrad"]
)


def listed(grads):
    return [None if g is None else g.tolist() for g in grads]


@BOTH
def test_forward_hooks(lib):
    log = []

    class Scale(lib.nn.Module):
        def forward(self, x, by=1.0):
            if by == 0:
                raise ValueError("zero")
            return x * by

    module = Scale()
    module.register_forward_pre_hook(lambda m, args, kwargs: (args, {"by": kwargs["by"] * 2}), with_kwargs=True)
    module.register_forward_pre_hook(lambda m, args: log.append("pre"), prepend=True)
    module.register_forward_hook(lambda m, args, kwargs, out: log.append((kwargs, out.item())), with_kwargs=True)
    module.register_forward_hook(lambda m, args, out: out + 1)
    always = module.register_forward_hook(lambda m, args, out: log.append(out is None), always_call=True, prepend=True)
    assert module(lib.t.tensor(3.0), by=2.0).item() == 13
    assert log == ["pre", False, ({"by": 4.0}, 12.0)]
    log.clear()
    with pytest.raises(ValueError, match="zero"):
        module(lib.t.tensor(3.0), by=0)
    assert log == ["pre", True]
    always.remove()
    bad = Scale()
    bad.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook"):
        bad(lib.t.ones(1))


@BOTH
def test_backward_hooks_see_and_replace(lib):
    log = []
    module = lib.nn.Linear(2, 2, bias=False)
    with lib.t.no_grad():
        module.weight.fill_(1.0)
    handles = [
        module.register_full_backward_pre_hook(lambda m, go: log.append(("pre", listed(go))) or (go[0] * 2,)),
        module.register_full_backward_hook(lambda m, gi, go: log.append((listed(gi), listed(go)))),
        module.register_full_backward_hook(lambda m, gi, go: None if gi[0] is None else (gi[0] * 3,)),
    ]
    x = lib.t.ones(1, 2, requires_grad=True)
    module(x).sum().backward()
    assert log == [("pre", [[[1, 1]]]), ([[[4, 4]]], [[[2, 2]]])]
    assert x.grad.tolist() == [[12, 12]] and module.weight.grad.tolist() == [[2, 2], [2, 2]]
    log.clear()
    module(lib.t.ones(1, 2)).sum().backward()
    assert log == [("pre", [[[1, 1]]]), ([None], [[[2, 2]]])]
    log.clear()
    module(lib.t.ones(1, 2, requires_grad=True)).sum().backward()  # nobody holds the input any more
    assert len(log) == 2 and log[1][0] == [[[4, 4]]]
    log.clear()
    loss = module(x).sum()
    loss.item()
    assert log == []  # reading a loss calls nobody's hooks
    loss.backward(retain_graph=True)
    loss.backward()
    assert len(log) == 4
    for handle in handles:
        handle.remove()
    log.clear()
    module(x).sum().backward()
    assert log == []


Parts = namedtuple("Parts", "twice thrice")


@BOTH
def test_backward_hooks_of_several_values(lib):
    log = []

    class Several(lib.nn.Module):
        def forward(self, x, n, y):
            return Parts(x * 2 + y, y * 3)

    module = Several()
    module.register_full_backward_hook(lambda m, gi, go: log.append((listed(gi), listed(go))))
    x, y = lib.t.ones(2, requires_grad=True), lib.t.ones(2, requires_grad=True)
    found = module(x, 3, y)
    assert isinstance(found, Parts)
    found.twice.sum().backward()
    assert log == [([[2, 2], None, [1, 1]], [[1, 1], None])]
    with lib.t.no_grad():
        assert not module(x, 3, y).twice.requires_grad
    wrong = Several()
    wrong.register_full_backward_hook(lambda m, gi, go: gi + gi)
    with pytest.raises(RuntimeError, match="got 6, but expected 3"):
        wrong(x, 3, y).twice.sum().backward()

    class Table(lib.nn.Module):
        def forward(self, x):
            return {"a": x * 2}

    module = Table()
    module.register_full_backward_hook(lambda m, gi, go: log.append("never"))
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple"):
        module(x)["a"].sum().backward()
    assert len(log) == 1


@BOTH
def test_second_derivatives_pass_the_borders(lib):
    module = lib.nn.Tanh()
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    x = lib.t.tensor([0.5], requires_grad=True)
    (g,) = lib.t.autograd.grad(module(x).sum(), x, create_graph=True)
    (gg,) = lib.t.autograd.grad(g.sum(), x)
    tanh = 0.46211716
    assert g.item() == pytest.approx(2 * (1 - tanh**2), rel=1e-5)
    # the way through the first backward's tanh, which stands inside the borders, meets them once more
    assert gg.item() == pytest.approx(2 * -2 * tanh * (1 - tanh**2), rel=1e-5)


@BOTH
def test_state_dict_hooks(lib):
    log = []
    module = lib.nn.Sequential(lib.nn.Linear(1, 1))
    module[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.append((prefix, keep)))
    module[0].register_state_dict_post_hook(lambda m, state, prefix, meta: state.update({prefix + "more": 3}))
    state = module.state_dict()
    assert log == [("0.", False)] and state.pop("0.more") == 3
    handle = module.register_load_state_dict_post_hook(lambda m, found: found.missing_keys.clear())
    del state["0.bias"]
    assert module.load_state_dict(state).missing_keys == []
    handle.remove()
    with pytest.raises(RuntimeError, match="Missing"):
        module.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin = copy.deepcopy(module)
    assert twin.state_dict()["0.more"] == 3
