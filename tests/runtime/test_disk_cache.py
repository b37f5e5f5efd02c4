"""The disk cache keeps what it was given, or says that it has nothing: never anything else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path

import pytest

from lazygrad.runtime.disk_cache import DiskCache, digest

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = digest("a kernel")


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path, "1")


def files_in(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def start_python(script, *arguments):
    """Starts a Python that runs `script` with DiskCache at hand, returns the process."""
    preamble = f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
    preamble += (
        "from pathlib import Path\nfrom lazygrad.runtime.disk_cache import DiskCache, digest\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", preamble + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# -- keys ------------------------------------------------------------------------------------------


def test_digest_tells_parts_apart():
    keys = {digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", ""), digest()}
    assert len(keys) == 5
    assert all(len(key) == 64 for key in keys)
    assert digest("ä") == digest("ä".encode())


@pytest.mark.parametrize("key", ["", "short", "../" + KEY, KEY.upper(), KEY + "\n"])
def test_a_key_that_is_no_digest_is_refused(cache, key):
    with pytest.raises(ValueError, match="not a key"):
        cache.get("cubin", key)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_a_kind_or_version_that_is_no_folder_name_is_refused(tmp_path, cache, name):
    with pytest.raises(ValueError, match="not a kind"):
        cache.put(name, KEY, b"")
    with pytest.raises(ValueError, match="not a version"):
        DiskCache(tmp_path, name)


# -- what goes in comes out ------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)) * 300])
def test_a_later_process_reads_what_was_put(tmp_path, cache, data):
    assert cache.get("cubin", KEY) is None
    cache.put("cubin", KEY, data)
    assert DiskCache(tmp_path, "1").get("cubin", KEY) == data
    assert files_in(tmp_path) == [cache.path_of("cubin", KEY)]


def test_the_last_put_wins_and_kinds_are_apart(cache):
    cache.put("cubin", KEY, b"one")
    cache.put("cubin", KEY, b"two")
    assert cache.get("cubin", KEY) == b"two"
    assert cache.get("ptx", KEY) is None


def test_json(cache):
    value = {"block": [128, 256], "seconds": 1e-7, "name": "Größe", "split": None}
    assert cache.get_json("tuning", KEY) is None
    cache.put_json("tuning", KEY, value)
    assert cache.get_json("tuning", KEY) == value


def test_another_version_reads_nothing(tmp_path, cache):
    cache.put("cubin", KEY, b"old")
    other = DiskCache(tmp_path, "2")
    assert other.get("cubin", KEY) is None
    other.put("cubin", KEY, b"new")
    assert cache.get("cubin", KEY) == b"old"


def test_a_plain_file_holds_what_was_asked_for(cache):
    path = cache.put_file("source", KEY, ".py", b"x = 1")
    assert path == cache.path_of("source", KEY, ".py")
    assert path.read_bytes() == b"x = 1"
    path.write_bytes(b"x = ")  # damaged
    assert cache.put_file("source", KEY, ".py", b"x = 1").read_bytes() == b"x = 1"
    with pytest.raises(ValueError, match="not a suffix"):
        cache.put_file("source", KEY, "", b"x = 1")


# -- damage ----------------------------------------------------------------------------------------


def test_every_byte_is_guarded(cache):
    cache.put("cubin", KEY, b"a kernel's bytes")
    path = cache.path_of("cubin", KEY)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    damaged += [whole + b"\0", b"\0" * len(whole), whole * 2]
    for content in damaged:
        path.write_bytes(content)
        assert cache.get("cubin", KEY) is None
        assert not path.exists(), "a damaged entry is dropped"
    cache.put("cubin", KEY, b"rebuilt")
    assert cache.get("cubin", KEY) == b"rebuilt"


def test_an_entry_under_another_name_is_damage(cache):
    cache.put("cubin", KEY, b"mine")
    other = digest("another kernel")
    os.link(cache.path_of("cubin", KEY), cache.path_of("cubin", other))
    assert cache.get("cubin", other) is None
    assert cache.get("cubin", KEY) == b"mine"


def test_a_folder_in_the_place_of_an_entry_reads_as_missing(cache):
    cache.path_of("cubin", KEY).mkdir(parents=True)
    assert cache.get("cubin", KEY) is None


# -- several processes -----------------------------------------------------------------------------


def write_and_read(root, writer, rounds):
    """Puts values only this writer makes; what it reads meanwhile must be some writer's, whole."""
    cache = DiskCache(Path(root), "1", limit=1 << 20)  # a sweep about every third put
    keys = [digest("shared", str(n)) for n in range(4)]
    for turn in range(rounds):
        key = keys[turn % len(keys)]
        cache.put("cubin", key, bytes([writer]) * (20_000 + 997 * turn % 5_000))
        assert cache.put_file("source", key, ".py", b"for all").read_bytes() == b"for all"
        seen = cache.get("cubin", keys[(turn + writer) % len(keys)])
        assert seen is None or len(set(seen)) == 1 and len(seen) >= 20_000


def test_processes_that_write_at_once_leave_whole_entries(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_and_read, args=(str(tmp_path), n, 150)) for n in range(1, 4)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
    assert [process.exitcode for process in writers] == [0, 0, 0]
    assert not [path for path in files_in(tmp_path) if path.name.endswith(".tmp")]


def test_a_killed_writer_leaves_nothing_wrong(tmp_path, cache):
    """SIGKILL at many moments of an endless stream of large puts."""
    script = """
        cache = DiskCache(Path(sys.argv[1]), "1")
        print("ready", flush=True)
        turn = 0
        while True:
            turn += 1
            cache.put("cubin", digest("victim"), turn.to_bytes(8, "little") * 500_000)
    """
    key = digest("victim")
    for moment in range(8):
        process = start_python(script, tmp_path)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.01 + 0.007 * moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        data = cache.get("cubin", key)
        assert data is None or data == data[:8] * 500_000
        # What cannot be explained by one whole entry is a temporary file, and those are swept.
        left = set(files_in(tmp_path)) - {cache.path_of("cubin", key)}
        assert all(path.name.endswith(".tmp") for path in left)
        for path in left:
            os.utime(path, (0, 0))
    DiskCache(tmp_path, "1").put("cubin", KEY, b"the next process")
    left = set(files_in(tmp_path)) - {cache.path_of("cubin", key)}
    assert left == {cache.path_of("cubin", KEY)}


def test_a_writer_killed_before_the_rename_leaves_the_old_entry(tmp_path, cache):
    cache.put("cubin", KEY, b"old")
    script = """
        import os, signal
        os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
        DiskCache(Path(sys.argv[1]), "1").put("cubin", sys.argv[2], b"new" * 1000)
    """
    process = start_python(script, tmp_path, KEY)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert cache.get("cubin", KEY) == b"old"
    (left,) = set(files_in(tmp_path)) - {cache.path_of("cubin", KEY)}
    DiskCache(tmp_path, "1").put("cubin", digest("x"), b"")
    assert left.exists(), "it may belong to a writer at work"
    os.utime(left, (0, 0))
    DiskCache(tmp_path, "2").put("cubin", digest("x"), b"")
    assert not left.exists()


# -- a disk that refuses ---------------------------------------------------------------------------


def test_a_root_that_cannot_be_made_costs_one_warning(tmp_path):
    (tmp_path / "occupied").write_text("a file stands where the cache should")
    cache = DiskCache(tmp_path / "occupied", "1")
    with pytest.warns(RuntimeWarning, match="without writing its disk cache") as caught:
        cache.put("cubin", KEY, b"data")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("cubin", KEY, b"data")
        assert cache.get("cubin", KEY) is None
        assert cache.put_file("source", KEY, ".py", b"x = 1").read_bytes() == b"x = 1"
        assert cache.put_file("source", KEY, ".py", b"x = 2").read_bytes() == b"x = 2"
    assert (tmp_path / "occupied").is_file()


READ_ONLY = """
    import os, warnings
    root, key = sys.argv[1:]
    if os.geteuid() == 0:
        os.setuid(65534)  # permissions do not bind root
    cache = DiskCache(Path(root), "1")
    assert cache.get("cubin", key) == b"kept", "a cache that can be read is read"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turn in range(3):
            cache.put("cubin", digest(str(turn)), b"data")
        path = cache.put_file("source", key, ".py", b"x = 1")
        assert path.read_bytes() == b"x = 1"
    print(len(caught), caught[0].category.__name__)
"""


def test_a_read_only_cache_is_read_and_costs_one_warning():
    # Not in tmp_path: its parents are closed to the user that the child becomes.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cache = DiskCache(root, "1")
        cache.put("cubin", KEY, b"kept")
        before = files_in(root)
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        try:
            output, errors = start_python(READ_ONLY, root, KEY).communicate(timeout=60)
        finally:
            for path in folders:
                path.chmod(0o755)
        assert (output, errors) == ("1 RuntimeWarning\n", "")
        assert files_in(root) == before


def test_a_disk_that_fills_up_half_way_costs_one_warning(tmp_path):
    """RLIMIT_FSIZE makes the kernel refuse bytes past the limit, as a full disk does."""
    script = """
        import resource, warnings
        cache = DiskCache(Path(sys.argv[1]), "1")
        cache.put("cubin", digest("small"), b"fits")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cache.put("cubin", digest("large"), bytes(100_000))
            cache.put("cubin", digest("large"), bytes(100_000))
        assert cache.get("cubin", digest("large")) is None
        assert cache.get("cubin", digest("small")) == b"fits"
        print(len(caught), caught[0].message)
    """
    output, errors = start_python(script, tmp_path).communicate(timeout=60)
    assert errors == ""
    assert output.startswith("1 lazygrad goes on without writing its disk cache")
    assert [path.name for path in files_in(tmp_path)] == [digest("small")], "no half file stays"


# -- size ------------------------------------------------------------------------------------------


def test_the_least_recently_used_go_first(tmp_path):
    keys = [digest(str(n)) for n in range(10)]
    cache = DiskCache(tmp_path, "1", limit=100_000)
    for age, key in enumerate(keys):
        cache.put("cubin", key, bytes(9_000))
        os.utime(cache.path_of("cubin", key), (1_000_000 + age, 1_000_000 + age))
    assert all(cache.path_of("cubin", key).exists() for key in keys), "90 kB are within the limit"
    assert cache.get("cubin", keys[0]) is not None  # now the most recently used
    cache.put("cubin", digest("one more"), bytes(9_000))
    kept = [key for key in keys if cache.path_of("cubin", key).exists()]
    assert kept == [keys[0], *keys[2:]]


def test_the_limit_holds_across_versions_and_processes(tmp_path):
    for version in range(30):
        cache = DiskCache(tmp_path, str(version), limit=50_000)
        cache.put("cubin", KEY, bytes(4_000))
        assert sum(path.stat().st_size for path in files_in(tmp_path)) <= 50_000
    assert cache.get("cubin", KEY) is not None
    assert DiskCache(tmp_path, "0").get("cubin", KEY) is None


def test_what_is_not_ours_is_never_removed(tmp_path):
    theirs = [
        tmp_path / "thesis.tex",
        tmp_path / "blobs" / "sha256" / KEY,
        tmp_path / "lazygrad-1" / "cubin" / "notes.txt",
        tmp_path / "lazygrad-1" / KEY,
    ]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10_000))
        os.utime(path, (0, 0))
    cache = DiskCache(tmp_path, "1", limit=16)
    for n in range(5):
        cache.put("cubin", digest(str(n)), b"larger than the limit")
    assert files_in(tmp_path) == sorted(theirs)
