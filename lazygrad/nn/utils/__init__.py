"""torch.nn.utils."""

from lazygrad.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from lazygrad.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
