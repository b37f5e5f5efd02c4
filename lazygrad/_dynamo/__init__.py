"""torch._dynamo: what programs say to torch's tracer. lazygrad traces by running."""

from lazygrad._dynamo import config
from lazygrad.compiler import disable, is_compiling, reset
