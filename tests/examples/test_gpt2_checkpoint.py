"""Checkpoints are HuggingFace's files, and are either whole or not there."""

import json

import gpt2_checkpoint
import numpy as np
import pytest
from gpt2_checkpoint import (
    Checkpoint,
    from_huggingface,
    latest_checkpoint,
    load_checkpoint,
    load_model,
    load_weights,
    model_arrays,
    save_checkpoint,
)
from gpt2_data import UsageError
from gpt2_model import GPT2, GPT2Config
from safetensors.numpy import load_file, save_file

import lazygrad as lg

CONFIG = GPT2Config(layers=2, heads=2, width=8, context=4, vocabulary=60, rows=64)

HUGGINGFACE_BLOCK = {
    "ln_1.weight": (8,),
    "ln_1.bias": (8,),
    "attn.c_attn.weight": (8, 24),
    "attn.c_attn.bias": (24,),
    "attn.c_proj.weight": (8, 8),
    "attn.c_proj.bias": (8,),
    "ln_2.weight": (8,),
    "ln_2.bias": (8,),
    "mlp.c_fc.weight": (8, 32),
    "mlp.c_fc.bias": (32,),
    "mlp.c_proj.weight": (32, 8),
    "mlp.c_proj.bias": (8,),
}
HUGGINGFACE = {
    "transformer.wte.weight": (64, 8),
    "transformer.wpe.weight": (4, 8),
    "transformer.ln_f.weight": (8,),
    "transformer.ln_f.bias": (8,),
    **{
        f"transformer.h.{layer}.{name}": shape
        for layer in range(2)
        for name, shape in HUGGINGFACE_BLOCK.items()
    },
}


def checkpoint_at(step: int, value: float = 0.0) -> Checkpoint:
    lg.manual_seed(step)
    return Checkpoint(
        model=model_arrays(GPT2(CONFIG)),
        config=CONFIG,
        tensors={"optimizer.x.exp_avg": np.full(3, value, dtype=np.float32)},
        training={"step": step, "big": 2**100},
        tokenizer={"merges.txt": b"#version: 0.2\n"},
    )


def test_names_and_orientation_are_huggingfaces(tmp_path):
    model = GPT2(CONFIG)
    folder = save_checkpoint(tmp_path, Checkpoint(model_arrays(model), CONFIG))
    arrays = load_file(folder / "model.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == HUGGINGFACE
    name = "transformer.h.1.attn.c_proj.weight"  # square: its shape tells nothing
    ours = model.state_dict()[name].detach().numpy()
    np.testing.assert_array_equal(arrays[name], ours.T)
    assert np.abs(ours - ours.T).max() > 0
    config = json.loads((folder / "config.json").read_text())
    assert (config["n_layer"], config["n_head"], config["n_embd"]) == (2, 2, 8)
    assert (config["n_positions"], config["vocab_size"]) == (4, 64)


def test_round_trip(tmp_path):
    saved = checkpoint_at(7, 0.5)
    loaded = load_checkpoint(save_checkpoint(tmp_path, saved))
    assert loaded.config == saved.config
    assert loaded.training == saved.training
    assert loaded.tokenizer == saved.tokenizer
    for before, after in ((saved.model, loaded.model), (saved.tensors, loaded.tensors)):
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])


def test_reads_files_without_prefix_and_with_masks(tmp_path):
    """The shape of OpenAI's weights on the hub: no prefix, the causal mask among them."""
    generator = np.random.default_rng(0)
    arrays = {
        name.removeprefix("transformer."): generator.normal(size=shape).astype(np.float16)
        for name, shape in HUGGINGFACE.items()
    }
    arrays["h.0.attn.bias"] = np.tril(np.ones((1, 1, 4, 4), dtype=np.float32))
    arrays["h.0.attn.masked_bias"] = np.array(-1e4, dtype=np.float32)
    save_file(arrays, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"n_head": 2}')
    state, config = load_weights(tmp_path)
    assert config == GPT2Config(layers=2, heads=2, width=8, context=4, vocabulary=64, rows=64)
    model = GPT2(config)
    load_model(model, state)
    ours = model.state_dict()["transformer.h.0.mlp.c_fc.weight"].numpy()
    np.testing.assert_array_equal(ours, arrays["h.0.mlp.c_fc.weight"].T.astype(np.float32))
    with_head = {**arrays, "lm_head.weight": arrays["wte.weight"]}
    assert from_huggingface(with_head).keys() == state.keys()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "training.json"])
def test_a_crash_between_files_leaves_the_checkpoint_before(tmp_path, monkeypatch, file):
    save_checkpoint(tmp_path, checkpoint_at(1, 1.0))
    write = gpt2_checkpoint.write_file

    def write_half_then_die(path, content):
        if path.name == file:
            write(path, content[: len(content) // 2])
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(gpt2_checkpoint, "write_file", write_half_then_die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, checkpoint_at(2, 2.0))
    survivor = load_checkpoint(latest_checkpoint(tmp_path))
    assert survivor.training["step"] == 1
    assert survivor.tensors["optimizer.x.exp_avg"][0] == 1.0

    monkeypatch.undo()
    newest = save_checkpoint(tmp_path, checkpoint_at(3))
    assert latest_checkpoint(tmp_path) == newest
    assert sorted(path.name for path in tmp_path.glob("step-*")) == [newest.name]


def test_a_crash_before_the_pointer_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint_at(1))

    def die(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpt2_checkpoint, "write_atomically", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, checkpoint_at(2))
    assert load_checkpoint(latest_checkpoint(tmp_path)).training["step"] == 1


def test_errors_name_the_file_and_the_parameter(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        load_weights(tmp_path / "nowhere.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file")
    with pytest.raises(UsageError, match="broken"):
        load_weights(broken)
    save_file({"some.weight": np.zeros(2, dtype=np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="no GPT-2"):
        load_weights(tmp_path / "other.safetensors")
    model = GPT2(CONFIG)
    state = model_arrays(model)
    del state["transformer.h.1.ln_2.bias"]
    with pytest.raises(UsageError, match=r"transformer\.h\.1\.ln_2\.bias is missing"):
        load_model(model, state)
