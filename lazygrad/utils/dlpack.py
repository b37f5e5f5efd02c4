"""torch.utils.dlpack: capsules by hand. lazygrad.from_dlpack takes any library's array as it is."""

from lazygrad.tensor.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
