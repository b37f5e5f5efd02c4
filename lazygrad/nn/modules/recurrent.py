"""Recurrent networks. Each time step is a few nodes; the input's products are one matrix product for all
steps."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from lazygrad.dtype import DType
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.nn import functional as F
from lazygrad.nn import init
from lazygrad.nn.functional.linear import linear_node
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Parameter
from lazygrad.tensor import Tensor
from lazygrad.tensor.autocast import autocast_operands
from lazygrad.tensor.core import wrap
from lazygrad.tensor.creation import empty

States = tuple[Node, ...]


def _pieces(node: Node, count: int) -> list[Node]:
    """Equal pieces of the last dimension."""
    size = node.shape[-1] // count
    lead = [(0, n, 1) for n in node.shape[:-1]]
    return [build.slice_(node, [*lead, (i * size, (i + 1) * size, 1)]) for i in range(count)]


def _sigmoid(node: Node) -> Node:
    return library.activation(lambda x: library.unary(ops.SIGMOID, x), node)


def _tanh(node: Node) -> Node:
    return library.activation(lambda x: library.unary(ops.TANH, x), node)


def rnn_step(mode: str, from_input: Node, states: States, w_hh: Node, b_hh: Node | None) -> States:
    """One step: what the input contributes and the old states to the new states; the first is the output."""
    hidden = states[0]
    from_hidden = linear_node(hidden, w_hh, b_hh)
    if mode == "LSTM":
        i, f, g, o = _pieces(build.add(from_input, from_hidden), 4)
        cell = build.add(build.mul(_sigmoid(f), states[1]), build.mul(_sigmoid(i), _tanh(g)))
        return build.mul(_sigmoid(o), _tanh(cell)), cell
    if mode == "GRU":
        reset_in, update_in, new_in = _pieces(from_input, 3)
        reset_hid, update_hid, new_hid = _pieces(from_hidden, 3)
        reset = _sigmoid(build.add(reset_in, reset_hid))
        update = _sigmoid(build.add(update_in, update_hid))
        new = _tanh(build.add(new_in, build.mul(reset, new_hid)))
        return (build.add(new, build.mul(update, build.sub(hidden, new))),)
    total = build.add(from_input, from_hidden)
    return (_tanh(total) if mode == "RNN_TANH" else library.relu(total),)


GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class Recurrent(Module):
    """What RNN, LSTM and GRU share: layers, directions, parameter names, packing of states."""

    mode: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if proj_size:
            raise NotImplementedError("proj_size is not supported")
        if not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element "
                "being zeroed"
            )
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = 0
        directions = 2 if bidirectional else 1
        rows = GATES[self.mode] * hidden_size
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else hidden_size * directions
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, inputs),
                    "weight_hh": (rows, hidden_size),
                }
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for name, shape in shapes.items():
                    setattr(self, name + suffix, Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"] if self.bidirectional else [f"_l{layer}"]

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: there is no packed copy of the weights."""

    def _weights(self, suffix: str) -> list[Node | None]:
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        found: list[Node | None] = [getattr(self, n + suffix).node for n in names[: 4 if self.bias else 2]]
        return found + [None] * (4 - len(found))

    def _direction(self, x: Node, states: States, suffix: str) -> tuple[list[Node], States]:
        """x (time, batch, features) through one direction of one layer: outputs in time order, last
        states."""
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        assert w_ih is not None and w_hh is not None
        x, w_ih, w_hh = autocast_operands(x, w_ih, w_hh)
        states = tuple(build.cast(s, x.dtype) for s in states)
        from_input = linear_node(x, w_ih, b_ih)
        outputs: list[Node] = []
        times = range(x.shape[0])
        backward = suffix.endswith("reverse")
        for t in reversed(times) if backward else times:
            row = [(t, t + 1, 1), *((0, n, 1) for n in from_input.shape[1:])]
            now = build.reshape(build.slice_(from_input, row), from_input.shape[1:])
            states = rnn_step(self.mode, now, states, w_hh, b_hh)
            outputs.append(states[0])
        return (outputs[::-1] if backward else outputs), states

    def _run(self, input: Tensor, initial: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = input.node
        unbatched = x.ndim == 2
        if x.ndim not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {x.ndim}D instead")
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
            )
        if unbatched:
            x = build.reshape(x, (x.shape[0], 1, x.shape[1]))
        elif self.batch_first:
            x = build.transpose(x, 0, 1)
        held = self._initial(x, initial, unbatched)
        last: list[States] = []
        number = 0
        for layer in range(self.num_layers):
            sides = []
            for suffix in self._suffixes(layer):
                outputs, states = self._direction(x, tuple(h[number] for h in held), suffix)
                number += 1
                sides.append(_stacked(outputs))
                last.append(states)
            x = sides[0] if len(sides) == 1 else build.concat(sides, 2)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(wrap(x), self.dropout).node
        final = [_stacked([s[i] for s in last]) for i in range(len(held))]
        if unbatched:
            x = build.reshape(x, (x.shape[0], x.shape[2]))
            final = [build.reshape(f, (f.shape[0], f.shape[2])) for f in final]
        elif self.batch_first:
            x = build.transpose(x, 0, 1)
        return wrap(x), tuple(wrap(f) for f in final)

    def _initial(self, x: Node, given: tuple[Tensor, ...] | None, unbatched: bool) -> list[list[Node]]:
        """For each kind of state, one node a layer and direction."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        shape = (count, x.shape[1], self.hidden_size)
        kinds = 2 if self.mode == "LSTM" else 1
        nodes = []
        for i in range(kinds):
            node = build.const(0, x.dtype, x.device, shape) if given is None else given[i].node
            if unbatched and given is not None and node.ndim == 2:
                node = build.reshape(node, (node.shape[0], 1, node.shape[1]))
            if node.shape != shape:
                raise RuntimeError(f"Expected hidden size {shape}, got {list(node.shape)}")
            nodes.append(node)
        return [
            [
                build.reshape(build.slice_(n, [(i, i + 1, 1), (0, shape[1], 1), (0, shape[2], 1)]), shape[1:])
                for i in range(count)
            ]
            for n in nodes
        ]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first:
            text += f", batch_first={self.batch_first}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += f", bidirectional={self.bidirectional}"
        return text


def _stacked(nodes: list[Node]) -> Node:
    return build.concat([build.reshape(n, (1, *n.shape)) for n in nodes], 0)


class RNN(Recurrent):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any) -> None:
        if len(args) > 3 and isinstance(args[3], str):  # torch's fourth positional argument
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        object.__setattr__(self, "mode", f"RNN_{nonlinearity.upper()}")
        super().__init__(*args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, states = self._run(input, None if hx is None else (hx,))
        return output, states[0]


class GRU(Recurrent):
    """Cho et al. 2014."""

    mode = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, states = self._run(input, None if hx is None else (hx,))
        return output, states[0]


class LSTM(Recurrent):
    """Hochreiter & Schmidhuber 1997."""

    mode = "LSTM"

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, states = self._run(input, hx)
        return output, (states[0], states[1])


class Cell(Module):
    """One step of a recurrent network."""

    mode: str
    gates: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = GATES[self.mode] * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
        }
        for name, shape in shapes.items():
            setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
        for name in ("bias_ih", "bias_hh"):
            parameter = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, parameter)
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, input: Tensor, states: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        x, w_ih, w_hh = autocast_operands(input.node, self.weight_ih.node, self.weight_hh.node)
        b_ih, b_hh = (None if b is None else b.node for b in (self.bias_ih, self.bias_hh))
        zero = build.const(0, x.dtype, x.device, (*x.shape[:-1], self.hidden_size))
        kinds = 2 if self.mode == "LSTM" else 1
        held = (zero,) * kinds if states is None else tuple(build.cast(s.node, x.dtype) for s in states)
        new = rnn_step(self.mode, linear_node(x, w_ih, b_ih), held, w_hh, b_hh)
        return tuple(wrap(n) for n in new)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")


class RNNCell(Cell):
    """One step of RNN."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", **kwargs: Any
    ) -> None:
        object.__setattr__(self, "mode", f"RNN_{nonlinearity.upper()}")
        super().__init__(input_size, hidden_size, bias, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + (
            "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        )


class GRUCell(Cell):
    """One step of GRU."""

    mode = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(Cell):
    """One step of LSTM."""

    mode = "LSTM"

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        hidden, cell = self._step(input, hx)
        return hidden, cell
