"""The same program run with torch and with lazygrad, its values and gradients compared."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn

THEIRS = SimpleNamespace(t=torch, nn=torch.nn, F=torch.nn.functional)
OURS = SimpleNamespace(t=lg, nn=nn, F=nn.functional)


def numbers(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed + sum(shape)).normal(size=shape).astype(dtype)


def close(mine, theirs, tolerance=1e-9, what="value"):
    a = np.asarray(mine.numpy(force=True), np.float64)
    b = theirs.detach().to(torch.float64).numpy()
    assert a.shape == b.shape, f"{what}: {a.shape} for {b.shape}"
    assert str(mine.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1], what
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=what)


def outcome(library, program, arrays, modules=()):
    """(result, gradients of inputs and parameters) of program(library, *tensors)."""
    tensors = []
    for array in arrays:
        tensor = library.t.tensor(array)
        tensors.append(tensor.requires_grad_() if array.dtype.kind == "f" else tensor)
    result = program(library, *tensors)
    if result.requires_grad:
        weight = np.random.default_rng(1).normal(size=tuple(result.shape))
        (result * library.t.tensor(weight).to(result.dtype)).sum().backward()
    parameters = [p for m in modules for p in m.parameters()]
    return result, [t.grad for t in [*tensors, *parameters]]


@pytest.fixture
def sides():
    """(outcome, close, torch's names, ours), for tests that run the two libraries themselves."""
    return outcome, close, THEIRS, OURS


@pytest.fixture
def compare(backend):
    """compare(program, *arrays, tolerance=...): program(library, *tensors) gives the same in both
    libraries."""

    def check(program, *arrays, tolerance=1e-9, modules=((), ())):
        theirs, their_grads = outcome(THEIRS, program, arrays, modules[0])
        mine, my_grads = outcome(OURS, program, arrays, modules[1])
        close(mine, theirs, tolerance)
        for i, (a, b) in enumerate(zip(my_grads, their_grads, strict=True)):
            assert (a is None) == (b is None), f"gradient {i}: {a} for {b}"
            if a is not None:
                close(a, b, tolerance, f"gradient {i}")

    return check


@pytest.fixture
def compare_modules(compare):
    """compare_modules(make, *arrays): the modules make(nn) with the same weights, forward and backward."""

    def check(make, *arrays, tolerance=1e-9, call=lambda module, *inputs: module(*inputs)):
        torch.manual_seed(0)
        theirs, mine = make(torch.nn).double(), make(nn).double()
        assert list(mine.state_dict()) == list(theirs.state_dict())
        assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        if torch.__version__.startswith("2.13."):  # what a module prints differs between releases
            assert str(mine) == str(theirs).replace("NonDynamicallyQuantizable", "")
        mine.load_state_dict({k: lg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
        pick = {id(THEIRS): theirs, id(OURS): mine}
        compare(
            lambda library, *inputs: call(pick[id(library)], *inputs),
            *arrays,
            tolerance=tolerance,
            modules=([theirs], [mine]),
        )
        for name, value in theirs.state_dict().items():
            close(mine.state_dict()[name], value, tolerance, name)
        return mine, theirs

    return check
