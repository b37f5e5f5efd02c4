"""Attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lazygrad.ir import library
from lazygrad.ir.node import Node
from lazygrad.tensor import random
from lazygrad.tensor.autocast import autocast_operands
from lazygrad.tensor.core import wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key^T * scale + attn_mask) @ value; see torch.nn.functional.

    A bool mask is True where attention may go; a row that may go nowhere yields zeros.
    """
    q, k, v = autocast_operands(query.node, key.node, value.node)
    seed: Node | None = None
    offset: Node | None = None
    if dropout_p > 0:
        count = math.prod(q.shape[:-1]) * k.shape[-2]
        seed, offset = random.default_generator(q.device).draw(count)
    return wrap(
        library.scaled_dot_product_attention(
            q,
            k,
            v,
            None if attn_mask is None else attn_mask.node,
            causal=is_causal,
            factor=scale,
            grouped=enable_gqa,
            dropout_p=dropout_p,
            seed=seed,
            offset=offset,
        )
    )
