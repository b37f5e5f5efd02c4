"""State of modules: what state_dict() gathers and load_state_dict() puts back, module by module."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from lazygrad.nn.hooks import HookedModule
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import grad_mode

EXTRA_STATE = "_extra_state"
ASSIGN = "assign_to_params_buffers"
"""The entry of a module's metadata that says to take tensors over instead of copying them."""

State = dict[str, Any]


class IncompatibleKeys(NamedTuple):
    """What load_state_dict(strict=False) could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class SavedModule(HookedModule):
    """The part of Module that is saved and loaded. `_save_to_state_dict` and `_load_from_state_dict` are what a module
    overrides to do it its own way."""

    _version: ClassVar[int] = 1

    def get_extra_state(self) -> Any:
        """What else belongs into state_dict; overridden together with set_extra_state."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state() gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent:
                yield name, buffer

    # -- saving
    def _save_to_state_dict(self, destination: State, prefix: str, keep_vars: bool) -> None:
        """Put what lies in this module itself into `destination`."""
        for name, tensor in self._own_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not SavedModule.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, destination: State | None = None, prefix: str = "", keep_vars: bool = False) -> State:
        """Names to values of all parameters and persistent buffers; the values share memory with the module.

        The dictionary's `_metadata` says the version of every module. `keep_vars`: the parameters themselves.
        """
        result: Any = destination
        if destination is None:
            result = OrderedDict()
            result._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(result, "_metadata"):
            result._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(result, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=result, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for number, hook in self._state_dict_hooks.items():
            replaced = hook(self, result, prefix, metadata)
            if number in self._replacing_hooks:
                result = result if replaced is None else replaced
            elif replaced is not None:
                raise RuntimeError("state_dict post-hook must return None")
        saved: State = result
        return saved

    # -- loading
    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names, or with `assign` put the tensors themselves in
        their place, in their own dtypes.

        RuntimeError listing missing and unexpected names (when strict) and every size that differs.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", {})
        found = IncompatibleKeys([], [])
        errors: list[str] = []
        self._load_tree(dict(state_dict), "", metadata, assign, found, errors)
        if strict:
            for kind, keys in (("Unexpected", found.unexpected_keys), ("Missing", found.missing_keys)):
                if keys:
                    names = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{kind} key(s) in state_dict: {names}. ")
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        return found

    def _load_tree(
        self,
        state: State,
        prefix: str,
        metadata: Mapping[str, Any],
        assign: bool,
        found: IncompatibleKeys,
        errors: list[str],
    ) -> None:
        own = {**metadata.get(prefix[:-1], {}), **({ASSIGN: True} if assign else {})}
        self._load_from_state_dict(state, prefix, own, True, *found, errors)
        for name, module in self._modules.items():
            if module is not None:
                lead = f"{prefix}{name}."
                below = {key: value for key, value in state.items() if key.startswith(lead)}
                module._load_tree(below, lead, metadata, assign, found, errors)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, found) is not None:
                raise RuntimeError("a load_state_dict post hook changes the lists it is given and returns None")

    def _load_from_state_dict(
        self,
        state_dict: State,
        prefix: str,
        local_metadata: State,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load what lies in this module itself, from the entries that begin with `prefix`; add to the lists what
        doesn't fit."""
        lists = (missing_keys, unexpected_keys, error_msgs)
        for hook in self._load_state_dict_pre_hooks.values():
            hook(self, state_dict, prefix, local_metadata, strict, *lists)
        known = {EXTRA_STATE} if type(self).set_extra_state is not SavedModule.set_extra_state else set()
        for name, tensor in list(self._own_state()):
            known.add(name)
            if prefix + name in state_dict:
                assign = local_metadata.get(ASSIGN, False)
                error = self._load_one(name, prefix + name, tensor, state_dict[prefix + name], assign)
                error_msgs += [error] if error else []
            elif strict:
                missing_keys.append(prefix + name)
        if EXTRA_STATE in known:
            if prefix + EXTRA_STATE in state_dict:
                self.set_extra_state(state_dict[prefix + EXTRA_STATE])
            elif strict:
                missing_keys.append(prefix + EXTRA_STATE)
        for key in state_dict if strict else ():
            name, dot, _ = key[len(prefix) :].partition(".")
            if key.startswith(prefix) and name not in (self._modules if dot else known):
                unexpected_keys.append(key)

    def _load_one(self, name: str, key: str, tensor: Tensor, value: Any, assign: bool) -> str | None:
        """Copy or assign `value`; returns what is wrong with it, if anything."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint but received {type(value)}"
            )
        value = value[0] if tensor.ndim == 0 and tuple(value.shape) == (1,) else value
        if tuple(value.shape) != tuple(tensor.shape):
            return (
                f"size mismatch for {key}: copying a param with shape torch.Size({list(value.shape)}) from checkpoint, "
                f"the shape in current model is torch.Size({list(tensor.shape)})."
            )
        if not assign:
            with grad_mode(False):
                tensor.copy_(value)
        elif isinstance(tensor, Parameter):
            requires = tensor.requires_grad
            taken = value.requires_grad_(requires) if isinstance(value, Parameter) else Parameter(value, requires)
            setattr(self, name, taken)
        else:
            setattr(self, name, value)
        return None
