"""Everything that must be seen on a GPU, in one run. Usage: on_gpu.py [section[:value,...] ...]

Sections that check (gpu_checks.py): smoke, checks (tests/gpu), tables (every table of cases on the GPU), programs, twin
(a 4-layer GPT beside torch), losses:STEPS,BATCH (GPT-2 on real text beside torch), gradients, parts, embedding, cupy,
one_step (for compute-sanitizer), example. Sections that time (gpu_figures.py): speed (GPT-2 124M tokens/s beside torch
eager and torch.compile), fusion (the fusion cases; fusion:softmax,adamw for those whose names contain a word), steps
(GPT-2 for the same record), convolution (beside cuDNN), first, host, kernels, story. Prints one line for each fact; a
section that fails prints its traceback and the next goes on.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from benchmarks import gpu_checks, gpu_figures  # noqa: E402

SECTIONS = {**gpu_checks.SECTIONS, **gpu_figures.SECTIONS}


def main(names):
    for name in names:
        start = time.perf_counter()
        try:
            section, _, rest = name.partition(":")
            values = [int(v) if v.isdigit() else v for v in rest.split(",") if v]
            SECTIONS[section](*values)
        except Exception:
            traceback.print_exc()
        print(f"[{name}: {time.perf_counter() - start:.1f} s]", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["smoke", "twin", "speed", "kernels"])
