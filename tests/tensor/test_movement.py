"""Views, pieces, joins and rearrangements against torch."""

from __future__ import annotations

import pytest
import torch

import lazygrad as lg
from tests.support import ALL, bad, case, check, check_error, ints, over

S = (2, 3, 4)
SHAPES = [(), (0,), (1,), (5,), (2, 3), (3, 1, 2), (0, 3), (2, 3, 4)]

ANY_SHAPE = [
    case("flatten", lambda T, x: x.flatten(), ()),
    case("ravel", lambda T, x: T.ravel(x), ()),
    case("reshape-1", lambda T, x: x.reshape(x.numel(), 1), ()),
    case("squeeze", lambda T, x: x.squeeze(), ()),
    case("unsqueeze0", lambda T, x: x.unsqueeze(0), ()),
    case("unsqueeze-1", lambda T, x: T.unsqueeze(x, -1), ()),
    case("flip", lambda T, x: x.flip(tuple(range(x.ndim))), ()),
    case("flip-none", lambda T, x: x.flip(()), ()),
    case("roll", lambda T, x: x.roll(2), ()),
    case("tile", lambda T, x: T.tile(x, (2, 1, 2)), ()),
    case("repeat", lambda T, x: x.repeat(2, 1, 2), ()),
    case("repeat_interleave", lambda T, x: x.repeat_interleave(2), ()),
    case("clone", lambda T, x: x.clone(), ()),
    case("contiguous", lambda T, x: x.contiguous() * 1, ()),
    case("expand", lambda T, x: x.expand(2, *x.shape), ()),
    case("atleast", lambda T, x: (T.atleast_1d(x), T.atleast_2d(x), T.atleast_3d(x)), ()),
    case("reversed", lambda T, x: x.permute(tuple(range(x.ndim - 1, -1, -1))), ()),
    case("diagflat", lambda T, x: T.diagflat(x), ()),
]

CASES = [
    case("block_diag-none", lambda T: T.block_diag(), gradient=False),
    case("hsplit-zero", lambda T, x: (x.hsplit([1]), x.vsplit([1, 1]), x.hsplit(3), x.vsplit(2)), (2, 3)),
    *over(SHAPES, *ANY_SHAPE),
    case("view", lambda T, x: x.contiguous().view(6, -1), S, dtypes=ALL),
    case("view-size", lambda T, x: x.contiguous().view(x.size()), S),
    case("view_as", lambda T, x, y: x.contiguous().view_as(y), S, (6, 4)),
    case("reshape_as", lambda T, x, y: x.reshape_as(y), S, (4, 6)),
    case("view-dtype", lambda T, x: x.contiguous().view(T.int32), S, gradient=False),
    case("transpose", lambda T, x: x.transpose(0, -1), S, dtypes=ALL),
    case("swapaxes", lambda T, x: T.swapaxes(x, 0, 1), S),
    case("permute", lambda T, x: x.permute(2, 0, 1), S),
    case("permute-tuple", lambda T, x: T.permute(x, (1, 2, 0)), S),
    case("t", lambda T, x: x.t(), (2, 3)),
    case("T", lambda T, x: x.T, (2, 3)),
    case("mT", lambda T, x: x.mT, S),
    case("movedim", lambda T, x: x.movedim(0, -1), S),
    case("movedim-many", lambda T, x: T.movedim(x, (0, 1), (2, 0)), S),
    case("expand-minus", lambda T, x: x.expand(4, -1, 5), (3, 1)),
    case("expand_as", lambda T, x, y: x.expand_as(y), (3, 1), (2, 3, 4)),
    case("expand-zero", lambda T, x: x.expand(0, 3), (1, 3)),
    case("broadcast_to", lambda T, x: T.broadcast_to(x, (2, 3)), (3,)),
    case("broadcast_tensors", lambda T, x, y: T.broadcast_tensors(x, y), (3, 1), (4,)),
    case("squeeze-dim", lambda T, x: (x.squeeze(1), x.squeeze(0), x.squeeze((0, 1))), (2, 1, 3)),
    case("flatten-part", lambda T, x: x.flatten(1), S),
    case("unflatten", lambda T, x: x.unflatten(2, (2, -1)), S),
    case("narrow", lambda T, x: x.narrow(1, 1, 2), S),
    case("narrow-neg", lambda T, x: x.narrow(2, -2, 2), S),
    case("select", lambda T, x: x.select(1, -1), S),
    case("split", lambda T, x: x.split(2, dim=2), (2, 5, 5)),
    case("split-sizes", lambda T, x: T.split(x, [1, 0, 4], 1), (2, 5)),
    case("chunk", lambda T, x: x.chunk(3, -1), (2, 7)),
    case("chunk-many", lambda T, x: T.chunk(x, 9), (4, 2)),
    case("tensor_split", lambda T, x: T.tensor_split(x, 3, 1), (2, 7)),
    case("tensor_split-at", lambda T, x: x.tensor_split((2, 5, -1), 1), (2, 7)),
    case("hsplit", lambda T, x: T.hsplit(x, 2), (2, 4)),
    case("unbind", lambda T, x: x.unbind(1), S),
    case("diagonal", lambda T, x: x.diagonal(), (3, 4)),
    case("diagonal+1", lambda T, x: x.diagonal(1), (4, 3)),
    case("diagonal-2", lambda T, x: x.diagonal(-2), (4, 3)),
    case("diagonal-far", lambda T, x: x.diagonal(9), (4, 3)),
    case("diagonal-batch", lambda T, x: T.diagonal(x, 1, 2, 0), (4, 2, 3)),
    case("unfold", lambda T, x: x.unfold(1, 3, 1), (2, 6, 3)),
    case("unfold-step", lambda T, x: x.unfold(0, 3, 2), (8, 2)),
    case("unfold-gap", lambda T, x: x.unfold(-1, 2, 3), (2, 9)),
    case("unfold-edge", lambda T, x: x.unfold(0, 2, 2), (7,)),
    case("cat", lambda T, x, y: T.cat((x, y), 1), (2, 3), (2, 1), dtypes=ALL),
    case("cat-empty", lambda T, x, y: T.cat([T.empty(0, dtype=x.dtype), x, y]), (2, 3), (0, 3)),
    case("cat-promote", lambda T, x, y: T.cat([x, y.long()]), (2, 3), (1, 3), gradient=False),
    case("concat", lambda T, x, y: T.concat([x, y], -1), (2, 3), (2, 3)),
    case("stack", lambda T, x, y: T.stack([x, y], 1), (2, 3), (2, 3), dtypes=ALL),
    case("stack-0d", lambda T, x, y: T.stack([x, y]), (), ()),
    case("stack-end", lambda T, x, y: T.stack((x, y), -1), (2, 3), (2, 3)),
    case("hstack", lambda T, x, y: (T.hstack([x, y]), T.hstack([x[0], y[0]])), (2, 3), (2, 3)),
    case("vstack", lambda T, x, y: T.vstack([x, y[0]]), (2, 3), (2, 3)),
    case("dstack", lambda T, x, y: T.dstack([x, y]), (2, 3), (2, 3)),
    case("column_stack", lambda T, x, y: T.column_stack([x[:, 0], y]), (2, 3), (2, 3)),
    case("block_diag", lambda T, x, y: T.block_diag(x, y), (2, 3), (1, 2)),
    case("repeat_interleave-dim", lambda T, x: x.repeat_interleave(3, dim=1), (2, 3)),
    case("repeat_interleave-each", lambda T, x: T.repeat_interleave(x, T.tensor([2, 0, 1]), dim=1), (2, 3)),
    case("fliplr", lambda T, x: (x.fliplr(), x.flipud()), (2, 3)),
    case("roll-dims", lambda T, x: x.roll((1, -2), (0, 2)), S),
    case("rot90", lambda T, x: tuple(x.rot90(k, (0, 2)) for k in range(-1, 4)), S),
    case("tril", lambda T, x: (x.tril(), x.tril(1), x.tril(-1)), S, dtypes=ALL),
    case("triu", lambda T, x: (x.triu(), x.triu(2), x.triu(-1)), (3, 4), dtypes=ALL),
    case("diag", lambda T, x: (x.diag(), x.diag(1), x[0].diag(), x[0].diag(-1)), (3, 4)),
    case("diag_embed", lambda T, x: (T.diag_embed(x), T.diag_embed(x, 1), T.diag_embed(x, -2, 0, 2)), (2, 3)),
    case("meshgrid", lambda T, x, y: T.meshgrid(x, y, indexing="ij"), (2,), (3,)),
    case("meshgrid-xy", lambda T, x, y: T.meshgrid(x, y, indexing="xy"), (2,), (3,)),
    case("cartesian_prod", lambda T, x, y: T.cartesian_prod(x, y), (2,), (3,)),
    case("combinations", lambda T, x: (T.combinations(x), T.combinations(x, 2, True)), (4,), gradient=False),
    case(
        "size",
        lambda T, x: (x.size(), x.size(1), x.dim(), x.numel(), x.nelement(), x.stride()),
        S,
        gradient=False,
        strided=False,
    ),
    case(
        "about",
        lambda T, x: (x.is_floating_point(), x.element_size(), x.type(), x.is_cuda),
        S,
        dtypes=ALL,
        gradient=False,
        host=True,
    ),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_matches_torch(each):
    check(each)


ERRORS = [
    bad("unbind-0d", lambda T, x: x.unbind(), ()),
    bad("meshgrid-2d", lambda T, x: T.meshgrid(x, x, indexing="ij"), (2, 2)),
    bad("hsplit", lambda T, x: x.hsplit(2), (3,)),
    bad("hsplit-0d", lambda T, x: x.hsplit(2), ()),
    bad("vsplit-1d", lambda T, x: x.vsplit(2), (4,)),
    bad("dsplit", lambda T, x: x.dsplit(2), (2, 2, 3)),
    bad("cartesian_prod", lambda T, x: T.cartesian_prod(x), (2, 2)),
    bad("block_diag", lambda T, x: T.block_diag(x), (2, 2, 2)),
    bad("tril_indices", lambda T: T.tril_indices(-1, 2)),
    bad("reshape", lambda T, x: x.reshape(5), (2, 3)),
    bad("reshape-two-minus", lambda T, x: x.reshape(-1, -1), (2, 3)),
    bad("view", lambda T, x: x.view(4, -1), (2, 3)),
    bad("reshape-0", lambda T, x: x.reshape(-1, 0), (0, 3)),
    bad("transpose", lambda T, x: x.transpose(0, 2), (2, 3)),
    bad("permute-short", lambda T, x: x.permute(0), (2, 3)),
    bad("permute-twice", lambda T, x: x.permute(0, 0), (2, 3)),
    bad("t", lambda T, x: x.t(), (2, 3, 4)),
    bad("mT", lambda T, x: x.mT, (2,)),
    bad("expand", lambda T, x: x.expand(4, 3), (2, 3)),
    bad("expand-fewer", lambda T, x: x.expand(3), (2, 3)),
    bad("expand-minus", lambda T, x: x.expand(-1, 2, 3), (2, 3)),
    bad("squeeze", lambda T, x: x.squeeze(2), (2, 3)),
    bad("unsqueeze", lambda T, x: x.unsqueeze(4), (2, 3)),
    bad("flatten", lambda T, x: x.flatten(1, 0), (2, 3)),
    bad("unflatten", lambda T, x: x.unflatten(1, (2, 2)), (2, 3)),
    bad("narrow", lambda T, x: x.narrow(0, 1, 4), (2, 3)),
    bad("select", lambda T, x: x.select(0, 2), (2, 3)),
    bad("split", lambda T, x: x.split([1, 3], 1), (2, 3)),
    bad("split-neg", lambda T, x: x.split(-1), (2, 3)),
    bad("split-0d", lambda T, x: x.split(1), ()),
    bad("chunk", lambda T, x: x.chunk(0), (2, 3)),
    bad("diagonal", lambda T, x: x.diagonal(0, 1, 1), (2, 3)),
    bad("unfold", lambda T, x: x.unfold(0, 3, 1), (2, 3)),
    bad("cat", lambda T, x, y: T.cat([x, y]), (2, 3), (2, 4)),
    bad("cat-0d", lambda T, x, y: T.cat([x, y]), (), ()),
    bad("cat-none", lambda T: T.cat([])),
    bad("cat-tensor", lambda T, x: T.cat(x), (2, 3)),
    bad("cat-ndim", lambda T, x, y: T.cat([x, y]), (2, 3), (3,)),
    bad("stack", lambda T, x, y: T.stack([x, y]), (2, 3), (3, 2)),
    bad("repeat", lambda T, x: x.repeat(2), (2, 3)),
    bad("roll", lambda T, x: x.roll((1, 2), 0), (2, 3)),
    bad("tril", lambda T, x: x.tril(), (3,)),
    bad("diag", lambda T, x: x.diag(), (2, 2, 2)),
    bad("repeat_interleave", lambda T, x, n: x.repeat_interleave(n, 1), (2, 3), ints(2, below=3)),
    bad("flip", lambda T, x: x.flip(0, 0), (2, 3)),
    bad("broadcast_shapes", lambda T: T.broadcast_shapes((2, 3), (4,))),
    bad("write-expanded", lambda T, x: x.expand(2, 3).add_(1), (3,)),
    bad("size", lambda T, x: x.size(2), (2, 3)),
]


@pytest.mark.parametrize("each", ERRORS, ids=str)
def test_errors(each):
    check_error(each)


VIEWS = {
    "reshape": lambda x: x.reshape(4, 6),
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(1, 2, 0),
    "select": lambda x: x.select(1, 1),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "slice": lambda x: x[:, 1:, ::2],
    "int": lambda x: x[1, :, -1],
    "none": lambda x: x[:, None, 0],
    "ellipsis": lambda x: x[..., 1:3],
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "split": lambda x: x.split(2, 1)[1],
    "chunk": lambda x: x.chunk(2, 2)[1],
    "unbind": lambda x: x.unbind(0)[1],
    "diagonal": lambda x: x.diagonal(1, 0, 2),
    "unfold": lambda x: x.unfold(2, 2, 2),
    "unfold-gap": lambda x: x.unfold(2, 1, 3),
    "flatten": lambda x: x.flatten(1),
    "movedim": lambda x: x.movedim(0, 1),
    "chain": lambda x: x.transpose(0, 1)[1:, 1].t()[::2],
    "detach": lambda x: x.detach(),
    "expand-same": lambda x: x.expand(2, 3, 4),
}


# torch refuses gradients through writes to one of several views
SEVERAL = ("split", "chunk", "unbind")


@pytest.mark.parametrize("name", VIEWS)
def test_writes_through_views(name):
    """A write through the view changes the base, a write to the base changes the view."""
    values = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    results = []
    for T in (torch, lg):
        base = T.tensor(values.numpy())
        view = VIEWS[name](base)
        view.mul_(3)
        view += 1
        seen = [base.clone()]
        base.add_(100)
        seen.append(view.clone())
        VIEWS[name](base).fill_(-7)
        results.append([*seen, base, view])
    for theirs, mine in zip(*results, strict=True):
        assert theirs.tolist() == mine.tolist()


@pytest.mark.parametrize("name", [v for v in VIEWS if v not in (*SEVERAL, "detach")])
def test_gradients_through_written_views(name):
    values = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    grads = []
    for T in (torch, lg):
        leaf = T.tensor(values.numpy(), requires_grad=True)
        base = leaf * 1
        VIEWS[name](base).mul_(leaf.reshape(-1)[:1])
        (base * base).sum().backward()
        grads.append(leaf.grad.tolist())
    assert grads[0] == grads[1]
