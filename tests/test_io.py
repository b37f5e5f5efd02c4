"""Saving and loading: round trips, other people's files, hostile files."""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.numpy
import torch

import lazygrad as lg
from lazygrad.io import load, load_file, read_safetensors, save, save_file
from lazygrad.nn import Linear, Parameter

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


def same(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, lg.Tensor):
        assert a.dtype is b.dtype and a.requires_grad == b.requires_grad
        np.testing.assert_array_equal(a.numpy(force=True), b.numpy(force=True))
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b or a != a and b != b


def test_nested_objects_come_back(tmp_path):
    state = {
        "weights": OrderedDict(a=lg.randn(3, 4), b=lg.tensor(7), empty=lg.zeros(0, 2)),
        "numbers": [1, -2.5, True, None, 2**70, math.inf, math.nan, "text", b"\x00\xff"],
        "mixed": ({3: "int key", (1, 2): "tuple key", None: 0.1}, {1, 2}, lg.bfloat16, lg.zeros(2, 3).shape),
        "array": np.arange(5, dtype=np.float64),
        "parameter": Parameter(lg.ones(2)),
        "frozen": Parameter(lg.ones(2), requires_grad=False),
        "leaf": lg.ones(2, requires_grad=True),
        "lazy": lg.ones(3) * 2 + 1,
        "scalar": np.float32(1.5),
    }
    save(state, tmp_path / "state.lg")
    found = load(tmp_path / "state.lg")
    assert found.pop("scalar") == 1.5
    state.pop("scalar")
    same(state, found)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(tmp_path, name):
    value = lg.tensor([0, 1, 1, 0, 1], dtype=getattr(lg, name))
    save(value, tmp_path / "x")
    same(value, load(tmp_path / "x"))


def test_shared_tensors_stay_shared(tmp_path):
    weight = lg.randn(2, 2)
    save({"a": weight, "b": [weight]}, tmp_path / "x")
    found = load(tmp_path / "x")
    assert found["a"] is found["b"][0]


def test_views_are_saved_by_value():
    file = io.BytesIO()
    base = lg.randn(4, 6)
    save([base.transpose(0, 1), base[1:3, ::2]], file)
    file.seek(0)
    transposed, part = load(file)
    np.testing.assert_array_equal(transposed.numpy(), base.numpy().T)
    np.testing.assert_array_equal(part.numpy(), base.numpy()[1:3, ::2])


def test_other_readers_find_the_tensors_by_path(tmp_path):
    save({"model": {"w": lg.ones(2, 3)}, "opt": [lg.zeros(1)]}, tmp_path / "x.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    assert sorted(found) == ["model.w", "opt.0"]
    np.testing.assert_array_equal(found["model.w"], np.ones((2, 3), np.float32))


def test_safetensors_files_of_others(tmp_path):
    arrays = {"b": np.arange(6, dtype=np.int32).reshape(2, 3), "a": np.ones(3, np.float16)}
    safetensors.numpy.save_file(arrays, tmp_path / "x", metadata={"made": "elsewhere"})
    found = load(tmp_path / "x")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
    save_file(found, tmp_path / "y", {"k": "v"})
    again = safetensors.numpy.load_file(tmp_path / "y")
    np.testing.assert_array_equal(again["b"], arrays["b"])
    assert set(load_file(tmp_path / "y")) == {"a", "b"}


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"function at a\.0"):
        save({"a": [same]}, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    save({"x": lg.ones(1)}, tmp_path / "x")

    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("lazygrad.io.write_safetensors", fail)
    with pytest.raises(OSError, match="no space"):
        save({"x": lg.zeros(1)}, tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert load(tmp_path / "x")["x"].item() == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        (1 << 40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{x",
        (56).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}  ' + b"0" * 9,
        (56).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}} ' + b"0" * 8,
        (56).to_bytes(8, "little") + b'{"a":{"dtype":"Q99","shape":[2],"data_offsets":[0,8]}}  ' + b"0" * 8,
    ],
)
def test_malformed_safetensors_are_refused(data):
    with pytest.raises(ValueError, match="safetensors"):
        read_safetensors(data)


def test_torch_checkpoints_are_read(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    base = torch.randn(4, 6)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": model[0].weight,
        "views": [base.t(), base[1:3, ::2], torch.zeros(0, 2), torch.tensor(3)],
        "half": torch.arange(4).to(torch.bfloat16),
        "other": (1, 2.5, "x", None, True, torch.float16, torch.Size([2, 3])),
    }
    torch.save(state, tmp_path / "x.pt")
    found = load(tmp_path / "x.pt")
    for name, value in state["model"].items():
        np.testing.assert_array_equal(found["model"][name].numpy(), value.numpy())
    assert found["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    np.testing.assert_array_equal(
        found["optimizer"]["state"][0]["exp_avg"].numpy(), state["optimizer"]["state"][0]["exp_avg"].numpy()
    )
    assert isinstance(found["parameter"], Parameter) and found["parameter"].requires_grad
    for mine, theirs in zip(found["views"], state["views"]):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert found["half"].dtype is lg.bfloat16 and found["half"].tolist() == [0, 1, 2, 3]
    assert found["other"] == (1, 2.5, "x", None, True, lg.float16, (2, 3))
    twin = Linear(3, 4)
    twin.load_state_dict({k[2:]: v for k, v in found["model"].items() if k.startswith("0.")})


class Evil:
    def __reduce__(self):
        return (eval, ("1/0",))


def test_code_in_torch_checkpoints_is_refused(tmp_path):
    torch.save({"x": Evil()}, tmp_path / "x.pt")
    with pytest.raises(pickle.UnpicklingError, match="eval"):
        load(tmp_path / "x.pt")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    tensor = torch.zeros(4)
    torch.save(tensor, tmp_path / "x.pt")
    data = (tmp_path / "x.pt").read_bytes()
    assert load(io.BytesIO(data)).tolist() == [0, 0, 0, 0]
    import zipfile

    source = zipfile.ZipFile(io.BytesIO(data))
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"K\x00K\x04\x85", b"K\x00K\x7f\x85", 1)
            target.writestr(name, content)
    forged.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="beyond"):
        load(forged)
