"""torch.nn.utils."""

from lazygrad.nn.utils import parametrizations, parametrize, rnn, stateless
from lazygrad.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from lazygrad.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from lazygrad.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from lazygrad.nn.utils.legacy import (
    clip_grad_norm,
    convert_conv2d_weight_memory_format,
    convert_conv3d_weight_memory_format,
    skip_init,
)
from lazygrad.nn.utils.weight_norm import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
