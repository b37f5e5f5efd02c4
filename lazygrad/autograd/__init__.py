"""lazygrad.autograd: gradients, operations with gradients of their own, and checks of both."""

from lazygrad.autograd import forward_ad, function, functional, graph
from lazygrad.autograd.function import Function
from lazygrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from lazygrad.autograd.variable import Variable
from lazygrad.tensor.anomaly import detect_anomaly, set_detect_anomaly
from lazygrad.tensor.autograd import backward, grad
from lazygrad.tensor.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
