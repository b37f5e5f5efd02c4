"""Module's bookkeeping against torch: names, order, state, errors, hooks, printing."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn

BOTH = [SimpleNamespace(t=torch, nn=torch.nn), SimpleNamespace(t=lg, nn=nn)]


def model(lib):
    class Inner(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = lib.nn.Linear(3, 4, bias=False)
            self.register_buffer("seen", lib.t.zeros(2))
            self.register_buffer("scratch", lib.t.ones(1), persistent=False)
            self.scale = lib.nn.Parameter(lib.t.ones(4))

        def forward(self, x):
            return self.linear(x) * self.scale

    class Outer(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Inner()
            self.blocks = lib.nn.ModuleList([lib.nn.Linear(4, 4), lib.nn.ReLU(), lib.nn.Linear(4, 3)])
            self.named = lib.nn.ModuleDict({"norm": lib.nn.LayerNorm(3), "drop": lib.nn.Dropout(0.1)})
            self.extra = lib.nn.ParameterList([lib.t.ones(2), lib.nn.Parameter(lib.t.zeros(1))])
            self.more = lib.nn.ParameterDict({"a": lib.t.ones(1)})
            self.blocks[2].weight = self.blocks[2].weight
            self.tied = self.blocks[0]

        def forward(self, x):
            x = self.first(x)
            for block in self.blocks:
                x = block(x)
            return self.named["drop"](self.named["norm"](x))

    return Outer()


def test_names_and_order_are_torchs():
    theirs, mine = (model(lib) for lib in BOTH)
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(mine, walk)()] == [n for n, _ in getattr(theirs, walk)()], walk
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    mine_all = [n for n, _ in mine.named_parameters(remove_duplicate=False)]
    assert mine_all == [n for n, _ in theirs.named_parameters(remove_duplicate=False)]
    assert len(list(mine.modules())) == len(list(theirs.modules()))


def test_repr():
    theirs, mine = (model(lib) for lib in BOTH)
    assert repr(mine).replace("lazygrad", "torch") == repr(theirs).replace("FloatTensor", "float32")


def test_state_dict_shares_memory_and_loads_in_place():
    module = nn.Linear(2, 2)
    weight = module.weight
    state = module.state_dict()
    module.load_state_dict({"weight": lg.ones(2, 2), "bias": lg.zeros(2)})
    assert module.weight is weight and weight.requires_grad
    np.testing.assert_array_equal(weight.detach().numpy(), np.ones((2, 2)))
    np.testing.assert_array_equal(state["weight"].numpy(), np.ones((2, 2)))


def test_loading_reports_what_does_not_fit():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    state = module.state_dict()
    state["more"] = state.pop("1.bias")
    state["0.weight"] = lg.zeros(5, 5)
    with pytest.raises(RuntimeError) as caught:
        module.load_state_dict(state)
    text = str(caught.value)
    assert 'Missing key(s) in state_dict: "1.bias"' in text
    assert 'Unexpected key(s) in state_dict: "more"' in text
    assert "size mismatch for 0.weight" in text
    state["0.weight"] = lg.zeros(2, 2)
    result = module.load_state_dict(state, strict=False)
    assert result.missing_keys == ["1.bias"] and result.unexpected_keys == ["more"]


@pytest.mark.parametrize("lib", BOTH, ids=["torch", "lazygrad"])
def test_attribute_rules(lib):
    module = lib.nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign"):
        module.weight = lib.t.ones(2, 2)
    with pytest.raises(TypeError, match="cannot assign"):
        module.register_buffer("b", 3)
    with pytest.raises(KeyError, match="already exists"):
        module.register_buffer("forward", lib.t.ones(1))
    with pytest.raises(KeyError, match="contain"):
        module.add_module("a.b", lib.nn.ReLU())
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
    module.bias = None
    assert list(module.state_dict()) == ["weight"]
    module.bias = lib.nn.Parameter(lib.t.zeros(2))
    assert [n for n, _ in module.named_parameters()] == ["weight", "bias"]
    del module.bias
    assert not hasattr(module, "bias")

    class Forgot(lib.nn.Module):
        def __init__(self):
            self.p = lib.nn.Parameter(lib.t.ones(1))

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Forgot()


def test_modes_and_conversions():
    module = model(BOTH[1])
    assert module.training and module.eval() is module and not module.named["drop"].training
    weight = module.first.linear.weight
    optimizer = lg.optim.SGD(module.parameters(), lr=0.1)
    module.train().double()
    assert module.first.linear.weight is weight and weight.dtype is lg.float64 and weight.is_leaf
    assert module.first.seen.dtype is lg.float64
    module(lg.zeros(2, 3, dtype=lg.float64)).sum().backward()
    optimizer.step()
    assert weight.grad.dtype is lg.float64
    module.to(lg.float32)
    assert weight.grad.dtype is lg.float32
    module.to("cpu", lg.bfloat16)
    assert {p.dtype for p in module.parameters()} == {lg.bfloat16}
    module.requires_grad_(False)
    assert not any(p.requires_grad for p in module.parameters())
    with pytest.raises(TypeError, match="floating point"):
        module.to(lg.int64)


def test_apply_and_zero_grad():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    seen = []
    module.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "Sequential"]
    module(lg.ones(1, 2)).sum().backward()
    module.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("lib", BOTH, ids=["torch", "lazygrad"])
def test_hooks(lib):
    module = lib.nn.Identity()
    log = []
    handles = [
        module.register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
        module.register_forward_hook(lambda m, args, out: log.append(float(out))),
        module.register_forward_hook(lambda m, args, out: out + 1),
        module.register_forward_hook(lambda m, args, kwargs, out: log.append(kwargs), with_kwargs=True),
        module.register_forward_hook(lambda m, args, out: log.append("first"), prepend=True),
    ]
    assert float(module(lib.t.tensor(3.0))) == 7
    assert log == ["first", 6.0, {}]
    for handle in handles:
        handle.remove()
    assert float(module(lib.t.tensor(3.0))) == 3


@pytest.mark.parametrize("lib", BOTH, ids=["torch", "lazygrad"])
def test_full_backward_hook(lib):
    module = lib.nn.Linear(2, 1, bias=False)
    with lib.t.no_grad():
        module.weight.copy_(lib.t.tensor([[2.0, 3.0]]))
    seen = []
    module.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist())))
    x = lib.t.ones(1, 2, requires_grad=True)
    (module(x) * 5).sum().backward()
    assert seen == [([[10.0, 15.0]], [[5.0]])]


@pytest.mark.parametrize("lib", BOTH, ids=["torch", "lazygrad"])
def test_containers(lib):
    nn = lib.nn
    chain = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3))
    assert len(chain) == 3 and isinstance(chain[-1], nn.Linear) and len(chain[:2]) == 2
    chain.append(nn.Tanh())
    del chain[1]
    assert [type(m).__name__ for m in chain] == ["Linear", "Linear", "Tanh"]
    assert list(chain.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    chain.insert(0, nn.Identity())
    assert list(dict(chain.named_children())) == ["0", "1", "2", "3"]
    listed = nn.ModuleList([nn.ReLU()])
    listed += [nn.Tanh()]
    listed.extend([nn.Identity()])
    listed[0] = nn.Sigmoid()
    assert [type(m).__name__ for m in listed] == ["Sigmoid", "Tanh", "Identity"]
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Tanh()
    table.update({"c": nn.Identity()})
    assert "a" in table and list(table) == ["a", "b", "c"] and table.pop("a") and len(table) == 2
    values = nn.ParameterList([lib.t.ones(1)])
    values.append(nn.Parameter(lib.t.ones(2)))
    assert [tuple(p.shape) for p in values.parameters()] == [(1,), (2,)] and len(values) == 2
    named = nn.ParameterDict({"x": lib.t.ones(1)})
    named["y"] = nn.Parameter(lib.t.ones(2))
    assert list(named.keys()) == ["x", "y"] and "y" in named


def test_copies_and_pickles():
    module = model(BOTH[1])
    twin = copy.deepcopy(module)
    with lg.no_grad():
        twin.first.scale.fill_(5)
    assert module.first.scale.tolist() == [1, 1, 1, 1] and twin.first.scale.requires_grad
    assert twin.tied is twin.blocks[0]
    linear = nn.Linear(2, 3)
    again = pickle.loads(pickle.dumps(linear))
    np.testing.assert_array_equal(again.weight.numpy(force=True), linear.weight.numpy(force=True))
    assert isinstance(again.weight, nn.Parameter) and again.weight.requires_grad


def test_get_by_path():
    module = model(BOTH[1])
    assert module.get_submodule("first.linear") is module.first.linear
    assert module.get_parameter("blocks.0.weight") is module.blocks[0].weight
    assert module.get_buffer("first.seen") is module.first.seen
    with pytest.raises(AttributeError):
        module.get_submodule("first.nothing")


def test_missing_forward():
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        nn.Module()(1)


def test_initial_distributions():
    lg.manual_seed(0)
    linear = nn.Linear(400, 300)
    w = linear.weight.numpy(force=True)
    assert abs(w).max() <= 1 / 20 and abs(w.std() - 1 / 20 / 3**0.5) < 1e-3
    e = nn.Embedding(500, 100, padding_idx=3).weight.numpy(force=True)
    assert (e[3] == 0).all() and abs(e.std() - 1) < 0.01
    for name, deviation in {
        "kaiming_normal_": (2 / 300) ** 0.5,
        "kaiming_uniform_": (2 / 300) ** 0.5,
        "xavier_normal_": (2 / 700) ** 0.5,
        "xavier_uniform_": (2 / 700) ** 0.5,
    }.items():
        t = lg.zeros(400, 300)
        assert getattr(nn.init, name)(t) is t
        assert abs(t.numpy().std() - deviation) < 0.02 * deviation, name
    t = nn.init.trunc_normal_(lg.zeros(100, 100), std=0.5, a=-0.5, b=1.0).numpy()
    assert t.min() >= -0.5 and t.max() <= 1
    q = nn.init.orthogonal_(lg.zeros(5, 8)).numpy()
    np.testing.assert_allclose(q @ q.T, np.eye(5), atol=1e-6)
    np.testing.assert_array_equal(nn.init.eye_(lg.zeros(2, 3)).numpy(), np.eye(2, 3))
    for shape in ((4, 3, 3), (3, 4, 2, 3)):
        theirs = torch.nn.init.dirac_(torch.zeros(shape)).numpy()
        np.testing.assert_array_equal(nn.init.dirac_(lg.zeros(shape)).numpy(), theirs)
    assert ((nn.init.sparse_(lg.ones(10, 4), 0.3).numpy() == 0).sum(0) == 3).all()
