"""lazygrad: a lazy graph compiler with a PyTorch-style face. `import lazygrad as lg`."""

from lazygrad.config import config
from lazygrad.device import Device as device
from lazygrad.dtype import bfloat16, float16, float32, float64, int8, int16, int32, int64, uint8
from lazygrad.dtype import bool_ as bool
from lazygrad.tensor import Tensor
from lazygrad.tensor.autograd import enable_grad, inference_mode, no_grad, set_grad_enabled
from lazygrad.tensor.creation import arange, empty, full, ones, rand, randn, tensor, zeros
from lazygrad.tensor.random import Generator, initial_seed, manual_seed
