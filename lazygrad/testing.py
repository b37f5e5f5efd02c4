"""torch.testing: assert_close, which says what differs and by how much, and make_tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lazygrad.dtype import DType, bfloat16, bool_, float16, float32, float64, int64
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.arguments import integers
from lazygrad.tensor.creation import as_tensor, empty
from lazygrad.tensor.promote import promote_types
from lazygrad.tensor.sampling import randint

# dtype: (rtol, atol), torch's; whole numbers and bools must be equal
TOLERANCES = {float16: (1e-3, 1e-5), bfloat16: (1.6e-2, 1e-5), float32: (1.3e-6, 1e-5), float64: (1e-7, 1e-7)}

Message = str | Callable[[str], str] | None


class _Comparison:
    """The options of one assert_close() call."""

    def __init__(self, rtol: float | None, atol: float | None, equal_nan: bool, checked: Sequence[str]) -> None:
        if (rtol is None) != (atol is None):
            missing = "rtol" if rtol is None else "atol"
            raise ValueError(
                at_user_line(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
            )
        self.given = None if rtol is None or atol is None else (rtol, atol)
        self.equal_nan = equal_nan
        self.checked = checked

    def tolerances(self, *dtypes: DType) -> tuple[float, float]:
        found = [TOLERANCES.get(d, (0.0, 0.0)) for d in dtypes]
        return self.given or (max(r for r, _ in found), max(a for _, a in found))

    def compare(self, actual: Any, expected: Any) -> tuple[str, str] | None:
        """(where, what is wrong) of the first difference, or None. TypeError for what can't be compared."""
        if isinstance(actual, Mapping) and isinstance(expected, Mapping):
            return self._mappings(actual, expected)
        if _is_sequence(actual) and _is_sequence(expected):
            return self._sequences(actual, expected)
        if isinstance(actual, Tensor) and isinstance(expected, Tensor):
            return self._tensors(actual, expected)
        if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray):
            return self._tensors(as_tensor(actual), as_tensor(expected))
        number = (bool, int, float, np.number, np.bool_)
        if isinstance(actual, number) and isinstance(expected, number):
            return self._numbers(actual, expected)
        if actual is None or expected is None:
            return None if actual is expected else ("", f"None mismatch: {actual!r:.60} is not {expected!r:.60}")
        raise TypeError(
            at_user_line(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
        )

    def _mappings(self, actual: Mapping[Any, Any], expected: Mapping[Any, Any]) -> tuple[str, str] | None:
        if actual.keys() != expected.keys():
            missing = [k for k in expected if k not in actual]
            further = [k for k in actual if k not in expected]
            return "", (
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {missing}\nAdditional keys in the actual mapping: {further}"
            )
        return self._items((k, actual[k], expected[k]) for k in expected)

    def _sequences(self, actual: Sequence[Any], expected: Sequence[Any]) -> tuple[str, str] | None:
        if len(actual) != len(expected):
            return "", f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
        return self._items((i, a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True)))

    def _items(self, items: Any) -> tuple[str, str] | None:
        for key, actual, expected in items:
            found = self.compare(actual, expected)
            if found is not None:
                return f"[{key!r}]{found[0]}", found[1]
        return None

    def _numbers(self, actual: Any, expected: Any) -> tuple[str, str] | None:
        if type(actual) is not type(expected) and "dtype" in self.checked:
            return "", f"The (d)types do not match: {type(actual)} != {type(expected)}."
        if isinstance(actual, bool) and isinstance(expected, bool):
            return None if actual is expected else ("", f"Booleans mismatch: {actual} is not {expected}")
        exact = isinstance(actual, (int, np.integer)) and isinstance(expected, (int, np.integer))
        rtol, atol = self.given or ((0.0, 0.0) if exact else TOLERANCES[float64])
        if self.equal_nan and actual != actual and expected != expected:
            return None
        difference = abs(actual - expected)
        if actual == expected or (math.isfinite(difference) and difference <= atol + rtol * abs(expected)):
            return None
        return "", _scalars(actual, expected, rtol, atol)

    def _tensors(self, actual: Tensor, expected: Tensor) -> tuple[str, str] | None:
        for name in ("shape", *self.checked):
            mine, theirs = getattr(actual, name), getattr(expected, name)
            mine, theirs = (mine(), theirs()) if callable(mine) else (mine, theirs)
            if mine != theirs:
                return "", f"The values for attribute '{name}' do not match: {mine} != {theirs}."
        rtol, atol = self.tolerances(actual.dtype, expected.dtype)
        dtype = promote_types(actual.dtype, expected.dtype)
        a, e = (t.detach().to("cpu", dtype) for t in (actual, expected))
        exact = not dtype.is_floating_point and self.given is None
        close = a.eq(e) if exact else a.isclose(e, rtol, atol, self.equal_nan)
        if bool(close.all()):
            return None
        if not a.ndim:
            return "", _scalars(a.item(), e.item(), rtol, atol)
        return "", _described(a, e, close.numpy(), rtol, atol)


def _scalars(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    difference = abs(actual - expected)
    relative = difference / abs(expected) if expected else math.inf
    return (
        f"Scalars are not {_word(rtol, atol)}!\n\nExpected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{_allowed(atol, rtol, atol)}\n"
        f"Relative difference: {relative}{_allowed(rtol, rtol, atol)}"
    )


def _word(rtol: float, atol: float) -> str:
    return "equal" if rtol == atol == 0 else "close"


def _allowed(tolerance: float, rtol: float, atol: float) -> str:
    return "" if rtol == atol == 0 else f" (up to {tolerance} allowed)"


def _described(actual: Tensor, expected: Tensor, close: Any, rtol: float, atol: float) -> str:
    """How many elements differ, and where most. Whole numbers differ by whole numbers."""
    work = actual.dtype.compute if actual.dtype.is_floating_point else int64
    a, e = (t.to(work).numpy() for t in (actual, expected))
    wrong = ~close
    with np.errstate(all="ignore"):
        difference = np.where(wrong, np.abs(a - e), 0)
        relative = np.where(wrong, np.divide(difference, np.abs(e), dtype=np.float32 if work is int64 else None), 0.0)
    lines = [
        f"Tensor-likes are not {_word(rtol, atol)}!",
        "",
        f"Mismatched elements: {wrong.sum()} / {wrong.size} ({wrong.mean():.1%})",
    ]
    for name, values, tolerance in (("absolute", difference, atol), ("relative", relative, rtol)):
        place = np.unravel_index(np.argmax(np.where(np.isnan(values), np.inf, values)), values.shape)
        at = f" at index {tuple(int(i) for i in place)}"
        lines.append(f"Greatest {name} difference: {values[place].item()}{at}{_allowed(tolerance, rtol, atol)}")
    return "\n".join(lines)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Message = None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol |expected| everywhere, with equal shapes, and equal
    dtypes, devices and strides where they are checked.

    Takes tensors, numbers, NumPy arrays, and sequences and mappings of them. Tolerances follow the dtype unless
    both are given.
    """
    if not allow_subclasses and type(actual) is not type(expected):
        raise TypeError(at_user_line(f"assert_close(): {type(actual).__name__} is not {type(expected).__name__}"))
    wanted = {"device": check_device, "dtype": check_dtype, "layout": check_layout, "stride": check_stride}
    found = _Comparison(rtol, atol, equal_nan, [n for n, asked in wanted.items() if asked]).compare(actual, expected)
    if found is None:
        return
    where, what = found
    text = f"{what}\n\nThe failure occurred for item {where}" if where else what
    if msg is not None:
        text = msg(text) if callable(msg) else msg
    raise AssertionError(at_user_line(text))


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
) -> Tensor:
    """Random values of a dtype from [low, high): by default [-9, 9), [0, 10) for uint8, both bools."""
    size = integers(shape, "make_tensor()")
    least, most = (0, 2) if dtype is bool_ else (-9 if dtype.is_signed else 0, 10 if not dtype.is_floating_point else 9)
    bottom, top = least if low is None else low, most if high is None else high
    if bottom >= top:
        raise ValueError(at_user_line(f"make_tensor(): low ({bottom}) must be below high ({top})"))
    doubled = (*size[:-1], 2 * size[-1]) if noncontiguous and size else size
    if dtype.is_floating_point:
        made = empty(doubled, dtype=dtype, device=device).uniform_(bottom, top)
    else:
        made = randint(math.ceil(bottom), math.ceil(top), doubled, dtype=dtype, device=device)
    if exclude_zero:
        made = made.masked_fill(made.eq(0), 1)
    made = made[..., ::2] if noncontiguous and size else made
    return made.requires_grad_() if requires_grad else made


__all__ = ["assert_close", "make_tensor"]
