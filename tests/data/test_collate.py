"""Batches of everything that samples are made of, and the arguments of loaders and samplers: beside torch."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
import torch
import torch.utils.data.distributed

import lazygrad as lg

Pair = namedtuple("Pair", ["a", "b"])
SAMPLES = {
    "tensors": lambda T: [T.ones(2), T.zeros(2)],
    "0-d": lambda T: [T.tensor(1)] * 3,
    "bfloat16": lambda T: [T.ones(2, dtype=T.bfloat16)] * 2,
    "needs-gradient": lambda T: [T.ones(2, requires_grad=True)] * 2,
    "bool": lambda T: [True, False],
    "int": lambda T: [1, 2],
    "float": lambda T: [1.0, 2],
    "int-then-float": lambda T: [1, 2.5],
    "text": lambda T: ["a", "b"],
    "bytes": lambda T: [b"a", b"b"],
    "tuples": lambda T: [(1, T.ones(1)), (2, T.ones(1))],
    "lists": lambda T: [[1, 2], [3, 4]],
    "named-tuples": lambda T: [Pair(1, T.ones(1)), Pair(2, T.ones(1))],
    "dicts": lambda T: [{"a": 1, "b": {"c": T.ones(2)}}] * 2,
    "ordered-dicts": lambda T: [OrderedDict(a=1)] * 2,
    "default-dicts": lambda T: [defaultdict(int, a=1)] * 2,
    "ranges": lambda T: [range(2), range(2)],
    "arrays": lambda T: [np.ones(2, np.float32)] * 2,
    "array-numbers": lambda T: [np.float32(1), np.float32(2)],
    "array-ints": lambda T: [np.int16(1)] * 2,
    "array-bools": lambda T: [np.bool_(True)] * 2,
    "0-d-arrays": lambda T: [np.array(1.5)] * 2,
    "array-text": lambda T: [np.array(["a"])] * 2,
    "objects": lambda T: [np.array([None], dtype=object)] * 2,
    "none": lambda T: [None, None],
    "sets": lambda T: [{1}],
    "uneven": lambda T: [T.ones(2), T.ones(3)],
    "uneven-lists": lambda T: [[1], [1, 2]],
    "nothing": lambda T: [],
}


def plain(value):
    if isinstance(value, (torch.Tensor, lg.Tensor)):
        return str(value.dtype).split(".")[1], tuple(value.shape), value.requires_grad, value.float().tolist()
    if isinstance(value, dict):
        return type(value), {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [plain(v) for v in value]
    return repr(value)


def outcome(function, *args):
    try:
        return plain(function(*args))
    except Exception as error:
        return type(error)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("function", ["default_collate", "default_convert"])
@pytest.mark.parametrize("name", SAMPLES)
def test_batches(name, function):
    theirs, mine = (outcome(getattr(T.utils.data, function), SAMPLES[name](T)) for T in (torch, lg))
    assert mine == theirs


CALLS = {
    "split-shares": lambda D: [len(s) for s in D.random_split(range(10), [0.3, 0.3, 0.4])],
    "split-lengths": lambda D: [len(s) for s in D.random_split(range(10), [3, 7])],
    "split-too-much": lambda D: D.random_split(range(10), [3, 8]),
    "split-share-too-much": lambda D: D.random_split(range(10), [0.5, 0.6]),
    "concat": lambda D: [D.ConcatDataset([range(3), range(4)])[i] for i in (-1, 0, 3)],
    "concat-outside": lambda D: D.ConcatDataset([range(3)])[5],
    "stack": lambda D: D.StackDataset(a=range(3), b=range(3))[1],
    "stack-uneven": lambda D: D.StackDataset(range(3), range(4)),
    "stack-none": lambda D: D.StackDataset(),
    "subset": lambda D: list(D.Subset(range(10), [3, 4])),
    "chain": lambda D: list(D.DataLoader(D.ChainDataset([range(2), range(3)]), batch_size=None)),
    "batches": lambda D: list(D.BatchSampler(D.SequentialSampler(range(5)), 2, False)),
    "batches-of-0": lambda D: D.BatchSampler(range(5), 0, False),
    "batches-drop": lambda D: D.BatchSampler(range(5), 2, 1),
    "random": lambda D: sorted(D.RandomSampler(range(5), num_samples=10)),
    "random-negative": lambda D: D.RandomSampler(range(5), num_samples=-1),
    "random-replacement": lambda D: D.RandomSampler(range(5), replacement=3),
    "random-empty": lambda D: D.RandomSampler(range(0)),
    "subset-random": lambda D: sorted(D.SubsetRandomSampler([4, 7])),
    "weighted": lambda D: sorted(D.WeightedRandomSampler([0.1, 0.9], 2, replacement=False)),
    "weighted-none": lambda D: D.WeightedRandomSampler([0.1, 0.9], 0),
    "weighted-too-many": lambda D: list(D.WeightedRandomSampler([0.1, 0.9], 3, replacement=False)),
    "weighted-2d": lambda D: D.WeightedRandomSampler([[0.1, 0.9]], 3),
    "weighted-replacement": lambda D: D.WeightedRandomSampler([0.1, 0.9], 3, replacement=1),
    "distributed": lambda D: list(D.distributed.DistributedSampler(range(10), 3, 1, shuffle=False)),
    "distributed-drop": lambda D: list(D.distributed.DistributedSampler(range(10), 3, 1, False, drop_last=True)),
    "distributed-few": lambda D: list(D.distributed.DistributedSampler(range(2), 5, 4, shuffle=False)),
    "distributed-rank": lambda D: D.distributed.DistributedSampler(range(2), 5, 5),
    "shuffle-and-sampler": lambda D: D.DataLoader(range(5), shuffle=True, sampler=range(5)),
    "drop-without-batches": lambda D: D.DataLoader(range(5), batch_size=None, drop_last=True),
    "two-batchings": lambda D: D.DataLoader(range(5), batch_sampler=[[1]], batch_size=3),
    "workers-negative": lambda D: D.DataLoader(range(5), num_workers=-1),
    "prefetch-here": lambda D: D.DataLoader(range(5), prefetch_factor=2),
    "prefetch-negative": lambda D: D.DataLoader(range(5), num_workers=1, prefetch_factor=-2),
    "persistent-here": lambda D: D.DataLoader(range(5), persistent_workers=True),
    "context-here": lambda D: D.DataLoader(range(5), multiprocessing_context="fork"),
    "context-unknown": lambda D: D.DataLoader(range(5), num_workers=1, multiprocessing_context="abc"),
    "context-number": lambda D: D.DataLoader(range(5), num_workers=1, multiprocessing_context=3),
    "timeout-negative": lambda D: D.DataLoader(range(5), timeout=-1),
    "batches-none": lambda D: D.DataLoader(range(5), batch_size=0),
    "empty": lambda D: list(D.DataLoader([], batch_size=2)),
    "empty-shuffled": lambda D: D.DataLoader(range(0), shuffle=True),
    "sampler": lambda D: list(D.DataLoader(range(5), sampler=[3, 1], batch_size=None)),
    "collate": lambda D: list(D.DataLoader([3, 4, 5], collate_fn=sum, batch_size=2)),
    "lengths": lambda D: [len(D.DataLoader(range(7), 2, drop_last=d)) for d in (False, True)],
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    theirs, mine = (outcome(CALLS[name], T.utils.data) for T in (torch, lg))
    assert mine == theirs
