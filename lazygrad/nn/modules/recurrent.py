"""Recurrent networks: layers over padded or packed sequences, and their cells.

Inside, all steps stand one after the other as rows, step t holding `sizes[t]` of them: as many for each step in a
padded batch, fewer and fewer in a packed one. The input's products are one matrix product for all steps; each step is
a few nodes on its slice.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.ir import build, library
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.nn import functional as F
from lazygrad.nn import init
from lazygrad.nn.functional.linear import linear_node
from lazygrad.nn.module import Module
from lazygrad.nn.parameter import Parameter
from lazygrad.nn.utils.rnn import PackedSequence
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


def rnn_step(
    mode: str, from_input: Node, states: States, w_hh: Node, b_hh: Node | None, w_hr: Node | None = None
) -> States:
    """One step: what the input contributes and the old states to the new states; the first is the output.

    `w_hr` projects an LSTM's output (Sak et al. 2014). Where products are taken in a lower precision than states are
    kept in (autocast), what they give is widened to join the states.
    """
    hidden = states[0]
    from_hidden = linear_node(build.cast(hidden, w_hh.dtype), w_hh, b_hh)
    if mode == "LSTM":
        i, f, g, o = (build.cast(n, states[1].dtype) for n in _pieces(build.add(from_input, from_hidden), 4))
        cell = build.add(build.mul(_sigmoid(f), states[1]), build.mul(_sigmoid(i), _tanh(g)))
        output = build.mul(_sigmoid(o), _tanh(cell))
        return (output if w_hr is None else linear_node(output, w_hr, None)), cell
    if mode == "GRU":
        reset_in, update_in, new_in = _pieces(from_input, 3)
        reset_hid, update_hid, new_hid = _pieces(from_hidden, 3)
        reset = _sigmoid(build.add(reset_in, reset_hid))
        update = _sigmoid(build.add(update_in, update_hid))
        new = build.cast(_tanh(build.add(new_in, build.mul(reset, new_hid))), hidden.dtype)
        update = build.cast(update, hidden.dtype)
        return (build.add(new, build.mul(update, build.sub(hidden, new))),)
    total = build.add(from_input, from_hidden)
    return (_tanh(total) if mode == "RNN_TANH" else library.relu(total),)


GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _rows(node: Node, start: int, stop: int) -> Node:
    return build.slice_(node, [(start, stop, 1), *((0, n, 1) for n in node.shape[1:])])


def _row(node: Node, index: int) -> Node:
    return build.reshape(_rows(node, index, index + 1), node.shape[1:])


def _stacked(nodes: list[Node]) -> Node:
    return build.concat([build.reshape(n, (1, *n.shape)) for n in nodes], 0)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: layers, directions, parameter names, packing of states.

    `mode` is one of "LSTM", "GRU", "RNN_TANH", "RNN_RELU".
    """

    def __init__(
        self,
        mode: str,
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
        if mode not in GATES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size and mode != "LSTM":
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if not 0 <= proj_size < hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size, or zero for no projection")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        outputs = proj_size or hidden_size
        rows = GATES[mode] * hidden_size
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else outputs * self._directions
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, outputs)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, name + suffix, Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        suffixes = [s for layer in range(self.num_layers) for s in self._suffixes(layer)]
        return [[p for n, p in self.named_parameters() if n.split("_l", 1)[1] == s[2:]] for s in suffixes]

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: there is no packed copy of the weights."""

    def _direction(self, x: Node, sizes: list[int], initial: States, suffix: str) -> tuple[Node, States]:
        """Rows x through one direction of one layer: (output rows, states after each sequence's last step)."""
        names = ("weight_ih", "weight_hh", "weight_hr")
        given = [getattr(self, n + suffix).node for n in names[: 3 if self.proj_size else 2]]
        b_ih, b_hh = (getattr(self, n + suffix).node if self.bias else None for n in ("bias_ih", "bias_hh"))
        kept = x.dtype
        x, w_ih, w_hh, *w_hr = autocast_operands(x, *given)
        kept = x.dtype if x.device.type == "cuda" or self.mode == "LSTM" else kept  # what torch has fused kernels for
        initial = tuple(build.cast(s, kept) for s in initial)
        from_input = linear_node(x, w_ih, b_ih)
        ends = list(itertools.accumulate(sizes))
        times = range(len(sizes))
        backward = suffix.endswith("reverse")
        outputs: list[Node] = []
        finished: list[States] = []  # of sequences that have ended, the last in the batch first
        states = tuple(_rows(s, 0, sizes[-1 if backward else 0]) for s in initial)
        for t in reversed(times) if backward else times:
            held, size = states[0].shape[0], sizes[t]
            if size < held:
                finished.append(tuple(_rows(s, size, held) for s in states))
                states = tuple(_rows(s, 0, size) for s in states)
            elif size > held:  # backwards in time, sequences begin as they end forwards
                states = tuple(build.concat([s, _rows(i, held, size)], 0) for s, i in zip(states, initial, strict=True))
            now = _rows(from_input, ends[t] - size, ends[t])
            states = rnn_step(self.mode, now, states, w_hh, b_hh, *w_hr)
            outputs.append(states[0])
        last = tuple(build.concat(list(parts), 0) for parts in zip(states, *reversed(finished), strict=True))
        return build.concat(outputs[::-1] if backward else outputs, 0), last

    def _layers(self, x: Node, sizes: list[int], held: list[Node]) -> tuple[Node, list[Node]]:
        """Rows through all layers: (output rows, the last states, one (layers * directions, batch, width) a kind)."""
        last: list[States] = []
        for layer in range(self.num_layers):
            sides = []
            for suffix in self._suffixes(layer):
                outputs, states = self._direction(x, sizes, tuple(_row(h, len(last)) for h in held), suffix)
                sides.append(outputs)
                last.append(states)
            x = build.concat(sides, 1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(wrap(x), self.dropout).node
        return x, [_stacked(list(kind)) for kind in zip(*last, strict=True)]

    def _run(self, input: Any, given: tuple[Tensor, ...] | None) -> tuple[Any, tuple[Tensor, ...]]:
        if isinstance(input, PackedSequence):
            return self._run_packed(input, given)
        x = input.node
        if x.ndim not in (2, 3):
            raise ValueError(
                at_user_line(f"{self._get_name()}: Expected input to be 2D or 3D, got {x.ndim}D tensor instead")
            )
        unbatched = x.ndim == 2
        if given is not None and any(h.ndim != x.ndim for h in given):
            kind = "unbatched 2-D" if unbatched else "batched 3-D"
            raise RuntimeError(at_user_line(f"For {kind} input, all of hx should be {x.ndim}-D too"))
        if unbatched:
            x = build.reshape(x, (x.shape[0], 1, x.shape[1]))
            given = None if given is None else tuple(h.unsqueeze(1) for h in given)
        elif self.batch_first:
            x = build.transpose(x, 0, 1)
        steps, batch, _ = x.shape
        if not steps:
            raise RuntimeError(at_user_line("Expected sequence length to be larger than 0 in RNN"))
        held = self._initial(x, batch, given)
        rows, final = self._layers(build.reshape(x, (steps * batch, x.shape[2])), [batch] * steps, held)
        y = build.reshape(rows, (steps, batch, rows.shape[1]))
        if unbatched:
            y = _row(build.transpose(y, 0, 1), 0)
            final = [_row(build.transpose(f, 0, 1), 0) for f in final]
        elif self.batch_first:
            y = build.transpose(y, 0, 1)
        return wrap(y), tuple(wrap(f) for f in final)

    def _run_packed(
        self, input: PackedSequence, given: tuple[Tensor, ...] | None
    ) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        """States are given and returned in the order the sequences had before packing sorted them."""
        sizes = input.batch_sizes.tolist()
        if given is not None and input.sorted_indices is not None:
            given = tuple(h.index_select(1, input.sorted_indices) for h in given)
        rows, final = self._layers(input.data.node, sizes, self._initial(input.data.node, sizes[0], given))
        states = tuple(wrap(f) for f in final)
        if input.unsorted_indices is not None:
            states = tuple(s.index_select(1, input.unsorted_indices) for s in states)
        return input._replace(data=wrap(rows)), states

    def _initial(self, x: Node, batch: int, given: tuple[Tensor, ...] | None) -> list[Node]:
        """For each kind of state one node (layers * directions, batch, width)."""
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                at_user_line(
                    f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
                )
            )
        widths = [self.proj_size or self.hidden_size, self.hidden_size][: 2 if self.mode == "LSTM" else 1]
        shapes = [(self.num_layers * self._directions, batch, width) for width in widths]
        if given is None:
            return [build.const(0, x.dtype, x.device, shape) for shape in shapes]
        for i, (state, shape) in enumerate(zip(given, shapes, strict=True)):
            if state.node.shape != shape:
                raise RuntimeError(at_user_line(f"Expected hidden[{i}] size {shape}, got {list(state.shape)}"))
        return [state.node for state in given]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
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


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu. Arguments as RNNBase's; `nonlinearity` follows num_layers."""

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any) -> None:
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, states = self._run(input, None if hx is None else (hx,))
        return output, states[0]


class GRU(RNNBase):
    """Cho et al. 2014. Arguments as RNNBase's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, states = self._run(input, None if hx is None else (hx,))
        return output, states[0]


class LSTM(RNNBase):
    """Hochreiter & Schmidhuber 1997. Arguments as RNNBase's; `proj_size` projects the outputs (Sak et al. 2014)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        output, states = self._run(input, hx)
        return output, (states[0], states[1])


class RNNCellBase(Module):
    """One step of a recurrent network with `num_chunks` gates."""

    mode: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        for name, width in (("weight_ih", input_size), ("weight_hh", hidden_size)):
            setattr(self, name, Parameter(empty(rows, width, device=device, dtype=dtype)))
        for name in ("bias_ih", "bias_hh"):
            parameter = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, input: Tensor, states: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        if input.ndim not in (1, 2):
            raise ValueError(
                at_user_line(f"{self._get_name()}: Expected input to be 1D or 2D, got {input.ndim}D instead")
            )
        x, w_ih, w_hh = autocast_operands(input.node, self.weight_ih.node, self.weight_hh.node)
        kept = x.dtype if x.device.type == "cuda" else input.dtype
        b_ih, b_hh = (None if b is None else b.node for b in (self.bias_ih, self.bias_hh))
        shape = (*x.shape[:-1], self.hidden_size)
        zero = build.const(0, kept, x.device, shape)
        kinds = 2 if self.mode == "LSTM" else 1
        for state in states or ():
            if state.node.shape != shape:
                raise RuntimeError(at_user_line(f"Expected hidden size {list(shape)}, got {list(state.shape)}"))
        held = (zero,) * kinds if states is None else tuple(build.cast(s.node, kept) for s in states)
        new = rnn_step(self.mode, linear_node(x, w_ih, b_ih), held, w_hh, b_hh)
        return tuple(wrap(n) for n in new)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity
        self.mode = f"RNN_{nonlinearity.upper()}"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class GRUCell(RNNCellBase):
    """One step of GRU."""

    mode = "GRU"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES[self.mode], device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of LSTM."""

    mode = "LSTM"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES[self.mode], device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        hidden, cell = self._step(input, hx)
        return hidden, cell
