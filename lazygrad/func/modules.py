"""Modules as functions of their parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lazygrad.errors import at_user_line
from lazygrad.tensor.assembly import stack
from lazygrad.tensor.core import TensorBase

if TYPE_CHECKING:
    from lazygrad.nn import Module
    from lazygrad.tensor import Tensor

State = Mapping[str, "Tensor"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: State | Sequence[State],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the named Tensors in place of its parameters and buffers, for this call.

    `tie_weights`: a parameter that the module has under several names is replaced under all of them. `strict`:
    RuntimeError for missing and for unexpected names; otherwise the module goes on with its own for those, and
    leaves these alone. ValueError for what is no dict, a name given twice, or two values for one tied parameter;
    TypeError for a value that is no Tensor. See torch.func.functional_call.
    """
    single = isinstance(parameter_and_buffer_dicts, Mapping)
    parts: Any = [parameter_and_buffer_dicts] if single else parameter_and_buffer_dicts
    if not isinstance(parts, Sequence) or not all(isinstance(p, Mapping) for p in parts):
        raise ValueError(
            at_user_line(
                "functional_call: Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
                f"{type(parameter_and_buffer_dicts)}"
            )
        )
    state: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name in state:
                raise ValueError(at_user_line(f"functional_call: {name} appeared in more than one dictionary"))
            state[name] = value
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, state, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


@contextmanager
def _replaced(module: Module, state: dict[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    if strict:
        _check_names(own, state)
    replacement = _with_ties(own, state) if tie_weights else state
    tables = []
    for name, value in replacement.items():
        if name not in own:
            continue
        if not isinstance(value, TensorBase):
            raise TypeError(at_user_line(f"functional_call: {name} must be a Tensor, got {type(value)}"))
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        table: Any = owner._parameters if last in owner._parameters else owner._buffers
        tables.append((table, last, value))
    kept = [table[last] for table, last, _ in tables]
    try:
        for table, last, value in tables:
            table[last] = value
        yield
    finally:
        for (table, last, _), value in zip(tables, kept, strict=True):
            table[last] = value


def _check_names(own: dict[str, Any], state: dict[str, Any]) -> None:
    unexpected = [n for n in state if n not in own]
    missing = [n for n in own if n not in state]
    faults = (("Unexpected", unexpected), ("Missing", missing))
    said = [f"{what} key(s): {', '.join(names)}" for what, names in faults if names]
    if said:
        raise RuntimeError(at_user_line(f"Error(s) in reparametrizing: {'; '.join(said)}"))


def _with_ties(own: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The state under every name of each tied parameter that it names."""
    names_of: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names_of.setdefault(id(tensor), []).append(name)
    found = dict(state)
    for name, value in state.items():
        for twin in names_of.get(id(own.get(name)), ()) if name in own else ():
            if found.setdefault(twin, value) is not value:
                raise ValueError(
                    at_user_line(f"functional_call got multiple values for keys {sorted([name, twin])}, which are tied")
                )
    return found


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of equal modules, stacked along a new dimension in front: an ensemble for vmap.

    The stacked parameters are leaves that require grad where the modules' do. RuntimeError for no modules, and for
    modules that differ in class, mode, names or shapes. See torch.func.stack_module_state.
    """
    if not models:
        raise RuntimeError(at_user_line("stack_module_state: Expected at least one model, got 0."))
    if len({m.training for m in models}) != 1:
        raise RuntimeError(at_user_line("stack_module_state: Expected all models to have the same training/eval mode."))
    if len({type(m) for m in models}) != 1:
        raise RuntimeError(at_user_line("stack_module_state: Expected all models to be of the same class."))
    parameters = _stacked([dict(m.named_parameters()) for m in models])
    buffers = _stacked([dict(m.named_buffers()) for m in models])
    return parameters, buffers


def _stacked(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first = states[0]
    if any(s.keys() != first.keys() for s in states):
        raise RuntimeError(at_user_line("stack_module_state: the modules name their parameters or buffers differently"))
    found = {}
    for name, tensor in first.items():
        whole = stack([s[name].detach() for s in states])
        found[name] = whole.requires_grad_() if tensor.requires_grad else whole
    return found


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Have every BatchNorm in `root` normalise each batch by itself: running statistics are one Tensor for all examples
    of a vmap, into which none may be written. Changes `root` and returns it."""
    for module in root.modules():
        without = getattr(module, "_without_running_stats", None)
        if without is not None and module.track_running_stats:
            without()
    return root


__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]
