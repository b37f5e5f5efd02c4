"""torch's checkpoints of every kind, forged and broken ones, and places to load to."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.io import load, save
from tests.test_io import same


def loaded(value, **options):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return load(file, **options)


PLAIN = {
    "numbers": [1, -2.5, True, None, 2**80, 1 + 2j, "text", b"\x00\xff", bytearray(b"ab")],
    "containers": [{1, 2}, frozenset([3]), (1, (2,)), OrderedDict(a=1), Counter("aab"), range(3), slice(1, 5, 2)],
    "metadata": torch.nn.Linear(2, 2).state_dict()._metadata,
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_objects(name):
    assert loaded(PLAIN[name]) == PLAIN[name]


def test_attributes_of_state_dicts():
    found = loaded(torch.nn.Linear(2, 2).state_dict())
    assert type(found) is OrderedDict and found._metadata == OrderedDict({"": {"version": 1}})


def test_tied_weights_and_views():
    model = torch.nn.Module()
    model.first = torch.nn.Linear(3, 3)
    model.second = torch.nn.Linear(3, 3)
    model.second.weight = model.first.weight
    found = loaded(model.state_dict())
    assert found["first.weight"] is found["second.weight"]
    base = torch.arange(12.0).reshape(3, 4)
    parts = loaded([base, base.t(), base[1:, ::2], base[0].expand(5, 4), base[2, 3]])
    for mine, theirs in zip(parts, [base, base.t(), base[1:, ::2], base[0].expand(5, 4), base[2, 3]], strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_buffers_and_parameters_with_attributes():
    parameter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    parameter.note = 1
    found = loaded([torch.nn.Buffer(torch.ones(2)), parameter, torch.ones(2, requires_grad=True)])
    assert [type(t) for t in found] == [lg.Tensor, lg.nn.Parameter, lg.Tensor]
    assert [t.requires_grad for t in found] == [False, False, True]


@pytest.mark.parametrize("name", ["AdamW", "SGD", "RMSprop", "Adagrad", "Adafactor", "NAdam", "ASGD", "Rprop"])
def test_training_goes_on_from_torchs_checkpoint(name):
    """Optimizer and scheduler of both libraries make equal steps after the checkpoint."""
    value = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    theirs, mine = torch.tensor(value.copy(), requires_grad=True), lg.tensor(value, requires_grad=True)
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    a, b = getattr(torch.optim, name)([theirs], **options), getattr(lg.optim, name)([mine], **options)
    s, t = torch.optim.lr_scheduler.StepLR(a, 2, 0.5), lg.optim.lr_scheduler.StepLR(b, 2, 0.5)

    def steps(pairs):
        rng = np.random.default_rng(1)
        for _ in range(3):
            g = rng.normal(size=(3, 2)).astype(np.float32)
            for T, p, optimizer, schedule in pairs:
                p.grad = T.tensor(g)
                optimizer.step()
                schedule.step()

    steps([(torch, theirs, a, s)])
    found = loaded({"weight": theirs.detach(), "optimizer": a.state_dict(), "schedule": s.state_dict()})
    with lg.no_grad():
        mine.copy_(found["weight"])
    b.load_state_dict(found["optimizer"])
    t.load_state_dict(found["schedule"])
    steps([(torch, theirs, a, s), (lg, mine, b, t)])
    np.testing.assert_allclose(mine.numpy(force=True), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


REFUSED = {
    "complex": (lambda: torch.ones(2, dtype=torch.complex64), "no complex numbers"),
    "sparse": (lambda: torch.eye(2).to_sparse(), "no sparse layouts"),
    "float8": (lambda: torch.ones(2).to(torch.float8_e4m3fn), "does not have"),
    "module": (lambda: torch.nn.Linear(2, 2), "Linear"),
    "array": (lambda: np.ones(2), "numpy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name):
    make, what = REFUSED[name]
    with pytest.raises(pickle.UnpicklingError, match=what):
        loaded(make())


def test_formats_that_are_not_read(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"before 1\.6"):
        load(tmp_path / "old")
    with pytest.raises(ValueError, match="bare pickle"):
        load(io.BytesIO(pickle.dumps({"a": 1})))
    with pytest.raises(TypeError, match="text mode"):
        load(io.StringIO("abc"))
    with pytest.raises(TypeError, match="text mode"):
        save(1, io.StringIO())


# -- forgeries -----------------------------------------------------------------------------------------
def forged(pickled, **files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {"data.pkl": pickled, "byteorder": b"little", **files}.items():
            archive.writestr(f"x/{name}", content)
    file.seek(0)
    return file


class Calls:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def tensor_pickle(offset, size, stride, key=b"0"):
    numbers = [b"(" + b"".join(b"I%d\n" % n for n in row) + b"t" for row in (size, stride)]
    storage = b"(S'storage'\nctorch\nFloatStorage\nS'" + key + b"'\nS'cpu'\nI4\ntQ"
    head = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n" % offset
    return head + b"".join(numbers) + b"I00\nNtR."


FORGERIES = {
    "system": pickle.dumps(Calls(os.system, ("echo forged",))),
    "eval": pickle.dumps(Calls(eval, ("1/0",))),
    "dotted": b"\x80\x04\x8c\x0bcollections\x94\x8c\x15OrderedDict.__class__\x94\x93.",
    "instance": b"(ios\nsystem\nS'x'\no.",
    "codec": b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
    "reference": b"P123\n.",
    "attribute-of-a-dtype": b"ctorch\nfloat32\n(dS'name'\nS'x'\nsb.",
    "attribute-of-a-device": b"ctorch\ndevice\n(S'cpu'\ntR(dS'type'\nS'x'\nsb.",
    "attribute-of-a-class": b"ccollections\nOrderedDict\n(dS'forged'\nI1\nsb.",
    "call-of-a-storage": b"ctorch\nFloatStorage\n(tR.",
    "long-frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "long-text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "marks": b"(" * 1000 + b".",
    "negative-offset": tensor_pickle(-1, [2], [1]),
    "negative-stride": tensor_pickle(3, [2], [-1]),
    "beyond": tensor_pickle(3, [2], [1]),
    "overflow": tensor_pickle(0, [1 << 62, 4], [4, 1]),
    "no-storage": tensor_pickle(0, [1], [1], b"7"),
    "other-file": tensor_pickle(0, [1], [1], b"../../etc/passwd"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_and_change_nothing(name):
    with pytest.raises(pickle.UnpicklingError, match=r"load\(\)"):
        load(forged(FORGERIES[name], **{"data/0": struct.pack("4f", 1, 2, 3, 4)}))
    assert lg.float32.name == "float32" and not hasattr(OrderedDict, "forged")


def test_the_forgers_tools_read_what_is_sound():
    found = load(forged(tensor_pickle(0, [2, 2], [2, 1]), **{"data/0": struct.pack("4f", 1, 2, 3, 4)}))
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("writer", [torch.save, save], ids=["torch", "lazygrad"])
def test_files_that_are_cut_off(writer):
    file = io.BytesIO()
    T = torch if writer is torch.save else lg
    writer({"a": T.ones(50), "b": [1, 2]}, file)
    data = file.getvalue()
    for length in (0, 1, 4, 9, 30, len(data) // 2, len(data) - 1):
        with pytest.raises((ValueError, pickle.UnpicklingError)):
            load(io.BytesIO(data[:length]))


# -- places --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "place",
    [
        "cpu",
        lg.device("cpu"),
        {"cuda:0": "cpu"},
        {"cpu": "cpu"},
        lambda storage, saved: storage,
        lambda storage, saved: storage.cpu(),
        lambda storage, saved: storage.to("cpu"),
        lambda storage, saved: None,
    ],
)
def test_places(place):
    file = io.BytesIO()
    save({"a": lg.ones(2)}, file)
    file.seek(0)
    for found in (loaded({"a": torch.ones(2)}, map_location=place), load(file, place, weights_only=False, mmap=True)):
        assert found["a"].device == lg.device("cpu") and found["a"].tolist() == [1, 1]


def test_places_that_are_none():
    with pytest.raises(TypeError, match="map_location"):
        loaded(1, map_location=1.5)
    with pytest.raises(RuntimeError, match="abacus"):
        loaded(1, map_location="abacus")
    with pytest.raises(TypeError, match="nonsense"):
        loaded(1, nonsense=True)


# -- lazygrad's own files --------------------------------------------------------------------------------
def test_names_that_collide():
    value = {"a.b": lg.ones(1), "a": {"b": lg.zeros(1)}, "__metadata__": lg.ones(2), "": lg.ones(3), "é\n": lg.ones(4)}
    file = io.BytesIO()
    save(value, file)
    file.seek(0)
    same(value, load(file))


def test_more_objects():
    value = [range(3), slice(1, None), 1 + 2j, frozenset([1]), {True: 1, 2.5: 2, b"k": 3, lg.float32: 4}]
    file = io.BytesIO()
    save(value, file)
    file.seek(0)
    assert load(file) == value


def test_an_object_that_contains_itself():
    value = {"a": [1]}
    value["a"].append(value)
    with pytest.raises(ValueError, match=r"a\.1 contains itself"):
        save(value, io.BytesIO())
    shared = [1]
    save([shared, shared], io.BytesIO())


def test_what_is_allowed_changes_nothing():
    for T in (torch, lg):
        with T.serialization.safe_globals([Calls]):
            assert Calls in T.serialization.get_safe_globals()
        assert Calls not in T.serialization.get_safe_globals()
    with lg.serialization.safe_globals([eval]), pytest.raises(pickle.UnpicklingError, match="eval"):
        load(forged(FORGERIES["eval"]))
