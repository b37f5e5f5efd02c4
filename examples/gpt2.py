"""Trains GPT-2, from a toy that learns in a minute on a laptop to GPT-2 XL, and samples from it.

    python examples/gpt2.py                              tiny, on the Python language reference
    python examples/gpt2.py --sample "The assignment"    text from what that has learned
    python examples/gpt2.py --data shakespeare --steps 1000
    python examples/gpt2.py --model gpt2 --batch 32 --dtype bfloat16
    python examples/gpt2.py --model gpt2 --out RUN --resume     goes on where RUN was stopped
    python examples/gpt2.py --weights FOLDER --tokenizer gpt2 --sample "Hello"   HuggingFace's files

Companions: gpt2_options (the command line and its defaults), gpt2_threads, gpt2_data, gpt2_tokenizers,
gpt2_model (the network), gpt2_checkpoint, gpt2_sampling.
"""

from __future__ import annotations

import codecs
import csv
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import gpt2_threads  # noqa: F401  before NumPy
import numpy as np
from gpt2_checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_model,
    load_optimizer,
    load_weights,
    model_arrays,
    optimizer_arrays,
    save_checkpoint,
)
from gpt2_data import Batches, UsageError, load_text, split_tokens
from gpt2_model import GPT2, SIZES, GPT2Config, padded
from gpt2_options import Options, out_folder, parse, settle
from gpt2_sampling import Taste, generate
from gpt2_tokenizers import BPETokenizer, Tokenizer, decode, make_tokenizer
from tqdm import tqdm

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F

# ----------------------------------------------------------------------------------------- a run


@dataclass
class Run:
    """All there is while training."""

    options: Options
    out: Path
    tokenizer: Tokenizer
    train: np.ndarray
    validation: np.ndarray
    model: GPT2
    optimizer: lg.optim.Optimizer
    batches: Batches
    step: int = 0
    losses: dict[str, dict[str, float]] = field(default_factory=dict)  # "initial", "final"
    folder: Path | None = None  # of the latest checkpoint

    def save(self) -> None:
        options = self.options
        tokenizer = self.tokenizer.files() if isinstance(self.tokenizer, BPETokenizer) else {}
        training = {
            "step": self.step,
            "options": asdict(options),
            "tokenizer": self.tokenizer.name,
            "losses": self.losses,
            "batches": self.batches.state,
        }
        random_state = {"random_state": lg.get_rng_state().cpu().numpy()}
        self.folder = save_checkpoint(
            self.out,
            Checkpoint(
                model=model_arrays(self.model),
                config=self.model.config,
                tensors={**optimizer_arrays(self.model, self.optimizer), **random_state},
                training=training,
                tokenizer=tokenizer,
            ),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        load_optimizer(self.model, self.optimizer, checkpoint.tensors)
        self.batches.state = checkpoint.training["batches"]
        self.step = checkpoint.training["step"]
        self.losses = checkpoint.training["losses"]
        lg.set_rng_state(lg.from_numpy(checkpoint.tensors["random_state"]))


def prepare(said: dict[str, Any]) -> Run:
    """Takes the command line, returns a run that is ready to train, measure or sample."""
    out = out_folder(said)
    only_use = said.get("eval_only") or "sample" in said
    checkpoint = None
    if said.get("resume") or (only_use and "weights" not in said):
        folder = latest_checkpoint(out)
        if folder is None:
            raise UsageError(f"there is no checkpoint in {out}; train one first, with --out {out}")
        checkpoint = load_checkpoint(folder)
    options = settle(said, checkpoint.training["options"] if checkpoint else {})

    text = load_text(options.data)
    if checkpoint and "merges.txt" in checkpoint.tokenizer:
        tokenizer: Tokenizer = BPETokenizer.from_merges(checkpoint.tokenizer["merges.txt"])
    else:
        tokenizer = make_tokenizer(options.tokenizer, text, options.vocabulary)
    tokens = np.array(tokenizer.encode(text), dtype=np.int32)

    lg.manual_seed(options.seed)
    if checkpoint:
        state, config = checkpoint.model, checkpoint.config
    elif options.weights:
        state, config = load_weights(Path(options.weights))
    else:
        state, config = None, fresh_config(options, tokenizer)
    if tokenizer.vocabulary > config.rows:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocabulary} ids and the weights only {config.rows};"
            " --tokenizer names the one they were trained with"
        )
    config = replace(config, vocabulary=min(config.vocabulary, tokenizer.vocabulary))
    train, validation = split_tokens(tokens, config.context)
    model = GPT2(config)
    if state is not None:
        load_model(model, state)
    model.to(options.device)
    run = Run(
        options=options,
        out=out,
        tokenizer=tokenizer,
        train=train,
        validation=validation,
        model=model,
        optimizer=make_optimizer(model, options),
        batches=Batches(train, options.batch, config.context, options.seed),
    )
    if checkpoint:
        run.restore(checkpoint)
        run.folder = folder
    return run


def fresh_config(options: Options, tokenizer: Tokenizer) -> GPT2Config:
    """GPT-2 proper has GPT-2's table whatever the tokenizer; the small ones are cut to fit it."""
    size = SIZES[options.model]
    rows = padded(tokenizer.vocabulary)
    if options.model.startswith("gpt2"):
        rows = max(rows, size.rows)
    return replace(
        size,
        context=options.context or size.context,
        vocabulary=tokenizer.vocabulary,
        rows=rows,
        dropout=options.dropout,
    )


def make_optimizer(model: GPT2, options: Options) -> lg.optim.Optimizer:
    """Matrices decay; biases and LayerNorm's vectors do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    return lg.optim.AdamW(
        [
            {"params": matrices, "weight_decay": options.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=options.lr,
        betas=(0.9, options.beta2),
    )


# -------------------------------------------------------------------------------------- training


def learning_rate(step: int, options: Options) -> float:
    """Linear warm-up, then half a cosine from lr down to min_lr."""
    if step < options.warmup:
        return options.lr * (step + 1) / (options.warmup + 1)
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return options.min_lr + share * (options.lr - options.min_lr)


def autocast(options: Options) -> lg.autocast:
    device_type = options.device.split(":")[0]
    return lg.autocast(device_type, dtype=lg.bfloat16, enabled=options.dtype == "bfloat16")


def loss_of(run: Run, inputs: lg.Tensor, targets: lg.Tensor) -> lg.Tensor:
    with autocast(run.options):
        logits = run.model(inputs)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def on_device(run: Run, pair: tuple[np.ndarray, np.ndarray]) -> tuple[lg.Tensor, lg.Tensor]:
    inputs, targets = pair
    device = run.options.device
    return lg.from_numpy(inputs).to(device), lg.from_numpy(targets).to(device)


def make_step(run: Run) -> Callable[[list[tuple[lg.Tensor, lg.Tensor]]], lg.Tensor]:
    """One optimizer step: takes its batches, returns their mean loss, not waited for."""
    parameters = list(run.model.parameters())

    def step(parts: list[tuple[lg.Tensor, lg.Tensor]]) -> lg.Tensor:
        total = lg.zeros((), device=run.options.device)
        for inputs, targets in parts:
            loss = loss_of(run, inputs, targets) / len(parts)
            loss.backward()
            total = total + loss.detach()
        if run.options.clip > 0:
            nn.utils.clip_grad_norm_(parameters, run.options.clip)
        run.optimizer.step()
        run.optimizer.zero_grad()
        return total

    return lg.compile(step) if run.options.compile else step


@lg.no_grad()
def evaluate(run: Run, tokens: np.ndarray) -> float:
    """Mean loss over batches that are the same at every call."""
    options = run.options
    batches = Batches(tokens, options.batch, run.model.config.context, options.seed + 1)
    run.model.eval()
    total = lg.zeros((), device=options.device)
    for _ in range(options.eval_batches):
        total = total + loss_of(run, *on_device(run, batches()))
    run.model.train()
    return total.item() / options.eval_batches


def evaluate_both(run: Run) -> dict[str, float]:
    return {"train": evaluate(run, run.train), "validation": evaluate(run, run.validation)}


class Speed:
    """Tokens per second of training alone. The first window, where programs are compiled, is shown
    but does not count in the mean."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, float]] = []
        self.resume()

    def resume(self) -> None:
        self.tokens, self.started = 0, time.perf_counter()

    def window(self) -> float:
        seconds = time.perf_counter() - self.started
        self.windows.append((self.tokens, seconds))
        self.resume()
        return self.windows[-1][0] / max(seconds, 1e-9)

    def mean(self) -> float:
        counted = self.windows[1:] or self.windows
        seconds = sum(seconds for _, seconds in counted)
        return sum(tokens for tokens, _ in counted) / max(seconds, 1e-9)


def train(run: Run) -> float:
    """Trains up to options.steps, with progress, validation and checkpoints; returns tokens/s."""
    options = run.options
    if "initial" not in run.losses:
        run.losses["initial"] = evaluate_both(run)
    take_step = make_step(run)
    speed = Speed()
    run.model.train()
    bar = tqdm(total=options.steps, initial=run.step, unit="step", dynamic_ncols=True)
    with bar, Log(run) as log:
        while run.step < options.steps:
            rate = learning_rate(run.step, options)
            for group in run.optimizer.param_groups:
                group["lr"] = rate
            parts = [on_device(run, run.batches()) for _ in range(options.accumulate)]
            loss = take_step(parts)
            run.step += 1
            speed.tokens += options.accumulate * options.batch * run.model.config.context
            bar.update()

            at_end = run.step == options.steps
            # Reading the loss waits for the device, so it is not done at every step.
            if at_end or run.step % options.log_every == 0:
                train_loss = loss.item()
                per_second = speed.window()
                shown = f"loss {train_loss:.3f}, lr {rate:.1e}, {per_second:,.0f} tok/s"
                bar.set_postfix_str(shown)
                log.write(run.step, train=train_loss, lr=rate, tokens_per_second=per_second)
            if at_end or run.step % options.eval_every == 0:
                validation_loss = evaluate(run, run.validation)
                tqdm.write(f"step {run.step:6d}   validation loss {validation_loss:.4f}")
                log.write(run.step, validation=validation_loss)
                speed.resume()
            if at_end or run.step % options.checkpoint_every == 0:
                run.save()
                speed.resume()
    return speed.mean()


class Log:
    """OUT/losses.csv. A resumed run writes its steps anew: of equal steps the later line counts."""

    COLUMNS = ("step", "train", "validation", "lr", "tokens_per_second")

    def __init__(self, run: Run) -> None:
        run.out.mkdir(parents=True, exist_ok=True)
        path = run.out / "losses.csv"
        goes_on = run.step > 0 and path.exists()
        self.file = path.open("a" if goes_on else "w", newline="")
        self.rows = csv.DictWriter(self.file, self.COLUMNS)
        if not goes_on:
            self.rows.writeheader()

    def write(self, step: int, **values: float) -> None:
        self.rows.writerow({"step": step, **{name: repr(value) for name, value in values.items()}})
        self.file.flush()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


# ----------------------------------------------------------------------------------- what is shown


def introduce(run: Run) -> None:
    config, options = run.model.config, run.options
    print(
        f"{options.model}: {run.model.parameter_count() / 1e6:.2f}M parameters,"
        f" {config.layers} layers, {config.heads} heads, {config.width} wide,"
        f" context {config.context}, on {options.device} in {options.dtype}\n"
        f"{options.data}: {len(run.train):,} tokens to train on, {len(run.validation):,} to"
        f" validate with, of {run.tokenizer.vocabulary} kinds ({run.tokenizer.name})",
        flush=True,
    )


def summarise(run: Run, tokens_per_second: float | None) -> None:
    rows = [("", "train loss", "validation loss")]
    for moment, losses in run.losses.items():
        rows.append((moment, f"{losses['train']:.4f}", f"{losses['validation']:.4f}"))
    print()
    for name, *cells in rows:
        print(f"{name:<10}" + "".join(f"{cell:>18}" for cell in cells))
    print(f"{'steps':<10}{run.step:>18,}")
    if tokens_per_second is not None:
        print(f"{'tokens/s':<10}{tokens_per_second:>18,.0f}")
    if run.folder is not None:
        print(f"{'kept in':<10}  {run.folder}")


def show_sample(run: Run, prompt: str) -> str:
    """Prints the text while it comes, and returns it."""
    options = run.options
    lg.manual_seed(options.seed)
    ids = run.tokenizer.encode(prompt) or run.tokenizer.encode("\n")
    taste = Taste(options.temperature, options.top_k, options.top_p)
    # A token may end within a character, which is then shown with the token that completes it.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    print(f"\n--- a sample of {options.tokens} tokens ---\n{prompt}", end="", flush=True)
    shown = prompt
    for token in generate(run.model, ids, options.tokens, taste):
        piece = decoder.decode(run.tokenizer.decode_bytes([token]))
        print(piece, end="", flush=True)
        shown += piece
    print("\n---")
    return shown


PROMPTS = {"pydoc": "The", "shakespeare": "ROMEO:"}


def main(arguments: Sequence[str] | None = None) -> Run:
    said = parse(arguments)
    try:
        run = prepare(said)
    except UsageError as error:
        raise SystemExit(f"gpt2.py: {error}") from error
    options = run.options
    introduce(run)
    if options.eval_only:
        run.losses = {f"step {run.step}": evaluate_both(run)}
        summarise(run, None)
    if options.sample is not None:
        show_sample(run, options.sample)
    if not options.eval_only and options.sample is None:
        tokens_per_second = train(run)
        run.losses["final"] = evaluate_both(run)
        summarise(run, tokens_per_second)
        unseen = decode(run.tokenizer, run.validation[:8].tolist())
        show_sample(run, PROMPTS.get(options.data, unseen))
    return run


if __name__ == "__main__":
    main(sys.argv[1:])
