"""`import lazygrad` needs no GPU library and no network, and is quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# NumPy and ml_dtypes are imported before the clock starts: their time is not ours to answer for.
PROBE = """
import json, sys, time

BLOCKED = ("triton", "torch", "cupy", "cupyx", "cupy_backends")

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked by tests/test_import.py")

def refuse_network(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError(f"import lazygrad reached for the network: {event} {arguments}")

sys.meta_path.insert(0, Block())
sys.addaudithook(refuse_network)
import numpy, ml_dtypes
before = set(sys.modules)
start = time.perf_counter()
import lazygrad
seconds = time.perf_counter() - start
print(json.dumps({"file": lazygrad.__file__, "seconds": seconds,
                  "blocked": [name for name in sys.modules if name.partition(".")[0] in BLOCKED],
                  "brought": len(set(sys.modules) - before)}))
"""


def probe(bytecode: Path) -> dict:
    """Imports lazygrad in a fresh interpreter, returns what was seen. Its modules are compiled once, as a user's are."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=environment | {"PYTHONPYCACHEPREFIX": str(bytecode)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "import lazygrad prints nothing"
    return json.loads(done.stdout)


def test_import_needs_no_triton_torch_or_cupy_and_takes_less_than_a_second(tmp_path):
    seen = [probe(tmp_path) for _ in range(4)]
    assert Path(seen[0]["file"]).parent == REPOSITORY / "lazygrad"
    assert all(run["blocked"] == [] for run in seen)
    best = min(run["seconds"] for run in seen)
    assert best < 1.0, f"import lazygrad took {best:.2f} s and {seen[0]['brought']} modules"


def test_the_block_is_real():
    """With the same finder in place, `import torch` fails, installed or not."""
    script = PROBE.replace("import lazygrad\n", "import torch\n")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert "torch is blocked" in done.stderr
