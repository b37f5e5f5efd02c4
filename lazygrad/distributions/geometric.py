"""torch.distributions.geometric."""

from lazygrad.distributions.bernoulli import Geometric

__all__ = ["Geometric"]
