"""Devices and targets: plain values. Nothing here imports a driver or asks whether a device exists."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from lazygrad.errors import at_user_line


@dataclass(frozen=True, init=False, eq=False)
class Device:
    """Where a tensor lives: Device("cpu"), Device("cuda", 1), Device("cuda:1"). RuntimeError for anything else."""

    type: str
    index: int = 0

    def __init__(self, type: Any, index: int | None = None) -> None:
        kind, _, number = ("cuda", "", str(type)) if isinstance(type, int) else str(type).partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(at_user_line(f"device {type!r}: expected 'cpu', 'cuda' or 'cuda:N'"))
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "index", 0 if kind == "cpu" else int(number) if number else index or 0)

    # every node carries a device: comparing and hashing them must cost next to nothing
    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Device) and (self.type, self.index) == (other.type, other.index))

    def __hash__(self) -> int:
        return self.index

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.type != "cpu" else ")")

    # -- `with device("cuda"):` is where tensors are made that name no device
    def __enter__(self) -> Device:
        _defaults.set((*_defaults.get(), self))
        return self

    def __exit__(self, *exc: Any) -> None:
        _defaults.set(_defaults.get()[:-1])


CPU = Device("cpu")

# the one that set_default_device() chose, then one for each `with` block
_defaults: ContextVar[tuple[Device, ...]] = ContextVar("lazygrad_default_devices", default=(CPU,))


def get_default_device() -> Device:
    """Where tensors are made that name no device."""
    return _defaults.get()[-1]


def set_default_device(spec: Any) -> None:
    """Choose where tensors are made that name no device; None is the CPU again."""
    _defaults.set((*_defaults.get()[:-1], CPU if spec is None else device(spec)))


def device(spec: Any, index: int | None = None) -> Device:
    """torch.device: "cpu", "cuda", "cuda:1", ("cuda", 1) or a Device. RuntimeError for anything else."""
    return spec if isinstance(spec, Device) else Device(spec, index)


@dataclass(frozen=True)
class Target:
    """What code is generated for. `arch` is the compute capability (90 for Hopper); 0 is no GPU at all."""

    backend: str  # "triton" | "cupy" | "numpy"
    arch: int = 0
    multiprocessors: int = 1
    shared_memory: int = 0
    interpreted: bool = False

    @property
    def generates_kernels(self) -> bool:
        return self.backend == "triton"


NUMPY = Target("numpy")
CUPY = Target("cupy")
INTERPRETER = Target("triton", arch=90, multiprocessors=4, shared_memory=232448, interpreted=True)
H200 = Target("triton", arch=90, multiprocessors=132, shared_memory=232448)
