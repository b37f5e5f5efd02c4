"""torch.special: functions of mathematics that have no shorter name, or that have one elsewhere too."""

from __future__ import annotations

import math

from lazygrad.absent import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
)
from lazygrad.tensor import Tensor
from lazygrad.tensor.bessel import i0e, i1, i1e
from lazygrad.tensor.gamma import polygamma, zeta
from lazygrad.tensor.keywords import function_of, public
from lazygrad.tensor.normal import erfcx, log_ndtr, ndtr, ndtri
from lazygrad.tensor.polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)
from lazygrad.tensor.special import xlog1py, xlogy

digamma = psi = function_of(Tensor.digamma)
erf = function_of(Tensor.erf)
erfc = function_of(Tensor.erfc)
erfinv = function_of(Tensor.erfinv)
exp2 = function_of(Tensor.exp2)
expit = function_of(Tensor.sigmoid)
expm1 = function_of(Tensor.expm1)
gammainc = function_of(Tensor.igamma)
gammaincc = function_of(Tensor.igammac)
gammaln = function_of(Tensor.lgamma)
i0 = modified_bessel_i0 = function_of(Tensor.i0)
log1p = function_of(Tensor.log1p)
log_softmax = function_of(Tensor.log_softmax)
logit = function_of(Tensor.logit)
logsumexp = function_of(Tensor.logsumexp)
multigammaln = function_of(Tensor.mvlgamma)
round = function_of(Tensor.round)
sinc = function_of(Tensor.sinc)
softmax = function_of(Tensor.softmax)
modified_bessel_i1 = i1


def entr(input: Tensor) -> Tensor:
    """-x log(x); 0 at 0, -inf below."""
    inside = xlogy(input, input.clamp(min=0)).neg()
    return inside.masked_fill(input.lt(0), -math.inf)


def spherical_bessel_j0(input: Tensor) -> Tensor:
    """sin(x) / x: 1 at 0, 0 at infinity."""
    return input.div(math.pi).sinc().masked_fill(input.isinf(), 0)


__all__ = [
    "airy_ai",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
    "sinc",
    "softmax",
    "spherical_bessel_j0",
    "xlog1py",
    "xlogy",
    "zeta",
]

for _name in __all__:
    globals()[_name] = public(globals()[_name])
