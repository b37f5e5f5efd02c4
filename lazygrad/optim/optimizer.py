"""What every optimizer shares: takes parameters with gradients, writes updated values in place, lazily.

A step adds the same graph every time. What changes from step to step lies in memory that the graph reads:
the learning rate and its like in 0-d tensors replaced when their values change, the step count in a 0-d
tensor counted up in place. So no schedule makes anything compile again.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from lazygrad.device import Device
from lazygrad.dtype import DType, float32
from lazygrad.errors import at_user_line, one_line
from lazygrad.ir import build
from lazygrad.ir.node import Node
from lazygrad.optim.hooks import (
    HookedOptimizer,
    Registered,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from lazygrad.optim.memory import filled, settle
from lazygrad.optim.rule import Fixed, Group, Rule, Scalars, State
from lazygrad.shape import Shape
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import TensorBase, flush, grad_mode, wrap
from lazygrad.tensor.creation import from_array

required: Any = object()  # the default of an option that every group must give


class Optimizer(HookedOptimizer):
    """Base class. A subclass gives `moments` and `update`, and where it needs them `changing` and
    `prepare`."""

    # options that may be scheduled: they reach `prepare` and `update` as 0-d Nodes
    changing: tuple[str, ...] = ("lr", "weight_decay")
    counts_steps = True
    # 0-d state that follows the step count: `prepare` gets each by name and returns it anew as "next_" + name
    counted: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, TensorBase):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + type(params).__name__
            )
        super().__init__()
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._scalars: dict[int, Scalars] = {}
        self._rules: dict[Any, Rule] = {}
        self._skip: Node | None = None
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    # -- what a subclass gives
    def moments(self, group: Group) -> tuple[str, ...]:
        """The names of a parameter's running values; each starts as zeros."""
        return ()

    def running(self, group: Group, p: Node) -> dict[str, Shape]:
        """The shapes of a parameter's running values, by name."""
        return dict.fromkeys(self.moments(group), p.shape)

    def initial(self, name: str, group: Group) -> float:
        """What a running value is filled with at first."""
        return 0.0

    def own_options(self, group: Group, parameter: Any) -> Group:
        """Further options for `update`, of this parameter at this step alone."""
        return {}

    def prepare(self, group: Group, scalar: State, step: Node | None) -> State:
        """0-d values that all parameters of a group share, from its `changing` options and the step count."""
        return scalar

    def update(self, group: Group, scalar: State, p: Node, g: Node, state: State) -> tuple[Node, State]:
        """The new parameter and the new running values, all in the compute dtype.

        A function of its arguments alone: it is traced once for all parameters of a kind. Options that change
        are there as 0-d Nodes only; in `group` they are CHANGING, or 0 where they are.
        """
        raise NotImplementedError

    # -- groups
    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own. Raises what torch raises for what can't be optimized."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = param_group
        _unpack_parameters(group)
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError("all optimizer param groups should be with/without names")
        present = {id(p) for other in self.param_groups for p in other["params"]}
        if any(id(p) in present for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)
        # initial values are computed now, so that the first step has the graph of every other
        settle(group["params"])

    # -- stepping
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what `closure` returned, if given."""
        loss = None
        flush([])  # a step that nobody asked for yet is computed before the next is added to it
        if closure is not None:
            with grad_mode(True):
                loss = closure()
        with grad_mode(False), one_line(type(self).__name__.lower()):
            for group in self.param_groups:
                self._step_group(group)
        return loss

    @property
    def _can_choose(self) -> bool:
        """Whether a step can be taken back where it is computed: not one that a subclass wrote itself."""
        return type(self).step is Optimizer.step

    def step_unless(self, skip: Node, *args: Any, **kwargs: Any) -> Any:
        """step(), but where `skip` holds (a 0-d bool) everything keeps its old value. For GradScaler."""
        if not self._can_choose:
            return None if wrap(skip).item() else self.step(*args, **kwargs)
        self._skip = skip
        try:
            return self.step(*args, **kwargs)
        finally:
            self._skip = None

    def _step_group(self, group: Group) -> None:
        ready = [p for p in group["params"] if p._grad is not None]
        self._make_state(ready, group)
        fixed = Fixed(group, self.defaults, self.changing)
        for together in self._stepping_together(ready):
            tensors = {name: self.state[together[0]][name] for name in self._shared}
            if "step" in tensors:
                self._replace(tensors["step"], build.shift(tensors["step"].node, 1))
            before = {name: build.detach(tensor.node) for name, tensor in tensors.items()}
            after: State = {}
            prepared: dict[Any, State] = {}
            for parameter in together:
                node = build.detach(parameter.node)
                dtype = node.dtype.compute
                key = (node.device, dtype)
                scalar = prepared.get(key)
                if scalar is None:
                    local = {name: build.cast(build.copy(n, node.device), dtype) for name, n in before.items()}
                    changing = self._changing(group, node.device, dtype)
                    scalar = prepared[key] = self.prepare(group, changing | local, local.get("step"))
                    after = after or scalar
                self._step_one(group, scalar, fixed, parameter, node, dtype)
            for name in self.counted:
                self._replace(tensors[name], build.cast(after[f"next_{name}"], float32))

    def _step_one(self, group: Group, scalar: State, fixed: Fixed, parameter: Any, node: Node, dtype: DType) -> None:
        state = self.state[parameter]
        names = tuple(self.running(group, node))
        grad = build.detach(parameter._grad.node)
        operands = (node, grad, *[state[name].node for name in names], *scalar.values())
        own = self.own_options(group, parameter)
        key = (fixed.key, *own.items(), names, *scalar, *[o.dtype for o in operands], node.shape, node.device)
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = Rule(
                type(self).__name__.lower(), self.update, fixed.options | own, names, tuple(scalar), dtype, operands
            )
        value, *after = rule.formula(*operands)
        for name, new in zip(rule.written, after, strict=True):
            self._replace(state[name], new)
        self._replace(parameter, value)

    def _replace(self, tensor: Any, value: Node) -> None:
        """Write in place; the old value stays where this step is skipped."""
        if self._skip is not None:
            value = build.where(build.copy(self._skip, value.device), build.detach(tensor.node), value)
        tensor._write(value)

    def _changing(self, group: Group, device: Device, dtype: DType) -> State:
        scalars = self._scalars.setdefault(id(group), Scalars())
        values = {name: group[name] for name in self.changing if name in group}
        if "betas" in group:
            values["beta1"] = group["betas"][0]  # the one that OneCycleLR and CyclicLR move
        return {name: scalars(name, value, device, dtype) for name, value in values.items()}

    @property
    def _shared(self) -> tuple[str, ...]:
        """0-d state that parameters share as long as they step together; none that a subclass keeps itself."""
        own_step = type(self).update is Optimizer.update
        return () if own_step or not self.counts_steps else ("step", *self.counted)

    def _make_state(self, ready: Sequence[Any], group: Group) -> None:
        fresh: dict[Device, dict[str, Tensor]] = {}
        for parameter in ready:
            state = self.state[parameter]
            node = parameter.node
            if self.counts_steps and "step" not in state:
                if node.device not in fresh:
                    zero = build.const(0, float32, node.device)
                    starts = {name: self.initial(name, group) for name in self.counted} | {"step": 0.0}
                    fresh[node.device] = {name: filled(zero, starts[name]) for name in self._shared}
                state.update(fresh[node.device])
            for name, shape in self.running(group, node).items():
                if name not in state:
                    state[name] = filled(node, self.initial(name, group), shape)

    def _stepping_together(self, ready: Sequence[Any]) -> list[list[Any]]:
        """Parameters by the step count they share. Those whose sharers don't all step now part from them."""
        if not self.counts_steps:
            return [list(ready)] if ready else []
        sets: dict[int, list[Any]] = {}
        for parameter in ready:
            sets.setdefault(id(self.state[parameter]["step"]), []).append(parameter)
        holders: dict[int, int] = {}
        for state in self.state.values():
            if "step" in state:
                holders[id(state["step"])] = holders.get(id(state["step"]), 0) + 1
        for number, parameters in sets.items():
            if holders[number] != len(parameters):
                old = self.state[parameters[0]]
                parted = {name: wrap(build.detach(old[name].node)) for name in self._shared}
                for parameter in parameters:
                    self.state[parameter].update(parted)
        return list(sets.values())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or set them to 0."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    with grad_mode(False):
                        parameter.grad.detach_().zero_()
        flush([])  # now that no gradient is held, the pending step need not write any

    # -- saving
    def state_dict(self) -> dict[str, Any]:
        """{"state": by position, "param_groups": options with positions}, as torch.optim writes it."""
        for hook in self._hooks.before_saving.values():
            hook(self)
        position: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                position.setdefault(id(parameter), len(position))
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [position[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {position[id(p)]: dict(values) for p, values in self.state.items() if values}
        return self._replaced(self._hooks.after_saving, {"state": state, "param_groups": groups})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and state. ValueError where the groups don't match in number or size."""
        state_dict = self._replaced(self._hooks.before_loading, dict(state_dict))
        groups = [dict(g) for g in state_dict["param_groups"]]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(new["params"]) != len(old["params"]) for new, old in zip(groups, self.param_groups, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        parameters: dict[Any, Any] = {}
        for new, old in zip(groups, self.param_groups, strict=True):
            parameters.update(zip(new["params"], old["params"], strict=True))
            for name, value in new.items():
                if name not in ("params", "param_names"):
                    old[name] = deepcopy(value)
        self.state = defaultdict(dict)
        group_of = {id(p): i for i, g in enumerate(self.param_groups) for p in g["params"]}
        shared: dict[Any, dict[str, Tensor]] = {}
        for key, values in state_dict["state"].items():
            parameter = parameters[key]
            state = self.state[parameter]
            numbers = tuple(_number(values[name]) for name in self._shared if name in values)
            together = shared.setdefault((group_of[id(parameter)], parameter.device, numbers), {})
            for name, value in values.items():
                if name not in self._shared:
                    state[name] = _restored(value, parameter)
                    continue
                if name not in together:
                    together[name] = filled(build.const(0, float32, parameter.device), _number(value))
                state[name] = together[name]
        for hook in self._hooks.after_loading.values():
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scalars": {}, "_rules": {}, "_skip": None, "_hooks": Registered()}

    def __repr__(self) -> str:
        rows = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            rows.append(f"Parameter Group {i}")
            rows += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*rows, ")"])


def _unpack_parameters(group: Group) -> None:
    """group["params"] as a list of checked tensors, their names, if given, in group["param_names"]."""
    given: Any = group["params"]
    if isinstance(given, set):
        raise TypeError("optimizer parameters need to be organized in ordered collections; sets have no order")
    listed: list[Any] = [given] if isinstance(given, Tensor) else list(given)
    named = [item for item in listed if isinstance(item, tuple)]
    if named:
        if len(named) != len(listed):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        group["param_names"] = [name for name, _ in named]
        listed = [parameter for _, parameter in named]
    for parameter in listed:
        _check_parameter(parameter)
    if len({id(p) for p in listed}) < len(listed):
        warnings.warn(
            at_user_line("optimizer contains a parameter group with duplicate parameters"), UserWarning, stacklevel=2
        )
    group["params"] = listed


def _check_parameter(parameter: Any) -> None:
    if not isinstance(parameter, TensorBase):
        raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(parameter).__name__}")
    if not parameter.is_leaf:
        raise ValueError(at_user_line("can't optimize a non-leaf Tensor"))


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)


def _restored(value: Any, parameter: Any) -> Any:
    """A saved value as state of `parameter`: computed, on its device, in its dtype."""
    if not isinstance(value, TensorBase):
        return value
    node = build.detach(value.node)
    if node.dtype.is_floating_point and parameter.dtype.is_floating_point:
        node = build.cast(node, parameter.dtype)
    host = wrap(node).numpy(force=True)
    return wrap(from_array(host, parameter.device, node.dtype))


__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook", "required"]
