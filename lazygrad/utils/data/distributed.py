"""torch.utils.data.distributed."""

from lazygrad.data.sampler import DistributedSampler

__all__ = ["DistributedSampler"]
