"""torch.utils."""

from lazygrad.utils import checkpoint, data, dlpack
