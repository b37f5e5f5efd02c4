"""Hooks of optimizers, steps of the user's own, and what is refused: beside torch."""

from __future__ import annotations

import importlib
import pickle
from copy import deepcopy

import pytest
import torch

import lazygrad as lg
from lazygrad import optim

LIBRARIES = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])


def stepper(T, kind="SGD", **options):
    parameter = T.nn.Parameter(T.ones(2))
    parameter.grad = T.ones(2)
    return parameter, getattr(T.optim, kind)([parameter], lr=0.5, **options)


@LIBRARIES
def test_hooks_of_steps(T):
    parameter, optimizer = stepper(T)
    seen = []

    def before(which, args, kwargs):
        assert which is optimizer and args[0] is optimizer
        seen.append(("before", parameter.tolist()))

    def after(which, args, kwargs):
        seen.append(("after", parameter.tolist()))

    handles = [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
    everywhere = importlib.import_module(f"{T.__name__}.optim.optimizer")
    with everywhere.register_optimizer_step_pre_hook(lambda *_: seen.append(("any", None))):
        optimizer.step()
    assert seen == [("any", None), ("before", [1, 1]), ("after", [0.5, 0.5])]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 3


@LIBRARIES
def test_hooks_of_a_step_of_ones_own(T):
    seen = []

    class Halving(T.optim.SGD):
        def step(self, closure=None):
            loss = super().step(closure)
            with T.no_grad():
                for p in self.param_groups[0]["params"]:
                    p.mul_(0.5)
            return loss

    parameter = T.nn.Parameter(T.ones(2))
    parameter.grad = T.ones(2)
    optimizer = Halving([parameter], lr=0.5)
    optimizer.register_step_post_hook(lambda *_: seen.append(parameter.tolist()))
    optimizer.step()
    assert seen[-1] == [0.25, 0.25]


@LIBRARIES
def test_hooks_of_state_dicts(T):
    _, optimizer = stepper(T, momentum=0.9)
    optimizer.step()
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "extra": 1})
    first = optimizer.register_state_dict_post_hook(lambda o, state: seen.append(sorted(state)), prepend=True)
    saved = optimizer.state_dict()
    assert seen == ["saving", ["param_groups", "state"]] and saved["extra"] == 1
    first.remove()

    def faster(o, state):
        state["param_groups"] = [{**g, "lr": 2.0} for g in state["param_groups"]]
        return state

    optimizer.register_load_state_dict_pre_hook(faster)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    optimizer.load_state_dict(saved)
    assert seen[-1] == 2.0 and saved["param_groups"][0]["lr"] == 0.5


@LIBRARIES
def test_state_of_ones_own_is_kept_as_it_is(T):
    class Counting(T.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self):
            for p in self.param_groups[0]["params"]:
                self.state[p]["step"] = self.state[p].get("step", 0) + 1

    first, second = (Counting([T.nn.Parameter(T.ones(2))]) for _ in range(2))
    first.step()
    second.load_state_dict(first.state_dict())
    second.step()
    assert second.state_dict()["state"] == {0: {"step": 2}}


@LIBRARIES
def test_groups_are_the_users_own_dictionaries(T):
    group = {"params": T.nn.Parameter(T.ones(2)), "lr": 0.5}
    optimizer = T.optim.SGD([group], lr=0.1)
    assert optimizer.param_groups[0] is group and isinstance(group["params"], list)
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [("name", T.nn.Parameter(T.ones(1)))]})
    with pytest.raises(ValueError, match="names are missing"):
        T.optim.SGD([("name", T.nn.Parameter(T.ones(1))), T.nn.Parameter(T.ones(1))])
    twice = T.nn.Parameter(T.ones(1))
    with pytest.warns(UserWarning, match="duplicate"):
        T.optim.SGD([twice, twice])


@LIBRARIES
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Adafactor", {"beta2_decay": 1.0}),
        ("Adafactor", {"eps": (-1.0, 1e-3)}),
        ("Adafactor", {"d": 0.5}),
        ("SGD", {"momentum": -1}),
        ("RMSprop", {"alpha": -1}),
        ("Adadelta", {"rho": 2.0}),
        ("Adagrad", {"lr_decay": -1}),
        ("NAdam", {"momentum_decay": -1}),
        ("Rprop", {"etas": (1.5, 1.2)}),
        ("Muon", {}),
    ],
)
def test_options_out_of_range(T, kind, options):
    with pytest.raises(ValueError):
        stepper(T, kind, **options)


@LIBRARIES
def test_a_rate_of_many_numbers_is_refused(T):
    with pytest.raises(ValueError, match="1-element"):
        T.optim.Adam([T.nn.Parameter(T.ones(2))], lr=T.ones(2))


def test_sparse_adam_says_what_to_use():
    with pytest.raises(NotImplementedError, match="use Adam"):
        optim.SparseAdam([lg.nn.Parameter(lg.ones(2))])


@LIBRARIES
def test_copies_have_no_hooks(T):
    """What a hook holds may not be copied, nor saved."""
    _, optimizer = stepper(T, "Adam")
    optimizer.register_step_pre_hook(lambda *_: 1 / 0)
    for copy in (deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (parameter,) = copy.param_groups[0]["params"]
        parameter.grad = T.ones(2)  # a pickled one has none
        copy.step()
        assert parameter.tolist() == pytest.approx([0.5, 0.5])
