"""Mixed precision: takes the Nodes an operation was given, returns them in the dtype that autocast wants.

Three kinds of operations, as torch documents them: matrix products run in the lower precision, what needs
range or accuracy runs in float32, everything else in the dtypes it was given. The state belongs to a
device type: `autocast("cuda")` leaves work on the CPU alone. A weight's cast is one node however often
it is asked for, so nothing needs a cache.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from lazygrad.dtype import DType, bfloat16, float16, float32, float64
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.node import Node

F = TypeVar("F", bound=Callable[..., Any])

# torch's "ops that autocast to float32", by device type
_LOSSES = (
    "binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss kl_div "
    "l1_loss "
    "margin_ranking_loss mse_loss multilabel_margin_loss multi_margin_loss nll_loss poisson_nll_loss "
    "smooth_l1_loss soft_margin_loss triplet_margin_loss huber_loss"
)
FLOAT32_OPS: dict[str, frozenset[str]] = {
    "cuda": frozenset(
        (
            "acos asin cosh cosine_similarity cdist cumprod cumsum dist erfinv exp expm1 group_norm "
            "layer_norm "
            "log log10 log_softmax log1p log2 norm normalize pdist pow prod reciprocal rsqrt sinh "
            "softmax softmin "
            "softplus sum renorm tan rms_norm " + _LOSSES
        ).split()
    ),
    "cpu": frozenset(
        (
            "prod quantile cdist trace inv inv_ex pinv cholesky cholesky_ex svd svdvals eigh eigvalsh "
            "solve solve_ex matrix_rank cond qr lstsq binary_cross_entropy ctc_loss grid_sample avg_pool3d max_pool3d "
            "adaptive_avg_pool3d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool1d "
            "max_unpool2d max_unpool3d reflect_pad1d reflect_pad2d replicate_pad1d replicate_pad2d replicate_pad3d "
            + _LOSSES
        ).split()
    ),
}
# products that are not among torch's "ops that autocast to float16" (or bfloat16)
PLAIN_PRODUCTS: dict[str, frozenset[str]] = {
    "cuda": frozenset(["dot", "inner", "tensordot"]),
    "cpu": frozenset(["dot", "mv", "tensordot"]),
}

State = tuple[bool, DType]
_states: ContextVar[dict[str, State]] = ContextVar("lazygrad_autocast", default={})  # noqa: B039 - never changed
_defaults: dict[str, DType] = {"cuda": float16, "cpu": bfloat16}


def active_dtype(device_type: str) -> DType | None:
    """The lower precision in force for this type of device, or None."""
    enabled, dtype = _states.get().get(device_type, (False, float32))
    return dtype if enabled else None


def is_autocast_available(device_type: str) -> bool:
    """Whether this type of device has a lower precision: the CPU and CUDA devices do."""
    return device_type in _defaults


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    return active_dtype(device_type) is not None


def is_autocast_cpu_enabled() -> bool:
    return is_autocast_enabled("cpu")


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that autocast on this type of device uses where none is given."""
    return _states.get().get(device_type, (False, _defaults[_known(device_type)]))[1]


def get_autocast_cpu_dtype() -> DType:
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> DType:
    return get_autocast_dtype("cuda")


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch autocast on or off from here on; with one argument, that of CUDA devices."""
    place, on = (device_type, enabled) if isinstance(device_type, str) else ("cuda", device_type)
    _set(place, bool(on), get_autocast_dtype(place))


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """The dtype that autocast on this type of device uses from here on where none is given."""
    _set(device_type, is_autocast_enabled(device_type), dtype)


def is_autocast_cache_enabled() -> bool:
    """Always: a weight's cast is one node, however often it is asked for."""
    return True


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Nothing: there is no cache to switch off."""


def clear_autocast_cache() -> None:
    """Nothing: there is no cache to clear."""


def _set(device_type: str, enabled: bool, dtype: DType) -> None:
    _states.set({**_states.get(), _known(device_type): (enabled, dtype)})


def _known(device_type: str) -> str:
    if device_type not in _defaults:
        raise RuntimeError(at_user_line(f"User specified an unsupported autocast device_type '{device_type}'"))
    return device_type


def autocast_operands(*nodes: Node, name: str = "matmul") -> tuple[Node, ...]:
    """Operands of the product called `name` (linear, matmul, convolution, attention, ...): floats in the
    lower precision where autocast is on. float64 and integers stay, as in torch."""
    device = nodes[0].device.type
    dtype = active_dtype(device) if _states.get() else None
    if dtype is None or name in PLAIN_PRODUCTS[device]:
        return nodes
    return tuple(build.cast(n, dtype) if _eligible(n) else n for n in nodes)


def float32_operands(name: str, *nodes: Node) -> tuple[Node, ...]:
    """Operands of the operation called `name`: halves become float32 if it is on torch's float32 list."""
    states = _states.get()
    if not states:
        return nodes
    device = nodes[0].device.type
    if active_dtype(device) is None or name not in FLOAT32_OPS[device]:
        return nodes
    return tuple(build.cast(n, float32) if _eligible(n) else n for n in nodes)


def _eligible(node: Node) -> bool:
    return node.dtype.is_floating_point and node.dtype is not float64


class autocast:
    """`with autocast("cuda", dtype=bfloat16):` or as a decorator. Nests; enabled=False switches it off
    inside.

    RuntimeError for a device type that has no lower precision; a dtype that is none warns, and switches it off.
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        _known(device_type)
        chosen = get_autocast_dtype(device_type) if dtype is None else dtype
        if enabled and chosen not in (float16, bfloat16):
            warnings.warn(
                at_user_line(
                    f"In {device_type} autocast, but the target dtype {getattr(chosen, 'name', chosen)} is not "
                    "supported. Disabling autocast. It supports float16 and bfloat16"
                ),
                stacklevel=2,
            )
            enabled = False
        self.device = device_type
        self.fast_dtype = chosen
        self._enabled = enabled
        self._tokens: list[Token[dict[str, State]]] = []

    def __enter__(self) -> autocast:
        self._tokens.append(_states.set({**_states.get(), self.device: (self._enabled, self.fast_dtype)}))
        return self

    def __exit__(self, *exc: Any) -> None:
        _states.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]
