"""Text in, batches out: where the text comes from, and how it is cut for training."""

from __future__ import annotations

import hashlib
import os
import pydoc_data.topics
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

SHAKESPEARE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


class UsageError(Exception):
    """What the user can put right: its one line is all that is shown."""


def cache_directory() -> Path:
    """Where downloads, trained vocabularies and, unless --out says otherwise, checkpoints go."""
    root = os.environ.get("LAZYGRAD_CACHE_DIR") or "~/.cache/lazygrad"
    return Path(root).expanduser() / "examples"


def write_atomically(path: Path, content: bytes) -> None:
    """The file is either not there or whole, also when two processes write it or one is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def download(url: str, path: Path, sha256: str, instead: str, timeout: float = 15.0) -> Path:
    """Fetches `url` to `path` unless it lies there already. `instead` is what works offline."""
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            content = response.read()
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise UsageError(f"cannot download {url} ({reason}); without network: {instead}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UsageError(f"{url} is not the file it used to be; without it: {instead}")
    write_atomically(path, content)
    return path


def load_text(source: str) -> str:
    """Of pydoc (on every machine), shakespeare (downloaded once) or the file of that name.

    Bytes that are no UTF-8 come as lone surrogates, which the tokenizers turn back into the bytes.
    """
    if source == "pydoc":
        topics = pydoc_data.topics.topics
        return "\n\n".join(topics[name] for name in sorted(topics))
    if source == "shakespeare":
        path = download(
            SHAKESPEARE,
            cache_directory() / "tiny_shakespeare.txt",
            SHAKESPEARE_SHA256,
            instead="--data pydoc (the default), or --data FILE with any text of your own",
        )
    else:
        path = Path(source)
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(
            f"cannot read --data {source} ({error.strerror}); --data takes pydoc, shakespeare"
            " or the path of a text file"
        ) from error


def split_tokens(tokens: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """The first nine tenths to train on, the last tenth to validate with."""
    cut = len(tokens) * 9 // 10
    train, validation = tokens[:cut], tokens[cut:]
    if len(validation) <= context:
        raise UsageError(
            f"the text is too short: its last tenth is {len(validation)} tokens, and a context of"
            f" {context} needs {context + 1}; take a longer --data or a shorter --context"
        )
    return train, validation


class Batches:
    """Random windows of the text: each call gives inputs and targets, both int64 [batch, context].

    `state` is plain data for JSON; two objects with the same state give the same batches.
    """

    def __init__(self, tokens: np.ndarray, batch: int, context: int, seed: int) -> None:
        self.tokens, self.batch, self.context = tokens, batch, context
        self.generator = np.random.default_rng(seed)

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        starts = self.generator.integers(len(self.tokens) - self.context, size=(self.batch, 1))
        windows = self.tokens[starts + np.arange(self.context + 1)].astype(np.int64)
        return windows[:, :-1].copy(), windows[:, 1:].copy()

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.generator.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state = state
