"""torch.nn.attention.bias: causal masks of queries and keys that are not equally many.

They are bool tensors, which attention's rewriting recognises: no kernel reads them.
"""

from __future__ import annotations

from lazygrad.errors import at_user_line
from lazygrad.tensor import Tensor
from lazygrad.tensor.creation import ones


def _causal(name: str, size: tuple[int, ...], offset: int) -> Tensor:
    if len(size) != 2:
        raise AssertionError(at_user_line(f"{name} only supports 2D tensors, got size {size}"))
    return ones(size).tril(offset).bool()


def causal_upper_left(*size: int) -> Tensor:
    """(queries, keys), True where a key's position is not beyond the query's, both counted from the first."""
    return _causal("causal_upper_left", size, 0)


def causal_lower_right(*size: int) -> Tensor:
    """(queries, keys), True where a key's position is not beyond the query's, both counted from the last."""
    return _causal("causal_lower_right", size, size[-1] - size[0])
