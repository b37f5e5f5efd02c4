"""torch._inductor: the settings of torch's own compiler, which programs write."""

from lazygrad._inductor import config
