"""Worker processes: they end when nobody needs them, tell what went wrong, and change no order."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time

import pytest

import lazygrad as lg
from lazygrad.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    """0 ... n - 1; `trouble` says what happens at 7."""

    def __init__(self, n=20, trouble=None):
        self.n, self.trouble = n, trouble

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i == 7 and self.trouble is not None:
            self.trouble()
        return i


def ends_here():
    os._exit(3)


def refuses():
    raise LookupError("no seven")


def batches(loader):
    return [b.tolist() for b in loader]


@pytest.fixture(autouse=True)
def no_process_is_left():
    before = set(multiprocessing.active_children())
    yield
    gc.collect()
    assert set(multiprocessing.active_children()) <= before


def test_leaving_early_ends_the_workers():
    for _ in DataLoader(Numbers(200), 2, num_workers=2):
        break


def test_persistent_workers_stay_until_their_loader_goes():
    loader = DataLoader(Numbers(), 5, num_workers=2, persistent_workers=True)
    first = batches(loader)
    workers = {p.pid for p in multiprocessing.active_children()}
    assert batches(loader) == first and {p.pid for p in multiprocessing.active_children()} == workers
    assert len(workers) >= 2


def test_what_a_worker_raised_names_the_line_there():
    with pytest.raises(LookupError, match=r"(?s)Caught LookupError in DataLoader worker.*in refuses.*no seven"):
        batches(DataLoader(Numbers(trouble=refuses), 5, num_workers=2))


def test_a_worker_that_dies_is_noticed():
    with pytest.raises(RuntimeError, match="exited unexpectedly with exit code 3"):
        batches(DataLoader(Numbers(trouble=ends_here), 5, num_workers=1))


def test_a_timeout_ends_the_wait():
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.2 seconds"):
        batches(DataLoader(Numbers(trouble=lambda: time.sleep(5)), 20, num_workers=1, timeout=0.2))
    assert time.monotonic() - started < 4


def test_the_order_follows_the_generator_alone():
    found = []
    for workers in (0, 1, 2):
        generator = lg.Generator().manual_seed(5)
        loader = DataLoader(Numbers(), 6, shuffle=True, generator=generator, num_workers=workers)
        found.append([batches(loader), batches(loader)])
    assert found[0] == found[1] == found[2] and found[0][0] != found[0][1]
