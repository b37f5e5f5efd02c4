"""torch.special: functions of mathematics that have no shorter name, or that have one elsewhere too."""

from __future__ import annotations

import math
from typing import Any

from lazygrad.distributions.utils import broadcast_all
from lazygrad.tensor import Tensor
from lazygrad.tensor.bessel import i0e, i1, i1e
from lazygrad.tensor.special import polygamma, xlogy

digamma = psi = Tensor.digamma
erf = Tensor.erf
erfc = Tensor.erfc
erfinv = Tensor.erfinv
exp2 = Tensor.exp2
expit = Tensor.sigmoid
expm1 = Tensor.expm1
gammaln = Tensor.lgamma
i0 = Tensor.i0
log1p = Tensor.log1p
log_softmax = Tensor.log_softmax
logit = Tensor.logit
logsumexp = Tensor.logsumexp
multigammaln = Tensor.mvlgamma
round = Tensor.round
sinc = Tensor.sinc
softmax = Tensor.softmax


def entr(input: Tensor) -> Tensor:
    """-x log(x); 0 at 0, -inf below."""
    inside = xlogy(input, input.clamp(min=0)).neg()
    return inside.masked_fill(input.lt(0), -math.inf)


def ndtr(input: Tensor) -> Tensor:
    """The distribution function of the standard normal."""
    return input.mul(-math.sqrt(0.5)).erfc().div(2)


def ndtri(input: Tensor) -> Tensor:
    """The inverse of ndtr."""
    return input.mul(2).sub(1).erfinv().mul(math.sqrt(2))


def xlog1py(input: Any, other: Any) -> Tensor:
    """input * log1p(other), 0 where input is 0 (unless other is NaN)."""
    x, y = broadcast_all(input, other)
    zero = x.eq(0).logical_and(y.isnan().logical_not())
    return y.masked_fill(zero, 0).log1p().mul(x)


__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]
