"""What outlives a process: takes a key and bytes, returns those bytes to a later process or None.

Losing an entry costs a compilation, a wrong one a wrong answer. So an entry carries a checksum
over its kind, key and content, and what does not match is dropped and is missing; a file stands
under its name only when it is complete; and a disk that refuses costs the cache, not the run. The
layout is root/lazygrad-VERSION/kind/key: no version meets the entries of another, and those of a
version that nobody runs any more are the least recently used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

DEFAULT_LIMIT = 2 << 30
_MAGIC = b"lazygrad"
_HEADER_SIZE = len(_MAGIC) + hashlib.sha256().digest_size
_STALE_SECONDS = 3600  # no writer takes that long between creating its file and naming it

_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_KEY = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"\.[a-z0-9]+")
_ENTRY = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]+)?")
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}(\.[a-z0-9]+)?\.[0-9a-f]{32}\.tmp")


def digest(*parts: str | bytes) -> str:
    """The key of `parts`: sha256 in hex. Lengths are hashed too: ("ab", "c") is not ("a", "bc")."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hasher.update(b"%d:" % len(data))
        hasher.update(data)
    return hasher.hexdigest()


class DiskCache:
    """Bytes under (kind, key) in `root`, at most `limit` of them; least recently used go first."""

    def __init__(self, root: Path, version: str, limit: int = DEFAULT_LIMIT) -> None:
        self._root = Path(root)
        self._folder = self._root / f"lazygrad-{_checked(_FOLDER, version, 'version')}"
        self._limit = limit
        # Looking at every file is slow: it is done once by a process that writes at all, and again
        # when that process has written a sixteenth of the limit, which is what a sweep leaves free.
        self._allowance = limit // 16
        self._until_sweep = 0
        self._writable = True
        self._private: tempfile.TemporaryDirectory[str] | None = None

    def path_of(self, kind: str, key: str, suffix: str = "") -> Path:
        """Where (kind, key) is kept. Write there through `put` and `put_file` only."""
        _checked(_FOLDER, kind, "kind")
        _checked(_KEY, key, "key")
        if suffix:
            _checked(_SUFFIX, suffix, "suffix")
        return self._folder / kind / (key + suffix)

    def get(self, kind: str, key: str) -> bytes | None:
        """The bytes last put under (kind, key); None if never put, evicted or damaged."""
        path = self.path_of(kind, key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        data = stored[_HEADER_SIZE:]
        if stored[:_HEADER_SIZE] != _header(kind, key, data):
            with suppress(OSError):
                path.unlink()
            return None
        _mark_used(path)
        return data

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Keeps `data` under (kind, key) if the disk allows it."""
        self._write(self.path_of(kind, key), _header(kind, key, data) + data)

    def get_json(self, kind: str, key: str) -> Any:
        """The value last put with `put_json`, or None."""
        data = self.get(kind, key)
        return None if data is None else json.loads(data)

    def put_json(self, kind: str, key: str, value: Any) -> None:
        """Keeps a value of JSON's types under (kind, key) if the disk allows it."""
        self.put(kind, key, json.dumps(value, separators=(",", ":")).encode())

    def put_file(self, kind: str, key: str, suffix: str, data: bytes) -> Path:
        """A file that holds exactly `data`, for readers that want a path (`inspect`, of source).

        It lies in a folder of this process, gone at its end, where the cache cannot be written.
        Ask again rather than keep the path: a later sweep may remove the file.
        """
        path = self.path_of(kind, key, _checked(_SUFFIX, suffix, "suffix"))
        with suppress(OSError):
            if path.read_bytes() == data:
                _mark_used(path)
                return path
        if self._write(path, data):
            return path
        self._private = self._private or tempfile.TemporaryDirectory(prefix="lazygrad-")
        path = Path(self._private.name, f"{kind}-{key}{suffix}")
        path.write_bytes(data)
        return path

    def _write(self, path: Path, content: bytes) -> bool:
        """Puts `content` at `path`, all of it or nothing; False if the disk refuses or once did."""
        if not self._writable:
            return False
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(content)
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
        except OSError as error:
            self._writable = False
            warnings.warn(
                f"lazygrad goes on without writing its disk cache {self._root}: {error}. "
                "LAZYGRAD_CACHE_DIR names another folder.",
                RuntimeWarning,
                stacklevel=3,
            )
            return False
        self._until_sweep -= len(content)
        if self._until_sweep <= 0:
            self._sweep()
        return True

    def _sweep(self) -> None:
        """Removes what killed writers left, then the least recently used files down to 15/16."""
        self._until_sweep = self._allowance
        stale_before = time.time() - _STALE_SECONDS
        entries, total = [], 0
        for path, status in _files(self._root):
            if not path.name.startswith("."):
                entries.append((status.st_mtime_ns, path, status.st_size))
                total += status.st_size
            elif status.st_mtime < stale_before:
                with suppress(OSError):
                    path.unlink()
        for _, path, size in sorted(entries):
            if total <= self._limit - self._allowance:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)  # another process may be sweeping
                total -= size


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    """`text`, which becomes part of a path. ValueError if it does not look like a `what`."""
    if not pattern.fullmatch(text):
        raise ValueError(f"not a {what} of the disk cache: {text!r} (wanted {pattern.pattern})")
    return text


def _header(kind: str, key: str, data: bytes) -> bytes:
    """What stands before `data`: made of kind and key too, as a wrong name is damage as well."""
    hasher = hashlib.sha256(f"{kind}/{key}/".encode())
    hasher.update(data)
    return _MAGIC + hasher.digest()


def _mark_used(path: Path) -> None:
    """Makes `path` the most recently used, by modification time: access times are often off."""
    with suppress(OSError):
        os.utime(path)


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The cache's files of every version with their status.

    Only names that this module gives, at the depth it gives them: `root` is the user's choice and
    may hold other things, which are not ours to count or to remove.
    """
    for path in root.glob("lazygrad-*/*/*"):
        if _ENTRY.fullmatch(path.name) or _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):
                yield path, path.stat()
