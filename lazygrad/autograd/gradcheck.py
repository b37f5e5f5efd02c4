"""gradcheck: takes a function and inputs, compares its gradients with central differences of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.errors import at_user_line
from lazygrad.func.jacobians import unit_vectors
from lazygrad.func.transforms import jvp
from lazygrad.tensor import tree
from lazygrad.tensor.autograd import grad
from lazygrad.tensor.core import TensorBase, grad_mode, wrap
from lazygrad.tensor.creation import tensor
from lazygrad.tensor.random import default_generator, normal

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor

Matrix = Any  # a float64 array: one row an element of an output, one column an element of an input


class GradcheckError(RuntimeError):
    """Gradients and differences disagree; the message shows both."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Sequence[Any] | Tensor,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of func(*inputs) for the inputs that require grad are (f(x + eps) - f(x - eps)) / 2 eps,
    within atol + rtol * |difference|.

    The inputs should be float64. Gradients are taken twice and may differ by `nondet_tol`; with
    `check_batched_grad` once more for all outputs at once, with `check_forward_ad` by jvp. Every element is
    checked, whatever `fast_mode` says; an output that nothing flows to has no undefined gradient here, and no
    input is sparse, so `check_undefined_grad` and `masked` change nothing. GradcheckError, or False with
    raise_exception=False; ValueError where no input requires grad.
    """
    given = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    if not any(_varies(i) for i in given):
        raise ValueError(at_user_line("gradcheck expects at least one input tensor to require gradient"))
    try:
        forward = check_forward_ad or check_batched_forward_grad
        _check(func, given, eps, atol, rtol, nondet_tol, check_backward_ad, check_batched_grad, forward)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Sequence[Any] | Tensor,
    grad_outputs: Sequence[Tensor] | Tensor | None = None,
    *,
    gen_non_contig_grad_outputs: bool = False,
    **options: Any,
) -> bool:
    """gradcheck of the gradients of func: of second derivatives, also for `grad_outputs` (random ones, if none are
    given; `gen_non_contig_grad_outputs` makes those transposed in memory). `options` are gradcheck's."""
    given = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    outputs = _differentiable(func(*given))
    if grad_outputs is None:
        drawn = [wrap(normal(o.node.shape, o.dtype, default_generator(o.device))) for o in outputs]
        seeds = [d.mT.clone().mT if gen_non_contig_grad_outputs and d.ndim > 1 else d for d in drawn]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, TensorBase) else list(grad_outputs)
    seeds = [s.detach().requires_grad_() for s in seeds]
    count = len(given)

    def slopes(*both: Any) -> tuple[Any, ...]:
        wanted = [i for i in both[:count] if _varies(i)]
        made = _differentiable(func(*both[:count]))
        found = grad(made, wanted, list(both[count:]), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(slopes, (*given, *seeds), **options)


def _varies(value: Any) -> bool:
    return isinstance(value, TensorBase) and value.requires_grad


def _differentiable(result: Any) -> list[Any]:
    return [o for o in tree.leaves(result) if isinstance(o, TensorBase) and o.requires_grad]


def _check(
    func: Callable[..., Any],
    inputs: tuple[Any, ...],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    backward: bool,
    batched: bool,
    forward: bool,
) -> None:
    outputs = _differentiable(func(*inputs))
    if not outputs:
        raise ValueError(at_user_line("gradcheck expects at least one output that requires gradient"))
    expected = [_differences(func, inputs, i, eps) for i, value in enumerate(inputs) if _varies(value)]
    found: dict[str, list[list[Matrix]]] = {}
    if backward:
        found["backward"] = _pulled_back(func, inputs, False)
        again = _pulled_back(func, inputs, False)
        for i, (first, second) in enumerate(zip(found["backward"], again, strict=True)):
            for j, (a, b) in enumerate(zip(first, second, strict=True)):
                _compare("Backward is not reentrant: taken twice it differs", i, j, a, b, nondet_tol, 0.0)
    if batched:
        found["batched backward"] = _pulled_back(func, inputs, True)
    if forward:
        found["forward"] = _pushed_forward(func, inputs)
    for mode, jacobians in found.items():
        for i, (mine, wanted) in enumerate(zip(jacobians, expected, strict=True)):
            for j, (a, b) in enumerate(zip(mine, wanted, strict=True)):
                _compare(f"Jacobian mismatch ({mode})", i, j, a, b, atol, rtol)


def _compare(what: str, i: int, j: int, found: Matrix, wanted: Matrix, atol: float, rtol: float) -> None:
    if not np.allclose(found, wanted, rtol=rtol, atol=atol):
        raise GradcheckError(
            at_user_line(f"{what} for output {j} with respect to input {i},\nnumerical:{wanted}\nanalytical:{found}\n")
        )


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy().astype(np.float64)


def _differences(func: Callable[..., Any], inputs: tuple[Any, ...], place: int, eps: float) -> list[Matrix]:
    """One matrix for each differentiable output: its central differences by the elements of one input."""
    given = inputs[place]
    array = given.detach().cpu().numpy()

    def values(flat: int, by: float) -> list[Any]:
        moved = array.copy()
        moved.reshape(-1)[flat] += by
        changed = tensor(moved, device=given.device).requires_grad_()
        outputs = _differentiable(func(*inputs[:place], changed, *inputs[place + 1 :]))
        return [_array(o).reshape(-1) for o in outputs]

    if not array.size:
        return [np.zeros((o.numel(), 0)) for o in _differentiable(func(*inputs))]
    pairs = [(values(k, eps), values(k, -eps)) for k in range(array.size)]
    columns = [[(high - low) / (2 * eps) for high, low in zip(*pair, strict=True)] for pair in pairs]
    return [np.stack(column, 1) for column in zip(*columns, strict=True)]


def _pulled_back(func: Callable[..., Any], inputs: tuple[Any, ...], at_once: bool) -> list[list[Matrix]]:
    """For each input and each output the Jacobian by backward, row by row or `at_once`."""
    wanted = [i for i in inputs if _varies(i)]
    rows: list[list[Matrix]] = [[] for _ in wanted]
    for output in _differentiable(func(*inputs)):
        units = wrap(unit_vectors(output.node))
        if at_once:
            parts = grad(output, wanted, units, True, allow_unused=True, materialize_grads=True, is_grads_batched=True)
            made = [_array(p).reshape(output.numel(), -1) for p in parts]
        else:
            each = [
                grad(output, wanted, units[k], True, allow_unused=True, materialize_grads=True)
                for k in range(output.numel())
            ]
            made = [
                np.stack([_array(row[i]).reshape(-1) for row in each]) if each else np.zeros((0, w.numel()))
                for i, w in enumerate(wanted)
            ]
        for i, matrix in enumerate(made):
            rows[i].append(matrix)
    return rows


def _pushed_forward(func: Callable[..., Any], inputs: tuple[Any, ...]) -> list[list[Matrix]]:
    """For each input and each output the Jacobian by jvp, column by column."""
    found = []
    for place, value in enumerate(inputs):
        if not _varies(value):
            continue

        def of_one(x: Any, place: int = place) -> tuple[Any, ...]:
            return tuple(_differentiable(func(*inputs[:place], x, *inputs[place + 1 :])))

        with grad_mode(True):
            units = wrap(unit_vectors(value.node))
            columns = [jvp(of_one, (value.detach(),), (units[k],))[1] for k in range(value.numel())]
        found.append([np.stack([_array(c).reshape(-1) for c in column], 1) for column in zip(*columns, strict=True)])
    return found


__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
