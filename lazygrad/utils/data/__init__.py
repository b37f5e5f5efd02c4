"""torch.utils.data: lazygrad.data under the name that programs know."""

from lazygrad.data import *
from lazygrad.utils.data import dataloader, dataset, distributed, sampler
