"""torch.utils.data.dataloader."""

from lazygrad.data.collate import default_collate, default_convert
from lazygrad.data.loader import DataLoader
from lazygrad.data.worker import get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
