"""torch.nn.attention.flex_attention: names that say what to use instead."""

from __future__ import annotations

from typing import Any, NoReturn

from lazygrad.errors import at_user_line


def flex_attention(*args: Any, **kwargs: Any) -> NoReturn:
    """NotImplementedError: write softmax(score_mod(q @ k^T)) @ v, or give scaled_dot_product_attention a mask."""
    raise NotImplementedError(
        at_user_line(
            "flex_attention: score and mask functions are not needed here: write the scores with tensor operations, "
            "which are compiled, or give scaled_dot_product_attention an attn_mask"
        )
    )


create_block_mask = create_mask = flex_attention
