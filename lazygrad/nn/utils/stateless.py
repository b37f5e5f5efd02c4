"""torch.nn.utils.stateless: the older home of torch.func.functional_call."""

from lazygrad.func.modules import functional_call

__all__ = ["functional_call"]
