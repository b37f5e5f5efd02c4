"""nn.functional as one table of cases: value, shape, dtype, gradient and second gradient against torch."""

from __future__ import annotations

import pytest

from tests.support import case, check, distinct, fixed, ints, within

HALVES = ("float32", "float64", "bfloat16")
PROBABILITIES = within(0.1, 0.9, 4, 5)
SIGNS = fixed([1, -1, 1, -1], "int64")
CLASSES = ints(4, below=5)
ACTIVATIONS = (
    "relu relu6 gelu silu mish elu selu celu leaky_relu hardtanh hardsigmoid hardswish hardshrink softshrink tanhshrink "
    "softsign softplus logsigmoid sigmoid tanh"
)

SMOOTH = ("gelu", "silu", "mish", "tanhshrink", "softplus", "logsigmoid", "sigmoid", "tanh")
BENDS = fixed([[0.0, 1.0, -1.0, 3.0, -3.0], [6.0, -6.0, 0.5, -0.5, 2.0]])
WITH_ZEROS = fixed([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, -1.0, 2.0]])
ONES = fixed([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.5, -1.0, 2.0]])


def f(name, *inputs, **options):
    """nn.functional.name(*inputs, **options of the call)."""
    keys = ("dtypes", "gradient", "second", "tolerance", "values", "strided")
    about = {k: options.pop(k) for k in keys if k in options}
    return case(name, lambda T, *x: getattr(T.nn.functional, name)(*x, **options), *inputs, **about)


S = (4, 5)
CASES = [
    # activations, away from where they bend
    *(
        f(name, within(0.2, 2, *S), dtypes=HALVES, tolerance=4)
        for name in ACTIVATIONS.split()
    ),
    # where they bend
    *(
        case(f"{name}-bends", lambda T, x, name=name: getattr(T.nn.functional, name)(x), BENDS, second=name in SMOOTH)
        for name in ACTIVATIONS.split()
    ),
    f("threshold", S, threshold=0.1, value=20.0),
    f("prelu", S, (5,)),
    f("rrelu", S),
    f("glu", (4, 6), dtypes=HALVES),
    *(f(name, S, dim=-1, dtypes=HALVES) for name in ("softmax", "softmin", "log_softmax")),
    f("normalize", S),
    f("gumbel_softmax", S, values=False, gradient=False),
    # layers
    f("linear", (3, 4), (2, 4), (2,), dtypes=HALVES),
    f("bilinear", (3, 4), (3, 5), (2, 4, 5), (2,)),
    f("embedding", ints(3, 2, below=6), (6, 4)),
    f("embedding_bag", ints(3, 2, below=6), (6, 4)),
    f("one_hot", ints(4, below=5), num_classes=5, gradient=False),
    case(
        "layer_norm",
        lambda T, x, w, b: T.nn.functional.layer_norm(x, (5,), w, b),
        (3, 4, 5),
        (5,),
        (5,),
        dtypes=HALVES,
        tolerance=4,
    ),
    case("rms_norm", lambda T, x, w: T.nn.functional.rms_norm(x, (5,), w), (3, 4, 5), (5,), tolerance=4),
    case("group_norm", lambda T, x, w, b: T.nn.functional.group_norm(x, 2, w, b), (3, 4, 5), (4,), (4,), tolerance=10),
    case("instance_norm", lambda T, x: T.nn.functional.instance_norm(x), (3, 4, 5), tolerance=10),
    case(
        "batch_norm",
        lambda T, x, w, b: (
            T.nn.functional.batch_norm(x, x.detach().mean((0, 2)), x.detach().var((0, 2)), w, b),
            T.nn.functional.batch_norm(x, None, None, w, b, training=True),
        ),
        (6, 4, 5),
        (4,),
        (4,),
        tolerance=10,
    ),
    f("local_response_norm", (2, 6, 3), size=3, tolerance=4),
    f("dropout", S, training=False),
    f("dropout2d", (2, 3, 4, 4), training=False),
    f("alpha_dropout", S, training=False),
    case(
        "scaled_dot_product_attention",
        lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
        (2, 2, 8, 16),
        (2, 2, 8, 16),
        (2, 2, 8, 16),
        dtypes=("float32",),
        tolerance=4,
    ),
    # convolution
    f("conv1d", (2, 4, 9), (6, 2, 3), (6,), stride=2, padding=1, groups=2, tolerance=4),
    f("conv2d", (2, 3, 7, 6), (4, 3, 3, 2), (4,), padding=1, dilation=2, tolerance=4),
    f("conv3d", (1, 2, 4, 5, 4), (3, 2, 2, 2, 2), (3,), tolerance=4, second=False),
    f("conv_transpose1d", (2, 4, 5), (4, 3, 3), (3,), stride=2, output_padding=1, tolerance=4),
    f("conv_transpose2d", (2, 3, 4, 5), (3, 2, 3, 2), (2,), stride=2, padding=1, tolerance=4),
    f("conv_transpose3d", (1, 2, 3, 3, 2), (2, 3, 2, 2, 2), (3,), stride=2, tolerance=4, second=False),
    f("unfold", (2, 3, 6, 5), kernel_size=2, stride=2),
    f("fold", (2, 12, 6), output_size=(4, 6), kernel_size=2, stride=2),
    # pooling
    f("max_pool1d", distinct(2, 3, 8), kernel_size=3, stride=2),
    f("max_pool2d", distinct(2, 3, 6, 7), kernel_size=2, padding=1),
    f("max_pool3d", distinct(1, 2, 4, 4, 4), kernel_size=2),
    f("avg_pool1d", (2, 3, 8), kernel_size=3, stride=2),
    f("avg_pool2d", (2, 3, 6, 7), kernel_size=2, padding=1),
    f("avg_pool3d", (1, 2, 4, 4, 4), kernel_size=2),
    f("adaptive_avg_pool1d", (2, 3, 8), output_size=3),
    f("adaptive_avg_pool2d", (2, 3, 6, 7), output_size=(3, 2)),
    f("adaptive_avg_pool3d", (1, 2, 4, 5, 3), output_size=2),
    f("adaptive_max_pool1d", distinct(2, 3, 8), output_size=3),
    f("adaptive_max_pool2d", distinct(2, 3, 6, 7), output_size=(3, 2)),
    f("lp_pool1d", within(0.2, 2, 2, 3, 8), norm_type=3, kernel_size=2, tolerance=4),
    f("lp_pool2d", within(0.2, 2, 2, 3, 6, 6), norm_type=2, kernel_size=2, tolerance=4),
    # shape
    *(
        case(f"pad-{mode}", lambda T, x, m=mode: T.nn.functional.pad(x, (1, 2), mode=m), (2, 3, 5))
        for mode in ("constant", "reflect", "replicate", "circular")
    ),
    *(
        case(
            f"interpolate-{mode}",
            lambda T, x, m=mode: T.nn.functional.interpolate(x, scale_factor=2, mode=m),
            (1, 2, 4, 3),
            tolerance=4,
        )
        for mode in ("nearest", "bilinear", "bicubic")
    ),
    f("pixel_shuffle", (2, 8, 3, 3), upscale_factor=2),
    f("pixel_unshuffle", (2, 2, 4, 6), downscale_factor=2),
    f("channel_shuffle", (2, 6, 3, 3), groups=3),
    case(
        "grid_sample",
        lambda T, x, g: T.nn.functional.grid_sample(x, g, align_corners=False),
        (1, 2, 4, 5),
        within(-0.9, 0.9, 1, 3, 3, 2),
        second=False,
        tolerance=10,
    ),
    case("affine_grid", lambda T, x: T.nn.functional.affine_grid(x, (2, 1, 3, 4), align_corners=False), (2, 2, 3)),
    # distances and losses
    f("cosine_similarity", S, S),
    f("pairwise_distance", S, S),
    f("pdist", S, second=False),
    f("cross_entropy", S, CLASSES, dtypes=HALVES, label_smoothing=0.1),
    f("nll_loss", S, CLASSES),
    f("binary_cross_entropy", PROBABILITIES, PROBABILITIES),
    f("binary_cross_entropy_with_logits", S, PROBABILITIES),
    f("mse_loss", S, S),
    f("l1_loss", S, S),
    f("smooth_l1_loss", S, S),
    f("huber_loss", S, S),
    f("kl_div", within(-2, -0.1, *S), PROBABILITIES, reduction="batchmean"),
    f("poisson_nll_loss", S, PROBABILITIES),
    f("gaussian_nll_loss", S, S, within(0.5, 2, *S)),
    f("soft_margin_loss", (4,), SIGNS),
    f("hinge_embedding_loss", (4,), SIGNS),
    f("margin_ranking_loss", (4,), (4,), SIGNS),
    f("cosine_embedding_loss", S, S, SIGNS),
    f("triplet_margin_loss", S, S, S, tolerance=10),
    f("multi_margin_loss", S, CLASSES),
    # vectors of length 0, logits of 0, distances that equal the margin
    *(
        case(f"normalize-zeros-p{p}", lambda T, x, p=p: T.nn.functional.normalize(x, p=p) * 1e-12, WITH_ZEROS, second=False)
        for p in (1.0, 2.0, 3.0)
    ),
    case("cosine_similarity-zeros", lambda T, x, y: T.nn.functional.cosine_similarity(x, y), WITH_ZEROS, ONES, second=False),
    case(
        "cosine_embedding_loss-zeros",
        lambda T, x, y: T.nn.functional.cosine_embedding_loss(x, y, T.tensor([1, 1, -1]), reduction="none"),
        WITH_ZEROS,
        ONES,
        second=False,
    ),
    case("pdist-equal", lambda T, x: T.nn.functional.pdist(x), fixed([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]]), second=False),
    case(
        "binary_cross_entropy_with_logits-zeros",
        lambda T, x: T.nn.functional.binary_cross_entropy_with_logits(x, T.full_like(x, 0.3), pos_weight=T.full_like(x, 2.0)),
        BENDS,
    ),
    case("hinge_embedding_loss-at-the-margin", lambda T, x: T.nn.functional.hinge_embedding_loss(x, -T.ones_like(x)), BENDS),
    case("margin_ranking_loss-equal", lambda T, x: T.nn.functional.margin_ranking_loss(x, x.detach(), T.ones_like(x)), BENDS),
    f("multilabel_margin_loss", S, fixed([[1, 3, -1, 0, 0], [0, -1, 2, 2, 2], [4, 1, 2, 3, 0], [-1, 0, 0, 0, 0]], "int64")),
    f("multilabel_soft_margin_loss", S, within(0, 1, *S)),
    f("conv_tbc", (5, 2, 3), (2, 3, 4), (4,), pad=1),
    f("native_channel_shuffle", (2, 4, 3), groups=2),
    # torch's gradient is that of another formula
    case("CrossMapLRN2d", lambda T, x: T.nn.CrossMapLRN2d(3, 0.1, 0.5, 2.0)(x), (2, 6, 2, 3), gradient=False),
    case("CrossMapLRN2d-even", lambda T, x: T.nn.CrossMapLRN2d(4, 0.1, 0.5, 2.0)(x), (2, 6, 2, 3), gradient=False),
]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("each", CASES, ids=str)
def test_as_torch(each):
    check(each)
