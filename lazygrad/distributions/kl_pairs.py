"""Further divergences: of gamma's and its kin's, and between distributions of different kinds."""

from __future__ import annotations

import math

from lazygrad.distributions.by_inversion import Pareto
from lazygrad.distributions.cauchy import Cauchy
from lazygrad.distributions.dirichlet import Beta, Dirichlet
from lazygrad.distributions.exponential import Exponential
from lazygrad.distributions.gamma import Gamma
from lazygrad.distributions.gumbel import Gumbel
from lazygrad.distributions.kl import kl_divergence, register_kl
from lazygrad.distributions.laplace import Laplace
from lazygrad.distributions.normal import Normal
from lazygrad.distributions.scalar import EULER, INF, log_beta, where_else
from lazygrad.distributions.transformed_distribution import TransformedDistribution
from lazygrad.distributions.trials import Binomial
from lazygrad.distributions.uniform import Uniform
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + a * (q.rate / p.rate) - a


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio = q.rate / p.rate
    return -q.concentration * ratio.log() + ratio + q.concentration.lgamma() + q.concentration * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    a, b = p.concentration1, p.concentration0
    c, d = q.concentration1, q.concentration0
    shared = (c + d - a - b) * (a + b).digamma()
    return log_beta(c, d) - log_beta(a, b) + (a - c) * a.digamma() + (b - d) * b.digamma() + shared


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    normalizers = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return normalizers + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    """Infinite where p has the more trials. NotImplementedError where it has fewer: there is no formula."""
    if bool(p.total_count.lt(q.total_count).any()):
        raise NotImplementedError(
            at_user_line("KL between Binomials where q.total_count > p.total_count is not implemented")
        )
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return where_else(p.total_count.le(q.total_count), p.total_count * each, INF)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio = p.scale / q.scale
    distance = (q.loc - p.loc) / q.scale
    overlap = (distance + (1 + ratio).lgamma()).exp()
    return -ratio.log() - distance + ratio * EULER + overlap - (1 + EULER)


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    value = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where_else(p.scale.ge(q.scale), value, INF)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    squares = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return squares.log() - (4 * p.scale * q.scale).log()


def _mean_density_of_normal(p: Normal | Laplace | Gumbel | Exponential | Gamma, q: Normal) -> Tensor:
    """-E_p[log q] of a normal q, which asks for two moments of p only."""
    distance = p.variance + (p.mean - q.loc).square()
    return q.scale.log() + 0.5 * math.log(2 * math.pi) + distance / (2 * q.scale.square())


@register_kl(Laplace, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
def _to_normal(p: Laplace | Gumbel | Exponential | Gamma, q: Normal) -> Tensor:
    return _mean_density_of_normal(p, q) - p.entropy()


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    away = (p.loc - q.loc) / p.scale
    spread = math.sqrt(2 / math.pi) * p.scale * (-0.5 * away.square()).exp()
    distance = spread + p.scale * away * (away / math.sqrt(2)).erf()
    return (2 * q.scale).log() + distance / q.scale - p.entropy()


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Normal, q: Gumbel) -> Tensor:
    distance = (p.loc - q.loc) / q.scale
    return q.scale.log() + distance + (0.5 * (p.scale / q.scale).square() - distance).exp() - p.entropy()


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Exponential, q: Gumbel) -> Tensor:
    place = q.loc / q.scale
    rate = p.rate * q.scale
    return rate.log() - 1 - place + rate.reciprocal() + (place.exp() * rate / (rate + 1))


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Gamma, q: Gumbel) -> Tensor:
    place = q.loc / q.scale
    rate = p.rate * q.scale
    overlap = (place - p.concentration * rate.reciprocal().log1p()).exp()
    return q.scale.log() - place + p.concentration / rate + overlap - p.entropy()


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Uniform, q: Exponential) -> Tensor:
    value = q.rate * p.mean - q.rate.log() - p.entropy()
    return where_else(p.low.ge(0), value, INF)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Uniform, q: Gamma) -> Tensor:
    width = p.high - p.low
    log = (p.high.xlogy(p.high) - p.low.xlogy(p.low) - width) / width  # the mean of log x
    own = q.concentration * q.rate.log() - q.concentration.lgamma()
    return where_else(p.low.ge(0), q.rate * p.mean - own - (q.concentration - 1) * log - p.entropy(), INF)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    """Transforms that both share leave the divergence as it is."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(at_user_line("kl_divergence() of distributions with different transforms"))
    return kl_divergence(p.base_dist, q.base_dist)
