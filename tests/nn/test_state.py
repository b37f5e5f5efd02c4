"""What modules save and load, and how their tensors are exchanged, against torch."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch

import lazygrad as lg

THEIRS, OURS = SimpleNamespace(t=torch, nn=torch.nn), SimpleNamespace(t=lg, nn=lg.nn)
BOTH = pytest.mark.parametrize("lib", [THEIRS, OURS], ids=["torch", "lazygrad"])


def error_of(call, *args, **kwargs):
    with pytest.raises((RuntimeError, TypeError, AttributeError, ValueError, KeyError)) as caught:
        call(*args, **kwargs)
    return type(caught.value), str(caught.value).split(" (at ")[0]


def tied(lib):
    net = lib.nn.Sequential(OrderedDict(a=lib.nn.Linear(2, 2), b=lib.nn.BatchNorm1d(2), c=lib.nn.Linear(2, 2)))
    net.c.weight = net.a.weight
    return net


def test_messages_of_what_does_not_fit_are_torchs():
    found = []
    for lib in (THEIRS, OURS):
        net = tied(lib)
        state = net.state_dict()
        state["b.weight"] = lib.t.zeros(3)
        state["a.more.deep"] = state.pop("a.bias")
        state["zzz"] = lib.t.zeros(1)
        state["c.bias"] = 3
        text = error_of(net.load_state_dict, state)[1]
        found.append(text.replace("torch.Size([3])", "[3]").replace("torch.Size([2])", "[2]"))
        found[-1] = found[-1].replace(str(lib.t.Tensor), "Tensor")
        del state["b.weight"], state["c.bias"]
        result = net.load_state_dict(state, strict=False)
        found[-1] += str(result) + repr(net.load_state_dict(net.state_dict()))
    assert found[0] == found[1]


@BOTH
def test_metadata_and_old_batch_norms(lib):
    net = tied(lib)
    state = net.state_dict()
    assert state._metadata[""] == {"version": 1} and state._metadata["b"] == {"version": 2}
    old = {key: value for key, value in state.items() if "num_batches" not in key}
    assert not net.load_state_dict(old).missing_keys  # made before there was a counter
    new = OrderedDict(old)
    new._metadata = state._metadata
    assert error_of(net.load_state_dict, new)[0] is RuntimeError
    both = net.state_dict(prefix="p.", keep_vars=True)
    assert both["p.a.weight"] is both["p.c.weight"] is net.a.weight and next(iter(both)) == "p.a.weight"


@BOTH
def test_assign_takes_over(lib):
    net = tied(lib)
    weight = net.a.weight
    state = {k: v.double() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    net.a.bias.requires_grad_(False)
    net.load_state_dict(state, assign=True)
    assert net.a.weight is not weight and net.a.weight.dtype is lib.t.float64
    assert isinstance(net.a.weight, lib.nn.Parameter) and net.a.weight.requires_grad and not net.a.bias.requires_grad
    assert net.b.running_mean is state["b.running_mean"]


@BOTH
def test_modules_that_save_their_own_way(lib):
    class Renamed(lib.nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "w"] = destination.pop(prefix + "weight")

        def _load_from_state_dict(self, state_dict, prefix, *rest):
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
            super()._load_from_state_dict(state_dict, prefix, *rest)

    class Extra(lib.nn.Module):
        seen = 0

        def get_extra_state(self):
            return self.seen

        def set_extra_state(self, state):
            self.seen = state

    net = lib.nn.Sequential(Renamed(2, 2, bias=False), Extra())
    net[1].seen = 7
    state = net.state_dict()
    assert list(state) == ["0.w", "1._extra_state"]
    twin = lib.nn.Sequential(Renamed(2, 2, bias=False), Extra())
    twin.load_state_dict(state)
    assert twin[1].seen == 7 and lib.t.equal(twin[0].weight, net[0].weight)
    assert error_of(twin.load_state_dict, {"0.w": state["0.w"]})[0] is RuntimeError


@BOTH
def test_hooks_of_saving(lib):
    net = lib.nn.Sequential(lib.nn.Linear(1, 1))
    log = []
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: log.append((prefix, meta["version"])))
    net[0]._register_state_dict_hook(lambda m, state, prefix, meta: {**state, prefix + "more": 1})
    net._register_load_state_dict_pre_hook(lambda state, prefix, *rest: state.pop("0.more", None))
    net.register_load_state_dict_post_hook(lambda m, found: log.append(tuple(found.missing_keys)))
    state = net[0].state_dict()
    assert state["more"] == 1
    net.load_state_dict(net.state_dict())
    assert log == [("", 1), ()]
    net[0].register_state_dict_post_hook(lambda m, state, prefix, meta: state)
    assert error_of(net.state_dict)[0] is RuntimeError


@BOTH
def test_exchange_of_all_tensors(lib):
    net = tied(lib)
    weight = net.a.weight
    net(lib.t.ones(3, 2)).sum().backward()
    net._apply(lambda t: t.double() if t.is_floating_point() else t)
    assert net.a.weight is weight is net.c.weight and weight.grad.dtype is lib.t.float64
    assert net.type(lib.t.float32).b.num_batches_tracked.dtype is lib.t.float32
    empty = net.to_empty(device="cpu")
    assert empty is net and net.a.weight.shape == (2, 2) and net.share_memory() is net
    assert net.half().b.running_mean.dtype is lib.t.float16
    assert net.to(dtype=lib.t.float32, non_blocking=True).c.bias.dtype is lib.t.float32
    assert error_of(net.to, wrong=1)[0] is TypeError
    twin = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert twin.a.weight is twin.c.weight and isinstance(twin.a.weight, lib.nn.Parameter)
    net.compile()
    assert net(lib.t.ones(3, 2)).shape == (3, 2)


@BOTH
def test_set_submodule(lib):
    net = lib.nn.Sequential(lib.nn.Sequential(lib.nn.ReLU()))
    net.set_submodule("0.0", lib.nn.Tanh())
    net.set_submodule("0.new", lib.nn.Tanh())
    assert [n for n, _ in net.named_modules()] == ["", "0", "0.0", "0.new"] and isinstance(net[0][0], lib.nn.Tanh)
    assert error_of(net.set_submodule, "", lib.nn.ReLU())[0] is ValueError
    assert error_of(net.set_submodule, "0.0", 3)[0] is ValueError
    assert error_of(net.set_submodule, "0.other", lib.nn.ReLU(), strict=True)[0] is AttributeError
    assert error_of(net.set_submodule, "0.training", lib.nn.ReLU())[0] is AttributeError
    assert error_of(lib.nn.Module, 3)[0] is TypeError and error_of(lib.nn.Module, a=3)[0] is TypeError


@BOTH
def test_more_of_containers(lib):
    chain = lib.nn.Sequential(lib.nn.ReLU(), lib.nn.Tanh()) * 2
    chain *= 2
    assert len(chain) == 8 and chain[0] is chain[6] and len(2 * chain) == 16
    assert error_of(lambda: chain * 0)[0] is ValueError
    table = lib.nn.ParameterDict({"b": lib.t.ones(1), "a": lib.t.ones(2)})
    assert list(table) == ["a", "b"] and list(reversed(table)) == ["b", "a"]
    assert table.setdefault("c", lib.t.ones(3)) is table["c"] and table.popitem()[0] == "c"
    joined = table | lib.nn.ParameterDict({"d": lib.t.ones(1)})
    joined |= lib.nn.ParameterDict({"e": lib.t.ones(1)})
    assert list(joined) == ["a", "b", "d", "e"] and joined.copy()["a"] is table["a"]
    assert list(table.fromkeys(["x", "y"])) == ["x", "y"]


@BOTH
def test_convolution_with_weights_made_on_the_way(lib):
    class Centred(lib.nn.Conv1d):
        def forward(self, x):
            return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)

    layer = Centred(1, 1, 3, padding=1, padding_mode="circular", bias=False)
    assert abs(layer(lib.t.ones(1, 1, 5))).max() < 1e-6


@BOTH
def test_prefixes_of_wrappers_are_taken_off(lib):
    net = lib.nn.Sequential(lib.nn.Sequential(lib.nn.Linear(1, 1)))
    state = net.state_dict()
    lib.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "0.")
    assert list(state) == ["0.weight", "0.bias"] and list(state._metadata) == ["", "0"]
    net[0].load_state_dict(state)
    lib.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["0.weight", "0.bias"] and list(state._metadata) == ["", "0"]
