"""The script as a user runs it: it learns, resumes to the same losses, and explains its errors."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gpt2
import numpy as np
import pytest
from gpt2_checkpoint import latest_checkpoint, load_checkpoint
from gpt2_data import Batches, UsageError, split_tokens
from gpt2_model import SIZES
from gpt2_options import SIZE_DEFAULTS, out_folder, parse, settle

import lazygrad as lg

SMALL = ["--model=nano", "--vocabulary=300", "--context=16", "--batch=4"]
SMALL += ["--eval-batches=2", "--log-every=1"]


def train(text_file: Path, out: Path, *more: str) -> gpt2.Run:
    arguments = ["--data", str(text_file), "--out", str(out), "--tokens", "3", *more]
    return gpt2.main([*SMALL, *arguments])


def losses(out: Path) -> dict[int, tuple[str, str]]:
    """Step -> what losses.csv says of it last, exactly."""
    result: dict[int, list[str]] = {}
    with (out / "losses.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            entry = result.setdefault(int(row["step"]), ["", ""])
            for index, column in enumerate(("train", "validation")):
                entry[index] = row[column] or entry[index]
    return {step: (entry[0], entry[1]) for step, entry in result.items()}


def test_it_learns_and_says_so(text_file, tmp_path, capsys):
    run = train(text_file, tmp_path / "out", "--steps", "30", "--lr", "0.01", "--warmup", "3")
    assert run.losses["initial"]["train"] == pytest.approx(np.log(320), abs=0.1)  # 300, padded
    assert run.losses["final"]["train"] < run.losses["initial"]["train"] - 0.5
    shown = capsys.readouterr().out
    for part in ("initial", "final", "steps", "tokens/s", "validation loss", "sample"):
        assert part in shown


OPTIONS = {
    "plain": (),
    "dropout and accumulation": ("--dropout", "0.2", "--accumulate", "2"),
    "bfloat16": ("--dtype", "bfloat16"),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(
    text_file, tmp_path, monkeypatch, options
):
    options = ("--steps", "8", "--eval-every", "2", "--checkpoint-every", "5", *options)
    whole = train(text_file, tmp_path / "whole", *options)

    save = gpt2.Run.save

    def save_then_die(run):
        save(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(gpt2.Run, "save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        train(text_file, tmp_path / "parts", *options)
    monkeypatch.undo()
    lg.manual_seed(99)
    # Only the folder is named: everything else is in the checkpoint.
    parts = gpt2.main(["--out", str(tmp_path / "parts"), "--resume"])

    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 8
    assert parts.losses == whole.losses
    ours, theirs = parts.model.state_dict(), whole.model.state_dict()
    for name in theirs:
        np.testing.assert_array_equal(ours[name].numpy(), theirs[name].numpy(), err_msg=name)


def test_killed_at_any_moment(text_file, tmp_path):
    options = ("--steps", "30", "--eval-every", "10", "--checkpoint-every", "1")
    whole = train(text_file, tmp_path / "whole", *options)
    out = tmp_path / "parts"
    command = [sys.executable, gpt2.__file__, *SMALL, "--data", str(text_file), "--out", str(out)]
    # Wherever this process found lazygrad, that one finds it too.
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(Path(lg.__file__).parents[1])])
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    deadline = time.monotonic() + 50
    while not (out / "latest").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert load_checkpoint(latest_checkpoint(out)).training["step"] >= 1
    parts = gpt2.main(["--out", str(out), "--resume"])
    assert parts.losses == whole.losses
    assert losses(out) == losses(tmp_path / "whole")


def test_use_of_a_checkpoint(text_file, tmp_path, capsys):
    out = tmp_path / "out"
    trained = train(text_file, out, "--steps", "4")
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    measured = gpt2.main(["--out", str(out), "--eval-only"])
    assert measured.losses == {"step 4": trained.losses["final"]}
    capsys.readouterr()
    gpt2.main(["--out", str(out), "--sample", "while it", "--temperature", "0", "--tokens", "5"])
    assert "while it" in capsys.readouterr().out
    assert files == {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    from_weights = gpt2.main(
        ["--weights", str(trained.folder), "--eval-only", *SMALL, "--data", str(text_file)]
    )
    assert from_weights.losses["step 0"] == trained.losses["final"]


def test_accumulation_is_a_larger_batch(text_file, tmp_path):
    results = []
    for batch, accumulate in (("4", "1"), ("2", "2")):
        options = ["--data", str(text_file), "--batch", batch, "--accumulate", accumulate]
        run = gpt2.prepare(parse([*SMALL, *options]))
        generator = Batches(run.train, 4, 16, seed=0)
        inputs, targets = generator()
        size = int(batch)
        parts = [
            gpt2.on_device(run, (inputs[i : i + size], targets[i : i + size]))
            for i in range(0, 4, size)
        ]
        loss = gpt2.make_step(run)(parts)
        results.append((loss.item(), run.model.transformer["wpe"].weight.detach().numpy().copy()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-3)


def test_matrices_decay_and_vectors_do_not(text_file):
    run = gpt2.prepare(parse([*SMALL, "--data", str(text_file), "--weight-decay", "0.3"]))
    decaying, plain = run.optimizer.param_groups
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert {parameter.dim() for parameter in decaying["params"]} == {2}
    assert {parameter.dim() for parameter in plain["params"]} == {1}
    assert len(decaying["params"]) + len(plain["params"]) == len(list(run.model.parameters()))


def test_learning_rate_warms_up_and_falls():
    options = settle({"steps": 100, "warmup": 10, "lr": 1.0}, {})
    rates = [gpt2.learning_rate(step, options) for step in range(101)]
    assert rates[:10] == sorted(rates[:10]) and 0 < rates[0] < 0.2
    assert rates[10] == 1.0 and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.1)


def test_options_come_from_the_line_then_the_checkpoint_then_the_size():
    stored = {"model": "nano", "lr": 0.5, "batch": 3, "device": "cuda"}
    options = settle({"batch": 7, "device": "cpu"}, stored)
    assert (options.model, options.lr, options.batch, options.device) == ("nano", 0.5, 7, "cpu")
    assert options.vocabulary == SIZE_DEFAULTS["nano"]["vocabulary"]


@pytest.mark.parametrize("model", ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"])
def test_gpt2_sizes(model):
    size = SIZES[model]
    assert (size.context, size.rows, size.width // size.heads) == (1024, 50304, 64)
    block = 12 * size.width**2 + 13 * size.width
    outside = (50257 + 1024 + 2) * size.width
    millions = {"gpt2": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558}
    assert round((size.layers * block + outside) / 1e6) == millions[model]


@pytest.mark.parametrize("seed", [0, 1])
def test_batches_continue_from_their_state(seed):
    tokens = np.arange(1000, dtype=np.int32)
    first = Batches(tokens, 3, 8, seed)
    first()
    second = Batches(tokens, 3, 8, seed + 10)
    second.state = first.state
    for ours, theirs in zip(first(), second(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    inputs, targets = first()
    np.testing.assert_array_equal(inputs + 1, targets)
    assert inputs.shape == (3, 8) and inputs.dtype == np.int64


def test_split_needs_a_window_of_validation():
    train_part, validation = split_tokens(np.arange(100), 9)
    assert (len(train_part), len(validation)) == (90, 10)
    with pytest.raises(UsageError, match="too short"):
        split_tokens(np.arange(100), 10)


ERRORS = {
    "no such file": (["--data", "no/such/file"], "no/such/file"),
    "folder as data": (["--data", "."], "cannot read"),
    "no checkpoint to resume": (["--resume", "--out", "nothing"], "no checkpoint in nothing"),
    "no checkpoint to sample": (["--sample", "x", "--out", "nothing"], "no checkpoint in nothing"),
    "no weights": (["--weights", "nothing.safetensors"], "nothing.safetensors"),
    "context longer than the text": (["--context", "1000000"], "too short"),
}


@pytest.mark.parametrize(("arguments", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_one_line(arguments, message, text_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        gpt2.main([*SMALL, "--data", str(text_file), *arguments])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [["--steps", "-1"], ["--batch", "0"], ["--model", "gpt9"]])
def test_bad_values_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        gpt2.main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_the_folder_of_a_run_defaults_to_the_cache(cache_directory):
    assert os.path.commonpath([out_folder({}), cache_directory]) == str(cache_directory)
