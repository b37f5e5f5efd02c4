"""torch.utils.data: datasets, samplers, loaders."""

from lazygrad.data.collate import default_collate, default_convert
from lazygrad.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    TokenDataset,
    random_split,
)
from lazygrad.data.loader import DataLoader, prefetch
from lazygrad.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from lazygrad.data.worker import get_worker_info
