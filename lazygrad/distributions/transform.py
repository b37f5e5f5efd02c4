"""The base of transforms: maps between spaces, most of them invertible, that know the log of their Jacobian's
determinant; their inverses and their compositions."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.constraints import Constraint
from lazygrad.distributions.independent import sum_rightmost
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor

Shape = Sequence[int]


class Transform:
    """y = transform(x), x = transform.inv(y). A subclass gives `_call`, `_inverse` and `log_abs_det_jacobian`.

    With cache_size=1 the last pair is remembered, so that the inverse of a value just made is the exact one that it
    was made of.
    """

    bijective = False
    domain: Constraint
    codomain: Constraint

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError(at_user_line("cache_size must be 0 or 1"))
        self._cache_size = cache_size
        self._last: tuple[Tensor, Tensor] | None = None
        self._inv: weakref.ref[Transform] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inv": None, "_last": None}

    @property
    def event_dim(self) -> int:
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError(at_user_line("Please use either .domain.event_dim or .codomain.event_dim"))
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse, whose inverse is this one."""
        known = None if self._inv is None else self._inv()
        if known is None:
            known = _Inverse(self)
            self._inv = weakref.ref(known)
        return known

    @property
    def sign(self) -> Any:
        """1 where it rises, -1 where it falls. NotImplementedError for what is not of one number."""
        raise NotImplementedError(at_user_line(f"{type(self).__name__} has no sign"))

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The same transform with another cache."""
        if cache_size == self._cache_size:
            return self
        made: Transform = object.__new__(type(self))
        made.__dict__.update(self.__getstate__(), _cache_size=cache_size)
        return made

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size == 0:
            return self._call(x)
        if self._last is None or self._last[0] is not x:
            self._last = x, self._call(x)
        return self._last[1]

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size == 0:
            return self._inverse(y)
        if self._last is None or self._last[1] is not y:
            self._last = self._inverse(y), y
        return self._last[0]

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det dy/dx|, over the event dimensions."""
        raise NotImplementedError

    def forward_shape(self, shape: Shape) -> Shape:
        """The shape of y for an x of this shape."""
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        """The shape of x for a y of this shape."""
        return shape

    def _options(self) -> dict[str, Any]:
        """What makes two transforms of one class equal."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_cache_size", "_last", "_inv")}

    def __eq__(self, other: Any) -> bool:
        if type(self) is not type(other):
            return False
        mine, theirs = self._options(), other._options()
        return mine.keys() == theirs.keys() and all(_equal(mine[k], theirs[k]) for k in mine)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        found = a == b
        return bool(found.all()) if isinstance(found, Tensor) else found
    return bool(a == b)


class _Inverse(Transform):
    """Another transform the other way round."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(transform._cache_size)
        self._forward = transform
        self.bijective = transform.bijective
        self.domain, self.codomain = transform.codomain, transform.domain

    @property
    def inv(self) -> Transform:
        return self._forward

    @property
    def sign(self) -> Any:
        return self._forward.sign

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self._forward.with_cache(cache_size).inv

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward._inv_call(x)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._forward.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Shape) -> Shape:
        return self._forward.inverse_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self._forward.forward_shape(shape)

    def _options(self) -> dict[str, Any]:
        return {"_forward": self._forward}

    def __repr__(self) -> str:
        return f"{type(self._forward).__name__}.inv"


class ComposeTransform(Transform):
    """Transforms one after the other."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = [part.with_cache(cache_size) if cache_size else part for part in parts]
        self.bijective = all(part.bijective for part in self.parts)
        self.domain = _spread(self.parts, lambda part: part.domain, lambda part: part.codomain)
        backward = self.parts[::-1]
        self.codomain = _spread(backward, lambda part: part.codomain, lambda part: part.domain)

    @property
    def sign(self) -> Any:
        total: Any = 1
        for part in self.parts:
            total = total * part.sign
        return total

    @property
    def inv(self) -> Transform:
        return ComposeTransform([part.inv for part in reversed(self.parts)], self._cache_size)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if cache_size == self._cache_size else ComposeTransform(self.parts, cache_size)

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        total: Any = x.new_zeros(()).expand(x.shape[: x.dim() - self.domain.event_dim])
        event_dim = self.domain.event_dim
        for i, part in enumerate(self.parts):
            after = y if i == len(self.parts) - 1 else part(x)
            total = total + sum_rightmost(part.log_abs_det_jacobian(x, after), event_dim - part.domain.event_dim)
            event_dim += part.codomain.event_dim - part.domain.event_dim
            x = after
        result: Tensor = total
        return result

    def forward_shape(self, shape: Shape) -> Shape:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def _options(self) -> dict[str, Any]:
        return {"parts": self.parts}

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


def _spread(parts: Sequence[Transform], near: Any, far: Any) -> Constraint:
    """The constraint at the near end of a chain, with as many event dimensions as the whole chain needs."""
    if not parts:
        return constraints.real
    needed = far(parts[-1]).event_dim
    for part in reversed(parts):
        needed = max(needed + near(part).event_dim - far(part).event_dim, near(part).event_dim)
    found: Constraint = near(parts[0])
    more = needed - found.event_dim
    return constraints.independent(found, more) if more else found


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """Another transform, whose last `reinterpreted_batch_ndims` dimensions count as one event."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.bijective = base_transform.bijective
        self.domain = constraints.independent(base_transform.domain, reinterpreted_batch_ndims)
        self.codomain = constraints.independent(base_transform.codomain, reinterpreted_batch_ndims)

    @property
    def sign(self) -> Any:
        return self.base_transform.sign

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Shape) -> Shape:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.base_transform.inverse_shape(shape)

    def _options(self) -> dict[str, Any]:
        return {"base": self.base_transform, "dims": self.reinterpreted_batch_ndims}

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """Events of `in_shape` as events of `out_shape`. ValueError for shapes of different sizes."""

    bijective = True

    def __init__(self, in_shape: Shape, out_shape: Shape, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError(at_user_line("in_shape, out_shape have different numbers of elements"))
        self.domain = constraints.independent(constraints.real, len(self.in_shape))
        self.codomain = constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: x.dim() - len(self.in_shape)])

    def forward_shape(self, shape: Shape) -> Shape:
        return _replaced_end(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return _replaced_end(shape, self.out_shape, self.in_shape)

    def _options(self) -> dict[str, Any]:
        return {"in": self.in_shape, "out": self.out_shape}


def _replaced_end(shape: Shape, old: tuple[int, ...], new: tuple[int, ...]) -> Shape:
    cut = len(shape) - len(old)
    if cut < 0 or tuple(shape[cut:]) != old:
        raise ValueError(at_user_line(f"Shape mismatch: expected {old} but got {tuple(shape)}"))
    return (*shape[:cut], *new)
