"""Dropout as modules; see the functions of the same names in nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from lazygrad.nn import functional as F
from lazygrad.nn.module import Module
from lazygrad.tensor import Tensor


class Dropout(Module):
    """While training, each element 0 with probability p, else scaled by 1 / (1 - p)."""

    function: ClassVar[Callable[..., Tensor]] = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """Whole channels of (N, C, L) or (C, L)."""

    function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """Whole channels of (N, C, H, W) or (C, H, W)."""

    function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """Whole channels of (N, C, D, H, W) or (C, D, H, W)."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """Dropout for SELU networks."""

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(Dropout):
    """Whole channels of AlphaDropout."""

    function = staticmethod(F.feature_alpha_dropout)


_DropoutNd = Dropout  # torch's name, which programs ask isinstance of
