"""What a compiled kernel is kept under tells apart all that compiles to other machine code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lazygrad.codegen.kernel import Kernel
from lazygrad.device import H200
from lazygrad.dtype import DType, float32, float64, int64
from lazygrad.ir import build
from lazygrad.runtime.triton import key_of
from lazygrad.schedule.plan import KernelStep, kernel_of
from tests.graphs import leaf, plan_of


def widened(dtype: DType) -> Kernel:
    """The kernel of x.to(float32), whose code says nothing about x."""
    plan = plan_of([build.cast(leaf(np.zeros((3, 4), dtype.numpy)), float32)], H200)
    (step,) = (s for s in plan.steps if isinstance(s, KernelStep))
    return kernel_of(step)


def test_equal_code_over_other_dtypes_is_another_kernel() -> None:
    kernels = [widened(dtype) for dtype in (float64, int64)]
    assert len({k.code for k in kernels}) == 1
    assert len({key_of(k, H200) for k in kernels}) == 2


def test_comments_and_lines_of_the_user_are_no_part_of_it() -> None:
    kernel = widened(int64)
    told = replace(kernel, source=kernel.source.replace("tile =", "# here\n    tile =", 1))
    assert key_of(told, H200) == key_of(kernel, H200)
