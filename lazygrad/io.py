"""Saving and loading: takes nested Python objects with tensors in them, writes safetensors, and back.

The tensors lie in the file under the path that leads to them ("model.0.weight"), so any reader of safetensors
finds them; what surrounds them is JSON in the metadata. Loading runs no code from the file. Checkpoints in
torch's own zip format are read by torch_checkpoint.py.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lazygrad.device import CPU, Device
from lazygrad.device import device as parse_device
from lazygrad.dtype import DType, from_numpy, named
from lazygrad.errors import at_user_line
from lazygrad.nn.parameter import Parameter
from lazygrad.safetensors_format import METADATA, read_safetensors, write_safetensors
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import flush, wrap
from lazygrad.tensor.creation import from_array
from lazygrad.tensor.size import Size
from lazygrad.torch_checkpoint import is_torch_checkpoint, read_torch_checkpoint

Array = np.ndarray[Any, Any]
File = str | os.PathLike[str] | IO[bytes]

STRUCTURE = "lazygrad_structure"


# -- objects to (JSON, arrays) and back ---------------------------------------------------------------
class Encoder:
    """Takes an object, gathers its arrays by path; `encode` returns what JSON keeps of it."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._open: list[Any] = []  # the containers that lead to what is being encoded

    def _name(self, value: Any, path: tuple[str, ...], table: dict[str, Any]) -> str:
        if id(value) in self._names:
            return self._names[id(value)]
        base = name = ".".join(path) or "value"
        number = 1
        while name in self.tensors or name in self.arrays or name == METADATA:
            number += 1
            name = f"{base}#{number}"
        table[name] = value
        self._names[id(value)] = name
        return name

    def encode(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        if value is None or isinstance(value, (bool, str)) or type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Tensor):
            kind = "parameter" if isinstance(value, Parameter) else "tensor"
            return {kind: self._name(value, path, self.tensors), "requires_grad": value.requires_grad}
        if isinstance(value, np.ndarray):
            return {"array": self._name(value, path, self.arrays)}
        if isinstance(value, (np.generic, int, float)):
            return self.encode(value.item() if isinstance(value, np.generic) else value + 0, path)
        if any(value is outer for outer in self._open):
            raise ValueError(at_user_line(f"save(): the object at {'.'.join(path)} contains itself"))
        self._open.append(value)
        encoded = self._encode_container(value, path)
        self._open.pop()
        return encoded

    def _encode_container(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            kind = "ordered" if isinstance(value, OrderedDict) else "dict"
            rows = [[self.encode(k), self.encode(v, (*path, str(k)))] for k, v in value.items()]
            return {kind: rows}
        if isinstance(value, Size):
            return {"size": list(value)}
        for kind, cls in (("tuple", tuple), ("set", set), ("frozenset", frozenset), ("list", list)):
            if isinstance(value, cls):
                items = [self.encode(v, (*path, str(i))) for i, v in enumerate(value)]
                return items if kind == "list" else {kind: items}
        if isinstance(value, DType):
            return {"dtype": value.name}
        if isinstance(value, Device):
            return {"device": str(value)}
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if isinstance(value, range):
            return {"range": [value.start, value.stop, value.step]}
        if isinstance(value, slice):
            return {"slice": [self.encode(v, path) for v in (value.start, value.stop, value.step)]}
        if isinstance(value, (bytes, bytearray)):
            return {"bytes": value.hex()}
        where = ".".join(path) or "the object itself"
        raise TypeError(
            f"save(): can't save {type(value).__name__} at {where}: only tensors, arrays, numbers, "
            f"strings, None, "
            "dtypes and containers of these"
        )

    def finished(self) -> dict[str, Array]:
        """All arrays by name; what hasn't been computed is computed together, now."""
        flush([t.node for t in self.tensors.values()])
        return {**self.arrays, **{name: t.numpy(force=True) for name, t in self.tensors.items()}}


class Decoder:
    """Takes the arrays of a file, rebuilds objects from JSON. A tensor that was shared is shared again."""

    def __init__(self, arrays: Mapping[str, Array], where: Device) -> None:
        self._arrays = arrays
        self._where = where
        self._made: dict[str, Tensor] = {}

    def tensor(self, name: str, row: dict[str, Any], parameter: bool) -> Tensor:
        if name not in self._made:
            made = tensor_of(self._arrays[name], self._where)
            if parameter:
                made = Parameter(made, bool(row["requires_grad"]))
            elif row.get("requires_grad") and made.dtype.is_floating_point:
                made.requires_grad_()
            self._made[name] = made
        return self._made[name]

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(v) for v in value]
        if not isinstance(value, dict):
            return value
        kind = next(iter(value))
        content = value[kind]
        if kind in ("tensor", "parameter"):
            return self.tensor(content, value, kind == "parameter")
        if kind in ("dict", "ordered"):
            rows = [(self.decode(k), self.decode(v)) for k, v in content]
            return OrderedDict(rows) if kind == "ordered" else dict(rows)
        simple: dict[str, Callable[[Any], Any]] = {
            "array": lambda name: np.array(self._arrays[name]),
            "float": float,
            "tuple": lambda items: tuple(self.decode(v) for v in items),
            "set": lambda items: {self.decode(v) for v in items},
            "frozenset": lambda items: frozenset(self.decode(v) for v in items),
            "complex": lambda parts: complex(*parts),
            "range": lambda bounds: range(*bounds),
            "slice": lambda bounds: slice(*(self.decode(v) for v in bounds)),
            "size": Size,
            "dtype": named,
            "device": parse_device,
            "bytes": bytes.fromhex,
        }
        if kind not in simple:
            raise ValueError(f"load(): the file holds {kind!r}, which this version of lazygrad does not know")
        return simple[kind](content)


def tensor_of(array: Array, where: Device) -> Tensor:
    return wrap(from_array(array, where, from_numpy(array.dtype)))


# -- files --------------------------------------------------------------------------------------------
@contextmanager
def atomically(path: str | os.PathLike[str]) -> Any:
    """A file to write that takes the place of `path` only once it is complete and on the disk."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read(file: File) -> Any:
    """The bytes of a file; those of a path are mapped, not read. TypeError for a file of text."""
    if not isinstance(file, (str, os.PathLike)):
        data = file.read()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(at_user_line("load(): a file that is open in text mode; open it with 'rb'"))
        return data
    with open(file, "rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            return b""
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def _write(file: File, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    if isinstance(file, (str, os.PathLike)):
        with atomically(file) as opened:
            write_safetensors(arrays, metadata, opened)
    elif isinstance(file, io.TextIOBase):
        raise TypeError(at_user_line("save(): a file that is open in text mode; open it with 'wb'"))
    else:
        write_safetensors(arrays, metadata, file)


def save(
    obj: Any,
    f: File,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write nested containers of tensors, arrays, numbers and strings to a path or an open file.

    A path is replaced only once the new file is complete. Named tuples become tuples, other mappings dicts. TypeError
    for what can't be saved and ValueError for what contains itself, naming the place. There is no pickle to choose.
    """
    encoder = Encoder()
    structure = encoder.encode(obj)
    _write(f, encoder.finished(), {STRUCTURE: json.dumps(structure, separators=(",", ":"))})


def load(
    f: File,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
    encoding: str = "utf-8",
) -> Any:
    """Read what save() wrote, any safetensors file (a dict), or a torch zip checkpoint.

    `map_location` is a device, a dict from saved devices to others, or a function of (storage, saved device) that
    returns a storage (its .cpu(), .cuda(index) and .to(device) say where) or None; by default tensors go to the CPU.
    No code from the file is run, so weights_only=False changes nothing. ValueError or pickle.UnpicklingError for a
    file that is broken, or of another kind.
    """
    place = placement(map_location)
    data = _read(f)
    if is_torch_checkpoint(data):
        return read_torch_checkpoint(data, lambda array, saved: tensor_of(array, place(saved)), Parameter)
    try:
        arrays, metadata = read_safetensors(data)
    except ValueError as error:
        pickled = ": this looks like a bare pickle, which could run code" if bytes(data[:1]) == b"\x80" else ""
        raise ValueError(at_user_line(f"load(): {error}; nor a torch zip checkpoint{pickled}")) from None
    decoder = Decoder(arrays, place("cpu"))
    if STRUCTURE not in metadata:
        return {name: decoder.tensor(name, {}, False) for name in arrays}
    try:
        return decoder.decode(json.loads(metadata[STRUCTURE]))
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(at_user_line(f"load(): the file's structure is broken ({error!r})")) from None


@dataclass(frozen=True)
class SavedStorage:
    """What a map_location function is given for a storage: it can be sent elsewhere, no more."""

    device: Device

    def cpu(self) -> SavedStorage:
        return SavedStorage(CPU)

    def cuda(self, device: Any = None) -> SavedStorage:
        return SavedStorage(parse_device("cuda" if device is None else device))

    def to(self, device: Any) -> SavedStorage:
        return SavedStorage(parse_device(device))


def placement(map_location: Any) -> Callable[[str], Device]:
    """From the name of the device that a tensor was saved on to the device it goes to."""
    if map_location is None:
        return lambda saved: CPU
    if isinstance(map_location, Mapping):
        return lambda saved: parse_device(map_location.get(saved, CPU))
    if isinstance(map_location, (str, int, Device)):
        chosen = parse_device(map_location)
        return lambda saved: chosen
    if not callable(map_location):
        raise TypeError(at_user_line(f"load(): map_location can't be a {type(map_location).__name__}"))

    def place(saved: str) -> Device:
        found = map_location(SavedStorage(CPU), saved)
        return CPU if found is None else found.device

    return place


def save_file(tensors: Mapping[str, Tensor], filename: File, metadata: Mapping[str, str] | None = None) -> None:
    """safetensors' own function: a flat dict of tensors."""
    flush([t.node for t in tensors.values()])
    _write(filename, {name: t.numpy(force=True) for name, t in tensors.items()}, metadata or {})


def load_file(filename: File, device: Any = "cpu") -> dict[str, Tensor]:
    """safetensors' own function: all tensors of a file by name."""
    arrays, _ = read_safetensors(_read(filename))
    return {name: tensor_of(array, parse_device(device)) for name, array in arrays.items()}


__all__ = ["load", "load_file", "save", "save_file"]
