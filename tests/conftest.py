"""Read before NumPy and torch are: one thread each, since test workers that share cores would wait for each
other's threads many times longer than they compute."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
