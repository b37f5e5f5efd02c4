"""Datasets, samplers, loaders: order, batches, workers, errors; torch's loader is the twin where it can
be."""

from __future__ import annotations

import time
from collections import Counter, namedtuple

import numpy as np
import pytest
import torch.utils.data

import lazygrad as lg
from lazygrad import data

Pair = namedtuple("Pair", ["a", "b"])


class Squares(data.Dataset):
    def __init__(self, n=10):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i == 99:
            raise ValueError("no item 99")
        return {"x": np.full(2, i, np.float32), "i": i, "name": f"item {i}", "pair": Pair(i / 2, [i, -i])}


class Stream(data.IterableDataset):
    def __iter__(self):
        info = data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from range(first, 7, step)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return (str(value.dtype).split(".")[-1], value.tolist()) if hasattr(value, "tolist") else value


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}]
)
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_torchs(options, workers):
    theirs = list(torch.utils.data.DataLoader(Squares(), **options))
    loader = data.DataLoader(Squares(), num_workers=workers, **options)
    mine = list(loader)
    assert [plain(b) for b in mine] == [plain(b) for b in theirs]
    assert len(loader) == len(theirs)


def test_shuffling_follows_the_seed():
    def order():
        return [i for b in data.DataLoader(Squares(50), 7, shuffle=True) for i in b["i"].tolist()]

    lg.manual_seed(5)
    first, second = order(), order()
    assert sorted(first) == list(range(50)) and first != second
    lg.manual_seed(5)
    assert order() == first
    generator = lg.Generator().manual_seed(3)
    a = list(data.RandomSampler(range(20), generator=generator))
    generator.manual_seed(3)
    assert list(data.RandomSampler(range(20), generator=generator)) == a


@pytest.mark.parametrize("workers", [0, 2])
def test_streams(workers):
    loader = data.DataLoader(Stream(), batch_size=2, num_workers=workers)
    for _ in range(2):
        values = [v for b in loader for v in b.tolist()]
        assert sorted(values) == list(range(7))


def test_workers_have_seeds_and_run_at_once():
    class Noise(data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            time.sleep(0.2)
            return np.random.random(), float(lg.rand(()).item()), data.get_worker_info().id

    started = []
    loader = data.DataLoader(Noise(), num_workers=4, worker_init_fn=started.append)
    begin = time.perf_counter()
    rows = [tuple(float(v) for v in b) for b in loader]
    assert time.perf_counter() - begin < 1.2
    assert len({r[0] for r in rows}) == len({r[1] for r in rows}) == 4
    assert [r[2] for r in rows] == [0, 1, 2, 3]


def test_errors_in_workers_are_raised_here():
    with pytest.raises(ValueError, match="no item 99"):
        list(data.DataLoader(Squares(100), 10, num_workers=2))
    with pytest.raises(ValueError, match="no item 99"):
        list(data.DataLoader(Squares(100), 10))


def test_leaving_a_loop_early_and_persistent_workers():
    loader = data.DataLoader(Squares(40), 4, num_workers=2)
    for _ in loader:
        break
    loader = data.DataLoader(Squares(40), 4, num_workers=2, persistent_workers=True)
    assert len(list(loader)) == len(list(loader)) == 10
    loader._workers.close()


def test_datasets():
    x, y = lg.arange(10), lg.randn(10, 2)
    pairs = data.TensorDataset(x, y)
    assert len(pairs) == 10 and pairs[3][0].item() == 3
    batch = next(iter(data.DataLoader(pairs, batch_size=4)))
    np.testing.assert_array_equal(batch[1].numpy(), y.numpy()[:4])
    both = data.ConcatDataset([Squares(3), Squares(4)])
    assert len(both) == 7 and both[4]["i"] == 1 and both[-1]["i"] == 3 and len(Squares(2) + Squares(1)) == 3
    assert data.Subset(Squares(), [5, 2])[1]["i"] == 2
    stacked = data.StackDataset(a=range(3), b=range(3, 6))
    assert stacked[1] == {"a": 1, "b": 4} and len(stacked) == 3
    assert list(data.ChainDataset([Stream(), Stream()])) == [*range(7), *range(7)]
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(lg.ones(2), lg.ones(3))


@pytest.mark.parametrize("lengths", [[6, 4], [0.5, 0.25, 0.25]])
def test_random_split(lengths):
    parts = data.random_split(range(10), lengths)
    theirs = torch.utils.data.random_split(range(10), lengths)
    assert [len(p) for p in parts] == [len(p) for p in theirs]
    assert sorted(i for p in parts for i in p) == list(range(10))
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(range(10), [3, 3])


def test_samplers():
    assert list(data.SequentialSampler(range(4))) == [0, 1, 2, 3]
    assert len(list(data.RandomSampler(range(4), num_samples=10))) == 10
    drawn = Counter(data.WeightedRandomSampler([1.0, 0.0, 3.0], 4000))
    assert drawn[1] == 0 and 2.4 < drawn[2] / drawn[0] < 3.7
    assert sorted(data.SubsetRandomSampler([4, 5, 6])) == [4, 5, 6]
    assert list(data.BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert len(data.BatchSampler(range(5), 2, True)) == 2
    shares = [list(data.DistributedSampler(range(10), 3, rank)) for rank in range(3)]
    assert {len(s) for s in shares} == {4} and {i for s in shares for i in s} == set(range(10))
    sampler = data.DistributedSampler(range(10), 2, 0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_tokens(tmp_path):
    np.arange(100, dtype=np.uint16).tofile(tmp_path / "tokens.bin")
    tokens = data.TokenDataset(tmp_path / "tokens.bin", 8)
    assert len(tokens) == 12
    x, y = next(iter(data.DataLoader(tokens, 2)))
    assert x.dtype is lg.int64 and x.tolist()[1] == list(range(8, 16)) and y.tolist()[1] == list(range(9, 17))
    assert list(tokens[-1][1]) == list(range(89, 97))
    with pytest.raises(ValueError, match="too few"):
        data.TokenDataset(tmp_path / "tokens.bin", 100)


def test_custom_collate_and_prefetch():
    loader = data.DataLoader(Squares(5), 2, collate_fn=lambda batch: [b["i"] for b in batch])
    assert list(loader) == [[0, 1], [2, 3], [4]]
    batches = list(data.prefetch(data.DataLoader(Squares(5), 2), "cpu"))
    assert [b["i"].tolist() for b in batches] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"batch_size": 0},
        {"shuffle": True, "sampler": [1]},
        {"batch_sampler": [[1]], "batch_size": 2},
        {"batch_size": None, "drop_last": True},
        {"prefetch_factor": 2},
    ],
)
def test_errors(options):
    for library in (torch.utils.data, data):
        with pytest.raises(ValueError):
            library.DataLoader(Squares(), **options)
    with pytest.raises(ValueError):
        data.DataLoader(Stream(), shuffle=True)
