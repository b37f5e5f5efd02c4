"""A kernel to read and to run: takes a Kernel and the step that launches it, returns a module's text."""

from __future__ import annotations

import re

from lazygrad.codegen.kernel import Kernel, PointerTable, TensorMap
from lazygrad.dtype import bool_
from lazygrad.ir.print import operation_count, origin
from lazygrad.schedule.plan import KernelStep, Plan

CONSTANT = re.compile(r"^\s*(\w*BLOCK\w*|ENTRIES|GROUP_M)(?:: tl\.constexpr)? = (\d+)", re.MULTILINE)
LOOPED = re.compile(r"^\s*for (\w+)_start in (?:tl\.)?range\(0, (\d+)", re.MULTILINE)


def tiling(kernel: Kernel) -> str:
    """`X_BLOCK 16, R_BLOCK 128, held whole; 4 warps, grid 4`."""
    blocks = [f"{name} {value}" for name, value in dict(CONSTANT.findall(kernel.source)).items()]
    walked = [f"{axis} walked over {extent}" for axis, extent in LOOPED.findall(kernel.source)]
    style = walked or (["rows held whole"] if "R_BLOCK" in kernel.source else [])
    grid = " x ".join(str(n) for n in kernel.grid if n > 1) or "1"
    warps = f"{kernel.num_warps} warp{'' if kernel.num_warps == 1 else 's'}, {kernel.num_stages} stages, grid {grid}"
    return "; ".join([", ".join([*blocks, *style]), warps]) if blocks or style else warps


def kernel_text(kernel: Kernel, step: KernelStep, plan: Plan) -> str:
    """The source between a line that says what it computes and, as a comment, how it is launched."""
    where = list(dict.fromkeys(origin(n) for n, _ in step.stored))
    head = f"# ==== {kernel.name}: {operation_count(step.body)} ops, {', '.join(where)}"
    return "\n".join([head, kernel.source.rstrip("\n"), "", *launch_lines(kernel, step, plan), "# ===="])


def launch_lines(kernel: Kernel, step: KernelStep, plan: Plan) -> list[str]:
    """How to launch it from torch: arguments with the shapes they had, grid, warps."""
    first = kernel.params[0]
    if isinstance(first, PointerTable):
        return _table_launch_lines(kernel, first, step, plan)
    lines: list[str] = ["import torch"]
    names: list[str] = []
    if any(isinstance(p, TensorMap) for p in kernel.params):
        lines.append("from triton.tools.tensor_descriptor import TensorDescriptor")
    for parameter, number in zip(kernel.params, step.arguments, strict=True):
        name = _variable(parameter.name, names)
        lines.append(f"{name} = {_zeros(plan, number)}")
        if isinstance(parameter, TensorMap):
            at = f"{name}.reshape(-1)[{parameter.offset}:]"
            tensor_map = f"{list(parameter.shape)}, {list(parameter.strides)}, {list(parameter.block)}"
            lines.append(f"{name} = TensorDescriptor({at}, {tensor_map})")
        names.append(name)
    if kernel.ticket:
        names.append("ticket")
        lines.append('ticket = torch.zeros(1, dtype=torch.int32, device="cuda")')
    return _commented([*lines, _call(kernel, names)])


def _table_launch_lines(kernel: Kernel, table: PointerTable, step: KernelStep, plan: Plan) -> list[str]:
    """The same for a kernel over many tensors: their addresses and sizes go into one array of int64."""
    lines = [
        "import torch",
        "arrays = [",
        *(f"    {_zeros(plan, number)}," for number in step.arguments),
        "]",
        f"sizes, block = {list(table.sizes)}, {table.block}",
        "counts = [-(-size // block) for size in sizes]",
        "rows = [row for row, count in enumerate(counts) for _ in range(count)]",
        "starts = [block * k for count in counts for k in range(count)]",
        "places = [3 + len(arrays), 3 + len(arrays) + len(sizes), len(rows)]",
        "addresses = [a.data_ptr() for a in arrays]",
        'table = torch.tensor([*places, *addresses, *sizes, *rows, *starts], dtype=torch.int64, device="cuda")',
    ]
    return _commented([*lines, _call(kernel, ["table"])])


def _zeros(plan: Plan, number: int) -> str:
    value = plan.values[number]
    dtype = "uint8" if value.dtype is bool_ else value.dtype.name
    return f'torch.zeros({list(value.shape)}, dtype=torch.{dtype}, device="cuda")'


def _call(kernel: Kernel, names: list[str]) -> str:
    options = f"num_warps={kernel.num_warps}, num_stages={kernel.num_stages}"
    return f"{kernel.name}[{kernel.grid}]({', '.join(names)}, {options})"


def _commented(lines: list[str]) -> list[str]:
    return ["# to launch it:", *(f"# {line}" for line in lines)]


def _variable(parameter: str, taken: list[str]) -> str:
    name = parameter.removesuffix("_ptr")
    return name if name not in taken else parameter
