"""Draws from gamma distributions and how they move with the shape parameter, as compositions of tensor operations."""

from __future__ import annotations

import numpy as np

from lazygrad.ir import build
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import tensor
from lazygrad.tensor.grad_mode import no_grad
from lazygrad.tensor.limits import finfo
from lazygrad.tensor.sampling import rand_like, randn_like

ROUNDS = 10  # each refuses at most 5% of its proposals: none is left in 1 of 10^13 draws
POINTS, WEIGHTS = np.polynomial.laguerre.laggauss(32)


def standard_gamma(concentration: Tensor) -> Tensor:
    """One draw for each element, of density x^(a - 1) e^-x / Gamma(a). Gradients flow to the concentration.

    Marsaglia & Tsang 2000: d * v, v = (1 + x / sqrt(9 d))^3 with x normal, is a gamma draw of shape d + 1/3 >= 1 if it
    is accepted. All rounds are drawn at once and the first accepted proposal is taken, so that nothing waits for
    values. A shape below 1 is reached from the one above by a factor u^(1 / a). The gradient is that of the draw as a
    quantile (Figurnov et al. 2018).
    """
    with no_grad():
        drawn = _drawn(concentration.detach())
    if not concentration.requires_grad:
        return drawn
    with no_grad():
        slope = _slope(concentration.detach(), drawn)
    return wrap(build.graft(drawn.node, concentration.mul(slope).node))


def _drawn(a: Tensor) -> Tensor:
    raised = a + a.lt(1).to(a.dtype)
    d = raised - 1 / 3
    spread = (9 * d).rsqrt()
    found = d
    for _ in range(ROUNDS):
        x = randn_like(d)
        v = (1 + spread * x).clamp(min=0).pow(3)
        bound = 0.5 * x * x + d - d * v + d * v.log()
        found = found.where(rand_like(d).log().ge(bound), d * v)
    lowered = found * (rand_like(a).log() / a).exp()
    return lowered.where(a.lt(1), found).clamp(min=finfo(a.dtype).tiny)


def _slope(a: Tensor, z: Tensor) -> Tensor:
    """dz / da at a fixed quantile: -dF/da / f, F the distribution function and f the density.

    dF/da is the integral of f(t) (log t - digamma(a)) over t < z, and minus that over t > z. With t = z e^(s w), the
    side s taken on which f falls from z on, it is one of a falling exponential in w, by Gauss's and Laguerre's rule.
    """
    side = z.gt(a).to(a.dtype) * 2 - 1
    gap = (z - a).abs()
    scale = 2 / (gap + (gap * gap + 4 * z).sqrt())
    points, weights = (tensor(v, dtype=a.dtype, device=a.device) for v in (POINTS, WEIGHTS))
    w = scale.unsqueeze(-1) * points
    moved = side.unsqueeze(-1) * w
    shape, place = a.unsqueeze(-1), z.unsqueeze(-1)
    height = shape * moved - place * moved.expm1() + points
    area = (weights * height.exp() * (place.log() + moved - shape.digamma())).sum(-1)
    return side * z * scale * area
