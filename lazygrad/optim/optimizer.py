"""What every optimizer shares: takes parameters with gradients, writes updated values in place, lazily.

A step adds the same graph every time. What changes from step to step lies in memory that the graph reads:
the learning rate and its like in 0-d tensors replaced when their values change, the step count in a 0-d
tensor counted up in place. So no schedule makes anything compile again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from lazygrad.device import Device
from lazygrad.dtype import DType, float32
from lazygrad.errors import at_user_line, one_line
from lazygrad.ir import build
from lazygrad.ir.formula import Formula
from lazygrad.ir.node import Node
from lazygrad.optim.common import is_zero
from lazygrad.optim.memory import filled, settle
from lazygrad.tensor import Tensor
from lazygrad.tensor.core import TensorBase, flush, grad_mode, wrap
from lazygrad.tensor.creation import from_array

Group = dict[str, Any]
State = dict[str, Node]
CHANGING = object()  # stands for an option whose number must not become part of a graph
REQUIRED: Any = object()  # the default of an option that every group must give


class Scalars:
    """The numbers of one group that may change, as 0-d Nodes: scalars("lr") and so on.

    A Node is replaced when its number changes; a tensor in a group is read as it is.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, Device, DType], tuple[float, Node]] = {}

    def __call__(self, name: str, value: Any, device: Device, dtype: DType) -> Node:
        if isinstance(value, TensorBase):
            node = build.copy(build.cast(build.detach(value.node), dtype), device)
            return build.reshape(node, ())
        key = (name, device, dtype)
        held = self._held.get(key)
        if held is None or held[0] != value:
            held = (value, from_array(np.asarray(value), device, dtype))
            self._held[key] = held
        return held[1]


class Fixed:
    """The options of a group that an update may take for constants, and a key that tells them from others."""

    def __init__(self, group: Group, known: Iterable[str], changing: Sequence[str]) -> None:
        self.options = {name: group[name] for name in known}
        for name in changing:
            if not is_zero(group[name]):
                self.options[name] = CHANGING
        if "betas" in group:
            self.options["betas"] = (CHANGING, *group["betas"][1:])
        self.key = tuple([(name, _spelled(value)) for name, value in self.options.items()])


def _spelled(value: Any) -> Any:
    """An option as part of a key: numbers by their digits, for 0.0 == -0.0 and 1 == True; others by what they are."""
    if isinstance(value, (tuple, list)):
        return tuple([_spelled(v) for v in value])
    return repr(value) if isinstance(value, (bool, int, float, str)) else id(value)


class Rule:
    """An optimizer's update as a formula over (parameter, gradient, running values, shared scalars)."""

    def __init__(
        self,
        optimizer: Optimizer,
        options: Group,
        moments: Sequence[str],
        scalars: Sequence[str],
        dtype: DType,
        operands: Sequence[Node],
    ) -> None:
        self.options = options  # what a key names by identity must live as long as the key
        self.written: tuple[str, ...] = ()

        def update(p: Node, g: Node, *rest: Node) -> list[Node]:
            before = {name: build.cast(n, dtype) for name, n in zip(moments, rest, strict=False)}
            scalar = dict(zip(scalars, rest[len(moments) :], strict=True))
            grad = build.cast(g, dtype)
            if options.get("maximize"):
                grad = build.neg(grad)
            value, after = optimizer.update(options, scalar, build.cast(p, dtype), grad, before)
            self.written = tuple(after)
            kept = dict(zip(moments, rest, strict=False))
            return [build.cast(value, p.dtype), *[build.cast(n, kept[name].dtype) for name, n in after.items()]]

        self.formula = Formula(type(optimizer).__name__.lower(), update, operands)


class Optimizer:
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
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._scalars: dict[int, Scalars] = {}
        self._rules: dict[Any, Rule] = {}
        self._skip: Node | None = None
        self._step_hooks: dict[str, list[Callable[..., Any]]] = {"pre": [], "post": []}
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    # -- what a subclass gives
    def moments(self, group: Group) -> tuple[str, ...]:
        """The names of a parameter's running values; each starts as zeros."""
        return ()

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
        group = dict(param_group)
        given: Any = group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections; sets have no order"
            )
        listed: list[Any] = [given] if isinstance(given, Tensor) else list(given)
        if listed and isinstance(listed[0], tuple):
            group["param_names"] = [name for name, _ in listed]
            listed = [parameter for _, parameter in listed]
        group["params"] = listed
        for parameter in group["params"]:
            _check_parameter(parameter)
        for name, default in self.defaults.items():
            if default is REQUIRED and name not in group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            group.setdefault(name, default)
        present = {id(p) for other in self.param_groups for p in other["params"]}
        if any(id(p) in present for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)
        # initial values are computed now, so that the first step has the graph of every other
        settle(group["params"])

    # -- stepping
    def step(self, closure: Callable[[], Any] | None = None, *, skip: Node | None = None) -> Any:
        """Update every parameter that has a gradient; returns what `closure` returned, if given.

        `skip` is GradScaler's: a 0-d bool; where it holds, everything keeps its old value.
        """
        loss = None
        flush([])  # a step that nobody asked for yet is computed before the next is added to it
        for hook in self._step_hooks["pre"]:
            hook(self, (), {})
        if closure is not None:
            with grad_mode(True):
                loss = closure()
        self._skip = skip
        with grad_mode(False), one_line(type(self).__name__.lower()):
            for group in self.param_groups:
                self._step_group(group)
        self._skip = None
        for hook in self._step_hooks["post"]:
            hook(self, (), {})
        return loss

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
                    local = {
                        name: build.cast(build.copy(n, node.device), dtype) for name, n in before.items()
                    }
                    changing = self._changing(group, node.device, dtype)
                    scalar = prepared[key] = self.prepare(group, changing | local, local.get("step"))
                    after = after or scalar
                self._step_one(group, scalar, fixed, parameter, node, dtype)
            for name in self.counted:
                self._replace(tensors[name], build.cast(after[f"next_{name}"], float32))

    def _step_one(self, group: Group, scalar: State, fixed: Fixed, parameter: Any, node: Node, dtype: DType) -> None:
        state = self.state[parameter]
        names = self.moments(group)
        grad = build.detach(parameter._grad.node)
        operands = (node, grad, *[state[name].node for name in names], *scalar.values())
        own = self.own_options(group, parameter)
        key = (fixed.key, *own.items(), names, *scalar, *[o.dtype for o in operands], node.shape, node.device)
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = Rule(self, fixed.options | own, names, tuple(scalar), dtype, operands)
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
        """0-d state that parameters share as long as they step together."""
        return ("step", *self.counted) if self.counts_steps else ()

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
            for name in self.moments(group):
                if name not in state:
                    state[name] = filled(node, self.initial(name, group))

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

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> Any:
        """Call hook(optimizer, args, kwargs) before every step."""
        self._step_hooks["pre"].append(hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> Any:
        """Call hook(optimizer, args, kwargs) after every step."""
        self._step_hooks["post"].append(hook)

    # -- saving
    def state_dict(self) -> dict[str, Any]:
        """{"state": by position, "param_groups": options with positions}, as torch.optim writes it."""
        position: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                position.setdefault(id(parameter), len(position))
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [position[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {position[id(p)]: dict(values) for p, values in self.state.items() if values}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and state. ValueError where the groups don't match in number or size."""
        groups = [dict(g) for g in state_dict["param_groups"]]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(
            len(new["params"]) != len(old["params"])
            for new, old in zip(groups, self.param_groups, strict=True)
        ):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scalars": {}, "_rules": {}, "_skip": None}

    def __repr__(self) -> str:
        rows = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            rows.append(f"Parameter Group {i}")
            rows += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*rows, ")"])


def _check_parameter(parameter: Any) -> None:
    if not isinstance(parameter, TensorBase):
        raise TypeError(
            f"optimizer can only optimize Tensors, but one of the params is {type(parameter).__name__}"
        )
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
