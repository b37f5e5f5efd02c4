"""Views by strides, copies of views, and functions about tensors that are no methods, against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.support import bad, case, check, check_error, compare, ints, within

S = (3, 4)
CASES = [
    case("as_strided", lambda T, x: (T.as_strided(x, (2, 2), (1, 2)), x.as_strided((2, 3), (4, 1), 1)), S),
    case("as_strided-overlap", lambda T, x: x.contiguous().as_strided((5, 3), (2, 1)), (12,)),
    case("as_strided-0", lambda T, x: (x.as_strided((), (), 3), x.as_strided((0, 2), (9, 9))), (12,)),
    # torch gives x a gradient where src was put, and none elsewhere
    case(
        "as_strided_scatter",
        lambda T, x, y: T.as_strided_scatter(x, y, (2, 2), (1, 2), 1),
        S,
        (2, 2),
        strided=False,
        gradient=False,
    ),
    case(
        "copies",
        lambda T, x: (
            T.expand_copy(x[:, :1], (3, 4)),
            T.narrow_copy(x, 1, 1, 2),
            x.narrow_copy(0, 1, 2),
            *T.unbind_copy(x),
            T.t_copy(x),
            T.diagonal_copy(x),
            T.view_copy(x.contiguous(), (4, 3)),
            T.squeeze_copy(x[None]),
        ),
        S,
    ),
    case("unravel_index", lambda T, i: T.unravel_index(i, (3, 2, 4)), ints(5, below=24), gradient=False),
    case("unravel_index-1", lambda T, i: T.unravel_index(i, 30), ints(2, 3, below=24), gradient=False),
    case(
        "nonzero_static",
        lambda T, x: (T.nonzero_static(x, size=4), T.nonzero_static(x, size=20, fill_value=7)),
        ints(3, 4, below=2),
        gradient=False,
    ),
    *(
        case(
            f"index_reduce-{mode}",
            lambda T, x, i, s, m=mode: (x.index_reduce(0, i, s, m), T.index_reduce(x, 0, i, s, m, include_self=False)),
            within(0.5, 2, 3, 4),
            ints(5, below=3),
            within(0.5, 2, 5, 4),
            second=False,
        )
        for mode in ("mean", "amax", "amin")
    ),
    case("fill", lambda T, x: T.fill(x, 3), S),
    case("sum_to_size", lambda T, x: (x.sum_to_size(1, 4), x.sum_to_size((4,)), x.sum_to_size(3, 4)), S),
    case("dsplit", lambda T, x: (*T.dsplit(x, 2), *x.dsplit([1, 3])), (2, 3, 4)),
    case("fill_diagonal_", lambda T, x: x.clone().fill_diagonal_(5), S, dtypes=("float32", "int64")),
    case("fill_diagonal_-tall", lambda T, x: (x.clone().fill_diagonal_(5), x.clone().fill_diagonal_(5, wrap=True)), (9, 2)),
    case("fill_diagonal_-cube", lambda T, x: x.clone().fill_diagonal_(5), (3, 3, 3)),
    case("in-place functions", lambda T, x: (T.relu_(x.clone()), T.exp_(x.clone()), T.clamp_(x.clone(), -0.5, 0.5)), S),
    case("range", lambda T, x: (x + T.range(1, 4), T.range(0.0, 1.0, 0.5), T.scalar_tensor(3)), S, gradient=False),
    case("binomial-edges", lambda T, x: T.binomial(x.abs().floor(), x * 0 + 1.0), within(0, 9, 5), gradient=False),
]
ERRORS = [
    bad("as_strided-bounds", lambda T, x: x.as_strided((4, 4), (4, 1)), S),
    bad("as_strided-length", lambda T, x: x.as_strided((4,), (4, 1)), S),
    bad("as_strided-negative", lambda T, x: x.as_strided((4,), (-1,)), S),
    bad("unravel_index-float", lambda T, x: T.unravel_index(x, (2, 2)), S),
    bad("unravel_index-shape", lambda T, x: T.unravel_index(x.long(), (2, -2)), S),
    bad("fill_diagonal_-1d", lambda T, x: x.fill_diagonal_(1), (3,)),
    bad("fill_diagonal_-box", lambda T, x: x.fill_diagonal_(1), (3, 3, 2)),
    bad("sum_to_size", lambda T, x: x.sum_to_size(2, 4), S),
    bad("dsplit", lambda T, x: x.dsplit(2), S),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_as_torch(each):
    check(each)


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


def test_as_strided_shares_memory():
    for T in (torch, lg):
        x = T.arange(12.0)
        diagonal = x.as_strided((3,), (5,), 1)
        diagonal.mul_(10)
        assert x.tolist() == [0, 10, 2, 3, 4, 5, 60, 7, 8, 9, 10, 110]
        x[6] = -1
        assert diagonal.tolist() == [10, -1, 110]
        part = x[4:]
        assert part.as_strided((2,), (1,)).tolist() == [4, 5] and part.as_strided((2,), (1,), 0).tolist() == [0, 10]
        assert diagonal.stride() == (5,) and diagonal.storage_offset() == 1


def test_writing_where_elements_overlap_is_refused():
    """torch writes there in some order of its own."""
    with pytest.raises(RuntimeError, match=r"single memory location.*test_as_strided\.py"):
        lg.arange(6.0).as_strided((3, 2), (1, 1)).add_(1)


def test_gradients_of_as_strided_scatter():
    x, src = lg.zeros(6, requires_grad=True), lg.zeros(2, requires_grad=True)
    (x.as_strided_scatter(src, (2,), (2,), 1) * lg.arange(6.0)).sum().backward()
    assert x.grad.tolist() == [0, 0, 2, 0, 4, 5] and src.grad.tolist() == [1, 3]


def test_copies_share_nothing():
    x = lg.zeros(2, 3)
    lg.expand_copy(x[:, :1], (2, 3)).add_(1)
    lg.view_copy(x, (6,)).add_(1)
    assert x.sum().item() == 0


def test_frombuffer():
    data = bytearray(range(16))
    for dtype in ("int16", "uint8", "float32"):
        compare(lg.frombuffer(data, dtype=getattr(lg, dtype)), torch.frombuffer(data, dtype=getattr(torch, dtype)), dtype)
    got = lg.frombuffer(data, dtype=lg.int32, count=2, offset=4)
    compare(got, torch.frombuffer(data, dtype=torch.int32, count=2, offset=4), "int32")
    with pytest.raises(ValueError):
        lg.frombuffer(data[:3], dtype=lg.int16)


def test_binomial_has_the_moments_it_should():
    lg.manual_seed(0)
    draws = lg.binomial(lg.full((20000,), 7.0), lg.full((), 0.3))
    assert abs(draws.mean().item() - 2.1) < 6 * math.sqrt(7 * 0.21 / 20000)
    assert abs(draws.var().item() - 7 * 0.21) < 0.1


def test_about_a_tensor():
    for T in (torch, lg):
        x = T.ones(2)
        assert T.typename(x) == "torch.FloatTensor" and T.typename(3) == "int"
        assert T.get_device(x) == -1 and not T.is_conj(x) and not T.is_inference(x)
        assert not x.is_pinned() and not T.is_inference_mode_enabled()
    np.testing.assert_array_equal(lg.real(lg.ones(2)).numpy(), [1, 1])
