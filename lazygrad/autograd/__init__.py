"""lazygrad.autograd: gradients, operations with gradients of their own, and checks of both."""

from lazygrad.autograd import function, functional
from lazygrad.autograd.function import Function
from lazygrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from lazygrad.tensor.autograd import backward, grad
from lazygrad.tensor.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
