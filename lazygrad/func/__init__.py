"""lazygrad.func: functions of functions. Derivatives, vectorization, modules as functions of their parameters."""

from lazygrad.absent import functionalize
from lazygrad.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from lazygrad.func.transforms import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)
from lazygrad.func.vectorize import vmap
