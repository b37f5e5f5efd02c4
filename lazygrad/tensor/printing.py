"""print(tensor) as torch prints it: fixed or scientific by the spread of the values, summarised when large."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lazygrad.dtype import bool_, int64
from lazygrad.ir.batching import of_innermost_examples
from lazygrad.runtime.array import download
from lazygrad.tensor.core import wrap
from lazygrad.tensor.history import origin_of
from lazygrad.tensor.promote import get_default_dtype


@dataclass(frozen=True)
class PrintOptions:
    precision: int = 4
    threshold: int = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = [PrintOptions()]

PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=2**62),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed, as torch.set_printoptions."""
    options = PROFILES[profile] if profile is not None else _options[0]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes: dict[str, Any] = {k: int(min(v, 2**62)) for k, v in given.items() if v is not None}
    _options[0] = replace(options, **changes, sci_mode=sci_mode)


class _Formatter:
    """One spelling for all elements of a tensor."""

    def __init__(self, values: np.ndarray[Any, Any], floating: bool, options: PrintOptions) -> None:
        self.floating, self.precision = floating, options.precision
        self.whole = True
        self.scientific = False
        self.width = 1
        if not floating:
            self.width = max((len(str(v)) for v in values.tolist()), default=1)
            return
        finite = np.abs(values[np.isfinite(values) & (values != 0)])
        if finite.size:
            high, low = finite.max(), finite.min()
            self.whole = bool((finite == np.ceil(finite)).all())
            limit = high / low > 1000.0
            self.scientific = bool(limit or high > 1e8) if self.whole else bool(limit or high > 1e8 or low < 1e-4)
        if options.sci_mode is not None:
            self.scientific = options.sci_mode
        # torch measures what is finite and not zero: NaN and infinities may stick out
        measured = values[np.isfinite(values) & (values != 0)]
        self.width = max((len(self.spell(v)) for v in measured.tolist()), default=1)

    def spell(self, value: Any) -> str:
        if not self.floating:
            return str(value)
        if self.scientific:
            return f"{value:.{self.precision}e}"
        if self.whole:
            text = f"{value:.0f}"
            return text if not math.isfinite(value) else text + "."
        return f"{value:.{self.precision}f}"

    def __call__(self, value: Any) -> str:
        return self.spell(value).rjust(self.width)


def _summarised(array: np.ndarray[Any, Any], edge: int) -> np.ndarray[Any, Any]:
    """The elements that a summary shows."""
    for axis in range(array.ndim):
        if array.shape[axis] > 2 * edge:
            ends = np.r_[0:edge, array.shape[axis] - edge : array.shape[axis]]
            array = np.take(array, ends, axis=axis)
    return array


def _body(array: np.ndarray[Any, Any], indent: int, options: PrintOptions, summarise: bool, spell: _Formatter) -> str:
    edge = options.edgeitems
    if array.ndim == 0:
        return spell(array.item())
    cut = summarise and array.shape[0] > 2 * edge
    if array.ndim == 1:
        each = spell.width + 2
        per_line = max(1, (options.linewidth - indent) // each)
        values = array.tolist()
        shown = (
            [spell(v) for v in values[:edge]] + [" ..."] + [spell(v) for v in values[-edge:]]
            if cut
            else [spell(v) for v in values]
        )
        lines = [", ".join(shown[i : i + per_line]) for i in range(0, len(shown), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = list(array[:edge]) + list(array[-edge:]) if cut else list(array)
    texts = [_body(p, indent + 1, options, summarise, spell) for p in parts]
    if cut:
        texts.insert(edge, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(texts) + "]"


def text_of(tensor: Any) -> str:
    """The text of a tensor, inside a vmap that of all examples; its value is computed once."""
    whole = of_innermost_examples(tensor.node)
    if whole is not None:
        return f"BatchedTensor(bdim=0, value=\n{textwrap.indent(text_of(wrap(whole)), '    ')}\n)"
    options = _options[0]
    array = download(tensor._buffer().read())
    if tensor.dtype.is_floating_point:
        array = array.astype(np.float64)
    prefix = "tensor("
    notes = []
    summarise = array.size > options.threshold
    shown = _summarised(array, options.edgeitems) if summarise else array
    if array.size == 0:
        body = "[]"
        if array.ndim != 1:
            notes.append(f"size={tuple(array.shape)}")
    else:
        spell = _Formatter(shown.reshape(-1), tensor.dtype.is_floating_point, options)
        body = _body(array, len(prefix), options, summarise, spell)
    if tensor.device.type != "cpu":
        notes.append(f"device='{tensor.device}'")
    usual = (get_default_dtype(),) if array.size == 0 else (get_default_dtype(), int64, bool_)
    if tensor.dtype not in usual:
        notes.append(f"dtype={tensor.dtype!r}")
    if tensor.requires_grad:
        notes.append("requires_grad=True" if tensor.is_leaf else f"grad_fn=<{origin_of(tensor.node)}>")
    return _joined(prefix + body, notes, options.linewidth)


def _joined(text: str, notes: list[str], width: int) -> str:
    """Notes after the values, on a new line where they don't fit."""
    used = len(text) - text.rfind("\n") - 1
    for note in notes:
        if used + len(note) + 2 > width:
            text += ",\n       " + note
            used = 7 + len(note)
        else:
            text += ", " + note
            used += len(note) + 2
    return text + ")"
