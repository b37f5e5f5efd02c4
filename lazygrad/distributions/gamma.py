"""Gamma and what is made of it: chi-squared, inverse gamma, Fisher's and Student's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lazygrad.distributions import constraints
from lazygrad.distributions.gamma_draws import standard_gamma
from lazygrad.distributions.scalar import INF, NAN, ScalarDistribution, log_beta, where_else
from lazygrad.tensor import Tensor
from lazygrad.tensor.limits import finfo
from lazygrad.tensor.sampling import randn_like


class Gamma(ScalarDistribution):
    """Density rate^a x^(a - 1) e^(-rate x) / Gamma(a) for x > 0, a = `concentration`."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    has_rsample = True
    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__({"concentration": concentration, "rate": rate}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        drawn = standard_gamma(self.concentration.expand(shape)) / self.rate
        return drawn.clamp(min=finfo(drawn.dtype).tiny)

    def _log_density(self, value: Tensor) -> Tensor:
        a = self.concentration
        return a.xlogy(self.rate) + (a - 1).xlogy(value) - self.rate * value - a.lgamma()

    def cdf(self, value: Tensor) -> Tensor:
        return self.concentration.igamma(self.rate * self._checked(value))

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()


class Chi2(Gamma):
    """The sum of `df` squared standard normal draws: Gamma(df / 2, 1 / 2)."""

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        ScalarDistribution.__init__(self, {"df": df}, validate_args)
        self._set_up()

    df: Tensor

    def _set_up(self) -> None:
        self.concentration = self.df / 2
        self.rate = self.df.detach() * 0 + 0.5

    def expand(self, batch_shape: Sequence[int]) -> Chi2:
        made = super().expand(batch_shape)
        made._set_up()
        return made


class InverseGamma(ScalarDistribution):
    """The distribution of 1 / x, x of Gamma(concentration, rate)."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    has_rsample = True
    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__({"concentration": concentration, "rate": rate}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.positive

    @property
    def base_dist(self) -> Gamma:
        """The distribution of 1 / x."""
        return Gamma(self.concentration, self.rate, validate_args=False)

    @property
    def mean(self) -> Tensor:
        a = self.concentration
        return where_else(a.gt(1), self.rate / (a - 1), INF)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = self.concentration
        return where_else(a.gt(2), self.rate.square() / ((a - 1).square() * (a - 2)), INF)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).reciprocal()

    def _log_density(self, value: Tensor) -> Tensor:
        a = self.concentration
        return a.xlogy(self.rate) - (a + 1) * value.log() - self.rate / value - a.lgamma()

    def cdf(self, value: Tensor) -> Tensor:
        return self.concentration.igammac(self.rate / self._checked(value))

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class FisherSnedecor(ScalarDistribution):
    """The ratio of two chi-squared draws, each over its degrees of freedom."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    has_rsample = True
    df1: Tensor
    df2: Tensor

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        super().__init__({"df1": df1, "df2": df2}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.positive

    @property
    def mean(self) -> Tensor:
        return where_else(self.df2.gt(2), self.df2 / (self.df2 - 2), NAN)

    @property
    def mode(self) -> Tensor:
        ratio = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where_else(self.df1.gt(2), ratio, NAN)

    @property
    def variance(self) -> Tensor:
        m, n = self.df1, self.df2
        value = 2 * n.square() * (m + n - 2) / (m * (n - 2).square() * (n - 4))
        return where_else(n.gt(4), value, NAN)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        above, below = (standard_gamma((df / 2).expand(shape)) / df for df in (self.df1, self.df2))
        return above / below

    def _log_density(self, value: Tensor) -> Tensor:
        m, n = self.df1 / 2, self.df2 / 2
        ratio = self.df1 / self.df2
        return m * ratio.log() + (m - 1) * value.log() - (m + n) * (ratio * value).log1p() - log_beta(m, n)


class StudentT(ScalarDistribution):
    """loc + scale * x / sqrt(c / df), x standard normal and c chi-squared of `df` degrees of freedom."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    has_rsample = True
    df: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        super().__init__({"df": df, "loc": loc, "scale": scale}, validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real

    @property
    def mean(self) -> Tensor:
        return where_else(self.df.gt(1), self.loc, NAN)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = where_else(self.df.gt(2), self.scale.square() * self.df / (self.df - 2), INF)
        return where_else(self.df.gt(1), finite, NAN)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        df = self.df.expand(self._extended_shape(sample_shape))
        x = randn_like(df)
        return self.loc + self.scale * x * (standard_gamma(df / 2) * 2 / df).rsqrt()

    def _log_density(self, value: Tensor) -> Tensor:
        y = (value - self.loc) / self.scale
        return -0.5 * (self.df + 1) * (y.square() / self.df).log1p() - self._log_normalizer

    @property
    def _log_normalizer(self) -> Tensor:
        half = self.df / 2
        return self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + half.lgamma() - (half + 0.5).lgamma()

    def entropy(self) -> Tensor:
        half = self.df / 2
        return self._log_normalizer + (half + 0.5) * ((half + 0.5).digamma() - half.digamma())
