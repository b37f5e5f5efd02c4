"""The command line: takes its words and what a checkpoint remembers, returns Options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from gpt2_data import cache_directory
from gpt2_model import SIZES

import lazygrad as lg


@dataclass(frozen=True)
class Options:
    """Every option with its default; SIZE_DEFAULTS has those that depend on the model's size."""

    model: str = "tiny"
    data: str = "pydoc"
    tokenizer: str = "bpe"
    vocabulary: int = 2048
    weights: str | None = None
    steps: int = 500
    batch: int = 16
    context: int | None = None
    accumulate: int = 1
    lr: float = 4e-3
    min_lr: float | None = None
    warmup: int = 50
    weight_decay: float = 0.1
    beta2: float = 0.95
    clip: float = 1.0
    dropout: float = 0.0
    dtype: str = "float32"
    device: str = "auto"
    seed: int = 1337
    compile: bool = False
    log_every: int = 10
    eval_every: int = 100
    eval_batches: int = 8
    checkpoint_every: int = 100
    out: str | None = None
    resume: bool = False
    eval_only: bool = False
    sample: str | None = None
    tokens: int = 200
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 1.0


LARGE = {
    "vocabulary": 8192,
    "steps": 2000,
    "batch": 8,
    "warmup": 100,
    "lr": 6e-4,
    "eval_every": 200,
    "checkpoint_every": 1000,
}
SIZE_DEFAULTS: dict[str, dict[str, Any]] = {
    "nano": {"vocabulary": 512, "steps": 200, "eval_every": 50},
    "tiny": {},
    "small": {"vocabulary": 4096, "steps": 2000, "batch": 32, "lr": 1e-3, "eval_every": 200},
    "gpt2": LARGE,
    "gpt2-medium": {**LARGE, "lr": 3e-4},
    "gpt2-large": {**LARGE, "lr": 2.5e-4, "batch": 4},
    "gpt2-xl": {**LARGE, "lr": 2e-4, "batch": 2},
}


def parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    """What the command line says and nothing it does not: the rest is settled in `settle`."""
    parser = argparse.ArgumentParser(
        prog="gpt2.py",
        description="Train GPT-2 with lazygrad, or sample from what was trained.",
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30),
    )
    add = parser.add_argument
    add("--model", choices=list(SIZES), help="size of the network (tiny)")
    add("--data", help="pydoc (default, on every machine), shakespeare (download) or a text file")
    add("--tokenizer", choices=["bytes", "bpe", "gpt2"], help="bpe is trained on the text (bpe)")
    add("--vocabulary", type=positive, help="ids of a trained tokenizer")
    add("--weights", help="start from these weights: HuggingFace's GPT-2 file or folder")
    add("--steps", type=natural, help="optimizer steps in all")
    add("--batch", type=positive, help="windows of text in a step (and in a part: --accumulate)")
    add("--context", type=positive, help="tokens in a window")
    add("--accumulate", type=positive, help="batches whose gradients make one step (1)")
    add("--lr", type=float, help="learning rate after the warm-up")
    add("--min-lr", type=float, help="learning rate at the end of the cosine (lr / 10)")
    add("--warmup", type=natural, help="steps from no learning rate to the full one")
    add("--weight-decay", type=float, help="of matrices; vectors have none (0.1)")
    add("--beta2", type=float, help="AdamW's second moment (0.95)")
    add("--clip", type=float, help="largest norm of the gradient, 0 for any (1.0)")
    add("--dropout", type=float, help="(0.0)")
    add("--dtype", choices=["float32", "bfloat16"], help="of the arithmetic (float32)")
    add("--device", help="auto, cpu, cuda, cuda:1 ... (auto)")
    add("--seed", type=int, help="of weights, data and sampling (1337)")
    add("--compile", action="store_true", help="compute each step at its end, as one plan")
    add("--log-every", type=positive, help="steps between two looks at the loss (10)")
    add("--eval-every", type=positive, help="steps between validations")
    add("--eval-batches", type=positive, help="batches in a validation (8)")
    add("--checkpoint-every", type=positive, help="steps between checkpoints")
    add("--out", help="folder of the checkpoints (one in lazygrad's cache)")
    add("--resume", action="store_true", help="go on from the latest checkpoint in --out")
    add("--eval-only", action="store_true", help="print the losses of a checkpoint, train nothing")
    add("--sample", metavar="PROMPT", help="print text from a checkpoint, train nothing")
    add("--tokens", type=natural, help="tokens to sample (200)")
    add("--temperature", type=float, help="of sampling; 0 takes the likeliest token (0.8)")
    add("--top-k", type=natural, help="sample from the k likeliest tokens, 0 for all (40)")
    add("--top-p", type=float, help="sample from the likeliest that hold this probability (1.0)")
    return vars(parser.parse_args(arguments))


def natural(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


# What a run is about and where it is kept; never taken over from the run that is resumed.
ASKED_EACH_TIME = {"out", "resume", "eval_only", "sample", "weights", "device", "compile"}


def settle(said: dict[str, Any], stored: dict[str, Any]) -> Options:
    """The command line wins over the checkpoint's options, those over the size's defaults."""
    known = {f.name for f in fields(Options)} - ASKED_EACH_TIME
    kept = {name: value for name, value in stored.items() if name in known}
    model = said.get("model", kept.get("model", Options.model))
    options = Options(**{**SIZE_DEFAULTS[model], **kept, **said})
    if options.min_lr is None:
        options = replace(options, min_lr=options.lr / 10)
    if options.device == "auto":
        options = replace(options, device="cuda" if lg.cuda.is_available() else "cpu")
    return options


def out_folder(said: dict[str, Any]) -> Path:
    return Path(said["out"]) if "out" in said else cache_directory() / "gpt2"
