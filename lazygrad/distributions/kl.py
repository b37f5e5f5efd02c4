"""Kullback-Leibler divergences: a table of pairs of classes, and what each pair's divergence is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lazygrad import linalg
from lazygrad.distributions.bernoulli import Bernoulli, Geometric
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.exponential import Exponential
from lazygrad.distributions.half_normal import HalfNormal
from lazygrad.distributions.independent import Independent, sum_rightmost
from lazygrad.distributions.laplace import Laplace
from lazygrad.distributions.log_normal import LogNormal
from lazygrad.distributions.multivariate_normal import MultivariateNormal, log_det_root, whitened
from lazygrad.distributions.normal import Normal
from lazygrad.distributions.one_hot_categorical import OneHotCategorical
from lazygrad.distributions.poisson import Poisson
from lazygrad.distributions.uniform import Uniform
from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor

Divergence = Callable[[Any, Any], Tensor]
_table: dict[tuple[type, type], Divergence] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Divergence], Divergence]:
    """A decorator: the function is kl_divergence() of these two classes and their subclasses."""
    for given in (type_p, type_q):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise TypeError(at_user_line(f"Expected a subclass of Distribution but got {given!r}"))

    def register(function: Divergence) -> Divergence:
        _table[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) = E_p[log p(x) - log q(x)], by formula. NotImplementedError for a pair that has none.

    Of several registered pairs the one whose first class is nearest to p's is taken, then q's.
    """
    first, second = type(p).__mro__, type(q).__mro__
    fitting = [(first.index(a), second.index(b), f) for (a, b), f in _table.items() if a in first and b in second]
    if not fitting:
        raise NotImplementedError(
            at_user_line(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}")
        )
    return min(fitting, key=lambda found: found[:2])[2](p, q)


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = p.scale.div(q.scale).square()
    distance = p.loc.sub(q.loc).div(q.scale).square()
    return ratio.add(distance).sub(1).sub(ratio.log()).div(2)


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return _normal(p.base_dist, q.base_dist)  # one bijection of both leaves the divergence as it is


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    ratio = p.scale.div(q.scale).square()
    return ratio.sub(1).sub(ratio.log()).div(2)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    success = _times_log_ratio(p.probs, q.probs)
    return success.add(_times_log_ratio(p.probs.rsub(1), q.probs.rsub(1)))


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return p.entropy().neg().sub(q.probs.neg().log1p().div(p.probs)).sub(q.logits)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    difference = p.probs.mul(p.logits.sub(q.logits))
    possible = difference.masked_fill(q.probs.eq(0).expand_as(difference), math.inf)
    return possible.masked_fill(p.probs.eq(0).expand_as(difference), 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    result = q.high.sub(q.low).div(p.high.sub(p.low)).log()
    return result.masked_fill(q.low.gt(p.low).logical_or(q.high.lt(p.high)), math.inf)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high.sub(p.low)
    off = p.high.add(p.low).sub(q.loc.mul(2)).div(2).square()
    around = width.square().div(12).add(off).div(q.scale.square()).div(2)
    return q.scale.mul(math.sqrt(2 * math.pi)).div(width).log().add(around)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate.div(p.rate)
    return ratio.sub(1).sub(ratio.log())


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio = p.scale.div(q.scale)
    distance = p.loc.sub(q.loc).abs()
    overlap = ratio.mul(distance.neg().div(p.scale).exp())
    return distance.div(q.scale).add(overlap).sub(1).sub(ratio.log())


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate.mul(p.rate.log().sub(q.rate.log())).sub(p.rate.sub(q.rate))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            at_user_line(f"kl_divergence(): event shapes {tuple(p.event_shape)} and {tuple(q.event_shape)} differ")
        )
    difference = q.loc.sub(p.loc)
    batch = difference.shape[:-1]
    n = p.event_shape[0]
    root_p, root_q = (m.scale_tril.expand((*batch, n, n)) for m in (p, q))
    spread = linalg.solve(root_q.tril(), root_p).square().sum((-2, -1))
    distance = whitened(root_q, difference).square().sum(-1)
    return log_det_root(root_q).sub(log_det_root(root_p)).add(spread.add(distance).sub(n).div(2))


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(at_user_line("kl_divergence() of Independents with different event dimensions"))
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


def _times_log_ratio(a: Tensor, b: Tensor) -> Tensor:
    """a log(a / b): 0 where a is 0, infinite where b alone is."""
    term = a.xlogy(a).sub(a.xlogy(b))
    return term.masked_fill(a.eq(0).expand_as(term), 0)
