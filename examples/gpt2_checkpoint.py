"""A run on disk: takes arrays and plain data, leaves a folder that is either complete or not seen.

    OUT/latest                 the name of the newest complete checkpoint
    OUT/step-0000200-x1y2z3/
        model.safetensors      weights under HuggingFace GPT-2's names and orientation
        config.json            what HuggingFace's GPT2LMHeadModel.from_pretrained needs beside them
        training.safetensors   the optimizer's moments, the state of lazygrad's random numbers
        training.json          step, options, state of the data's random numbers, losses so far
        merges.txt, vocab.json the vocabulary, where it was trained here

A checkpoint is written under a name nobody reads and becomes the checkpoint in one step, when
`latest` is replaced. So a run killed at whichever moment leaves the one before.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gpt2_data import UsageError, write_atomically
from gpt2_model import GPT2, GPT2Config
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

import lazygrad as lg

Arrays = dict[str, np.ndarray]

# HuggingFace's GPT-2 keeps these [in, out] (its Conv1D); nn.Linear keeps [out, in].
TRANSPOSED = (
    "attn.c_attn.weight",
    "attn.c_proj.weight",
    "mlp.c_fc.weight",
    "mlp.c_proj.weight",
)
# Buffers of the causal mask in older files, and the head, which is the token embedding again.
IGNORED = (".attn.bias", ".attn.masked_bias", "lm_head.weight")


@dataclass
class Checkpoint:
    model: Arrays  # under the names and in the orientation of model.state_dict()
    config: GPT2Config
    tensors: Arrays = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, bytes] = field(default_factory=dict)


# ---------------------------------------------------------------------------------- the folder


def save_checkpoint(out: Path, checkpoint: Checkpoint) -> Path:
    """Writes it below `out`, makes it the latest and removes those before."""
    config = json.dumps(to_huggingface_config(checkpoint.config), indent=2).encode()
    step = checkpoint.training.get("step", 0)
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out, prefix=f"step-{step:07d}-"))
    files = {
        "config.json": config,
        "model.safetensors": save(to_huggingface(checkpoint.model), metadata={"format": "pt"}),
        "training.safetensors": save(checkpoint.tensors),
        "training.json": json.dumps(checkpoint.training, indent=1).encode(),
        **checkpoint.tokenizer,
    }
    for name, content in files.items():
        write_file(folder / name, content)
    flush_folder(folder)
    flush_folder(out)
    write_atomically(out / "latest", folder.name.encode())
    for other in out.glob("step-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """A file survives a power cut only once its name in the folder does."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def latest_checkpoint(out: Path) -> Path | None:
    pointer = out / "latest"
    return out / pointer.read_text().strip() if pointer.exists() else None


def load_checkpoint(folder: Path) -> Checkpoint:
    try:
        model, config = load_weights(folder)
        training = json.loads((folder / "training.json").read_text())
        tokenizer = {
            name: (folder / name).read_bytes()
            for name in ("merges.txt", "vocab.json")
            if (folder / name).exists()
        }
        return Checkpoint(
            model, config, load_file(folder / "training.safetensors"), training, tokenizer
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise UsageError(f"cannot read the checkpoint {folder}: {error}") from error


# ---------------------------------------------------------------------- HuggingFace's GPT-2 files


def to_huggingface(state: Arrays) -> Arrays:
    return {
        name: np.ascontiguousarray(array.T) if name.endswith(TRANSPOSED) else array
        for name, array in state.items()
    }


def from_huggingface(arrays: Arrays) -> Arrays:
    """Names with and without "transformer." are read."""
    state = {}
    for name, array in arrays.items():
        name = name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"
        if not name.endswith(IGNORED):
            array = array.T if name.endswith(TRANSPOSED) else array
            state[name] = np.ascontiguousarray(array, dtype=np.float32)
    return state


def to_huggingface_config(config: GPT2Config) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "n_positions": config.context,
        "n_ctx": config.context,
        "vocab_size": config.rows,
        "unpadded_vocab_size": config.vocabulary,
        "layer_norm_epsilon": 1e-5,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def load_weights(path: Path) -> tuple[Arrays, GPT2Config]:
    """Weights and sizes out of a safetensors file, or a folder with a model.safetensors."""
    file = path / "model.safetensors" if path.is_dir() else path
    described = file.parent / "config.json"
    try:
        state = from_huggingface(load_file(file))
        known = json.loads(described.read_text()) if described.exists() else {}
        rows, width = state["transformer.wte.weight"].shape
        context = state["transformer.wpe.weight"].shape[0]
    except (OSError, SafetensorError) as error:
        raise UsageError(f"cannot read weights from {file}: {error}") from error
    except KeyError as error:
        raise UsageError(f"{file} holds no GPT-2: {error} is missing") from error
    config = GPT2Config(
        layers=len({name.split(".")[2] for name in state if name.startswith("transformer.h.")}),
        heads=known.get("n_head", max(1, width // 64)),
        width=width,
        context=context,
        # OpenAI's files have no padding; ours say how much of the table is.
        vocabulary=known.get("unpadded_vocab_size", rows),
        rows=rows,
        dropout=known.get("resid_pdrop", 0.0),
    )
    return state, config


# ---------------------------------------------------------------------- tensors to arrays and back


def to_array(value: Any) -> np.ndarray:
    if isinstance(value, lg.Tensor):
        return np.ascontiguousarray(value.detach().cpu().numpy())
    return np.asarray(value)


def model_arrays(model: GPT2) -> Arrays:
    return {name: to_array(tensor) for name, tensor in model.state_dict().items()}


def load_model(model: GPT2, state: Arrays) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: array.shape for name, array in state.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise UsageError(
                f"the weights do not fit the model: {name} is {found.get(name, 'missing')},"
                f" and the model has {wanted.get(name, 'no such parameter')}"
            )
    model.load_state_dict({name: lg.from_numpy(array) for name, array in state.items()})


def optimizer_arrays(model: GPT2, optimizer: lg.optim.Optimizer) -> Arrays:
    """The optimizer's state under names like `optimizer.transformer.wte.weight.exp_avg`."""
    names = optimized_names(model, optimizer)
    return {
        f"optimizer.{names[index]}.{key}": to_array(value)
        for index, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
    }


def load_optimizer(model: GPT2, optimizer: lg.optim.Optimizer, arrays: Arrays) -> None:
    index_of = {name: index for index, name in enumerate(optimized_names(model, optimizer))}
    state: dict[int, dict[str, lg.Tensor]] = {}
    for path, array in arrays.items():
        if path.startswith("optimizer."):
            name, key = path.removeprefix("optimizer.").rsplit(".", 1)
            state.setdefault(index_of[name], {})[key] = lg.from_numpy(array)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def optimized_names(model: GPT2, optimizer: lg.optim.Optimizer) -> list[str]:
    """Names of the parameters in the order in which the optimizer's state counts them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
