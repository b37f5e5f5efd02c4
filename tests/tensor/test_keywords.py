"""Arguments by the names that torch takes: axis= and keepdims=, size=(2, 3) for f(2, 3), input= for what is self."""

from __future__ import annotations

import pytest

import lazygrad as lg
from tests.support import bad, case, check, check_error, ints

CASES = [
    case("sum-axis", lambda T, x: (x.sum(axis=1), T.sum(x, axis=(0, 1), keepdims=True)), (2, 3)),
    case("max-axis", lambda T, x: (x.max(axis=1, keepdims=True), T.argmax(x, axis=0)), (2, 3)),
    case("spread-axis", lambda T, x: (x.std(axis=0), x.var(axis=1, keepdims=True), T.std_mean(x, axis=0)), (4, 3)),
    case("softmax-axis", lambda T, x: (x.softmax(axis=-1), T.logsumexp(x, axis=0)), (2, 3)),
    case("sort-axis", lambda T, x: (T.sort(x, axis=0), T.topk(x, k=2, axis=1), x.cumsum(axis=1)), (2, 3)),
    case("join-axis", lambda T, x, y: (T.cat([x, y], axis=1), T.stack([x, y], axis=-1)), (2, 3), (2, 3)),
    case("part-axis", lambda T, x: (x.unbind(axis=0), T.chunk(x, 2, axis=1), x.unsqueeze(axis=1)), (2, 4)),
    case("gather-axis", lambda T, x, i: x.gather(axis=1, index=i), (2, 3), ints(2, 2, below=3)),
    case("linalg-norm-axis", lambda T, x: T.linalg.norm(x, axis=1, keepdims=True), (2, 3)),
    case("swapaxes", lambda T, x: T.swapaxes(x, axis0=0, axis1=2), (2, 3, 4)),
    case("split", lambda T, x: T.split(x, split_size_or_sections=[1, 2], dim=1), (2, 3)),
    case("flip-dims", lambda T, x: (T.flip(x, dims=[1]), x.flip(dims=(0, 1))), (2, 3)),
    case("permute-dims", lambda T, x: (T.permute(x, dims=(2, 0, 1)), x.permute(dims=[1, 0, 2])), (2, 3, 4)),
    case("reshape-shape", lambda T, x: (T.reshape(x, shape=(3, -1)), x.reshape(shape=[6])), (2, 3)),
    case("view-size", lambda T, x: x.view(size=(3, 2)), (2, 3), strided=False),
    case("view-dtype", lambda T, x: x.view(dtype=T.int32), (2, 3), gradient=False, strided=False),
    case("expand-size", lambda T, x: (x.expand(size=(2, 3)), T.broadcast_to(x, size=(4, 1, 3))), (1, 3)),
    case("repeat-repeats", lambda T, x: (x.repeat(repeats=(2, 1)), T.tile(x, dims=(2,))), (2, 3)),
    case("size", lambda T: (T.zeros(size=(2, 3)), T.ones(size=[2]), T.full(size=(1,), fill_value=2.0)), gradient=False),
    case("new-size", lambda T, x: (x.new_zeros(size=(2,)), x.new_ones(size=(1, 2))), (2,), gradient=False),
    case(
        "drawn",
        lambda T: (T.rand(size=(2,)), T.randn(size=[3]), T.randint(high=5, size=(4,))),
        gradient=False,
        values=False,
    ),
    case("input", lambda T, x: (T.exp(input=x), T.softmax(input=x, dim=1), T.sum(input=x, axis=0)), (2, 3)),
    case("input-other", lambda T, x, y: (T.matmul(input=x, other=y), T.cdist(x1=x, x2=y.mT, p=1.0)), (2, 3), (3, 2)),
    case("linalg-A", lambda T, x: (T.linalg.det(A=x), T.linalg.inv(A=x)), (3, 3)),
    case("special-input", lambda T, x: (T.special.expit(input=x), T.special.erf(input=x)), (3,)),
    case("numbers", lambda T, x: (T.add(2, x), T.mul(2, x), T.sub(2, x), T.div(2, x.exp()), T.remainder(2, x)), (3,)),
]

BAD = [
    bad("not-a-tensor", lambda T: T.sum([1.0, 2.0])),
    bad("a-number", lambda T: T.relu(3)),
    bad("a-number-by-name", lambda T: T.exp(input=2.0)),
    bad("nothing", lambda T: T.all(True)),
]


@pytest.mark.parametrize("each", CASES, ids=str)
def test_values_and_gradients(each, backend):
    check(each)


@pytest.mark.parametrize("each", BAD, ids=str)
def test_errors(each):
    check_error(each)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(dim=1, axis=0),
        lambda x: x.sum(1, axis=0),
        lambda x: x.reshape(6, shape=(2, 3)),
        lambda x: lg.exp(x, input=x),
        lambda x: x.exp(axis=0),
        lambda x: lg.sum(),
    ],
)
def test_an_argument_is_given_once(call):
    with pytest.raises(TypeError):
        call(lg.ones(2, 3))


def test_what_a_function_is_called():
    assert lg.softmax.__name__ == "softmax" and lg.softmax.__doc__ == lg.Tensor.softmax.__doc__
