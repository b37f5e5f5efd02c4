"""torch.compile of functions and modules; torch.profiler around a loop: what programs say to torch's machinery."""

from __future__ import annotations

import copy

import pytest
import torch

import lazygrad as lg


def network(T):
    return T.nn.Sequential(T.nn.Linear(2, 3), T.nn.Dropout(0.5))


@pytest.mark.parametrize("T", [torch, lg])
def test_a_compiled_module_is_one(T):
    """Its parameters, state, mode and attributes are those of the module in it."""
    module = network(T)
    compiled = T.compile(module, **({"backend": "eager"} if T is torch else {"mode": "max-autotune"}))
    assert isinstance(compiled, T.nn.Module) and compiled._orig_mod is module
    assert list(compiled.state_dict()) == ["_orig_mod.0.weight", "_orig_mod.0.bias"]
    assert [id(p) for p in compiled.parameters()] == [id(p) for p in module.parameters()]
    compiled.eval()
    assert not compiled.training and not module.training and not module[1].training
    module.train()
    assert compiled.training
    compiled.note = 3
    assert module.note == compiled.note == 3 and not hasattr(compiled, "nothing")
    twin = copy.deepcopy(compiled)
    twin.load_state_dict(compiled.state_dict())
    assert twin._orig_mod is not module
    with pytest.raises(AttributeError, match="nothing"):
        compiled.nothing  # noqa: B018


def test_calls_are_the_modules(backend):
    module = network(lg).eval()
    compiled = lg.compile(module)
    x = lg.ones(4, 2)
    seen = []
    compiled.register_forward_hook(lambda *given: seen.append(given[2]))
    loss = compiled(x).sum()
    loss.backward()
    assert lg.equal(compiled(x), module(x)) and len(seen) == 2
    assert module[0].bias.grad.tolist() == [4.0, 4.0, 4.0]


def test_what_cannot_be_compiled():
    for T in (torch, lg):
        with pytest.raises((TypeError, RuntimeError, AssertionError)):
            T.compile(3)(1)


def test_a_profiled_loop():
    """The steps at which torch would hand over a trace; nothing is recorded, and asking for it says so."""
    handed = []
    for T in (torch, lg):
        p = T.profiler
        ready = []
        plan = p.schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
        with p.profile(
            activities=[p.ProfilerActivity.CPU], schedule=plan, on_trace_ready=lambda q, ready=ready: ready.append(q.step_num)
        ) as made:
            for _ in range(10):
                with p.record_function("step"):
                    T.ones(2).add(1)
                made.step()
        handed.append((ready, [plan(i).name for i in range(10)]))
    assert handed[0] == handed[1] and handed[1][0]
    with pytest.raises(NotImplementedError, match="LAZYGRAD_DEBUG=2"):
        made.key_averages().table()
