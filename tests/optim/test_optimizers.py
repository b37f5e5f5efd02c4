"""Every optimizer against torch's, step by step; what a step may and may not do to graphs and memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import engine, nn, optim
from lazygrad.io import load, save
from tests.graphs import kernels_of

SHAPES = [(4, 3), (3,), ()]
CASES = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True, "eps": 1e-3, "betas": (0.5, 0.7)}),
    ("Adam", {"betas": (0.0, 0.0)}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.3, "lr": 0.1, "betas": (0.9, 0.95), "maximize": True}),
    ("Adamax", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.1}),
    ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "betas": (0.9, 0.99)}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "weight_decay": 0.1}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("Rprop", {}),
    ("ASGD", {"weight_decay": 0.1, "t0": 3, "lambd": 0.01}),
    ("Adafactor", {"weight_decay": 0.1, "d": 1.5}),
]
NAMES = [f"{name} {' '.join(options)}" for name, options in CASES]


def twins(name, options, dtype):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s) for s in SHAPES]
    theirs = [torch.tensor(v, dtype=getattr(torch, dtype)).requires_grad_() for v in values]
    mine = [nn.Parameter(lg.tensor(v, dtype=getattr(lg, dtype))) for v in values]
    return theirs, mine, getattr(torch.optim, name)(theirs, **options), getattr(optim, name)(mine, **options)


def set_gradients(theirs, mine, rng, leave_out=None):
    for i, (a, b) in enumerate(zip(theirs, mine)):
        g = rng.normal(size=tuple(a.shape))
        a.grad = None if i == leave_out else torch.tensor(g, dtype=a.dtype)
        b.grad = None if i == leave_out else lg.tensor(g, dtype=b.dtype)


def assert_same(theirs, mine, tolerance):
    for a, b in zip(theirs, mine):
        np.testing.assert_allclose(b.numpy(force=True), a.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_twelve_steps(name, options, dtype):
    theirs, mine, a, b = twins(name, options, dtype)
    tolerance = {"float64": 1e-9, "float32": 3e-6}[dtype]
    rng = np.random.default_rng(1)
    for i in range(12):
        set_gradients(theirs, mine, rng, leave_out=1 if i == 5 else None)
        a.step()
        b.step()
        assert_same(theirs, mine, tolerance)
    saved, state = a.state_dict(), b.state_dict()
    assert set(saved["param_groups"][0]) == set(state["param_groups"][0])
    for index, values in saved["state"].items():
        assert set(values) == set(state["state"][index])
        for key, value in values.items():
            found = state["state"][index][key]
            assert tuple(found.shape) == tuple(value.shape), key
            np.testing.assert_allclose(
                found.numpy(force=True), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key
            )


@pytest.mark.parametrize(("name", "options"), list(dict(CASES).items()), ids=list(dict(CASES)))
def test_three_steps_interpreted(name, options):
    """Each optimizer's kernels, those of its first step and of later ones, in Triton's interpreter."""
    with lg.config(backend="triton"):
        theirs, mine, a, b = twins(name, options, "float32")
        rng = np.random.default_rng(1)
        for _ in range(3):
            set_gradients(theirs, mine, rng)
            a.step()
            b.step()
            assert_same(theirs, mine, 3e-6)


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_state_survives_saving(name, options, tmp_path):
    _, mine, _, b = twins(name, options, "float32")
    _, again, _, c = twins(name, options, "float32")
    rng = np.random.default_rng(1)
    for i in range(6):
        if i == 3:
            save(b.state_dict(), tmp_path / "x")
            c.load_state_dict(load(tmp_path / "x"))
            with lg.no_grad():
                for p, q in zip(mine, again):
                    q.copy_(p)
        for p, q in zip(mine, again):
            p.grad = q.grad = lg.tensor(rng.normal(size=tuple(p.shape)).astype(np.float32))
        b.step()
        if i >= 3:
            c.step()
    for p, q in zip(mine, again):
        np.testing.assert_array_equal(p.numpy(force=True), q.numpy(force=True))


def test_torchs_state_can_be_loaded(tmp_path):
    theirs, mine, a, b = twins("AdamW", {}, "float32")
    rng = np.random.default_rng(1)
    for _ in range(3):
        set_gradients(theirs, mine, rng)
        a.step()
    torch.save(a.state_dict(), tmp_path / "x.pt")
    b.load_state_dict(load(tmp_path / "x.pt"))
    with lg.no_grad():
        for p, q in zip(theirs, mine):
            q.copy_(lg.tensor(p.detach().numpy()))
    for _ in range(3):
        set_gradients(theirs, mine, rng)
        a.step()
        b.step()
    assert_same(theirs, mine, 1e-6)


# -- graphs -------------------------------------------------------------------------------------------
STEPPERS = {
    "SGD": {"momentum": 0.9},
    "Adam": {},
    "AdamW": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"centered": True, "momentum": 0.1},
    "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {},
    "Rprop": {},
    "ASGD": {},
    "Adafactor": {},
    "Lion": {},
    "Muon": {},
}


@pytest.mark.parametrize("name", STEPPERS)
def test_a_schedule_compiles_one_plan(name):
    lg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    parameters = [p for p in model.parameters() if p.ndim == 2 or name != "Muon"]
    optimizer = getattr(optim, name)(parameters, **STEPPERS[name])
    cycle = {"cycle_momentum": name in ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")}
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 20, **cycle)
    before = []
    for i in range(8):
        if i > 0:
            before.append(set(engine._plans))
        x = lg.tensor(np.full((5, 3), float(i), np.float32))
        loss = model(x).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.zero_grad()
        loss.item()
    assert before[0] == set(engine._plans), "a later step compiled again"


@pytest.mark.parametrize("name", [n for n in STEPPERS if n != "Muon"])
def test_equal_updates_share_their_kernels(name):
    """The update of all parameters of a shape is one kernel and the step count another; Adafactor reduces between."""

    def kernels(count):
        parameters = [nn.Parameter(lg.tensor(np.full((64, 32), i, np.float32))) for i in range(count)]
        optimizer = getattr(optim, name)(parameters, **STEPPERS[name])
        for _ in range(2):
            for p in parameters:
                p.grad = lg.tensor(np.ones((64, 32), np.float32))
            optimizer.step()
        state = [v for values in optimizer.state.values() for v in values.values()]
        return len(kernels_of(lambda: parameters + state))

    assert kernels(8) <= (5 if name == "Adafactor" else 2)


def test_a_step_computes_nothing(monkeypatch):
    parameter = nn.Parameter(lg.ones(3))
    optimizer = optim.AdamW([parameter])
    parameter.grad = lg.ones(3)

    def refuse(roots, *others):
        assert not roots, "realized"
        return []

    with monkeypatch.context() as patch:
        patch.setattr(engine, "realize", refuse)
        optimizer.step()
    optimizer.zero_grad()
    assert parameter.grad is None and parameter[0].item() < 1


def test_steps_are_shared_until_they_differ():
    a, b = nn.Parameter(lg.ones(3)), nn.Parameter(lg.ones(2))
    optimizer = optim.Adam([a, b])
    for i in range(4):
        a.grad = lg.ones(3)
        b.grad = lg.ones(2) if i != 2 else None
        optimizer.step()
        shared = optimizer.state[a]["step"] is optimizer.state[b]["step"]
        assert shared == (i < 2)
    assert optimizer.state[a]["step"].item() == 4 and optimizer.state[b]["step"].item() == 3


def test_equal_initial_values_do_not_share_memory():
    a, b = nn.Parameter(lg.zeros(4)), nn.Parameter(lg.zeros(4))
    optimizer = optim.SGD([a, b], lr=1.0)
    a.grad, b.grad = lg.ones(4), lg.ones(4) * 2
    optimizer.step()
    assert a.tolist() == [-1] * 4 and b.tolist() == [-2] * 4


def test_half_parameters_are_updated_in_float32_and_rounded_once():
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    mine = nn.Parameter(lg.tensor(values).to(lg.bfloat16))
    start = mine.numpy(force=True).astype(np.float32)
    optimizer = optim.SGD([mine], lr=0.1)
    mine.grad = lg.tensor(values).to(lg.bfloat16)
    optimizer.step()
    expected = lg.tensor(start - np.float32(0.1) * start).to(lg.bfloat16).numpy()
    np.testing.assert_array_equal(mine.numpy(force=True), expected)


# -- what torch has no twin of ------------------------------------------------------------------------
def test_lion():
    p = nn.Parameter(lg.tensor([1.0, -2.0]))
    optimizer = optim.Lion([p], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    m, w = np.zeros(2), np.array([1.0, -2.0])
    for g in ([0.5, -1.0], [-3.0, 0.2]):
        p.grad = lg.tensor(g)
        optimizer.step()
        w = w * (1 - 0.1 * 0.5) - 0.1 * np.sign(0.9 * m + 0.1 * np.array(g))
        m = 0.99 * m + 0.01 * np.array(g)
    np.testing.assert_allclose(p.numpy(force=True), w, rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"}])
def test_muon(shape, options):
    value = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    a = torch.tensor(value.copy(), requires_grad=True)
    b = nn.Parameter(lg.tensor(value))
    theirs, mine = torch.optim.Muon([a], lr=0.1, **options), optim.Muon([b], lr=0.1, **options)
    rng = np.random.default_rng(1)
    for _ in range(3):
        g = rng.normal(size=shape).astype(np.float32)
        a.grad, b.grad = torch.tensor(g), lg.tensor(g)
        theirs.step()
        mine.step()
    # bfloat16 inside, whose products are rounded in another order
    np.testing.assert_allclose(b.numpy(force=True), a.detach().numpy(), atol=0.01)


def test_lbfgs():
    value = np.array([-1.2, 1.0, 0.5])
    losses = []
    for library, module in ((torch, torch.optim), (lg, optim)):
        p = library.tensor(value, requires_grad=True)
        for search in (None, "strong_wolfe"):
            optimizer = module.LBFGS([p], lr=0.5, max_iter=10, line_search_fn=search)

            def closure(p=p, optimizer=optimizer):
                optimizer.zero_grad()
                loss = ((1 - p[:-1]) ** 2).sum() + 100 * ((p[1:] - p[:-1] ** 2) ** 2).sum()
                loss.backward()
                return loss

            for _ in range(2):
                losses.append(float(optimizer.step(closure)))
        losses.append(p.tolist())
    half = len(losses) // 2
    for a, b in zip(losses[:half], losses[half:]):
        assert b == pytest.approx(a, rel=1e-6, abs=1e-9)


# -- groups and errors --------------------------------------------------------------------------------
def test_groups():
    a, b = nn.Parameter(lg.ones(2)), nn.Parameter(lg.ones(2))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    optimizer.add_param_group({"params": [nn.Parameter(lg.ones(1))]})
    a.grad = b.grad = lg.ones(2)
    optimizer.step()
    assert a.tolist() == pytest.approx([0.5, 0.5]) and b.tolist() == pytest.approx([0.9, 0.9])
    assert len(optimizer.param_groups) == 3 and "lr: 0.5" in repr(optimizer)
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0, 0]


def test_closures_and_named_parameters():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]

    def closure():
        loss = model(lg.ones(1, 2)).sum()
        loss.backward()
        return loss

    assert isinstance(optimizer.step(closure), lg.Tensor)


@pytest.mark.parametrize("lib", [(torch, torch.nn, torch.optim), (lg, nn, optim)], ids=["torch", "lazygrad"])
def test_errors(lib):
    t, module, o = lib
    p = module.Parameter(t.ones(2))
    with pytest.raises(TypeError):
        o.SGD(p, lr=0.1)
    with pytest.raises(ValueError, match="empty parameter list"):
        o.SGD([], lr=0.1)
    with pytest.raises(ValueError, match="non-leaf"):
        o.SGD([p * 2], lr=0.1)
    with pytest.raises(TypeError, match="can only optimize Tensors"):
        o.SGD([3], lr=0.1)
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        o.AdamW([p], lr=-1)
    with pytest.raises(ValueError, match="beta parameter at index 1"):
        o.Adam([p], betas=(0.5, 1.0))
    with pytest.raises(ValueError, match="Nesterov"):
        o.SGD([p], lr=0.1, nesterov=True)
    optimizer = o.SGD([p], lr=0.1)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [p]})
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})
