"""torch's zip checkpoints without torch: takes the bytes of a file, returns the objects it holds.

The pickle inside is read by an unpickler that knows a short list of names and refuses all others, so that
nothing from the file is ever run.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lazygrad.device import device
from lazygrad.dtype import (
    ALL,
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lazygrad.tensor.size import Size

Array = np.ndarray[Any, Any]
ToTensor = Callable[[Array, str], Any]

STORAGES: dict[str, DType] = {
    "FloatStorage": float32,
    "DoubleStorage": float64,
    "HalfStorage": float16,
    "BFloat16Storage": bfloat16,
    "LongStorage": int64,
    "IntStorage": int32,
    "ShortStorage": int16,
    "CharStorage": int8,
    "ByteStorage": uint8,
    "BoolStorage": bool_,
}


# why a name is refused that torch itself would read
REASONS = {
    **dict.fromkeys(("ComplexFloatStorage", "ComplexDoubleStorage"), "lazygrad has no complex numbers"),
    **dict.fromkeys(("_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor"), "lazygrad has no sparse layouts"),
    "_rebuild_qtensor": "lazygrad has no quantized dtypes",
    "_rebuild_tensor_v3": "a tensor of a dtype that lazygrad does not have",
}


# what reading a file raises that holds nonsense
BROKEN = (zipfile.BadZipFile, KeyError, TypeError, AttributeError, IndexError, EOFError, OverflowError, struct.error)


class StorageKind(NamedTuple):
    """What a name such as torch.FloatStorage stands for while unpickling."""

    dtype: DType


class Storage(NamedTuple):
    """The elements of a storage, its name in the file, and the device it was saved on."""

    array: Array
    key: str
    place: str


def is_torch_checkpoint(data: Any) -> bool:
    """Whether these bytes are a zip file, as torch.save writes. ValueError for torch's format before 1.6."""
    start = bytes(data[:16])
    if start[:2] == b"\x80\x02" and b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" in start:
        raise ValueError("load(): this is torch's format from before 1.6; save it again with a newer torch")
    return start[:4] == b"PK\x03\x04"


def read_torch_checkpoint(data: Any, to_tensor: ToTensor, to_parameter: Callable[[Any, bool], Any]) -> Any:
    """The object in a torch checkpoint, its arrays made into tensors by to_tensor(array, the device it was saved on).

    Tensors that are the same part of one storage are one tensor again; other views of a storage are parted.
    pickle.UnpicklingError, naming what was found, for anything but tensors and plain containers, and for a broken file.
    """
    try:
        return _read(data, to_tensor, to_parameter)
    except BROKEN as error:
        raise pickle.UnpicklingError(f"load(): the torch checkpoint is broken or cut off ({error!r})") from None


def _read(data: Any, to_tensor: ToTensor, to_parameter: Callable[[Any, bool], Any]) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        root = next((n.removesuffix("data.pkl") for n in names if n.endswith("data.pkl")), None)
        if root is None:
            raise ValueError("load(): a zip file without data.pkl: not a torch checkpoint")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("load(): a big-endian torch checkpoint")
        reader = _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")), archive, root, to_tensor, to_parameter)
        return reader.load()


def _latin1(text: str, codec: str) -> bytes:
    """How protocol 2 writes bytes."""
    if codec != "latin1":
        raise pickle.UnpicklingError(f"load(): bytes in {codec}")
    return text.encode(codec)


def _plain_tensor(rebuild: Callable[..., Any], kind: Any, args: tuple[Any, ...], state: Any) -> Any:
    """A tensor of a subclass, or with attributes of its own: the tensor alone."""
    return rebuild(*args)


class _Unpickler(pickle._Unpickler):  # the one written in Python: its opcodes can be restricted
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(
        self,
        file: io.BytesIO,
        archive: zipfile.ZipFile,
        root: str,
        to_tensor: ToTensor,
        to_parameter: Callable[[Any, bool], Any],
    ) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root
        self._to_tensor = to_tensor
        self._storages: dict[str, Storage] = {}
        self._tensors: dict[Any, Any] = {}
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("collections", "Counter"): Counter,
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, grad, hooks: to_parameter(data, grad),
            ("torch._utils", "_rebuild_parameter_with_state"): lambda data, grad, hooks, _: to_parameter(data, grad),
            ("torch._tensor", "_rebuild_from_type_v2"): _plain_tensor,
            ("torch.nn.parameter", "Buffer"): None,
            ("torch", "Tensor"): None,
            ("torch", "Size"): Size,
            ("torch", "device"): device,
            ("torch.serialization", "_get_layout"): str,
            ("_codecs", "encode"): _latin1,
        }
        for builtin in (set, frozenset, bytearray, complex, slice, range):
            for module in ("builtins", "__builtin__"):
                self._known[module, builtin.__name__] = builtin
        self._known["__builtin__", "xrange"] = range
        self._known |= {("torch", name): StorageKind(dtype) for name, dtype in STORAGES.items()}
        self._known |= {("torch", dtype.name): dtype for dtype in ALL}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            reason = REASONS.get(name, "only tensors and plain containers are read")
            raise pickle.UnpicklingError(f"load(): the checkpoint asks for {module}.{name}; {reason}")
        return self._known[module, name]

    def load_build(self) -> None:
        """Attributes of an OrderedDict, such as a state dict's _metadata; those of anything else stay as they are."""
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is not OrderedDict or not isinstance(state, dict):
            raise pickle.UnpicklingError(f"load(): the checkpoint sets attributes of a {type(made).__name__}")
        made.__dict__.update(state)

    dispatch[pickle.BUILD[0]] = load_build

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], StorageKind):
            raise pickle.UnpicklingError(f"load(): unexpected reference {pid!r}")
        key = str(pid[2])
        if key not in self._storages:
            raw = self._archive.read(f"{self._root}data/{key}")
            dtype = pid[1].dtype.numpy
            if len(raw) % dtype.itemsize:
                raise pickle.UnpicklingError(f"load(): storage {key} has {len(raw)} bytes, no whole number of elements")
            self._storages[key] = Storage(np.frombuffer(raw, np.uint8).view(dtype), key, str(pid[3]))
        return self._storages[key]

    def _rebuild_tensor(
        self, storage: Storage, offset: int, size: Any, stride: Any, requires_grad: bool, *rest: Any
    ) -> Any:
        part = (storage.key, offset, tuple(size), tuple(stride), bool(requires_grad))
        if part not in self._tensors:
            tensor = self._to_tensor(_view(storage.array, *part[1:4]), storage.place)
            self._tensors[part] = tensor.requires_grad_() if requires_grad else tensor
        return self._tensors[part]


def _view(array: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """A part of a storage. pickle.UnpicklingError for one that reaches beyond it."""
    if offset < 0 or any(n < 0 or s < 0 for n, s in zip(shape, strides, strict=True)):
        raise pickle.UnpicklingError("load(): a tensor with negative sizes, strides or offset")
    if 0 in shape:
        return np.zeros(shape, array.dtype)
    reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    if reach > array.size:
        raise pickle.UnpicklingError("load(): a tensor that reaches beyond its storage")
    byte_strides = tuple(s * array.itemsize for s in strides)
    return np.lib.stride_tricks.as_strided(array[offset:], shape, byte_strides, writeable=False)
