"""torch.distributions: random variables with densities, entropies, divergences and draws that gradients pass."""

from lazygrad.distributions import constraints
from lazygrad.distributions.bernoulli import Bernoulli, Geometric
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.cauchy import Cauchy
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.exponential import Exponential
from lazygrad.distributions.gumbel import Gumbel
from lazygrad.distributions.half_normal import HalfNormal
from lazygrad.distributions.independent import Independent
from lazygrad.distributions.kl import kl_divergence, register_kl
from lazygrad.distributions.laplace import Laplace
from lazygrad.distributions.log_normal import LogNormal
from lazygrad.distributions.multivariate_normal import MultivariateNormal
from lazygrad.distributions.normal import Normal
from lazygrad.distributions.one_hot_categorical import OneHotCategorical, OneHotCategoricalStraightThrough
from lazygrad.distributions.poisson import Poisson
from lazygrad.distributions.uniform import Uniform
