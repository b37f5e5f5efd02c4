"""What is written in place: through every alias, with torch's history, dtypes and errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lazygrad as lg
from tests.support import bad, check_error


def shown(tensor: Any) -> Any:
    return None if tensor is None else (tensor.requires_grad, tensor.is_leaf, tensor.detach().tolist())


def non_leaf(T: Any) -> tuple[Any, Any]:
    x = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
    return x, x * 2


def unrecorded(T, x, y):
    with T.no_grad():
        y.mul_(3)


def unrecorded_twice(T, x, y):
    with T.no_grad():
        y.mul_(3)
        y[1:] += 5


def unrecorded_view(T, x, y):
    with T.no_grad():
        y.view(3, 1)[1:].copy_(T.zeros(2, 1))


def unrecorded_then_recorded(T, x, y):
    with T.no_grad():
        y.add_(1)
    y.mul_(y.detach() + x)


HISTORIES = {
    "no_grad": unrecorded,
    "no_grad twice": unrecorded_twice,
    "no_grad view": unrecorded_view,
    "no_grad, then recorded": unrecorded_then_recorded,
    "zero_": lambda T, x, y: y.zero_(),
    "fill_ through a view": lambda T, x, y: y.view(3, 1).fill_(2.0),
    "copy_ of a constant": lambda T, x, y: y.copy_(T.ones(3)),
    "part": lambda T, x, y: y.__setitem__(1, 5.0),
    "all": lambda T, x, y: y.__setitem__(slice(None), 5.0),
    "mask": lambda T, x, y: y.__setitem__(y > 3, 5.0),
    "recorded": lambda T, x, y: y.mul_(x),
    "view chain": lambda T, x, y: y.view(1, 3).t()[1:].mul_(x[:2].view(2, 1)),
    "detached": lambda T, x, y: y.detach().mul_(3),
    "data": lambda T, x, y: y.data.fill_(1.0),
    "leaf data": lambda T, x, y: x.data.mul_(2),
    "normal_": lambda T, x, y: y.normal_().zero_(),
    "augmented": lambda T, x, y: y[:2].__imul__(x[1:]),
    "swapped": lambda T, x, y: y.copy_(y.flip(0)),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_requires_grad_and_gradients(name: str) -> None:
    found = []
    for T in (torch, lg):
        x, y = non_leaf(T)
        HISTORIES[name](T, x, y)
        (y * T.tensor([1.0, 10.0, 100.0])).sum().backward()
        found.append((shown(y), shown(x), shown(x.grad)))
    assert found[1] == found[0]


def test_what_needs_no_gradient_gets_one_by_being_written_to() -> None:
    for T in (torch, lg):
        x, base = T.ones(2, requires_grad=True), T.zeros(3)
        alias = base.view(3, 1)
        base[:2] = x * 3
        assert base.requires_grad and alias.requires_grad and not base.is_leaf
        alias.sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]


def test_no_grad_writes_into_plain_tensors_bring_no_history() -> None:
    x, y = lg.ones(3, requires_grad=True), lg.zeros(3)
    with lg.no_grad():
        y.copy_(x * 2)
    assert not y.requires_grad and y.tolist() == [2, 2, 2]


def test_a_gradient_of_a_gradient_passes_what_was_written_without_record() -> None:
    x = lg.tensor([1.0, 2.0], requires_grad=True)
    y = x**3
    with lg.no_grad():
        y.add_(1)
    (first,) = lg.autograd.grad((y * y.detach()).sum(), x, create_graph=True)
    (second,) = lg.autograd.grad(first.sum(), x)
    assert first.tolist() == [3 * 1 * 2, 3 * 4 * 9]
    assert second.tolist() == [6 * 1 * 2, 6 * 2 * 9]


# -- every method whose name ends in _ ------------------------------------------------------------------
FLOAT = [0.3, 0.6, 0.9, 0.2]
CALLS = {
    "addcdiv_": "(b, b)", "addcmul_": "(b, b)", "lerp_": "(b, 0.3)", "clamp_": "(0.4, 0.7)", "clip_": "(0.4)", "clamp_max_": "(0.5)",
    "clamp_min_": "(0.5)", "copy_": "(b)", "fill_": "(2.0)", "masked_fill_": "(b > 0.5, 3.0)", "masked_scatter_": "(b > 0.5, b)",
    "index_add_": "(0, i, b)", "index_copy_": "(0, i, b)", "index_fill_": "(0, i, 2.0)", "index_put_": "((i,), b)",
    "index_reduce_": "(0, i, b, 'amax')", "put_": "(i, b)", "scatter_": "(0, i, b)", "scatter_add_": "(0, i, b)",
    "scatter_reduce_": "(0, i, b, 'sum')", "cumsum_": "(0)", "cumprod_": "(0)", "pow_": "(2)", "float_power_": None, "polygamma_": "(1)",
    "mvlgamma_": "(1)", "nan_to_num_": "()", "logit_": "()", "requires_grad_": "()", "squeeze_": "()", "unsqueeze_": "(0)", "t_": "()",
    "transpose_": "(0, 0)", "swapaxes_": "(0, 0)", "swapdims_": "(0, 0)", "detach_": "()", "fill_diagonal_": None, "tril_": None, "triu_": None,
    "addmm_": None, "addmv_": None, "addr_": None, "addbmm_": None, "baddbmm_": None, "acosh_": None, "arccosh_": None,
}  # fmt: skip
RANDOM = ("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_", "geometric_")
INTEGER = ("gcd_", "lcm_", "bitwise_and_", "bitwise_or_", "bitwise_xor_", "bitwise_not_", "bitwise_left_shift_", "bitwise_right_shift_")
# torch's other layouts, storages and Python callbacks
NOT_HERE = (
    "sparse_", "resize", "set_", "apply_", "map_", "map2_", "as_strided_", "conj_physical_", "share_memory_", "retain_", "igamma", "i0_",
    "ldexp_", "nextafter_", "renorm_", "__",
)  # fmt: skip
METHODS = [n for n in dir(torch.Tensor) if n.endswith("_") and not n.startswith("_") and not n.startswith(NOT_HERE)]


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str) -> None:
    """The same values, seen through a view, and self returned."""
    if name in RANDOM:
        x = lg.ones(4)
        view, number = x.view(2, 2), 0.5
        assert (x.geometric_(number) if name == "geometric_" else getattr(x, name)()) is x
        assert view.flatten().tolist() == x.tolist()
        return
    call = CALLS.get(name, "")
    if call is None:
        assert hasattr(lg.Tensor, name)
        return
    found = []
    for T in (torch, lg):
        integer = name in INTEGER
        a, b = (T.tensor([12, 6, 9, 4]) if integer else T.tensor(FLOAT) for _ in range(2))
        view, names = a.view(2, 2), {"b": b, "i": T.tensor([2, 0, 3, 1])}
        if call:
            result = eval(f"a.{name}{call}", {**names, "a": a})
        else:
            try:
                result = getattr(a, name)()
            except TypeError:
                result = getattr(a, name)(b)
        assert result is a
        found.append((a.tolist(), view.tolist()))
    assert _flat(found[1]) == pytest.approx(_flat(found[0]), rel=1e-5, nan_ok=True)


def _flat(nested: Any) -> list[float]:
    return [x for part in nested for x in _flat(part)] if isinstance(nested, (list, tuple)) else [float(nested)]


def test_matrix_methods() -> None:
    for name, shape in {"tril_": (3, 3), "triu_": (3, 3), "fill_diagonal_": (4, 3)}.items():
        a, b = torch.ones(shape), lg.ones(*shape)
        arguments = (2.0,) if name == "fill_diagonal_" else ()
        assert getattr(b, name)(*arguments).tolist() == getattr(a, name)(*arguments).tolist()
    assert lg.ones(7, 3).fill_diagonal_(2.0, wrap=True).tolist() == torch.ones(7, 3).fill_diagonal_(2.0, wrap=True).tolist()
    assert lg.ones(2, 2, 2).fill_diagonal_(5.0).tolist() == torch.ones(2, 2, 2).fill_diagonal_(5.0).tolist()


@pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])
def test_resize_(T: Any) -> None:
    x = T.arange(6.0)
    first = x[:2]
    assert x.resize_(2, 2) is x and x.tolist() == [[0, 1], [2, 3]]
    x.add_(1)
    assert first.tolist() == [1, 2]
    assert tuple(x.resize_((3, 3), memory_format=T.contiguous_format).shape) == (3, 3)
    assert x.view(-1)[:4].tolist() == [1, 2, 3, 4]
    assert T.ones(2, 3).resize_as_(T.zeros(4)).tolist() == [1] * 4 and tuple(T.zeros(0).resize_(()).shape) == ()
    with pytest.raises(RuntimeError, match="require grad"):
        T.ones(2, requires_grad=True).resize_(3)


DTYPES = {
    "copy_ casts": lambda T: T.ones(2, dtype=T.int64).copy_(T.ones(2) * 2.7), "fill_ casts": lambda T: T.ones(2, dtype=T.int64).fill_(2.7),
    "half": lambda T: T.ones(2, dtype=T.float16).add_(T.ones(2) / 3), "int": lambda T: T.ones(2, dtype=T.int32).add_(T.ones(2, dtype=T.int64)),
    "double": lambda T: T.ones(2).mul_(T.tensor([0.1, 0.2], dtype=T.float64)), "comparison": lambda T: T.tensor([1.0, 2.0]).gt_(1.5),
    "mask": lambda T: T.ones(2, dtype=T.int64).masked_fill_(T.tensor([True, False]), 7),
}  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(name: str) -> None:
    got, want = DTYPES[name](lg), DTYPES[name](torch)
    assert str(got.dtype).split(".")[1] == str(want.dtype).split(".")[1] and got.tolist() == want.tolist()


ERRORS = [
    bad("leaf", lambda T, x: x.requires_grad_().mul_(2), (3,)),
    bad("view of a leaf", lambda T, x: x.requires_grad_()[0].mul_(2), (3,)),
    bad("leaf by index", lambda T, x: x.requires_grad_().__setitem__(0, 1.0), (3,)),
    bad("view made under no_grad", lambda T, x: _view_without_record(T, x.requires_grad_() * 1).mul_(2), (3,)),
    bad("float into int", lambda T, x: x.long().add_(1.5), (3,)),
    bad("float tensor into int", lambda T, x: x.long().mul_(x), (3,)),
    bad("division into int", lambda T, x: x.long().div_(2), (3,)),
    bad("int into bool", lambda T, x: x.bool().add_(1), (3,)),
    bad("shape", lambda T, x: x.add_(T.ones(2, 3)), (3,)),
    bad("copy_ shape", lambda T, x: x.copy_(T.ones(2)), (3,)),
    bad("expanded", lambda T, x: x.expand(2, 3).add_(1), (3,)),
    bad("one of unbind", lambda T, x: (x.requires_grad_() * 1).unbind()[0].mul_(2), (3,)),
    bad("one of split", lambda T, x: (x.requires_grad_() * 1).split(1)[0].mul_(2), (3,)),
    bad("a view of one of chunk", lambda T, x: (x.requires_grad_() * 1).chunk(2)[0][:1].add_(1), (4,)),
    bad("what requires grad into one of unbind", lambda T, x: x.clone().unbind()[0].mul_(x[0].requires_grad_()), (3,)),
    bad("iterating over a leaf", lambda T, x: [row.add_(1) for row in x.requires_grad_()], (3,)),
    bad("leaf transposed", lambda T, x: x.requires_grad_().t_(), (3, 2)),
    bad("bool minus number", lambda T, x: (x > 0) - 1, (3,)),
    bad("number minus bool", lambda T, x: 1 - (x > 0), (3,)),
    bad("number minus a bool", lambda T, x: x - (x > 0), (3,)),
    bad("bool minus bool", lambda T, x: (x > 0) - (x > 0), (3,)),
    bad("requires_grad_ of a word", lambda T, x: x.requires_grad_("yes"), (3,)),
    bad("gradient that is no tensor", lambda T, x: x.requires_grad_().mul(2).backward([1, 2, 3]), (3,)),
    bad("requires_grad_", lambda T, x: (x.requires_grad_() * 1).requires_grad_(False), (3,)),
    bad("integer leaf", lambda T, x: x.long().requires_grad_(), (3,)),
    bad("fill_diagonal_", lambda T, x: x.fill_diagonal_(1.0), (3,)),
    bad("fill_diagonal_ sizes", lambda T, x: x.fill_diagonal_(1.0), (3, 3, 2)),
]


@pytest.mark.parametrize("T", [torch, lg], ids=["torch", "lazygrad"])
def test_one_of_many_views_may_be_written_to_where_nothing_is_recorded(T: Any) -> None:
    x = T.arange(4.0)
    for row in x.view(2, 2):
        row.add_(1)
    x.split(2)[0].mul_(3)
    assert x.tolist() == [3, 6, 3, 4]
    y = x.requires_grad_() * 1
    y.tensor_split(2)[0].zero_()
    assert y.tolist() == [0, 0, 3, 4]


def _view_without_record(T: Any, y: Any) -> Any:
    with T.no_grad():
        return y[1:]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)
