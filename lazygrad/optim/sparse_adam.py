"""torch.optim.SparseAdam, which has nothing to do here."""

from __future__ import annotations

from typing import Any, NoReturn

from lazygrad.errors import at_user_line


class SparseAdam:
    """Adam for sparse gradients. NotImplementedError: lazygrad has no sparse layouts, so no gradient is sparse."""

    def __init__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            at_user_line("SparseAdam: lazygrad has no sparse layouts; an embedding's gradient is dense: use Adam")
        )
