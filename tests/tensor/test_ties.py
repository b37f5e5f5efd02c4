"""Gradients where derivatives are matters of convention: ties, kinks, zeros, infinities, NaN; and second ones there."""

from __future__ import annotations

import math

import pytest

from tests.support import case, check, fixed

TIES = fixed([[1.0, 3.0, 3.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 2.0, 2.0, -1.0]])
ZEROS = fixed([[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [2.0, 3.0, 4.0]])
PAIR = fixed([0.0, 1.0, 1.0, -2.0, 3.0, math.nan, 2.0]), fixed([0.0, 1.0, 2.0, -3.0, math.nan, 1.0, 2.0])

CASES = [
    # who of the equal gets what
    *(
        case(f"{name}-all", lambda T, x, n=name: getattr(T, n)(x), TIES)
        for name in ("max", "min", "amax", "amin", "median", "nanmedian", "prod")
    ),
    *(
        case(f"{name}-dim", lambda T, x, n=name: getattr(T, n)(x, dim=1)[0], TIES)
        for name in ("max", "min", "median", "nanmedian", "mode", "cummax", "cummin")
    ),
    case("amax-dim", lambda T, x: (T.amax(x, 1), T.amin(x, (0, 1)), *T.aminmax(x, dim=0)), TIES),
    case("median-halves", lambda T, x: x.median(), TIES, dtypes=("float32", "float16", "bfloat16")),
    case("median-nan", lambda T, x: (x.median(), x.nanmedian()), fixed([1.0, math.nan, 1.0, 2.0, math.nan])),
    *(
        case(name, lambda T, x, y, n=name: getattr(T, n)(x, y), *PAIR)
        for name in ("maximum", "minimum", "fmax", "fmin")
    ),
    case("clamp", lambda T, x: (x.clamp(0, 2), x.clamp(min=1), x.clamp(max=0)), fixed([-1.0, 0.0, 1.0, 2.0, 3.0])),
    case(
        "clamp-tensors",
        lambda T, x, a, b: (x.clamp(a, b), x.clamp_min(a), x.clamp_max(b)),
        fixed([-1.0, 0.0, 1.0, 2.0, 3.0]), fixed([0.0, 0.0, 1.0, 2.0, 5.0]), fixed([2.0, 0.0, 1.0, 1.0, 4.0]),
    ),
    # factors of zero, powers of zero, norms of zero
    case("prod-zeros", lambda T, x: (x.prod(0), x.prod(1), x.prod()), ZEROS),
    case("cumprod-zeros", lambda T, x: (x.cumprod(0), x.cumprod(1)), ZEROS),
    *(
        case(f"norm-{p}", lambda T, x, p=p: (T.norm(x, p), T.linalg.vector_norm(x, p, 1)), TIES, second=False)
        for p in (0, 0.5, 1, 2, 3, math.inf, -math.inf, -1)
    ),
    case("norm-second", lambda T, x: (T.norm(x), T.norm(x, 3, 1), T.norm(x, 1)), fixed([[1.0, 2.0], [-3.0, 0.5]])),
    case("norm-nothing", lambda T, x: T.linalg.vector_norm(x, 0), ZEROS),
    *(case(f"pow-{p}", lambda T, x, p=p: x**p, fixed([0.0, 1.0, -2.0, 3.0])) for p in (0, 0.0, 1, 2, 3)),
    case("pow-tensor", lambda T, x, y: x**y, fixed([0.0, 0.0, 2.0, 1.0]), fixed([0.0, 2.0, 0.0, 3.0]), second=False),
    case("atan2-origin", lambda T, y, x: T.atan2(y, x), fixed([0.0, 1.0, 0.0]), fixed([0.0, 0.0, 2.0]), second=False),
    case("remainder", lambda T, x, y: T.remainder(x, y), fixed([1.0, -1.0, 5.5]), fixed([-math.inf, math.inf, 2.0])),
    case("std-zero", lambda T, x: (x.std(1), x.var(1)), TIES, second=False),
    # second derivatives at kinks that cancel
    case("logaddexp-equal", lambda T, x, y: (T.logaddexp(x, y), T.logaddexp2(x, y)), TIES, TIES),
    case("logcumsumexp-equal", lambda T, x: (T.logcumsumexp(x, 0), T.logcumsumexp(x, 1)), TIES),
    case("logsumexp-equal", lambda T, x: (T.logsumexp(x, 0), T.logsumexp(x, (0, 1))), TIES),
    case("softplus-zero", lambda T, x: (T.nn.functional.softplus(x), T.nn.functional.logsigmoid(x)), TIES),
    case(
        "bernoulli-zero",
        lambda T, x: T.distributions.Bernoulli(logits=x).log_prob(T.ones_like(x)),
        TIES,
    ),
]  # fmt: skip


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_as_torch(each):
    check(each)
