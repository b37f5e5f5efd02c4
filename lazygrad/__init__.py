"""lazygrad: a lazy graph compiler with a PyTorch-style face. `import lazygrad as lg`."""

from math import e, inf, nan, pi

from lazygrad import linalg
from lazygrad.config import config
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
from lazygrad.functions import *
from lazygrad.linalg import cholesky, det, qr, slogdet, svd
from lazygrad.linalg import inv as inverse
from lazygrad.linalg import pinv as pinverse
from lazygrad.tensor import Tensor, autograd
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
from lazygrad.tensor.autocast import autocast, is_autocast_enabled
from lazygrad.tensor.autograd import enable_grad, inference_mode, no_grad, set_grad_enabled
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
    asarray,
    empty,
    empty_like,
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
from lazygrad.tensor.einsum import einsum
from lazygrad.tensor.elementwise import where
from lazygrad.tensor.interop import from_dlpack, is_tensor, set_printoptions
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
)
from lazygrad.tensor.limits import finfo, iinfo
from lazygrad.tensor.linalg import chain_matmul, tensordot
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
from lazygrad.tensor.sequences import (
    arange,
    eye,
    hamming_window,
    hann_window,
    linspace,
    logspace,
    tril_indices,
    triu_indices,
    vander,
)
from lazygrad.tensor.size import Size
from lazygrad.tensor.sort import bucketize, searchsorted
from lazygrad.tensor.special import float_power, isin, polygamma, xlogy
from lazygrad.tensor.special import power as pow

# Last: these names are also modules, which everything above asks for as `from lazygrad import dtype`.
from lazygrad.device import Device as device  # isort: skip
from lazygrad.dtype import DType as dtype  # isort: skip
from lazygrad import amp, cuda, nn, optim  # isort: skip
from lazygrad.compile import compile  # isort: skip
from lazygrad.io import load, save  # isort: skip
