"""How many threads NumPy's matrix products get. Imported before NumPy, which asks only once.

The small sizes gain little from a second thread; and on cores that are busy with something else the threads
of one product wait for each other many times longer than they compute.
"""

import os
import sys

LARGE = ("small", "gpt2")  # --model values that start so

if not any(word.removeprefix("--model=").startswith(LARGE) for word in sys.argv[1:]):
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
