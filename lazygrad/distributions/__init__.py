"""torch.distributions: random variables with densities, entropies, divergences and draws that gradients pass."""

from lazygrad.distributions import constraints, kl_pairs, transforms
from lazygrad.distributions.bernoulli import Bernoulli, Geometric
from lazygrad.distributions.by_inversion import HalfCauchy, Kumaraswamy, Pareto, Weibull
from lazygrad.distributions.categorical import Categorical
from lazygrad.distributions.cauchy import Cauchy
from lazygrad.distributions.constraint_registry import biject_to, transform_to
from lazygrad.distributions.dirichlet import Beta, Dirichlet
from lazygrad.distributions.distribution import Distribution
from lazygrad.distributions.exponential import Exponential
from lazygrad.distributions.gamma import Chi2, FisherSnedecor, Gamma, InverseGamma, StudentT
from lazygrad.distributions.gumbel import Gumbel
from lazygrad.distributions.half_normal import HalfNormal
from lazygrad.distributions.independent import Independent
from lazygrad.distributions.kl import kl_divergence, register_kl
from lazygrad.distributions.laplace import Laplace
from lazygrad.distributions.log_normal import LogNormal
from lazygrad.distributions.mixture_same_family import MixtureSameFamily
from lazygrad.distributions.multivariate_normal import MultivariateNormal
from lazygrad.distributions.normal import Normal
from lazygrad.distributions.one_hot_categorical import OneHotCategorical, OneHotCategoricalStraightThrough
from lazygrad.distributions.poisson import Poisson
from lazygrad.distributions.relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from lazygrad.distributions.transformed_distribution import LogisticNormal, TransformedDistribution
from lazygrad.distributions.transforms import *
from lazygrad.distributions.trials import Binomial, Multinomial, NegativeBinomial
from lazygrad.distributions.uniform import Uniform
