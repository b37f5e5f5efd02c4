"""Triton: takes a Kernel, returns something that launches it. The only importer of triton (and torch).

On a GPU a kernel is compiled once to a cubin, kept in the disk cache, loaded through the CUDA driver and
launched on CuPy's current stream. Without a GPU, Triton's interpreter runs the same source on host arrays.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from lazygrad.codegen.kernel import Kernel, Parameter, Pointer, PointerTable, TensorMap
from lazygrad.config import current
from lazygrad.device import Target
from lazygrad.dtype import DType, bfloat16, bool_
from lazygrad.errors import CompileError
from lazygrad.runtime import driver, gpu, interpreter
from lazygrad.runtime.disk_cache import DiskCache, digest

SIGNATURE = {
    "bool": "u8", "uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64",
}  # fmt: skip


MAX_COMPILERS = 16


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Whether triton (and the torch it needs) can be imported."""
    return importlib.util.find_spec("triton") is not None and importlib.util.find_spec("torch") is not None


@lru_cache(maxsize=2)
def _triton(interpreted: bool) -> Any:
    if interpreted:
        os.environ["TRITON_INTERPRET"] = "1"
    triton = importlib.import_module("triton")
    if interpreted:
        parts = ("runtime.interpreter", "language", "language.extra.libdevice")
        interpreter.teach(*(importlib.import_module(f"triton.{part}") for part in parts))
    return triton


@lru_cache(maxsize=8)
def disk_cache(root: str) -> DiskCache:
    """The cache of kernels and tuning choices, for this version of what makes them."""
    version = importlib.metadata.version("triton")
    return DiskCache(current().cache_root, f"2-triton{version}")


def module_of(kernel: Kernel) -> Any:
    """The kernel's source as an imported module: Triton reads it from its file."""
    key = digest(kernel.source)
    path = disk_cache(str(current().cache_root)).put_file("source", key, ".py", kernel.source.encode())
    name = f"lazygrad_kernel_{key[:24]}"
    found = sys.modules.get(name)
    if found is not None:
        return found
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def source_file(kernel: Kernel) -> str:
    """Where the kernel's source lies."""
    return str(module_of(kernel).__file__)


def signature_of(parameter: Parameter) -> str:
    if isinstance(parameter, PointerTable):
        return "*i64"
    if isinstance(parameter, TensorMap):
        return f"tensordesc<{SIGNATURE[parameter.dtype.name]}[{', '.join(map(str, parameter.block))}]>"
    return f"*{SIGNATURE[parameter.dtype.name]}"


# -- the interpreter ----------------------------------------------------------------------------------
class InterpretedKernel:
    """Runs a kernel's source on host arrays, program by program."""

    def __init__(self, kernel: Kernel) -> None:
        _triton(True)
        self.kernel = kernel
        self.function = getattr(module_of(kernel), kernel.name)

    def __call__(self, arrays: list[Any]) -> None:
        first = self.kernel.params[0]
        if isinstance(first, PointerTable):
            words = table_words(first, [a.ctypes.data for a in arrays])
            arguments = [importlib.import_module("torch").from_numpy(words)]
        else:
            arguments = [_as_torch(a, p) for a, p in zip(arrays, self.kernel.params, strict=True)]
            if self.kernel.ticket:
                arguments.append(importlib.import_module("torch").from_numpy(np.zeros(1, np.int32)))
        with np.errstate(all="ignore"):
            self.function[self.kernel.grid](*arguments)


def table_words(table: PointerTable, addresses: list[int]) -> np.ndarray[Any, Any]:
    """The table in memory; see PointerTable."""
    counts = [-(-size // table.block) for size in table.sizes]
    sizes_at = 3 + len(addresses)
    programs_at = sizes_at + len(table.sizes)
    rows = np.repeat(np.arange(len(counts)), counts)
    starts = np.concatenate([np.arange(count) * table.block for count in counts])
    head = np.array([sizes_at, programs_at, table.programs, *addresses, *table.sizes], np.int64)
    return np.concatenate([head, rows, starts]).astype(np.int64)


def _as_torch(array: np.ndarray[Any, Any], parameter: Parameter) -> Any:
    torch = importlib.import_module("torch")
    assert not isinstance(parameter, PointerTable)
    dtype: DType = parameter.dtype
    if dtype is bfloat16:
        made = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    elif dtype is bool_:
        made = torch.from_numpy(array.view(np.uint8))
    else:
        made = torch.from_numpy(array)
    if isinstance(parameter, Pointer):
        return made
    descriptor = importlib.import_module("triton.tools.tensor_descriptor").TensorDescriptor
    flat = made.reshape(-1)[parameter.offset :]
    return descriptor(flat, list(parameter.shape), list(parameter.strides), list(parameter.block))


# -- compilation --------------------------------------------------------------------------------------
def compile_cubin(kernel: Kernel, target: Target) -> tuple[bytes, dict[str, Any]]:
    """The kernel's machine code and what a launch needs to know. CompileError names the source file."""
    triton = _triton(False)
    compiler = importlib.import_module("triton.compiler")
    backends = importlib.import_module("triton.backends.compiler")
    module = module_of(kernel)
    function = getattr(module, kernel.name)
    kinds = [*map(signature_of, kernel.params), *(["*i32"] if kernel.ticket else [])]
    signature = dict(zip(function.arg_names, kinds, strict=True))
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(kinds) if kind.startswith("*")}
    source = compiler.ASTSource(fn=function, signature=signature, constexprs={}, attrs=aligned)
    options = {"num_warps": kernel.num_warps, "num_stages": kernel.num_stages}
    try:
        compiled = triton.compile(source, target=backends.GPUTarget("cuda", target.arch, 32), options=options)
    except Exception as error:
        raise CompileError(f"kernel {kernel.name} in {module.__file__} does not compile: {error}") from error
    entry = re.search(r"\.entry\s+(\w+)\(([^)]*)\)", compiled.asm["ptx"])
    assert entry is not None
    facts = {
        "entry": entry.group(1),
        "shared": compiled.metadata.shared,
        "parameters": entry.group(2).count(".param"),
        "num_warps": kernel.num_warps,
        "tensor_maps": [dict(m) for m in getattr(compiled.metadata, "tensordesc_meta", None) or []],
    }
    return compiled.asm["cubin"], facts


def cubin_of(kernel: Kernel, target: Target) -> tuple[bytes, dict[str, Any]]:
    """From the disk cache, or compiled now."""
    cache = disk_cache(str(current().cache_root))
    key = key_of(kernel, target)
    facts, code = cache.get_json("facts", key), cache.get("cubin", key)
    if facts is None or code is None:
        code, facts = compile_cubin(kernel, target)
        cache.put("cubin", key, code)
        cache.put_json("facts", key, facts)
    return code, facts


# -- compiled kernels -------------------------------------------------------------------------------------
class CompiledKernel:
    """A kernel loaded on the current device."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        code, self.facts = cubin_of(kernel, target)
        self.kernel = kernel
        self.function = driver.Function(code, self.facts["entry"], self.facts["shared"], self.facts["num_warps"])
        # one for all plans: a device's launches follow each other on one stream
        self.ticket = gpu.upload_beside(np.zeros(1, np.int32)) if kernel.ticket else None

    def bind(self, addresses: list[int]) -> driver.Arguments:
        """The parameter list for buffers at these addresses."""
        first = self.kernel.params[0]
        if isinstance(first, PointerTable):
            table = gpu.upload_beside(table_words(first, addresses))
            arguments = driver.Arguments(driver.address_argument(table.data.ptr), self.facts["parameters"])
            arguments.holders.append(table)  # lives as long as who may launch with it
            return arguments
        holders: list[Any] = []
        maps = iter(self.facts["tensor_maps"])
        for parameter, address in zip(self.kernel.params, addresses, strict=True):
            if isinstance(parameter, TensorMap):
                holders += driver.tensor_map_arguments(parameter, next(maps), address)
            else:
                holders += driver.address_argument(address)
        if self.ticket is not None:
            holders += driver.address_argument(self.ticket.data.ptr)
        return driver.Arguments(holders, self.facts["parameters"])

    def launch(self, arguments: driver.Arguments, stream: int) -> None:
        self.function.launch(self.kernel.grid, arguments.pointers, stream)


def compile_all(kernels: list[Kernel], target: Target) -> None:
    """Fill the disk cache for these kernels, each in a process of its own: Triton's compiler holds the
    interpreter lock for most of its time."""
    missing = [k for k in {key_of(k, target): k for k in kernels}.values() if not is_cached(k, target)]
    if not missing:
        return
    workers = min(len(missing), max(1, (os.cpu_count() or 1) - 1), MAX_COMPILERS)
    if workers == 1 or not hasattr(os, "fork"):
        for kernel in missing:
            cubin_of(kernel, target)
        return
    _triton(False)  # imported before the fork, so that no child has to
    importlib.import_module("triton.backends.nvidia.compiler")
    children = [_fork_compiler(missing[i::workers], target) for i in range(workers)]
    for child in children:
        os.waitpid(child, 0)  # what a child could not compile is compiled, and reported, by whoever needs it


def _fork_compiler(kernels: list[Kernel], target: Target) -> int:
    """A child that compiles into the disk cache and leaves. It never touches the GPU."""
    child = os.fork()
    if child:
        return child
    try:
        for kernel in kernels:
            cubin_of(kernel, target)
    finally:
        os._exit(0)


def is_cached(kernel: Kernel, target: Target) -> bool:
    return disk_cache(str(current().cache_root)).get_json("facts", key_of(kernel, target)) is not None


def key_of(kernel: Kernel, target: Target) -> str:
    """What the compiled kernel is kept under: all that it was compiled from."""
    kinds = " ".join(map(signature_of, kernel.params))  # which the code alone doesn't say
    return digest(kernel.code, kinds, str(target.arch), str(kernel.num_warps), str(kernel.num_stages))
