"""Anomaly mode names the backward that made a NaN, and the line of its forward."""

from __future__ import annotations

import warnings

import pytest
import torch

import lazygrad as lg

BOTH = pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])

MAKES_NAN = {
    "sqrt": lambda T, x: (x.sqrt() * 0).sum(),
    "log": lambda T, x: (x.log() * 0).sum(),
    "where": lambda T, x: T.where(x > 0, (x - 1).sqrt(), x * 0).sum(),
    "div": lambda T, x: (x / x).sum(),
}


@pytest.mark.parametrize("name", MAKES_NAN)
def test_a_nan_is_an_error(name: str) -> None:
    messages = []
    for T in (torch, lg):
        x = T.tensor([0.0, 0.5], requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with T.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="returned nan values") as caught:
                MAKES_NAN[name](T, x).backward()
        messages.append(str(caught.value))
    assert messages[1].startswith(messages[0])


def test_the_message_names_the_forward() -> None:
    x = lg.tensor([0.0], requires_grad=True)
    root = x.sqrt()
    line = test_the_message_names_the_forward.__code__.co_firstlineno + 2
    with lg.autograd.set_detect_anomaly(True), pytest.raises(RuntimeError, match=f"test_anomaly.py:{line}"):
        (root * 0).sum().backward()


@BOTH
def test_the_mode(T) -> None:
    assert not T.is_anomaly_enabled()
    T.autograd.set_detect_anomaly(True)
    assert T.is_anomaly_enabled() and T.is_anomaly_check_nan_enabled()
    with T.autograd.set_detect_anomaly(False):
        assert not T.is_anomaly_enabled()
    assert T.is_anomaly_enabled()
    T.autograd.set_detect_anomaly(False)
    x = T.tensor([0.0, 1.0], requires_grad=True)
    (x.sqrt() * 0).sum().backward()
    assert x.grad.isnan().tolist() == [True, False]
    with pytest.warns(UserWarning, match="Anomaly"), T.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0).sum().backward()
        assert T.is_anomaly_enabled() and not T.is_anomaly_check_nan_enabled()
    assert not T.is_anomaly_enabled()


@BOTH
def test_gradients_without_nan_are_what_they_were(T) -> None:
    x = T.tensor([1.0, 2.0], requires_grad=True)
    with T.autograd.set_detect_anomaly(True):
        (x.exp() * x.softmax(0)).sum().backward()
    again = T.tensor([1.0, 2.0], requires_grad=True)
    (again.exp() * again.softmax(0)).sum().backward()
    assert x.grad.tolist() == pytest.approx(again.grad.tolist(), rel=1e-6)
