"""lazygrad: a lazy graph compiler with a PyTorch-style face. `import lazygrad as lg`."""

from math import e, inf, nan, pi

from lazygrad import absent as _absent
from lazygrad import autograd, func, linalg
from lazygrad.absent import (
    complex,
    geqrf,
    istft,
    lobpcg,
    ormqr,
    polar,
    quantize_per_channel,
    quantize_per_tensor,
    sparse_bsc_tensor,
    sparse_bsr_tensor,
    sparse_coo_tensor,
    sparse_csc_tensor,
    sparse_csr_tensor,
    stft,
    view_as_complex,
    view_as_real,
)
from lazygrad.config import config
from lazygrad.device import get_default_device, set_default_device
from lazygrad.dtype import (
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lazygrad.dtype import bool_ as bool
from lazygrad.dtype import float16 as half
from lazygrad.dtype import float32 as float
from lazygrad.dtype import float64 as double
from lazygrad.dtype import int16 as short
from lazygrad.dtype import int32 as int
from lazygrad.dtype import int64 as long
from lazygrad.dtype import promote as promote_types
from lazygrad.errors import OutOfMemoryError
from lazygrad.func import vmap
from lazygrad.functions import *
from lazygrad.memory_layout import *
from lazygrad.random import default_generator
from lazygrad.settings import *
from lazygrad.tensor import Tensor
from lazygrad.tensor.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from lazygrad.tensor.assembly import (
    block_diag,
    cartesian_prod,
    cat,
    column_stack,
    combinations,
    dstack,
    hstack,
    meshgrid,
    stack,
    vstack,
)
from lazygrad.tensor.assembly import cat as concat
from lazygrad.tensor.assembly import cat as concatenate
from lazygrad.tensor.assembly import vstack as row_stack
from lazygrad.tensor.autocast import (
    autocast,
    clear_autocast_cache,
    get_autocast_cpu_dtype,
    get_autocast_dtype,
    get_autocast_gpu_dtype,
    is_autocast_cache_enabled,
    is_autocast_cpu_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from lazygrad.tensor.broadcasting import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_shapes,
    broadcast_tensors,
)
from lazygrad.tensor.core import is_grad_enabled
from lazygrad.tensor.creation import (
    as_tensor,
    empty,
    empty_like,
    empty_permuted,
    empty_strided,
    from_numpy,
    full,
    full_like,
    ones,
    ones_like,
    rand,
    randn,
    tensor,
    zeros,
    zeros_like,
)
from lazygrad.tensor.decompositions import lu_unpack, pca_lowrank, svd_lowrank
from lazygrad.tensor.dlpack import from_dlpack, to_dlpack
from lazygrad.tensor.einsum import einsum
from lazygrad.tensor.elementwise import where
from lazygrad.tensor.gamma import polygamma
from lazygrad.tensor.grad_mode import (
    enable_grad,
    inference_mode,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from lazygrad.tensor.histograms import histogramdd
from lazygrad.tensor.interop import asarray, is_tensor, set_printoptions
from lazygrad.tensor.legacy import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    set_default_tensor_type,
)
from lazygrad.tensor.limits import finfo, iinfo
from lazygrad.tensor.linalg import chain_matmul, tensordot
from lazygrad.tensor.others import (
    binomial,
    frombuffer,
    imag,
    nonzero_static,
    range,
    real,
    scalar_tensor,
    typename,
    unravel_index,
)
from lazygrad.tensor.power import float_power
from lazygrad.tensor.power import power as pow
from lazygrad.tensor.promote import can_cast, get_default_dtype, result_type, set_default_dtype
from lazygrad.tensor.random import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from lazygrad.tensor.reduce import std_mean, var_mean
from lazygrad.tensor.sampling import (
    bernoulli,
    normal,
    poisson,
    rand_like,
    randint,
    randint_like,
    randn_like,
    randperm,
)
from lazygrad.tensor.search import bucketize, searchsorted
from lazygrad.tensor.sequences import (
    arange,
    eye,
    linspace,
    logspace,
    tril_indices,
    triu_indices,
    vander,
)
from lazygrad.tensor.size import Size
from lazygrad.tensor.special import isin, xlogy
from lazygrad.tensor.windows import bartlett_window, blackman_window, hamming_window, hann_window, kaiser_window

# Last: these names are also modules, which everything above asks for as `from lazygrad import dtype`.
from lazygrad.device import Device as device  # isort: skip
from lazygrad.dtype import DType as dtype  # isort: skip
from lazygrad import _dynamo, _inductor, amp, backends, compiler, cpu, cuda, distributed, distributions  # isort: skip
from lazygrad import multiprocessing, nn, optim, profiler, random, special, testing, utils, version  # isort: skip
from lazygrad.version import __version__  # isort: skip
from lazygrad.compile import compile  # isort: skip
from lazygrad.nn.functional import (  # isort: skip  - those whose arguments torch orders alike in both places
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    alpha_dropout,
    avg_pool1d,
    bilinear,
    celu,
    channel_shuffle,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_similarity,
    dropout,
    group_norm,
    hardshrink,
    layer_norm,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    pairwise_distance,
    pdist,
    pixel_shuffle,
    pixel_unshuffle,
    prelu,
    rms_norm,
    rrelu,
    selu,
    threshold,
)
from lazygrad.io import load, save  # isort: skip
from lazygrad import serialization  # isort: skip
from lazygrad.tensor.keywords import public as _public  # isort: skip

for _name in ("bucketize", "float_power", "polygamma", "pow", "searchsorted", "where", "xlogy"):
    globals()[_name] = _public(globals()[_name])

__getattr__ = _absent.missing
